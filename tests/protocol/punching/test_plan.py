"""Plans of both sides: who opens its router, who waits, and for which ports."""

import pytest

from protocol.punching.pairs import Way
from protocol.punching.plan import (
    BirthdayPart,
    PunchPlan,
    Side,
    families_behind_router,
    plan_of_callee,
    plan_of_caller,
)
from protocol.reachability.nat_report import UNKNOWN_NAT, NatReport
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    NetworkView,
    Verdict,
)

ANSWER_S = 0.08


def side(mapping: MappingKind, filtering: FilteringKind = FilteringKind.DEPENDENT) -> Side:
    step = 1 if mapping is MappingKind.SEQUENTIAL else 0
    return Side(NatReport(NatKind(mapping, filtering, port_step=step), 40_000, 0, 20 * 60))


OPEN = side(MappingKind.NONE, FilteringKind.ENDPOINT_INDEPENDENT)
RESTRICTED = side(MappingKind.ENDPOINT_INDEPENDENT)
COUNTING = side(MappingKind.SEQUENTIAL)
RANDOM = side(MappingKind.ENDPOINT_DEPENDENT)
UNKNOWN = Side(UNKNOWN_NAT)
ALL = [OPEN, RESTRICTED, COUNTING, RANDOM, UNKNOWN]


V4 = frozenset({4})


def callee(own: Side, peer: Side, opener_families: frozenset[int] = V4) -> PunchPlan:
    return plan_of_callee(own, peer, opener_families=opener_families, answer_takes_s=ANSWER_S)


@pytest.mark.parametrize("own", ALL)
@pytest.mark.parametrize("peer", ALL)
def test_the_caller_checks_at_once_and_opens_nothing(own: Side, peer: Side) -> None:
    plan = plan_of_caller(own, peer)
    assert (plan.opener_families, plan.checks_after_s) == (frozenset(), 0.0)
    assert plan.way is callee(peer, own).way


@pytest.mark.parametrize("own", ALL)
def test_the_callee_opens_its_router_and_waits_for_the_answer_to_arrive(own: Side) -> None:
    for peer in (RESTRICTED, COUNTING, RANDOM, UNKNOWN):
        plan = callee(own, peer)
        assert (plan.opener_families, plan.checks_after_s) == (V4, ANSWER_S)
        assert not callee(own, peer, frozenset()).opener_families
    assert callee(own, OPEN).checks_after_s == 0.0, "no router there that a check could mislead"


def test_ports_are_predicted_for_the_side_that_counts_only() -> None:
    for own in ALL:
        assert plan_of_caller(own, COUNTING).ports
        assert callee(own, COUNTING).ports
        for peer in (OPEN, RESTRICTED, RANDOM, UNKNOWN):
            assert plan_of_caller(own, peer).ports == callee(own, peer).ports == ()


def test_the_callers_sample_ages_by_offer_and_answer_the_callees_does_not() -> None:
    assert plan_of_caller(RESTRICTED, COUNTING).ports == (40_001,)
    window = callee(RESTRICTED, COUNTING).ports
    assert window == tuple(range(40_001, 40_001 + len(window)))
    assert len(window) == 7


def test_where_both_count_one_takes_every_second_port() -> None:
    many = Side(COUNTING.nat, destinations=3)
    every_second = plan_of_caller(COUNTING, many).ports
    assert every_second == tuple(range(40_001, 40_001 + 2 * len(every_second), 2))
    assert callee(COUNTING, many).ports[:3] == (40_001, 40_002, 40_003)


def test_each_side_has_its_part_of_a_search() -> None:
    assert plan_of_caller(RANDOM, RESTRICTED).birthday is BirthdayPart.SOCKETS
    assert callee(RESTRICTED, RANDOM).birthday is BirthdayPart.PROBES
    for own, peer in ((RANDOM, RANDOM), (RANDOM, COUNTING), (OPEN, RANDOM), (RESTRICTED, COUNTING)):
        assert plan_of_caller(own, peer).birthday is None
        assert callee(peer, own).birthday is None
    assert plan_of_caller(RANDOM, RANDOM).way is Way.RELAY


@pytest.mark.parametrize(
    ("view", "behind"),
    [
        (FamilyView(), False),
        (FamilyView(is_mapped=True), True),
        (FamilyView(Verdict.NOT_PUBLIC), True),
        (FamilyView(Verdict.PUBLIC, is_mapped=True), False),
        (FamilyView(Verdict.PUBLIC), False),
    ],
)
def test_openers_leave_only_from_behind_a_router(view: FamilyView, behind: bool) -> None:
    assert families_behind_router(NetworkView({4: view})) == (V4 if behind else frozenset())
    assert families_behind_router(NetworkView({6: view})) == ({6} if behind else frozenset())


def test_behind_one_router_there_is_nothing_to_open_nor_to_wait_for() -> None:
    plan = plan_of_callee(
        RANDOM, RANDOM, opener_families=V4, answer_takes_s=ANSWER_S, same_network=True
    )
    assert plan == PunchPlan(Way.RELAY, frozenset(), 0.0)
