"""What can be chosen about a node's part in the overlay."""

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol import limits
from protocol.addresses import Address
from protocol.datagrams import PacketCipher, XChaCha20Poly1305
from protocol.overlay.lookup import LookupRules


@dataclass(frozen=True, slots=True)
class OverlaySettings:
    """Simulations may lower `puzzle_bits` and swap the cipher; a real node keeps the defaults.

    `unreachable`: hear only contacts to whom a path is kept, and be called by registrars.
    """

    unreachable: bool = False
    k: int = limits.K
    lookup: LookupRules = field(default_factory=LookupRules)
    puzzle_bits: int = limits.PUZZLE_BITS
    cipher: PacketCipher = field(default_factory=XChaCha20Poly1305)
    network_of: Callable[[Address], bytes] | None = None
    peers_remembered: int = limits.PEERS_REMEMBERED
