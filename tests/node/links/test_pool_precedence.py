"""Which call gives its slot to another: what calls have shown counts, and not who was first."""

import asyncio

from node.links.pool.pending import PendingAnswer
from node.links.pool.precedence import to_give_up
from protocol import limits
from protocol.addresses import Address
from protocol.description import Description, DtlsRole
from protocol.signaling import Offer

DESCRIBED = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())
ELSEWHERE = Address("2001:db8:7::1", 4001)


def call(proved: Address | None = None, *, answer_takes_s: float = 0.0) -> PendingAnswer:
    offer = Offer(bytes(32), bytes(20), bytes(16), 0, DESCRIBED, bytes(32), answer_takes_s)
    made = PendingAnswer(offer)
    made.begin(lambda: proved)
    return made


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_oldest_that_has_proved_nothing_in_time_goes_first() -> None:
    proved, silent = call(ELSEWHERE), call()
    await asyncio.sleep(limits.LINK_PROOF_S)
    later = call()
    assert to_give_up([proved, silent, later], now()) is silent
    assert to_give_up([proved, later], now()) is None


async def test_a_far_caller_has_two_round_trips() -> None:
    far = call(answer_takes_s=0.4)
    await asyncio.sleep(limits.LINK_PROOF_S)
    assert to_give_up([far], now()) is None
    await asyncio.sleep(0.6)
    assert to_give_up([far], now()) is far


async def test_a_registrar_that_tells_a_long_way_wins_little_time() -> None:
    told = call(answer_takes_s=1000.0)
    await asyncio.sleep(2 * limits.ROUND_TRIP_MS_MAX / 1000)
    assert to_give_up([told], now()) is told


async def test_a_network_keeps_its_share_whatever_its_addresses() -> None:
    for family in ("5.6.7.{}", "2001:db8:5:{}::1"):
        share = limits.LINK_ATTEMPTS_PER_NETWORK
        calls = [call(Address(family.format(number), 9)) for number in range(1, share + 1)]
        alone = call(ELSEWHERE)
        assert to_give_up([alone, *calls], now()) is None
        one_more = call(Address(family.format(200), 9))
        assert to_give_up([alone, *calls, one_more], now()) is calls[0]


async def test_one_that_takes_longer_than_links_take_goes_last() -> None:
    slow = call(ELSEWHERE)
    await asyncio.sleep(limits.LINK_SLOW_S)
    silent = call()
    assert to_give_up([slow, silent], now()) is slow
    await asyncio.sleep(limits.LINK_PROOF_S)
    assert to_give_up([slow, silent], now()) is silent
