"""The pacer alone: how large a burst is, when it leaves, and what a late caller gets."""

from math import inf

import pytest

from protocol.sctp.send.pacing import Pacer

_PLENTY = 1 << 20
_IN_TIME = -inf


def a_pacer(rate: float, rtt_s: float, share: float = 1.0) -> Pacer:
    pacer = Pacer()
    pacer.set_packet_bytes(1200)
    pacer.set_rate(rate, rtt_s, share)
    return pacer


def test_pacer_spreads_bursts() -> None:
    pacer = a_pacer(1_000_000.0, 0.05)
    pacer.allowance(0.0, _IN_TIME, _PLENTY)
    now, sent = 0.0, 0
    while now < 1.0:
        while (allowed := pacer.allowance(now, _IN_TIME, _PLENTY)) > 0:
            count = -(-int(allowed) // 1200)
            pacer.spend(1200 * count)
            sent += 1200 * count
        assert pacer.exhausted(_PLENTY)
        assert now < pacer.next_burst_at(now, _PLENTY) < now + 1.5 * pacer.burst_s + 0.0012
        now = pacer.next_burst_at(now, _PLENTY)
    assert sent == pytest.approx(1_000_000, rel=0.02)


def test_a_pacer_without_a_rate_holds_nothing_back() -> None:
    assert Pacer().allowance(0.0, _IN_TIME, _PLENTY) == inf


def test_time_in_which_a_window_was_shut_is_no_credit_and_lateness_a_little() -> None:
    pacer = a_pacer(1_000_000.0, 0.05)
    assert pacer.allowance(10.0, _IN_TIME, _PLENTY) == pytest.approx(1.4 * pacer.burst_bytes)
    assert pacer.allowance(20.0, 0.002, _PLENTY) == pytest.approx(1.4 * pacer.burst_bytes + 2000)
    assert pacer.allowance(30.0, 3.0, _PLENTY) == pytest.approx(1.4 * pacer.burst_bytes + 10_000)


def test_ten_packets_leave_at_once_where_nothing_is_in_flight() -> None:
    pacer = a_pacer(100_000.0, 0.02)
    pacer.allowance(0.0, _IN_TIME, _PLENTY)
    pacer.restart()
    assert pacer.allowance(0.0, _IN_TIME, _PLENTY) == 12_000
    pacer.spend(2400)
    assert pacer.allowance(0.0, _IN_TIME, _PLENTY) <= 1.4 * pacer.burst_bytes


@pytest.mark.parametrize(
    ("mbps", "rtt_s", "share", "burst_bytes"),
    [
        (1, 0.02, 1.0, 2 * 1200),
        (5, 0.04, 1.0, 6250),
        (20, 0.02, 1.0, 12_000),
        (20, 0.02, 0.0, 2500),
        (20, 0.02, 0.5, 7250),
        (20, 0.2, 1.0, 12_000),
        (100, 0.0005, 1.0, 12_500),
        (100, 0.02, 1.0, 25_000),
        (100, 0.02, 0.0, 12_500),
        (10_000, 0.02, 1.0, 65_536 / 1.4),
    ],
    ids=[
        "two packets",
        "a quarter of a round trip",
        "ten packets",
        "a millisecond after losses",
        "half of what is more",
        "still ten",
        "a millisecond",
        "two milliseconds",
        "a millisecond of more after losses",
        "one buffer",
    ],
)
def test_a_burst_is_some_packets_or_a_moment_of_the_rate_within_bounds(
    mbps: int, rtt_s: float, share: float, burst_bytes: float
) -> None:
    pacer = a_pacer(mbps * 125_000.0, rtt_s, share)
    assert pacer.burst_bytes == pytest.approx(burst_bytes)
    assert pacer.burst_s == pytest.approx(burst_bytes / (mbps * 125_000))


def test_a_burst_of_large_packets_is_two_of_them_or_one_buffer() -> None:
    pacer = a_pacer(1e6, 0.02)
    pacer.set_packet_bytes(16_000)
    pacer.set_rate(1e6, 0.02, 1.0)
    assert pacer.burst_bytes == 2 * 16_000
    pacer.set_rate(1e9, 0.02, 1.0)
    assert pacer.allowance(1.0, _IN_TIME, _PLENTY) == 65_536


def test_most_of_a_burst_leaves_when_somebody_asks_and_more_than_one_by_itself() -> None:
    pacer = a_pacer(1_000_000.0, 0.05)
    pacer.spend(int(pacer.allowance(0.0, _IN_TIME, _PLENTY)))
    at = pacer.next_burst_at(0.0, _PLENTY)
    assert pacer.burst_bytes == 12_000
    assert at == pytest.approx(0.0168)
    assert pacer.allowance(0.0071, _IN_TIME, _PLENTY) == 0.0
    assert pacer.next_burst_at(0.0071, _PLENTY) == pytest.approx(0.0168)
    assert pacer.allowance(0.0071, _IN_TIME, 100) == pytest.approx(7100)
    assert pacer.allowance(0.0072, _IN_TIME, _PLENTY) == pytest.approx(7200)
    assert pacer.allowance(0.0168, _IN_TIME, _PLENTY) == pytest.approx(16_800)


def test_a_timer_that_brings_a_burst_always_finds_enough() -> None:
    for mbps in (0.1, 1, 5, 20, 100, 1000, 10_000):
        for rtt_s in (0.0001, 0.005, 0.05, 1.0):
            pacer = a_pacer(mbps * 125_000.0, rtt_s)
            pacer.allowance(0.0, _IN_TIME, _PLENTY)
            at = pacer.next_burst_at(0.0, _PLENTY)
            assert pacer.allowance(at, 0.0, _PLENTY) >= pacer.burst_bytes, (mbps, rtt_s)
