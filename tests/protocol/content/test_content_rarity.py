"""The order of asking: rare chunks first, equals at random, none twice; and rates."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.content.rarity import RarestFirst
from protocol.content.rate import RateMeter


def test_rare_chunks_come_first() -> None:
    waiting = RarestFirst(6, range(6), random.Random(1))
    waiting.count_holder([0, 1, 2, 3], +1)
    waiting.count_holder([0, 1], +1)
    taken, is_all = waiting.take(waiting.all(), [1] * 6, 6, 100)
    assert is_all
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
    assert waiting.take(waiting.all(), [1, 1], 1, 100) == ([1], False)


def test_equals_come_in_random_order() -> None:
    orders = {tuple(RarestFirst(50, range(50), random.Random(seed)).all()) for seed in range(5)}
    assert len(orders) == 5
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_a_chunk_that_waits_again_is_next() -> None:
    waiting = RarestFirst(9, range(9), random.Random(1))
    (first, *_), _ = waiting.take(waiting.all(), [1] * 9, 4, 100)
    waiting.add(first)
    assert waiting.take(waiting.all(), [1] * 9, 1, 100) == ([first], False)


def test_the_rarest_of_some_come_first() -> None:
    waiting = RarestFirst(6, range(5), random.Random(1))
    waiting.count_holder([1, 2], +1)
    waiting.count_holder([2], +1)
    assert list(waiting.of([5, 2, 1, 0])) == [0, 1, 2]


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
    taken, is_all = waiting.take(filter(held.__contains__, waiting.all()), lengths, most, budget)
    assert len(taken) == len(set(taken)) <= most
    assert set(taken) <= held
    assert sum(lengths[chunk] for chunk in taken[:-1]) < max(budget, 1)
    assert len(waiting) == len(lengths) - len(taken)
    assert not any(chunk in waiting for chunk in taken)
    assert is_all == (set(taken) == held & set(range(len(lengths))))


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
