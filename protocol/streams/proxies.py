"""HTTP proxies on the way: which one the environment names, and what it answers to CONNECT.

RFC 9110, 9.3.6 and RFC 7617. Only the variables that other programs read as well are read:
`HTTPS_PROXY` or `https_proxy`, and `NO_PROXY` or `no_proxy`.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from protocol.addresses import Address, is_host
from protocol.errors import BadConfig, StreamFailed

_DEFAULT_PORT: Final = 80
_OK: Final = range(200, 300)
_NAME_NEEDED: Final = 407

HEAD_END: Final = b"\r\n\r\n"
"""What ends the answer to CONNECT."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that speaks HTTP without TLS. `login` is `name:password`, or empty."""

    host: str
    port: int
    login: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def request(self, to: Address) -> bytes:
        """The head that asks for a way to an address."""
        lines = [f"CONNECT {to} HTTP/1.1", f"Host: {to}"]
        if self.login:
            # What is no UTF-8 in the environment goes on as the bytes that it is.
            basic = base64.b64encode(self.login.encode(errors="surrogateescape")).decode()
            lines.append(f"Proxy-Authorization: Basic {basic}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def check_answer(self, head: bytes, to: Address) -> None:
        """Raise StreamFailed, with what to do, unless the proxy has opened the way."""
        line = head.split(b"\r\n", 1)[0].decode("latin-1")
        words = line.split(None, 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isascii():
            raise StreamFailed(
                f"the proxy {self} answers no HTTP: is HTTPS_PROXY the address of an HTTP proxy?"
            )
        code = int(words[1]) if words[1].isdigit() and len(words[1]) == 3 else 0
        if code in _OK:
            return
        if code == _NAME_NEEDED and self.login:
            raise StreamFailed(
                f"the proxy {self} refuses the name and password in HTTPS_PROXY (407): correct "
                "them there, or ask the administrator whether it takes Basic authentication"
            )
        if code == _NAME_NEEDED:
            raise StreamFailed(
                f"the proxy {self} asks for a name and a password (407): set HTTPS_PROXY to "
                f"http://name:password@{self}"
            )
        raise StreamFailed(
            f"the proxy {self} opens no way to {to} (its answer is {code or 'no HTTP'}): ask its "
            f"administrator to allow CONNECT to port {to.port}"
        )


def silent(proxy: Proxy) -> StreamFailed:
    """The error for a proxy that takes the connection and answers nothing."""
    return StreamFailed(
        f"the proxy {proxy} takes the connection, and does not answer: is HTTPS_PROXY the address "
        "of an HTTP proxy, and is the proxy itself online?"
    )


def proxy_in(environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names; None if there is none. Raises BadConfig."""
    text = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    if not text.strip():
        return None
    parts, port = _split(text.strip())
    if parts.scheme != "http" or not parts.hostname:
        raise BadConfig("HTTPS_PROXY must be http://host:port, or http://name:password@host:port")
    if "@" in parts.path + parts.query + parts.fragment:
        # Else a part of the password would be taken for the host, asked of the DNS and logged.
        raise BadConfig(
            "HTTPS_PROXY has a character in its name or password that ends the host of a URL: "
            "write / as %2F, ? as %3F and # as %23 there"
        )
    if not is_host(parts.hostname):
        raise BadConfig("HTTPS_PROXY has no host: name one, or an IP address ([...] for IPv6)")
    login = ""
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(parts.hostname, port, login)


def _split(text: str) -> tuple[SplitResult, int]:
    """The parts of a URL, and its port; no error repeats any of it, as it may have a password."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
    except ValueError:
        raise BadConfig("HTTPS_PROXY is no URL, such as http://host:port") from None
    try:
        port = _DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise BadConfig("HTTPS_PROXY has no port in 1..65535 behind its host")
    return parts, port


def goes_past(environ: Mapping[str, str], host: str) -> bool:
    """Whether NO_PROXY says that this IP literal is reached without the proxy."""
    text = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    literal = ip_address(host)
    for one in (entry.strip().strip("[]") for entry in text.split(",")):
        if one in {"*", host}:
            return True
        try:
            if "/" in one and literal in ip_network(one, strict=False):
                return True
        except ValueError:
            continue
    return False
