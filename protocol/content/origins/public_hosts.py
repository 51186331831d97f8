"""To which addresses a link may make this node connect: those of machines on the internet.

A link's maker chooses its origins, and an origin's operator its redirects. By an address of this
machine, of its network or of its provider both would reach through this node what they cannot
reach themselves.
"""

import ipaddress
from collections.abc import Collection
from typing import Final

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address

_V4: Final = tuple(
    (ipaddress.IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this machine"),
        ("10.0.0.0/8", "a private network"),
        ("100.64.0.0/10", "a provider's own network"),
        ("127.0.0.0/8", "this machine"),
        ("169.254.0.0/16", "a link alone"),
        ("172.16.0.0/12", "a private network"),
        ("192.0.0.0/24", "protocols"),
        ("192.0.2.0/24", "documents"),
        ("192.88.99.0/24", "protocols"),
        ("192.168.0.0/16", "a private network"),
        ("198.18.0.0/15", "tests of networks"),
        ("198.51.100.0/24", "documents"),
        ("203.0.113.0/24", "documents"),
        ("224.0.0.0/4", "many machines at once"),
        ("240.0.0.0/4", "no machine"),
    )
)
"""RFC 6890 and its successors in IANA's registry of special addresses."""

_V6: Final = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "protocols"),
        ("2001:db8::/32", "documents"),
        ("3fff::/20", "documents"),
    )
)
_V6_GLOBAL: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given out to machines (RFC 4291); anything else is local, special or not in use."""
_V6_KINDS: Final = tuple(
    (ipaddress.IPv6Network(network), what)
    for network, what in (
        ("::1/128", "this machine"),
        ("::/128", "this machine"),
        ("fe80::/10", "a link alone"),
        ("fec0::/10", "a private network"),
        ("fc00::/7", "a private network"),
        ("ff00::/8", "many machines at once"),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_6TO4: Final = ipaddress.IPv6Network("2002::/16")
_V4_BITS: Final = 32
_6TO4_SHIFT: Final = 80
_LINK_BYTES: Final = 8
"""Of a network of one link, a /64 (RFC 4291, 2.5.4)."""


def why_not_public(host: str, own_hosts: Collection[str] = ()) -> str | None:
    """What an IP literal is an address of, in words, if not of a machine on the internet.

    Forms of IPv6 that hold an IPv4 address (mapped, NAT64, 6to4) are judged by that. `own_hosts`
    are the IP literals of this machine and of the NATs before it: a router serves its settings to
    the inside at its outer address too, and IPv6 gives global addresses to what its firewall
    hides, so an address of IPv4 among these, or of one's /64, is of the own network. Raises
    ValueError for what is no IP literal.
    """
    literal = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(literal, IPv4):
        found = next((what for network, what in _V4 if literal in network), None)
        return found or _own(literal, own_hosts)
    if "%" in host:
        return "a link alone"
    within = _within(literal)
    if within is not None:
        return why_not_public(str(within), own_hosts)
    if literal not in _V6_GLOBAL:
        return next((what for network, what in _V6_KINDS if literal in network), "no machine")
    found = next((what for network, what in _V6 if literal in network), None)
    return found or _own(literal, own_hosts)


def _own(literal: IPv4 | IPv6, own_hosts: Collection[str]) -> str | None:
    """What an address is of, if it is of this machine's own network."""
    places = (_place(ipaddress.ip_address(one.partition("%")[0])) for one in own_hosts)
    return "this machine's own network" if _place(literal) in places else None


def _place(literal: IPv4 | IPv6) -> bytes:
    """The address of IPv4, or the network of IPv6 in which all know one another."""
    return literal.packed if isinstance(literal, IPv4) else literal.packed[:_LINK_BYTES]


def _within(literal: IPv6) -> IPv4 | None:
    """The IPv4 address that a router makes of this one, if it does."""
    if literal.ipv4_mapped is not None:
        return literal.ipv4_mapped
    if literal in _NAT64:
        return IPv4(int(literal) & (1 << _V4_BITS) - 1)
    if literal in _6TO4:
        return IPv4(int(literal) >> _6TO4_SHIFT & (1 << _V4_BITS) - 1)
    return None
