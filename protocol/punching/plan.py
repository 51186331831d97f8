"""The plan of one attempt: who opens its router when, when checks begin, and at which ports.

    callee   opener (TTL 2) at once ── half a round trip ──> full checks
    caller   full checks as soon as the answer is there

A check that arrives before its receiver has sent anything makes some routers enter a connection of
their own; they then give the receiver's mapping another port, and all is lost. So the callee opens
its router with datagrams that end before the caller's, and checks only when the caller, who has the
answer by then, does so too.
"""

from dataclasses import dataclass
from enum import Enum

from protocol.punching.pairs import EXPECTED, PunchKind, Way, punch_kind
from protocol.punching.prediction import more_ports, predicted_ports
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FamilyView, NetworkView, Verdict

_OFFER_AND_ANSWER_S = 0.3
"""What the caller adds where both sides count, as its window must hold what both have missed: its
own sample has aged by offer and answer."""

OPENER_TTL = 2
"""Passes the own router, and ends before the peer's."""


class BirthdayPart(Enum):
    """What a side does in a search by many probes."""

    SOCKETS = "sockets"
    PROBES = "probes"


@dataclass(frozen=True, slots=True)
class PunchPlan:
    """What one side does.

    `opener_families`: 4 and 6, where a router is to be opened. `ports` are predicted ones of the
    peer, to be checked from `checks_after_s` on, as everything else; `more_ports` are less likely,
    and for a peer that witnesses have seen.
    """

    way: Way
    opener_families: frozenset[int]
    checks_after_s: float
    ports: tuple[int, ...] = ()
    more_ports: tuple[int, ...] = ()
    birthday: BirthdayPart | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What is known of one side of a call when its answer is made or read.

    `destinations`: how many candidates of the other side it will check through its router.
    """

    nat: NatReport
    destinations: int = 1

    @property
    def kind(self) -> PunchKind:
        """The kind that its router has for the other side."""
        return punch_kind(self.nat.kind)


def families_behind_router(view: NetworkView) -> frozenset[int]:
    """In which families a node may send openers: without a router they would reach the peer's."""
    return frozenset(family for family in (4, 6) if _is_behind_router(view.of(family)))


def _is_behind_router(view: FamilyView) -> bool:
    if view.verdict is Verdict.PUBLIC:
        return False
    return view.is_mapped or view.verdict is Verdict.NOT_PUBLIC


def plan_of_caller(own: Side, peer: Side) -> PunchPlan:
    """What the caller does once it has the answer.

    The callee has just sampled its router and opened it, so its sample does not age on the way.
    """
    both = _both_count(own, peer)
    older_s, stride = (_OFFER_AND_ANSWER_S, 2) if both else (0.0, 1)
    ports = predicted_ports(
        peer.nat, older_s=older_s, own_mappings=peer.destinations, stride=stride, both=both
    )
    more = more_ports(peer.nat, len(ports), stride)
    return PunchPlan(
        _way(own, peer),
        frozenset(),
        0.0,
        _if_counting(peer, ports),
        _if_counting(peer, more),
        _birthday(own, peer),
    )


def plan_of_callee(
    own: Side,
    peer: Side,
    *,
    opener_families: frozenset[int],
    answer_takes_s: float,
    same_network: bool = False,
) -> PunchPlan:
    """What the callee does from the moment at which its answer leaves.

    The caller's sample ages while the offer and the answer travel. Behind one router there is
    nothing to open, nor to wait for.
    """
    if same_network:
        return PunchPlan(_way(own, peer), frozenset(), 0.0)
    waits_s = 0.0 if peer.kind is PunchKind.OPEN else answer_takes_s
    ports = predicted_ports(
        peer.nat,
        older_s=2 * answer_takes_s,
        own_mappings=peer.destinations,
        both=_both_count(own, peer),
    )
    return PunchPlan(
        _way(own, peer),
        opener_families,
        waits_s,
        _if_counting(peer, ports),
        _if_counting(peer, more_ports(peer.nat, len(ports))),
        _birthday(own, peer),
    )


def _way(own: Side, peer: Side) -> Way:
    return EXPECTED[frozenset({own.kind, peer.kind})]


def _both_count(own: Side, peer: Side) -> bool:
    return own.kind is peer.kind is PunchKind.SEQUENTIAL


def _if_counting(peer: Side, ports: list[int]) -> tuple[int, ...]:
    return tuple(ports) if peer.kind is PunchKind.SEQUENTIAL else ()


def _birthday(own: Side, peer: Side) -> BirthdayPart | None:
    if _way(own, peer) is not Way.BIRTHDAY:
        return None
    return BirthdayPart.SOCKETS if own.kind is PunchKind.RANDOM else BirthdayPart.PROBES
