"""The order of asking: rare chunks first, equals at random, none twice; and rates."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content.rarity import RarestFirst
from protocol.content.rate import RateMeter


def everything(_: int) -> bool:
    return True


def test_rare_chunks_come_first() -> None:
    waiting = RarestFirst(6, range(6), random.Random(1))
    waiting.count_holder([0, 1, 2, 3], +1)
    waiting.count_holder([0, 1], +1)
    taken = waiting.take(everything, [1] * 6, 6, 100)
    assert set(taken[:2]) == {4, 5}
    assert set(taken[2:4]) == {2, 3}
    assert set(taken[4:]) == {0, 1}
    assert len(waiting) == 0


def test_a_holder_that_leaves_makes_its_chunks_rare_again() -> None:
    waiting = RarestFirst(2, range(2), random.Random(1))
    waiting.count_holder([0, 1], +1)
    waiting.count_holder([1], +1)
    waiting.count_holder([0, 1], -1)
    waiting.count_holder([1], -1)
    waiting.count_holder([0], +1)
    assert waiting.take(everything, [1, 1], 1, 100) == [1]


def test_equals_come_in_random_order() -> None:
    orders = {
        tuple(RarestFirst(50, range(50), random.Random(seed)).take(everything, [1] * 50, 50, 50))
        for seed in range(5)
    }
    assert len(orders) == 5
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_a_chunk_that_waits_again_is_next() -> None:
    waiting = RarestFirst(9, range(9), random.Random(1))
    first, *_ = waiting.take(everything, [1] * 9, 4, 100)
    waiting.add(first)
    assert waiting.take(everything, [1] * 9, 1, 100) == [first]


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 9), min_size=1, max_size=30),
    st.integers(0, 30),
    st.integers(-5, 60),
    st.sets(st.integers(0, 29)),
)
def test_takes_are_bounded(
    seed: int, lengths: list[int], most: int, budget: int, held: set[int]
) -> None:
    waiting = RarestFirst(len(lengths), range(len(lengths)), random.Random(seed))
    taken = waiting.take(held.__contains__, lengths, most, budget)
    assert len(taken) == len(set(taken)) <= most
    assert set(taken) <= held
    assert sum(lengths[chunk] for chunk in taken[:-1]) < max(budget, 1)
    assert len(waiting) == len(lengths) - len(taken)
    assert not any(chunk in waiting for chunk in taken)
    stopped_early = len(taken) == most or sum(lengths[chunk] for chunk in taken) >= budget
    assert stopped_early or set(taken) == held & set(range(len(lengths)))


@given(st.floats(1, 1e9), st.floats(0.3, 100), st.integers(10, 200))
def test_a_steady_flow_is_measured(rate: float, seconds: float, steps: int) -> None:
    meter = RateMeter(5.0)
    for step in range(1, steps + 1):
        meter.add(int(rate * seconds / steps), 5.0 + seconds * step / steps)
    measured = meter.rate(5.0 + seconds)
    step_s = seconds / steps
    if rate * step_s > 100 and step_s < 0.2:
        assert measured == pytest.approx(rate, rel=0.15)


def test_an_old_flow_is_forgotten() -> None:
    meter = RateMeter(0.0)
    meter.add(10_000_000, 1.0)
    assert meter.rate(1.0) > 1e6
    assert meter.rate(30.0) < 10
    assert meter.rate(29.0) == pytest.approx(meter.rate(30.0))


def test_the_first_burst_does_not_look_like_any_rate() -> None:
    meter = RateMeter(0.0)
    meter.add(100_000, 0.000001)
    assert meter.rate(0.000001) < 1e6
