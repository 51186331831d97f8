"""How often a peer asks for SACKs, and how long its packets may wait."""

import random

import pytest

from protocol.sctp.receive.asks import Asks


def regular(asks: Asks, periods: int, period_s: float = 0.01, packets: int = 6) -> float:
    """Bursts that are read whole; when the last one was."""
    now = 0.0
    for number in range(periods):
        now = number * period_s
        assert not asks.read(packets, 1, now)
    return now


def test_nothing_is_known_before_the_second_ask() -> None:
    asks = Asks()
    asks.read(3, 0, 0.0)
    assert (asks.wait_s, asks.period_s) == (None, None)
    asks.read(3, 1, 0.001)
    assert asks.wait_s is None
    asks.read(6, 1, 0.011)
    assert asks.period_s == pytest.approx(0.01)
    assert asks.wait_s == pytest.approx(0.009)


def test_what_brings_most_of_a_burst_is_answered_once_for_the_ask_behind_it() -> None:
    asks = Asks()
    now = regular(asks, 10)
    assert asks.read(4, 0, now + 0.009)
    assert asks.wait_s == pytest.approx(0.009)
    assert not asks.read(4, 0, now + 0.018), "the ask that it stood for has not come"
    assert asks.wait_s == pytest.approx(0.0025)
    assert not asks.read(1, 1, now + 0.02)
    assert asks.read(6, 0, now + 0.029)


def test_the_rest_of_a_burst_is_looked_for_soon_and_not_answered() -> None:
    asks = Asks()
    now = regular(asks, 10)
    assert not asks.read(3, 0, now + 0.006)
    assert asks.wait_s == pytest.approx(0.0025)


def test_the_period_follows_the_peer() -> None:
    asks = Asks()
    now = regular(asks, 10)
    for _ in range(40):
        now += 0.02
        asks.read(12, 1, now)
    assert asks.period_s == pytest.approx(0.02, rel=0.02)
    for _ in range(40):
        now += 0.02
        asks.read(12, 4, now)
    assert asks.period_s == pytest.approx(0.005, rel=0.05)


def test_a_pause_is_no_period() -> None:
    asks = Asks()
    now = regular(asks, 10)
    asks.read(6, 1, now + 0.041)
    assert (asks.wait_s, asks.period_s) == (None, None)
    asks.read(6, 1, now + 0.051)
    assert asks.wait_s == pytest.approx(0.009)


def test_a_peer_that_asks_as_it_likes_makes_no_wait_that_is_negative_or_no_number() -> None:
    draw, asks, now = random.Random(5), Asks(), 0.0
    for _ in range(5000):
        now += draw.choice((0.0, 1e-9, 0.001, 0.1, 1000.0))
        packets = draw.randrange(1, 300)
        asks.read(packets, draw.randrange(packets + 1) if draw.random() < 0.7 else 0, now)
        assert asks.wait_s is None or 0.0 <= asks.wait_s < 1e6
