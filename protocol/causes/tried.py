"""What one attempt at a link knew of both networks, and the pairs of addresses that it tried."""

from dataclasses import dataclass
from enum import StrEnum

from protocol.addresses import Address
from protocol.ice.pairs import PairOutcome
from protocol.reachability.network_view import NatKind


class CandidateType(StrEnum):
    """How the address of a pair was learned, by the tokens of RFC 8839, 5.1."""

    HOST = "host"
    SERVER_REFLEXIVE = "srflx"
    PEER_REFLEXIVE = "prflx"
    RELAYED = "relay"


@dataclass(frozen=True, slots=True)
class TriedPair:
    """A pair of candidates, and what became of it."""

    local: Address
    local_type: CandidateType
    remote: Address
    remote_type: CandidateType
    outcome: PairOutcome


@dataclass(frozen=True, slots=True)
class KnownSide:
    """What is known of the network of one side."""

    families: tuple[int, ...]
    """Address families (4, 6) of its candidates, those of relays apart."""
    nat: NatKind
    relays: int
    """How many relays it can use."""
