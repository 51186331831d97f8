"""Times that contacts tell: one voice of a network, five that agree, and more than half."""

import random

import pytest

from protocol import limits
from protocol.reachability.clock_signs import ClockVerdict, ClockView
from protocol.reachability.clock_times import ClockTimes, TimesView, judged

WALL = 1_790_000_000.0
HOUR_S = 3600.0
AT = 1000.0


def network(number: int) -> bytes:
    return bytes((11, number // 256, number % 256))


def times(*aheads: float, first: int = 0) -> ClockTimes:
    """Each network finds our clock ahead by so much."""
    made = ClockTimes()
    for number, ahead_s in enumerate(aheads, first):
        tell(made, network(number), ahead_s)
    return made


def tell(
    made: ClockTimes,
    voice: bytes,
    ahead_s: float,
    *,
    at: float = AT,
    wall: float = WALL,
    took_s: float = 0.1,
) -> None:
    seconds = int(wall - took_s / 2 - ahead_s)
    made.note(voice, seconds, asked_at=at - took_s, now=at, wall=wall)


def view(made: ClockTimes, at: float = AT, wall: float = WALL) -> TimesView:
    return made.view(at, wall)


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S, 86400.0, 61.5, 0.0])
@pytest.mark.parametrize("agreeing", [1, 4, 5, 12])
def test_five_networks_settle_it_and_fewer_only_say_it(ahead_s: float, agreeing: int) -> None:
    seen = view(times(*[ahead_s] * agreeing))
    assert seen.ahead_s == pytest.approx(ahead_s, abs=1.0)
    assert (seen.said, seen.heard) == (agreeing, agreeing)
    assert seen.is_settled is (agreeing >= limits.CLOCK_AGREE_MIN)


def test_sybils_of_one_network_have_one_voice() -> None:
    made = times(*[0.0] * 4)
    for _ in range(1000):
        tell(made, network(99), HOUR_S)
    assert (view(made).heard, view(made).said) == (5, 4)
    assert view(made).ahead_s == pytest.approx(0.0, abs=1.0)
    assert not view(made).is_settled


@pytest.mark.parametrize("liars", range(6))
def test_a_minority_of_networks_shifts_nothing_however_it_spreads(liars: int) -> None:
    for lie_s in (9.0, -9.0, 30.0, HOUR_S):
        seen = view(times(*[0.0] * (liars + 1), *[lie_s] * liars))
        assert abs(seen.ahead_s) <= 1.0
    together = view(times(*[HOUR_S] * (liars + 1), *[0.0] * liars))
    assert together.is_settled is (liars + 1 >= limits.CLOCK_AGREE_MIN)


def test_half_of_the_networks_do_not_settle_it() -> None:
    assert not view(times(*[HOUR_S] * 6, *[20.0 * n for n in range(6)])).is_settled
    assert view(times(*[HOUR_S] * 7, *[20.0 * n for n in range(6)])).is_settled


def test_those_that_agree_do_so_within_ten_seconds() -> None:
    assert view(times(*[HOUR_S + 2.2 * n for n in range(5)])).is_settled
    assert not view(times(*[HOUR_S + 3.0 * n for n in range(5)])).is_settled


def test_of_as_many_on_both_sides_those_count_that_find_nothing_wrong() -> None:
    assert abs(view(times(*[0.0] * 5, *[HOUR_S] * 5)).ahead_s) <= 1.0


def test_small_steps_never_add_up() -> None:
    """Liars that move a little with each answer take nobody along: each time is told anew."""
    made = times(*[0.0] * 6)
    for step in range(200):
        for number in range(6, 11):
            tell(made, network(number), 5.0 * step)
        assert abs(view(made).ahead_s) <= limits.CLOCK_AGREE_S


@pytest.mark.parametrize("set_by_s", [-HOUR_S, 15.0, HOUR_S])
def test_once_the_clock_is_set_what_was_told_before_counts_no_more(set_by_s: float) -> None:
    made = times(*[HOUR_S] * 8)
    assert view(made, AT + 5, WALL + 5).is_settled
    assert view(made, AT + 5, WALL + 5 + set_by_s) == TimesView()
    for number in range(5):
        tell(made, network(number), HOUR_S + set_by_s, at=AT + 6, wall=WALL + 6 + set_by_s)
    seen = view(made, AT + 6, WALL + 6 + set_by_s)
    assert (seen.heard, seen.is_settled) == (5, True)
    assert seen.ahead_s == pytest.approx(HOUR_S + set_by_s, abs=1.0)


def test_a_clock_that_drifts_keeps_its_voices() -> None:
    made = times(*[HOUR_S] * 8)
    seen = view(made, AT + 600, WALL + 602)
    assert seen.is_settled
    assert seen.ahead_s == pytest.approx(HOUR_S + 2, abs=1.0)


def test_an_answer_that_was_held_back_shifts_it_by_half_its_way_or_does_not_count() -> None:
    made = ClockTimes()
    for number in range(5):
        made.note(network(number), int(WALL), asked_at=AT, now=AT + 4.9, wall=WALL + 4.9)
    assert abs(view(made, AT + 4.9, WALL + 4.9).ahead_s) <= 3.0
    late = ClockTimes()
    late.note(network(0), int(WALL), asked_at=AT, now=AT + 5.1, wall=WALL + 5.1)
    assert view(late, AT + 5.1, WALL + 5.1).heard == 0


def test_voices_are_bounded_and_grow_old() -> None:
    made = times(*[HOUR_S] * (10 * limits.CLOCK_VOICES))
    assert view(made).heard == limits.CLOCK_VOICES
    later_s = limits.CLOCK_VOICE_S
    assert view(made, AT + later_s - 1, WALL + later_s - 1).is_settled
    assert view(made, AT + later_s, WALL + later_s) == TimesView()


def test_whatever_is_told_the_median_is_of_those_that_agree() -> None:
    rng = random.Random(1)
    for _ in range(300):
        aheads = [rng.choice((0.0, HOUR_S, rng.uniform(-1e6, 1e6))) for _ in range(12)]
        seen = view(times(*aheads))
        near = [one for one in aheads if abs(one - seen.ahead_s) <= limits.CLOCK_AGREE_S + 1]
        assert seen.said <= len(near)
        assert seen.heard == 12


SIGNS = ClockView(ClockVerdict.AHEAD, 3, 4)


@pytest.mark.parametrize(
    ("told", "signs", "view"),
    [
        (TimesView(), ClockView(), ClockView()),
        (TimesView(), SIGNS, SIGNS),
        (TimesView(90.0, 5, 7, True), ClockView(), ClockView(ClockVerdict.AHEAD, 5, 7, 90.0, True)),
        (
            TimesView(-90.0, 5, 7, True),
            SIGNS,
            ClockView(ClockVerdict.BEHIND, 5, 7, -90.0, True),
        ),
        (TimesView(59.0, 5, 7, True), SIGNS, ClockView(ClockVerdict.NO_SIGN, 5, 7)),
        (
            TimesView(90.0, 4, 4),
            ClockView(heard=9),
            ClockView(ClockVerdict.PERHAPS_AHEAD, 4, 4, 90.0),
        ),
        (TimesView(90.0, 1, 3), ClockView(heard=9), ClockView(heard=9)),
        (TimesView(90.0, 4, 4), SIGNS, ClockView(ClockVerdict.AHEAD, 3, 4, 90.0)),
        (TimesView(-90.0, 4, 4), SIGNS, ClockView(heard=4)),
        (TimesView(10.0, 4, 4), SIGNS, SIGNS),
    ],
)
def test_times_correct_the_clock_and_signs_may_blame_it(
    told: TimesView, signs: ClockView, view: ClockView
) -> None:
    assert judged(told, signs) == view
