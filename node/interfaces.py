"""The machine's own addresses, those first by which other machines most likely reach it.

A machine may have dozens: of containers, virtual machines and VPNs, and IPv6 addresses that only
last a day. A link's description has room for a few.
"""

import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import ifaddr

from protocol.addresses import is_shareable

WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 (a peer serves every network)
"""What a socket is bound to that has all addresses of a family."""

_BEYOND: Final = ("198.51.100.1", "2001:db8::1")
"""Addresses of documentation (RFC 5737, RFC 3849), which only the default route can lead to."""

_ANY_PORT: Final = 9
_UNIQUE_LOCAL: Final = ipaddress.ip_network("fc00::/7")


class InterfaceAddress(NamedTuple):
    """An IP literal and the name of its interface: `eth0`, or as Windows describes it."""

    ip: str
    interface: str


class InterfaceKind(IntEnum):
    """By how likely other machines are on it; the names of interfaces are the only hint."""

    NETWORK = 0
    BRIDGE = 1
    """Of containers and virtual machines on this machine."""
    TUNNEL = 2


_NAMES: Final = {
    InterfaceKind.BRIDGE: re.compile(
        r"docker|br-|veth|virbr|vmnet|vboxnet|lxc|lxd|cni|flannel|cali|podman|bridge\d"
        r"|.*(hyper-v|vethernet|virtualbox|vmware)"
    ),
    InterfaceKind.TUNNEL: re.compile(
        r"tun|tap|utun|ipsec|gre|sit|wg|zt|ham|nordlynx|proton|tailscale|ts\d"
        r"|.*(wireguard|openvpn|tap-windows|wintun|zerotier|teredo|vpn)"
    ),
}


def kind_of(interface: str) -> InterfaceKind:
    """What an interface of this name most likely leads to."""
    name = interface.lower()
    found = (kind for kind, names in _NAMES.items() if names.match(name))
    return next(found, InterfaceKind.NETWORK)


def by_usefulness(found: Sequence[InterfaceAddress], outgoing: Sequence[str]) -> list[str]:
    """The IP literals of a machine, each once, the most useful first.

    `outgoing` are those that it sends from to the internet. After them come the others by the kind
    of their interface, and of each family of an interface its first address before any second one,
    as the others are often temporary (RFC 8981). Addresses that mean nothing elsewhere come last.
    """
    before: Counter[tuple[str, bool]] = Counter()
    ranked: list[tuple[tuple[bool, bool, int, int], str]] = []
    for ip, interface in sorted(found, key=lambda one: one.ip not in outgoing):
        is_useful, place = is_shareable(ip), (interface, ":" in ip)
        rank = not is_useful, ip not in outgoing, kind_of(interface), before[place]
        before[place] += is_useful
        ranked.append((rank, ip))
    ranked.sort(key=lambda one: one[0])
    return list(dict.fromkeys(ip for _, ip in ranked))


def host_addresses() -> list[str]:
    """The machine's own IP literals, loopback and link-local included, the most useful first."""
    found = [
        InterfaceAddress(ip.ip if isinstance(ip.ip, str) else ip.ip[0], adapter.nice_name)
        for adapter in ifaddr.get_adapters()
        for ip in adapter.ips
    ]
    return by_usefulness(found, [ip for ip in map(_source_to, _BEYOND) if ip])


def _source_to(host: str) -> str:
    """The address that the system sends from to this one; empty if there is no route."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((host, _ANY_PORT))  # which sends nothing
            return str(asking.getsockname()[0])
    except OSError:
        return ""


def families_of(addresses: Sequence[str]) -> frozenset[int]:
    """The address families (4, 6) by which a machine with these literals may reach others.

    An IPv6 address that no internet routes (RFC 4193) does not count: sockets of a family that
    leads nowhere would only cost time. Without any address it is IPv4.
    """
    shareable = [ipaddress.ip_address(ip) for ip in addresses if is_shareable(ip)]
    found = {one.version for one in shareable if one.version == 4 or one not in _UNIQUE_LOCAL}
    return frozenset(found or {4})
