"""IP literals with ports, as peers exchange them: nothing here needs a resolver."""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

from protocol import limits
from protocol.errors import BadAddress, Malformed, NotUnicast

_PACKED_V4 = 6
_PACKED_V6 = 18

_FIRST_V4 = range(1, 224)
"""First bytes of IPv4's unicast addresses. Below is 0.0.0.0/8, which means oneself; above are
multicast, what is reserved, and broadcast (RFC 6890, RFC 5771)."""

_BARE_IPV6 = re.compile(r"[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?")
_HOST = re.compile(rf"[\w.-]+|{_BARE_IPV6.pattern}")
"""A name, in the letters of any language, or an IP literal, perhaps with a scope."""

_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
"""Of protocols, such as DS-Lite's inner addresses (RFC 6890); old Pythons call some global."""

_TRANSLATED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
    )
)
"""IPv4-compatible and IPv4-translated addresses, NAT64, Teredo and 6to4: each can stand for an IPv4
address that nothing private may be reached by."""

_LOOPBACK_V6 = ipaddress.IPv6Address("::1")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All that IANA hands out for global unicast; beyond it lie fec0::/10 and others of times past."""


class Address(NamedTuple):
    """An IP literal in canonical spelling and a UDP port in 1..65535."""

    host: str
    port: int

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == 6 else f"{self.host}:{self.port}"


def canonical(host: str, port: int) -> Address:
    """The one spelling of this address; raises BadAddress.

    IPv4-mapped IPv6 addresses become IPv4 ones, scopes are refused.
    """
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        raise BadAddress(f"not an IP address: {host[:80]!r}") from None
    if isinstance(literal, ipaddress.IPv6Address):
        if literal.scope_id is not None:
            raise BadAddress(f"an address with a scope cannot be shared: {host[:80]!r}")
        literal = literal.ipv4_mapped or literal
    if not 0 < port < 65536:
        raise BadAddress(f"not a port: {port}")
    return Address(str(literal), port)


@lru_cache(maxsize=4096)
def pack_address(address: Address) -> bytes:
    """6 bytes (IPv4) or 18 (IPv6): the address and the port, big-endian."""
    return ipaddress.ip_address(address.host).packed + address.port.to_bytes(2)


@lru_cache(maxsize=4096)
def unpack_address(data: bytes) -> Address:
    """The unicast address that `pack_address` packed; raises Malformed, NotUnicast.

    Every address that a peer names, in a contact, a record or a candidate, is read here.
    """
    if len(data) not in {_PACKED_V4, _PACKED_V6}:
        raise Malformed(f"an address of {len(data)} bytes")
    port = int.from_bytes(data[-2:])
    if port == 0:
        raise Malformed("an address with port 0")
    if len(data) == _PACKED_V4:
        address = Address(".".join(map(str, data[:4])), port)  # much faster than ipaddress
        if data[0] not in _FIRST_V4:
            raise NotUnicast(f"not one machine's address: {address}")
        return address
    literal = ipaddress.IPv6Address(data[:-2])
    if literal.is_unspecified or literal.is_multicast:
        raise NotUnicast(f"not one machine's address: {literal}")
    if literal.ipv4_mapped is not None:
        raise Malformed("an IPv4 address in IPv6 form")
    return Address(str(literal), port)


def unicast(address: Address) -> Address:
    """The same address; raises NotUnicast for one that `unpack_address` would refuse."""
    return unpack_address(pack_address(address))


@lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """Whether a host is a loopback IP literal; False for a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_shareable(host: str) -> bool:
    """Whether other machines may reach one of this machine's IP literals by it.

    False for loopback and link-local addresses, those that are not unicast, and for names.
    """
    try:
        literal = ipaddress.ip_address(unicast(canonical(host, 1)).host)
    except (BadAddress, NotUnicast):  # one with a scope is link-local
        return False
    return not (literal.is_loopback or literal.is_link_local)


@lru_cache(maxsize=4096)
def is_global(host: str) -> bool:
    """Whether an IP literal is one machine's address on the internet."""
    literal = ipaddress.ip_address(host)
    return literal.is_global and not literal.is_multicast and literal not in _PROTOCOLS


@lru_cache(maxsize=4096)
def is_translated(host: str) -> bool:
    """Whether an IP literal of IPv6 can stand for an IPv4 address, as routers translate it."""
    literal = ipaddress.ip_address(host)
    return literal != _LOOPBACK_V6 and any(literal in network for network in _TRANSLATED)


@lru_cache(maxsize=4096)
def is_plainly_global(host: str) -> bool:
    """As `is_global`, for what this machine sends on for another: it stands for nothing private."""
    literal = ipaddress.ip_address(host)
    if literal.version == 6 and (literal not in _GLOBAL_UNICAST or is_translated(host)):
        return False
    return is_global(host)


def is_host(text: str) -> bool:
    """Whether this is a name that a resolver takes, or an IP literal."""
    if not _HOST.fullmatch(text):
        return False
    try:
        return ":" in text or bool(text.encode("idna"))
    except UnicodeError:
        return False  # a label that is empty, too long, or of no letters


def split_host_port(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as a person writes it; the host may be a name.

    Raises BadAddress.
    """
    host, colon, port_text = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif _BARE_IPV6.fullmatch(host):
        raise BadAddress(f"write an IPv6 address as [address]:port, not {text[:80]!r}")
    if not colon or not is_host(host) or not port_text.isascii() or not port_text.isdigit():
        raise BadAddress(f"not an address of the form host:port: {text[:80]!r}")
    digits = port_text.lstrip("0")
    if len(digits) > 5 or int(digits or "0") > limits.PORT_MAX:
        raise BadAddress(f"not a port: {port_text[:20]}")
    return host, int(digits or "0")
