"""The settings of a node of the overlay."""

from dataclasses import dataclass, field

from node.relay.settings import RelaySettings
from protocol import limits
from protocol.datagrams import PacketCipher, XChaCha20Poly1305
from protocol.overlay.lookup_steps import LookupRules
from protocol.overlay.networks import NetworksOf, public_networks


@dataclass(frozen=True, slots=True)
class OverlaySettings:
    """Simulations may lower `puzzle_bits` and swap the cipher; a real node keeps the defaults.

    `paths`: over how many disjoint lookup paths records are read. `unreachable`: tell peers that
    this node hears only addresses that it sent to lately, and be called by registrars. `relay`:
    what this node does for peers that cannot reach one another. `streams`: go by streams to public
    nodes where UDP is silent.
    """

    unreachable: bool = False
    k: int = limits.K
    paths: int = limits.LOOKUP_PATHS
    lookup: LookupRules = field(default_factory=LookupRules)
    puzzle_bits: int = limits.PUZZLE_BITS
    cipher: PacketCipher = field(default_factory=XChaCha20Poly1305)
    networks_of: NetworksOf = public_networks
    relay: RelaySettings = field(default_factory=RelaySettings)
    streams: bool = True
    peers_remembered: int = limits.PEERS_REMEMBERED
