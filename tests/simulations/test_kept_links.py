"""Links that a person wants kept, between whole nodes: they come back, and end when not wanted."""

import asyncio
from pathlib import Path

from node.links.pool.changes import LinkEnd, LinkEvent
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import pair_world, until

IDLE_S = 300.0
LONGEST_PAUSE_S = 60.0
RESTART_S = 90.0
HOME = "port-restricted"


def keep(one: WholeResident, other: WholeResident, *, keep: bool) -> None:
    with one.host.running():
        one.running_node.keep_link(other.identity.peer_id, keep=keep)


def has(one: WholeResident, other: WholeResident) -> bool:
    return one.running_node.pool.get(other.identity.peer_id) is not None


async def test_a_kept_link_opens_outlives_idleness_and_comes_back(tmp_path: Path) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(HOME, HOME)
        keep(one, other, keep=True)
        keep(one, other, keep=True)
        await until(lambda: has(one, other) and has(other, one))
        peer_id, pool = other.identity.peer_id, one.running_node.pool
        assert pool.wanted_for(peer_id) == ("a person asked for it",)
        await asyncio.sleep(2 * IDLE_S)
        assert [change.event for change in pool.changes.since(0)] == [LinkEvent.UP]

        await other.stop()
        await until(lambda: not has(one, other), 60.0)
        await asyncio.sleep(RESTART_S)
        await other.start()
        await other.running.joined.wait()
        await until(lambda: has(one, other) and has(other, one), 2 * LONGEST_PAUSE_S)
        changes = [change for change in pool.changes.since(0) if change.peer_id == peer_id]
        events = [(change.event, change.end) for change in changes]
        ups_and_downs = [event for event in events if event[0] is not LinkEvent.PATH]
        up, down = (LinkEvent.UP, None), (LinkEvent.DOWN, LinkEnd.BY_PEER)
        assert ups_and_downs == [up, down, up]

        keep(one, other, keep=False)
        assert pool.wanted_for(peer_id) == ()
        await asyncio.sleep(2 * IDLE_S)
        assert not has(one, other)
        assert not has(other, one)
        assert not one.defects
