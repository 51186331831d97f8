"""Which peer addresses a relay forwards to (RFC 8656, 21.1.2 and 21.1.3).

By pairs a relay forwards to virtual relayed addresses alone, so nothing else can be reached
through it. The allocations of a relayed port range reach global unicast addresses. What no peer may
have, such as multicast, is refused where the address is read.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from protocol.addresses import Address, is_global
from protocol.errors import RelayRefusal
from protocol.stun.attributes import ErrorCode
from protocol.turn.virtual import is_virtual

_TRANSLATED: Final = (
    ipaddress.ip_network("::/96"),
    ipaddress.ip_network("::ffff:0:0:0/96"),
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("2001::/32"),
    ipaddress.ip_network("2002::/16"),
)
"""IPv4-compatible and IPv4-translated addresses, NAT64, Teredo and 6to4: each can stand for an IPv4
address that no peer may have."""

_LOOPBACK: Final = ipaddress.IPv6Address("::1")
_GLOBAL_UNICAST: Final = ipaddress.ip_network("2000::/3")
"""All that IANA hands out for global unicast; beyond it lie fec0::/10 and others of times past."""


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """`own_addresses` tells the bound addresses of this node, spelled out for each own host.

    `private` lets a relayed port range reach private and loopback addresses, as in a lab.
    """

    own_addresses: Callable[[], frozenset[Address]]
    private: bool = False

    def check_pair(self, relayed: Address, peer: Address) -> None:
        """Raise RelayRefusal unless `peer` may be another allocation of this relay."""
        if not is_virtual(peer) or peer.host == relayed.host:
            raise RelayRefusal(
                ErrorCode.FORBIDDEN, "this relay forwards only between its own allocations"
            )

    def check_host(self, host: str) -> None:
        """Raise RelayRefusal unless a relayed port may send to an IP literal."""
        is_allowed = _is_global(host) or (self.private and not _is_translated(host))
        if is_virtual(Address(host, 1)) or not is_allowed:
            raise RelayRefusal(ErrorCode.FORBIDDEN, f"not an address for peers: {host}")
        if not self.private and any(own.host == host for own in self.own_addresses()):
            raise RelayRefusal(ErrorCode.FORBIDDEN, "an address of the relay itself")

    def check_peer(self, peer: Address) -> None:
        """The same for an address with its port, which must not be one of this node's own."""
        self.check_host(peer.host)
        if peer in self.own_addresses():
            raise RelayRefusal(ErrorCode.FORBIDDEN, "a port of the relay itself")


@lru_cache(maxsize=1024)
def _is_global(host: str) -> bool:
    literal = ipaddress.ip_address(host)
    if literal.version == 6 and (literal not in _GLOBAL_UNICAST or _is_translated(host)):
        return False
    return is_global(host)


@lru_cache(maxsize=1024)
def _is_translated(host: str) -> bool:
    literal = ipaddress.ip_address(host)
    return literal != _LOOPBACK and any(literal in network for network in _TRANSLATED)
