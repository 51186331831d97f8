"""What one attempt at a link knew of both networks, and the pairs of addresses that it tried."""

from dataclasses import dataclass

from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.reachability.network_view import NatKind


@dataclass(frozen=True, slots=True)
class TriedPair:
    """A pair of candidates, and what became of it."""

    local: Address
    local_type: CandidateKind
    remote: Address
    remote_type: CandidateKind
    outcome: PairOutcome


@dataclass(frozen=True, slots=True)
class KnownSide:
    """What is known of the network of one side."""

    families: tuple[int, ...]
    """Address families (4, 6) of its candidates, those of relays apart."""
    nat: NatKind
    relays: int
    """How many relays it can use."""
