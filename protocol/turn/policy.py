"""Which peer addresses a relay forwards to (RFC 8656, 21.1.2 and 21.1.3).

By pairs a relay forwards to virtual relayed addresses alone, so nothing else can be reached
through it. The allocations of a relayed port range reach global unicast addresses. What no peer may
have, such as multicast, is refused where the address is read.
"""

from collections.abc import Callable
from dataclasses import dataclass

from protocol.addresses import Address, is_plainly_global, is_translated
from protocol.errors import RelayRefusal
from protocol.stun.attributes import ErrorCode
from protocol.turn.virtual import is_virtual


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
        is_allowed = is_plainly_global(host) or (self.private and not is_translated(host))
        if is_virtual(Address(host, 1)) or not is_allowed:
            raise RelayRefusal(ErrorCode.FORBIDDEN, f"not an address for peers: {host}")
        if not self.private and any(own.host == host for own in self.own_addresses()):
            raise RelayRefusal(ErrorCode.FORBIDDEN, "an address of the relay itself")

    def check_peer(self, peer: Address) -> None:
        """The same for an address with its port, which must not be one of this node's own."""
        self.check_host(peer.host)
        if peer in self.own_addresses():
            raise RelayRefusal(ErrorCode.FORBIDDEN, "a port of the relay itself")
