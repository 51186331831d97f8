"""IP addresses of the simulated internet: their one spelling, and new ones to give out.

Addresses are text here, as asyncio hands them to protocols; `(address, port)` is a `HostPort`.
"""

import ipaddress
import random
from typing import Final

from simulations.errors import BadTopology

HostPort = tuple[str, int]
"""(IP literal in its canonical spelling, UDP port)."""

WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart here, not bound
LOOPBACK_V4: Final = "127.0.0.1"
LOOPBACK_V6: Final = "::1"
NAT64_PREFIX: Final = "64:ff9b::"
"""RFC 6052 2.1: an IPv4 address follows, in the last 32 bits."""
EPHEMERAL_PORT_MIN: Final = 49_152
UNPRIVILEGED_PORT_MIN: Final = 1024

_INSIDE_NETWORKS_MAX: Final = 1 << 16
_INSIDE_HOSTS_MAX: Final = 253


def spelled(text: str) -> str | None:
    """The one spelling of an IP literal, without a zone; None if the text is no literal."""
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def is_v6(address: str) -> bool:
    """Whether a literal is an IPv6 one."""
    return ":" in address


def is_loopback(address: str) -> bool:
    """Whether a literal in its canonical spelling means the host itself.

    `protocol.addresses.is_loopback` parses; this is asked for each packet from behind a box.
    """
    return address.startswith("127.") or address == LOOPBACK_V6


def synthesised_v6(v4: str) -> str:
    """An IPv4 address inside NAT64's well-known prefix."""
    return str(ipaddress.IPv6Address(NAT64_PREFIX + v4))


def embedded_v4(v6: str) -> str:
    """The IPv4 address in one that begins with NAT64's prefix."""
    return str(ipaddress.IPv4Address(int(ipaddress.IPv6Address(v6)) & 0xFFFF_FFFF))


class AddressPool:
    """Gives out unused addresses: global ones far apart, inside ones in /24 networks.

    Every global IPv4 address comes from a /24 of its own and every IPv6 one from a /48 of its own,
    as those of unrelated nodes mostly do; overlays limit how many they accept from one network.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._networks: set[int] = set()
        self._inside_networks = 0

    def global_v4(self) -> str:
        """An unused address of the global IPv4 space, alone in its /24."""
        while True:
            network = self._rng.getrandbits(24)
            if network in self._networks:
                continue
            address = ipaddress.IPv4Address(network << 8 | self._rng.randrange(1, 255))
            if address.is_global and not address.is_multicast:
                self._networks.add(network)
                return str(address)

    def global_v6(self) -> str:
        """An unused address of the global IPv6 space (2000::/3), alone in its /48."""
        while True:
            network = 0x2A00 << 32 | self._rng.getrandbits(32)
            if network not in self._networks:
                self._networks.add(network)
                host = self._rng.getrandbits(64)
                return str(ipaddress.IPv6Address(network << 80 | host))

    def inside_network(self) -> str:
        """The first three octets of a private /24 that no other box uses (in 10.0.0.0/8)."""
        if self._inside_networks == _INSIDE_NETWORKS_MAX:
            raise BadTopology(f"more than {_INSIDE_NETWORKS_MAX} inside networks")
        network = self._inside_networks
        self._inside_networks += 1
        return f"10.{network >> 8}.{network & 255}"


def inside_address(network: str, number: int) -> str:
    """Member `number`, counted from 1, of a private /24; the box itself keeps `.1`."""
    if number > _INSIDE_HOSTS_MAX:
        raise BadTopology(f"more than {_INSIDE_HOSTS_MAX} hosts in {network}.0/24")
    return f"{network}.{number + 1}"
