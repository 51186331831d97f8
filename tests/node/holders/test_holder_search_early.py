"""A search that looks nothing up yet asks linked peers, and calls only whom these name."""

import asyncio
from random import Random
from typing import Any, cast

from node.content.download.patience import LookUpTime
from node.holders.search import HolderSearch
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.identity import PeerId
from tests.node.holder_doubles import OverlayDouble
from tests.node.holders.test_holder_search_fellows import MOD, RECORD, SHARER, Pool, peer

LATER_S = 10.0
HINTED = peer(50)


def searching(pool: Pool) -> tuple[HolderSearch, OverlayDouble]:
    overlay = OverlayDouble([RECORD])
    look_up = LookUpTime(asyncio.get_running_loop().time() + LATER_S)
    parts = cast("OverlayServer", overlay), cast("Any", pool), Random(1)
    return HolderSearch(*parts, look_up=look_up), overlay


async def one_round(search: HolderSearch) -> list[PeerId]:
    return [PeerId(link.peer_id) async for link in search.links(MOD, [HINTED])]


async def test_linked_peers_are_asked_over_and_over_and_none_is_called() -> None:
    search, overlay = searching(pool := Pool())
    assert await one_round(search) == []
    pool.add(peer(7))
    await asyncio.sleep(limits.SEARCH_AGAIN_S)
    assert await one_round(search) == await one_round(search) == [peer(7)]
    assert (overlay.reads, pool.called) == (0, [])
    await asyncio.sleep(LATER_S)
    assert set(await one_round(search)) == {peer(7), HINTED, SHARER.peer_id}
    assert overlay.reads == 1


async def test_who_comes_is_asked_in_turn_and_whom_a_source_names_is_called() -> None:
    search, overlay = searching(pool := Pool())
    pool.add(peer(7))
    pool.add(peer(8))
    assert set(await one_round(search)) == {peer(7), peer(8)}
    search.came(peer(7))
    await asyncio.wait_for(search.until_named(), 1.0)
    assert await one_round(search) == [peer(7)], "the other one was asked a moment ago"
    search.opened(peer(7), lambda: None)
    search.named(peer(7), (peer(9),))
    await asyncio.wait_for(search.until_named(), 1.0)
    assert await one_round(search) == [peer(9)]
    assert (overlay.reads, pool.called) == (0, [peer(9)])


async def test_it_looks_up_sooner_where_that_is_asked_for() -> None:
    search, overlay = searching(Pool())
    search.look_up.not_after(LookUpTime(asyncio.get_running_loop().time()))
    search.look_up.not_after(LookUpTime(asyncio.get_running_loop().time() + LATER_S))
    assert set(await one_round(search)) == {HINTED, SHARER.peer_id}
    assert overlay.reads == 1
