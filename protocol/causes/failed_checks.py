"""From two networks and the pairs that were tried to the one cause of an attempt that failed.

The rules stand in the order in which they exclude one another: what was seen to happen comes before
what the kinds of the routers let expect.
"""

from collections.abc import Sequence

from protocol.causes.cause import Cause
from protocol.causes.tried import KnownSide, TriedPair
from protocol.description import Description
from protocol.ice.candidates import CandidateKind
from protocol.ice.pairs import PairOutcome
from protocol.punching.pairs import Way, expected_way
from protocol.reachability.network_view import MappingKind

_FAILED_WAYS: dict[Way, Cause] = {
    Way.OPEN: Cause.NOTHING_PASSED,
    Way.PUNCH: Cause.NOTHING_PASSED,
    Way.PREDICTION: Cause.PORT_NOT_GUESSED,
    Way.BIRTHDAY: Cause.PORT_NOT_GUESSED,
    Way.RELAY: Cause.RELAY_NEEDED,
}
"""Why it did not work, by the way that was expected to."""


def side_of(description: Description) -> KnownSide:
    """What a side's own description says of its network."""
    direct = [one for one in description.candidates if one.kind != CandidateKind.RELAYED]
    return KnownSide(
        tuple(sorted({one.address.family for one in direct})),
        description.nat.kind,
        len(description.relays),
    )


def expected_of(own: KnownSide, peer: KnownSide) -> Way | None:
    """How two sides are expected to link; None while too little is known of one."""
    way = expected_way(own.nat, peer.nat)
    unknown = MappingKind.UNKNOWN in (own.nat.mapping, peer.nat.mapping)
    return None if unknown and way is not Way.OPEN else way


def cause_of_failed_checks(
    own: KnownSide, peer: KnownSide, pairs: Sequence[TriedPair], *, relays_failed: bool = False
) -> Cause:
    """Why no pair carries a link. `relays_failed`: every relay that was asked refused us."""
    outcomes = {pair.outcome for pair in pairs}
    if PairOutcome.ANSWERED in outcomes:
        return Cause.PEER_STALLED
    if PairOutcome.CONSENT_LOST in outcomes:
        return Cause.PATH_LOST
    relayed = [pair.outcome for pair in pairs if _is_relayed(pair)]
    if relayed:
        refused = PairOutcome.REFUSED in relayed
        return Cause.RELAY_REFUSED if refused else Cause.RELAY_SILENT
    if own.families and own.relays + peer.relays:
        return Cause.RELAY_REFUSED  # relays were named, and none gave an address
    if relays_failed:
        return Cause.RELAY_REFUSED
    if not own.families:
        return Cause.NO_ADDRESS
    if not peer.families:
        return Cause.PEER_HIDDEN
    if not set(own.families) & set(peer.families):
        return Cause.NO_COMMON_FAMILY
    return _by_the_routers(own, peer)


def _by_the_routers(own: KnownSide, peer: KnownSide) -> Cause:
    """What the kinds of two routers say, where there is no relay between."""
    way = expected_of(own, peer)
    return Cause.KIND_UNKNOWN if way is None else _FAILED_WAYS[way]


def _is_relayed(pair: TriedPair) -> bool:
    return CandidateKind.RELAYED in (pair.local_type, pair.remote_type)
