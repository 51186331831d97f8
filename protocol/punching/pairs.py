"""The one table of what is expected of two nodes behind two routers.

Plans, the laboratory's matrix and the doctor read it. What a node is called here follows from what
it has found out about its router (RFC 4787's mapping and filtering), as `PunchKind` says.
"""

from enum import Enum

from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind


class PunchKind(Enum):
    """What a peer can count on when it sends to a node."""

    OPEN = "open"
    """Datagrams of any sender come in: there is no router, it forwards a port, or filters none."""
    PREDICTABLE = "predictable"
    """The port is known; senders come in that were sent to. Also where nothing is known."""
    SEQUENTIAL = "sequential"
    """Each destination has a port of its own, which follows from the last one."""
    RANDOM = "random"
    """Each destination has a port of its own, which nothing tells."""


class Way(Enum):
    """How two nodes are expected to link."""

    OPEN = "open"
    """One side takes datagrams from all hosts, so that the other's first check arrives."""
    PUNCH = "punch"
    """Each sends to the other's known port at about the same time."""
    PREDICTION = "prediction"
    """The same, with a window of ports at which the next mapping will be."""
    BIRTHDAY = "birthday"
    """One opens many mappings, the other probes many ports."""
    RELAY = "relay"
    """Only by a TURN relay."""


_K, _W = PunchKind, Way

EXPECTED: dict[frozenset[PunchKind], Way] = {
    frozenset({_K.OPEN}): _W.OPEN,
    frozenset({_K.OPEN, _K.PREDICTABLE}): _W.OPEN,
    frozenset({_K.OPEN, _K.SEQUENTIAL}): _W.OPEN,
    frozenset({_K.OPEN, _K.RANDOM}): _W.OPEN,
    frozenset({_K.PREDICTABLE}): _W.PUNCH,
    frozenset({_K.PREDICTABLE, _K.SEQUENTIAL}): _W.PREDICTION,
    frozenset({_K.PREDICTABLE, _K.RANDOM}): _W.BIRTHDAY,
    frozenset({_K.SEQUENTIAL}): _W.PREDICTION,
    frozenset({_K.SEQUENTIAL, _K.RANDOM}): _W.RELAY,
    frozenset({_K.RANDOM}): _W.RELAY,
}
"""By the kinds of both sides, in any order. Two nodes of one network link by host candidates
whatever their router is; nodes whose network drops all UDP are no part of this."""


def punch_kind(nat: NatKind) -> PunchKind:
    """What a router's kind means to a peer."""
    if nat.filtering is FilteringKind.ENDPOINT_INDEPENDENT:
        return PunchKind.OPEN
    if nat.mapping is MappingKind.SEQUENTIAL:
        return PunchKind.SEQUENTIAL
    if nat.mapping is MappingKind.ENDPOINT_DEPENDENT:
        return PunchKind.RANDOM
    return PunchKind.PREDICTABLE


def expected_way(one: NatKind, other: NatKind) -> Way:
    """How nodes behind these two routers are expected to link."""
    return EXPECTED[frozenset({punch_kind(one), punch_kind(other)})]
