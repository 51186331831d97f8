"""The address of an origin: an http or https URL below which a mod's two files lie.

`BASE/<mod id in base32>.manifest` and `BASE/<mod id>.chunks`. A base has no user, no query, no
fragment and no escapes: it stands in links, which programs escape and unescape as they like.
"""

import contextlib
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

import idna

from protocol import limits
from protocol.addresses import canonical, split_host_port
from protocol.content.origins.ports import BLOCKED
from protocol.content.origins.public_hosts import why_not_public
from protocol.errors import BadAddress, BadInput
from protocol.identity import base32_text

MANIFEST_SUFFIX = ".manifest"
CHUNKS_SUFFIX = ".chunks"

_PORTS = {"http": 80, "https": 443}
_WHOLE = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<place>[^/?#\\]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL
)
_PATH = re.compile(r"(/[A-Za-z0-9._~+-]*)*")
_LITERAL = re.compile(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_HOST = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)


def origin_url(text: str) -> str:
    """The one spelling of an origin's address; raises BadInput, which says what is wrong with it.

    A name in other letters than ASCII becomes what the DNS knows it as (IDNA 2008).
    """
    text = text.strip()
    shown = repr(text[:80])
    if not text.isprintable() or len(text.encode()) > limits.ORIGIN_BYTES:
        raise BadInput(
            f"not the address of an origin: more than {limits.ORIGIN_BYTES} bytes, or characters"
            f" that cannot be seen: {shown}"
        )
    found = _WHOLE.fullmatch(text)
    if found is None or (scheme := found["scheme"].lower()) not in _PORTS:
        raise BadInput(f"an origin starts with https:// or http://, unlike {shown}")
    if "@" in found["place"]:
        raise BadInput("an origin's address holds no user and no password: everybody reads it")
    if found["rest"]:
        raise BadInput(f"an origin's address ends before ? and #: {shown}")
    path = found["path"].rstrip("/")
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise BadInput(
            "the path of an origin has letters without accents, digits and - . _ ~ + alone; name a"
            f" folder of the server so: {shown}"
        )
    host, port = _place(found["place"], _PORTS[scheme], shown)
    made = f"{scheme}://{host}{'' if port == _PORTS[scheme] else f':{port}'}{path}"
    if len(made) > limits.ORIGIN_BYTES:
        raise BadInput(f"the address of an origin has {limits.ORIGIN_BYTES} bytes at most")
    return made


def _place(place: str, port: int, shown: str) -> tuple[str, int]:
    """Host and port of a URL."""
    try:
        if not place.endswith("]") and ":" in place.rpartition("]")[2]:
            host, port = split_host_port(place)
        elif place.startswith("["):
            host = place[1:-1]
        else:
            host = place
    except BadAddress as error:
        raise BadInput(f"not the address of an origin: {error}") from None
    if port in BLOCKED:
        raise BadInput(
            f"no origin is at port {port}, which is kept for another service: let the server listen"
            f" at another port: {shown}"
        )
    if _LITERAL.fullmatch(host):
        try:
            literal = canonical(host, port).host
        except BadAddress:
            raise BadInput(f"not the address of an origin: {shown}") from None
        return (f"[{literal}]" if ":" in literal else literal), port
    return _name(host.rstrip("."), shown), port


def _name(host: str, shown: str) -> str:
    try:
        ascii_host = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise BadInput(f"not the name of a server: {shown}") from None
    if not _HOST.fullmatch(ascii_host) or _LITERAL.fullmatch(ascii_host):
        raise BadInput(f"not the name of a server: {shown}")
    return ascii_host


def named_origin(text: str) -> str:
    """An origin that a link or a lineage is to name; raises BadInput, also for one that no reader
    of it connects to, as it is not on the internet.
    """
    url = origin_url(text)
    host = _host(url)
    what = why_not_public(host) if _LITERAL.fullmatch(host) else _kept_name(host)
    if what is not None:
        raise BadInput(
            f"{host} is an address of {what}, to which a link lets no node connect: name a server"
            " on the internet, or this one in config.toml of each node that is to ask it"
        )
    return url


def recorded_origins(texts: Iterable[str]) -> tuple[str, ...]:
    """The origins among what records and links name, each once: a publisher may write anything."""
    found: dict[str, None] = {}
    for text in texts:
        with contextlib.suppress(BadInput):
            found[origin_url(text)] = None
    return tuple(found)


def _host(url: str) -> str:
    """The host of an origin in its one spelling, an IPv6 literal without brackets."""
    place = url.partition("://")[2].partition("/")[0]
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]


def _kept_name(host: str) -> str | None:
    """What a name is for that the DNS gives to nothing on the internet (RFC 6761, RFC 6762)."""
    kept = {"localhost": "this machine", "local": "a link alone", "internal": "a private network"}
    return kept.get(host.rpartition(".")[2])


def origin_hint(url: str) -> str:
    """How a link's hint spells an origin."""
    return quote(url, safe="")


def hinted_origin(text: str) -> str:
    """The origin that a link's hint spells, unescaped by some program or not; raises BadInput."""
    return origin_url(text if "://" in text else unquote(text, errors="replace"))


def file_names(mod_id: bytes) -> tuple[str, str]:
    """What a mod's manifest and its chunks are called below a base, and in an exported folder."""
    name = base32_text(mod_id)
    return f"{name}{MANIFEST_SUFFIX}", f"{name}{CHUNKS_SUFFIX}"
