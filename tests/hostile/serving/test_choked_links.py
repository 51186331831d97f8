"""The choker over the links of a node: what their peers gave and took decides who sends next."""

import asyncio

from node.content.serve.line import Line
from protocol import limits
from protocol.identity import PeerId
from protocol.places.usefulness import Usefulness
from tests.node.content.memory_links import MemoryLink, memory_link

MOD = bytes(32)


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 20)


def link_to(number: int) -> MemoryLink:
    _, theirs = memory_link(peer(number), bytes(20), 65000)
    assert theirs.peer_id == peer(number)
    return theirs


async def test_links_ask_with_what_their_peers_gave() -> None:
    use = Usefulness()
    line = Line(use)
    use.received(peer(1), limits.GIVER_BYTES, 0.0)
    use.served(peer(2), MOD, 0, limits.GIVER_BYTES, 0.0)
    asked = [line.turn(link_to(number), again=False) for number in (1, 2, 3)]
    assert [one.gave for one in asked] == [limits.GIVER_BYTES, 0.0, 0.0]
    assert [one.is_new for one in asked] == [False, False, True]


async def test_peers_that_only_take_give_way_to_one_that_gives() -> None:
    """Fifty of them always want more; it waits for one slice, each time that it has had one."""
    use = Usefulness()
    line = Line(use)
    begun: list[int] = []

    async def wants(number: int) -> None:
        sender = line.sender(link_to(number))
        while await sender.may_send(again=False):
            begun.append(number)
            await asyncio.sleep(limits.LINE_SLICE_S)

    takers = [asyncio.create_task(wants(number)) for number in range(100, 150)]
    await asyncio.sleep(1.0)
    for number in range(100, 150):
        use.served(peer(number), MOD, 0, 1, 0.0)
    use.received(peer(1), 2 * limits.GIVER_BYTES, 1.0)
    before = len(begun)
    giver = asyncio.create_task(wants(1))
    await asyncio.sleep(4.0)
    after = begun[before:]
    part = after.count(1) / len(after)
    assert part >= 0.8 / limits.LINE_TURNS, "nearly all of the one slot that a link has at a time"
    assert len({number for number in after if number >= 100}) == 50, "nobody starves"
    for task in (*takers, giver):
        task.cancel()
    await asyncio.gather(*takers, giver, return_exceptions=True)
