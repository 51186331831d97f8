"""Rounds of dial-backs, and the verdicts that follow, also where contacts lie."""

import itertools
import random
from collections.abc import Callable

import pytest

from protocol import limits
from protocol.reachability.network_view import Verdict
from protocol.reachability.verdict import (
    _NEXT,
    DialbackRound,
    RoundOutcome,
    Trial,
    VerdictMachine,
    VerdictState,
)

PUBLIC, NOT_PUBLIC = RoundOutcome.PUBLIC, RoundOutcome.NOT_PUBLIC
UNDECIDED, MOVED = RoundOutcome.UNDECIDED, RoundOutcome.MOVED
NO_PORT_FILTER = RoundOutcome.NO_PORT_FILTER


def ran(draw: Callable[[], Trial], contacts: int = 20) -> tuple[RoundOutcome, int]:
    """How a round ends, and how many dial-backs it asked for."""
    testing, asked = DialbackRound(contacts), 0
    under_way = 0
    while (outcome := testing.outcome) is None:
        for _ in range(testing.wanted()):
            testing.started()
            asked += 1
            under_way += 1
        assert 0 < under_way <= limits.DIALBACKS
        testing.ended(draw())
        under_way -= 1
    assert testing.wanted() == 0
    return outcome, asked


@pytest.mark.parametrize(
    ("trials", "outcome"),
    [
        ("aaa", PUBLIC),
        ("aama", PUBLIC),
        ("mmmm", NOT_PUBLIC),
        ("maaa", PUBLIC),
        ("ammmmmmmmmmm", NOT_PUBLIC),
        ("aammmmmmmmma", PUBLIC),
        ("vvvmvmmvm", NOT_PUBLIC),
        ("v" * limits.DIALBACKS_VOID, UNDECIDED),
        ("f" * limits.DIALBACKS_VOID, NO_PORT_FILTER),
        ("vvvf", NO_PORT_FILTER),
        ("fffaaa", PUBLIC),
        ("ffmmmmmmmmmmmm", NOT_PUBLIC),
        ("mm" + "f" * (limits.DIALBACK_TRIES - 2), NO_PORT_FILTER),
        ("mm" + "v" * (limits.DIALBACK_TRIES - 4) + "ff", UNDECIDED),
        ("v" * (limits.DIALBACKS_VOID - 1) + "aaa", PUBLIC),
        ("mmm" + "v" * (limits.DIALBACK_TRIES - 3), UNDECIDED),
    ],
)
def test_how_a_round_ends(trials: str, outcome: RoundOutcome) -> None:
    kinds = {"a": Trial.ARRIVED, "f": Trial.FAMILIAR, "m": Trial.MISSED, "v": Trial.VOID}
    left = iter(trials)
    assert ran(lambda: kinds[next(left)])[0] is outcome
    assert next(left, None) is None


@pytest.mark.parametrize("contacts", range(limits.DIALBACKS))
def test_fewer_than_four_contacts_decide_nothing_and_are_not_asked(contacts: int) -> None:
    testing = DialbackRound(contacts)
    assert (testing.outcome, testing.wanted()) == (UNDECIDED, 0)


def test_what_a_round_asks_for_is_bounded() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        weights = [rng.random() for _ in Trial]
        _, asked = ran(lambda w=weights: rng.choices(list(Trial), w)[0])  # type: ignore[misc]
        assert asked <= limits.DIALBACK_TRIES


def test_the_table_says_what_follows_in_every_case() -> None:
    assert set(_NEXT) == set(itertools.product(VerdictState, RoundOutcome))


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], Verdict.UNKNOWN),
        ([UNDECIDED], Verdict.UNKNOWN),
        ([PUBLIC], Verdict.PUBLIC),
        ([NOT_PUBLIC], Verdict.NOT_PUBLIC),
        ([PUBLIC, NOT_PUBLIC], Verdict.PUBLIC),
        ([PUBLIC, NOT_PUBLIC, NOT_PUBLIC], Verdict.NOT_PUBLIC),
        ([PUBLIC, NOT_PUBLIC, PUBLIC, NOT_PUBLIC], Verdict.PUBLIC),
        ([PUBLIC, UNDECIDED, UNDECIDED], Verdict.PUBLIC),
        ([PUBLIC, MOVED], Verdict.PUBLIC),
        ([PUBLIC, MOVED, NOT_PUBLIC], Verdict.NOT_PUBLIC),
        ([PUBLIC, MOVED, UNDECIDED], Verdict.UNKNOWN),
        ([NOT_PUBLIC, UNDECIDED, MOVED], Verdict.NOT_PUBLIC),
        ([NOT_PUBLIC, PUBLIC], Verdict.PUBLIC),
        ([NO_PORT_FILTER, NO_PORT_FILTER], Verdict.UNKNOWN),
        ([PUBLIC, NO_PORT_FILTER, NO_PORT_FILTER], Verdict.PUBLIC),
        ([PUBLIC, MOVED, NO_PORT_FILTER], Verdict.UNKNOWN),
        ([NOT_PUBLIC, NO_PORT_FILTER], Verdict.NOT_PUBLIC),
    ],
)
def test_verdicts(outcomes: list[RoundOutcome], verdict: Verdict) -> None:
    machine = VerdictMachine()
    for outcome in outcomes:
        machine.note(outcome)
    assert machine.verdict is verdict


def test_ports_may_be_filtered_until_a_round_says_that_they_are_not() -> None:
    machine = VerdictMachine()
    filters = []
    for outcome in (UNDECIDED, NO_PORT_FILTER, MOVED):
        filters.append(machine.may_filter_ports)
        machine.note(outcome)
    assert [*filters, machine.may_filter_ports] == [True, True, False, True]


@pytest.mark.parametrize(("outcome", "longer"), [(UNDECIDED, 2), (NO_PORT_FILTER, 4)])
def test_when_the_next_round_is(outcome: RoundOutcome, longer: int) -> None:
    machine = VerdictMachine()
    pauses = []
    for _ in range(8):
        machine.note(outcome)
        pauses.append(machine.next_round_s)
    assert pauses[:3] == [limits.VERDICT_RETRY_S * longer**power for power in range(3)]
    assert pauses[-1] == limits.VERDICT_RETRY_MAX_S
    machine.note(PUBLIC)
    assert machine.next_round_s == limits.VERDICT_S
    machine.note(NOT_PUBLIC)
    assert machine.next_round_s == limits.VERDICT_DOUBTED_S
    machine.note(MOVED)
    assert machine.next_round_s == 0


def test_a_fifth_of_liars_on_both_sides_of_a_dialback_overturns_no_verdict_in_a_month() -> None:
    """A public node, a round every 10 minutes; a liar says that it was sent, and it was not."""
    rng = random.Random(1)

    def draw() -> Trial:
        lies = rng.random() < 0.2 or rng.random() < 0.2
        return Trial.MISSED if lies else Trial.ARRIVED

    machine = VerdictMachine()
    flips = 0
    for _ in range(6 * 24 * 30):
        flips += machine.note(ran(draw)[0])
    assert machine.verdict is Verdict.PUBLIC
    assert flips <= 3, "found public, and at most once wrong for 10 minutes"
