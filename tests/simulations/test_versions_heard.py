"""Whole nodes hear of a new version at once by their links, and remember what they have seen."""

import asyncio
from pathlib import Path

import pytest

from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.history import Age
from protocol.errors import NotFound
from simulations.internet.latency import UniformLatency
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from tests.protocol.content.lineage.signed import LINEAGE_KEY, signed
from tests.simulations.following_town import ONE, town

NOTICED_S = 5.0


async def _link(left: WholeResident, right: WholeResident) -> None:
    with left.host.running():
        await left.running_node.pool.connect(right.identity.peer_id)


async def test_a_version_goes_along_a_chain_of_nodes_and_is_remembered(tmp_path: Path) -> None:
    world = World(1, latency=UniformLatency(0.05), folder=tmp_path)
    await world.populate(3, kind=WholeResident)
    chain = [one for one in world.residents if isinstance(one, WholeResident)]
    publisher, middle, end = chain
    first = signed(None, world.loop.wall_time())
    second = signed(first, world.loop.wall_time())
    for node in chain:
        node.running.lineages.heard.keep(LINEAGE_KEY, first)
    for node in (middle, end):
        with node.host.running():
            node.running_node.hearing.news.follow(LINEAGE_KEY)
    await _link(publisher, middle)
    await _link(middle, end)
    await asyncio.sleep(NOTICED_S)
    with publisher.host.running():
        publisher.running.lineages.heard.hear(second)
    await asyncio.sleep(NOTICED_S)
    assert [one.running.lineages.heard.newest(LINEAGE_KEY) for one in chain] == [second] * 3
    assert all(
        len(one.running_node.pool.links()) == len(links)
        for one, links in zip(chain, ((1,), (1, 2), (2,)), strict=True)
    )
    await end.stop()
    await end.start()
    heard = end.running.lineages.heard
    seen = heard.seen(LINEAGE_KEY)
    assert seen is not None
    assert (seen.sequence, seen.digest) == (2, history.hash_of(second))
    assert heard.hear(first).age is Age.OLDER
    await world.close()


@pytest.mark.parametrize("is_shared_again", [True, False])
async def test_a_link_is_followed_also_once_all_nodes_were_started_anew(
    tmp_path: Path, is_shared_again: bool
) -> None:
    """What they stored for others is gone with them; the publisher knows its own record."""
    async with town(tmp_path) as there:
        first = await there.share(ONE)
        for node in there.nodes:
            await node.stop()
        for node in there.nodes:
            await node.start()
        with pytest.raises(NotFound, match="no node has heard"):
            await there.follow(first)
        if is_shared_again:
            await there.share(ONE)
        else:
            await asyncio.sleep(limits.LINEAGE_STORED_PAUSE_S + NOTICED_S)
        await there.follow(first)
