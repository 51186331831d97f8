"""Token buckets of all peers and of each."""

import pytest

from protocol import limits
from protocol.rates.transfer_rate import TransferRate

PIECE = 16_000


def moved(rate: TransferRate, peers: str, seconds: float) -> dict[str, int]:
    """The bytes that go to each of some peers, who take turns and always want more."""
    now, sent = 1000.0, dict.fromkeys(peers, 0)
    while now < 1000.0 + seconds:
        is_idle = True
        for peer in peers:
            if not rate.wait_s(now) and not rate.peer_wait_s(peer, now):
                rate.spend(peer, PIECE, now)
                sent[peer] += PIECE
                is_idle = False
        now += 0.001 * is_idle
    return sent


def test_all_peers_together_get_the_rate() -> None:
    sent = moved(TransferRate(total=1_000_000), "ab", 20.0)
    assert sum(sent.values()) == pytest.approx(20_000_000, rel=0.03)


def test_each_peer_gets_its_rate_and_no_more_of_all() -> None:
    assert moved(TransferRate(each=100_000), "abc", 20.0) == {
        peer: pytest.approx(2_000_000, rel=0.06) for peer in "abc"
    }
    sent = moved(TransferRate(total=150_000, each=100_000), "abc", 20.0)
    assert sum(sent.values()) == pytest.approx(3_000_000, rel=0.06)


def test_a_piece_larger_than_the_bucket_is_paid_for_afterwards() -> None:
    rate = TransferRate(total=10_000, each=20_000)
    rate.spend("a", 1_000_000, 0.0)
    assert rate.wait_s(0.0) == pytest.approx(100.0, rel=0.02)
    assert rate.peer_wait_s("a", 0.0) == pytest.approx(50.0, rel=0.02)
    assert rate.peer_wait_s("b", 0.0) == 0.0
    assert rate.room("b", 0.0) == 0


def test_new_rates_hold_at_once_and_forget_debts() -> None:
    rate = TransferRate(total=10_000, each=10_000)
    rate.spend("a", 1_000_000, 0.0)
    rate.limit(1_000_000, None)
    assert rate.wait_s(0.0) == rate.peer_wait_s("a", 0.0) == 0.0
    rate.limit(None, None)
    rate.spend("a", 10**12, 0.0)
    assert not rate.is_limited
    assert rate.wait_s(0.0) == 0.0
    assert rate.room("a", 0.0) is None


def test_room_is_what_both_limits_leave() -> None:
    rate = TransferRate(total=1_000_000, each=100_000)
    assert rate.room("a", 0.0) == 100_000 * limits.RATE_LIMIT_BURST_S
    rate.spend("b", 480_000, 0.0)
    assert rate.room("a", 0.0) == 20_000


def test_peers_that_are_forgotten_are_bounded() -> None:
    rate = TransferRate(each=10_000)
    for number in range(limits.PEER_BUDGETS + 1):
        rate.spend(str(number), 1_000_000, 0.0)
    assert rate.peer_wait_s("0", 0.0) == 0.0
    assert rate.peer_wait_s("1", 0.0) > 0.0
