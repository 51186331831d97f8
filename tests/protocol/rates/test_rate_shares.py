"""Several downloads that share one limited rate."""

import pytest

from protocol.rates.rate_shares import RateShare, RateShares
from protocol.rates.transfer_rate import TransferRate

RATE = 100_000


class Flow:
    """Asks so often a second, each time for all that it may have, or for this much at most.

    For a `piece` at least, as chunks are asked for whole.
    """

    def __init__(
        self, share: RateShare, asks: int, most: int = 10**9, peer: str = "a", piece: int = 1
    ) -> None:
        self.share, self.every, self.most, self.peer = share, 1000 // asks, most, peer
        self.piece = piece
        self.had = 0

    def ask(self, now: float) -> None:
        room = self.share.room(self.peer, now)
        assert room is not None
        if room:
            size = max(min(room, self.most), self.piece)
            self.share.spend(self.peer, size, now)
            self.had += size


def run(flows: list[Flow], seconds: float, began: float = 1000.0) -> list[int]:
    """What each got."""
    before = [flow.had for flow in flows]
    for tick in range(int(seconds * 1000)):
        for flow in flows:
            if tick % flow.every == 0:
                flow.ask(began + tick / 1000)
    return [flow.had - had for flow, had in zip(flows, before, strict=True)]


@pytest.mark.parametrize("asks", [1, 4, 100])
@pytest.mark.parametrize("weight", [1, 4, 16])
def test_each_gets_its_part_however_often_it_asks(asks: int, weight: int) -> None:
    shares = RateShares(TransferRate(total=RATE))
    often = Flow(shares.share(), 200)
    seldom = Flow(shares.share(lambda: weight), max(asks, 2))
    had = run([often, seldom], 120.0)
    assert sum(had) == pytest.approx(120 * RATE, rel=0.02)
    assert had[1] / sum(had) == pytest.approx(weight / (weight + 1), abs=0.03)


def test_what_one_leaves_goes_to_the_others() -> None:
    shares = RateShares(TransferRate(total=RATE))
    little = Flow(shares.share(lambda: 16), 4, most=RATE // 40)
    much = Flow(shares.share(), 4)
    had = run([little, much], 60.0)
    assert had[0] == pytest.approx(6 * RATE, rel=0.05)
    assert sum(had) == pytest.approx(60 * RATE, rel=0.02)


def test_one_that_vanishes_while_it_waits_holds_the_others_up_for_a_moment() -> None:
    shares = RateShares(TransferRate(total=RATE))
    gone, stays = Flow(shares.share(lambda: 16), 4), Flow(shares.share(), 4)
    run([gone, stays], 10.0)
    assert run([stays], 10.0, began=1010.0) == [pytest.approx(10 * RATE, rel=0.1)]


def test_rest_gives_no_claim() -> None:
    shares = RateShares(TransferRate(total=RATE))
    rests, goes_on = Flow(shares.share(), 4), Flow(shares.share(), 4)
    run([rests, goes_on], 1.0)
    run([goes_on], 100.0, began=1001.0)
    had = run([rests, goes_on], 10.0, began=1101.0)
    assert had[0] == pytest.approx(had[1], rel=0.15)


def test_one_that_its_peers_limit_holds_back_is_in_the_way_of_none() -> None:
    shares = RateShares(TransferRate(total=RATE, each=RATE // 10))
    held_back = Flow(shares.share(), 4)
    others = [Flow(shares.share(), 4, peer=name) for name in "bcdefghijkl"]
    had = run([held_back, *others], 60.0)
    assert had[0] == pytest.approx(60 * RATE / 12, rel=0.1)
    many = shares.share()
    held_back.piece = RATE // 2
    had = run([held_back, *(Flow(many, 4, peer=name) for name in "mnopqrstu")], 60.0, 1060.0)
    assert had == [pytest.approx(60 * RATE / 10, rel=0.15)] * 10


def test_without_a_limit_of_all_none_waits_for_another() -> None:
    rate = TransferRate()
    shares = RateShares(rate)
    one, other = shares.share(), shares.share()
    assert (one.room("a", 0.0), other.room("a", 0.0)) == (None, None)
    one.spend("a", 10**9, 0.0)
    rate.limit(None, RATE)
    one.spend("a", 10**9, 0.0)
    assert (one.room("a", 0.0), other.room("b", 0.0)) == (0, RATE // 2)
    rate.limit(RATE, None)
    assert one.room("a", 0.0) == RATE // 2
