"""Idle links end on both sides as such, and those that are used or wanted do not."""

import asyncio
from typing import Any

import pytest

from node.links.link import Link
from node.links.pool.changes import LinkEnd, LinkEvent
from protocol.frame_types import IDLE_FRAME
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.leaves_nothing

IDLE_S = 300.0
LOOK_S = 15.0


def _now() -> float:
    return asyncio.get_running_loop().time()


def downs(node: Node) -> list[LinkEnd | None]:
    changes = node.pool.changes.since(0)
    return [change.end for change in changes if change.event is LinkEvent.DOWN]


def keeper_of(node: Node) -> Any:
    return node.pool._keeper


@pytest.mark.parametrize("other_s", [IDLE_S, IDLE_S + LOOK_S / 2, 10 * IDLE_S])
async def test_both_sides_agree_that_a_link_is_idle_and_none_calls_again(other_s: float) -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add(idle_timeout_s=other_s)
        ours, theirs = await linked(one, other)
        await until(lambda: ours.closed.done() and theirs.closed.done(), 2 * IDLE_S, 0.1)
        assert IDLE_S <= _now() - ours.last_used_at <= IDLE_S + 2 * LOOK_S
        assert downs(one) == downs(other) == [LinkEnd.IDLE]
        await asyncio.sleep(2 * IDLE_S)
        assert one.pool.changes.last == other.pool.changes.last == 2


async def test_a_peer_that_says_nothing_to_it_is_told_the_end() -> None:
    """As a web page does, and a node that is gone."""
    async with network() as peers:
        one, other = await peers.add(), await peers.add(idle_timeout_s=10 * IDLE_S)
        ours, theirs = await linked(one, other)
        keeper_of(other)._link_frame = lambda *_: None
        await until(ours.closed.done, 2 * IDLE_S, 0.1)
        await until(theirs.closed.done)
        assert theirs.closed.result() == "closed by the peer: idle"
        assert (downs(one), downs(other)) == ([LinkEnd.IDLE], [LinkEnd.BY_PEER])


async def test_a_frame_that_crosses_the_question_keeps_the_link() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add(idle_timeout_s=10 * IDLE_S)
        ours, theirs = await linked(one, other)
        await asyncio.sleep(IDLE_S / 2)
        keeper_of(one)._look_whether_idle(ours, IDLE_S)
        theirs.send(frame_of(b"late"))
        await asyncio.sleep(IDLE_S / 2)
        assert not ours.closed.done()
        assert not theirs.closed.done()
        assert one.received == [b"late"]
        await until(ours.closed.done, 2 * IDLE_S, 0.1)
        assert downs(one) == [LinkEnd.IDLE]


async def test_one_that_uses_the_link_after_its_question_does_not_take_it_for_idle() -> None:
    """What it sends comes behind the question, and may be lost: so it is no idle link's end."""
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, _ = await linked(one, other)
        await asyncio.sleep(IDLE_S / 2)
        keeper_of(one)._look_whether_idle(ours, IDLE_S)
        await asyncio.sleep(0)
        ours.send(frame_of(b"late"))
        await until(ours.closed.done)
        assert downs(one) == [LinkEnd.BY_PEER]
        assert downs(other) == [LinkEnd.IDLE]


@pytest.mark.parametrize("holder", [0, 1])
async def test_one_of_the_two_that_wants_it_is_enough(holder: int) -> None:
    async with network() as peers:
        nodes = await peers.add(), await peers.add(idle_timeout_s=IDLE_S / 5)
        ours, _ = await linked(*nodes)
        wanted = nodes[holder].pool.want(nodes[1 - holder].peer_id, "a test", calls=False)
        await asyncio.sleep(5 * IDLE_S)
        assert not ours.closed.done()
        wanted.close()
        await until(ours.closed.done, 2 * IDLE_S, 0.1)


@pytest.mark.parametrize("sender", [0, 1])
async def test_a_link_with_data_in_flight_is_not_idle(
    monkeypatch: pytest.MonkeyPatch, sender: int
) -> None:
    async with network() as peers:
        idle_s = (IDLE_S / 10, 10 * IDLE_S)
        one, other = [
            await peers.add(idle_timeout_s=each_s, stall_timeout_s=10 * IDLE_S) for each_s in idle_s
        ]
        ends = await linked(one, other)
        waiting = property(lambda link: int(link is ends[sender]))
        with monkeypatch.context() as patched:
            patched.setattr(Link, "buffered_bytes", waiting)
            await asyncio.sleep(IDLE_S / 20)
            if sender == 1:
                ends[0].send(IDLE_FRAME)
            await asyncio.sleep(IDLE_S if sender == 0 else 2.0)
            assert not ends[0].closed.done()
        await until(ends[0].closed.done, IDLE_S, 0.1)
        assert downs(one) == [LinkEnd.IDLE]


async def test_what_is_asked_by_a_peer_that_just_linked_closes_nothing() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        for _ in range(10):
            ours.send(IDLE_FRAME)
        await asyncio.sleep(5.0)
        assert not theirs.closed.done()
        assert theirs.bytes_sent == 0


async def test_a_link_that_is_only_held_is_not_called_again_and_gives_way() -> None:
    async with network() as peers:
        hub = await peers.add(max_links=2, tenure_s=1.0)
        friend = await peers.add()
        await linked(friend, hub)
        with hub.pool.want(friend.peer_id, "a download", calls=False):
            assert hub.pool.wanted_for(friend.peer_id) == ("a download",)
            await asyncio.sleep(2.0)
            for _ in range(2):
                await linked(hub, await peers.add())
                await asyncio.sleep(2.0)
            assert hub.pool.get(friend.peer_id) is None
            await asyncio.sleep(600.0)
            assert hub.pool.get(friend.peer_id) is None
            with hub.pool.want(friend.peer_id, "a test"):
                await until(lambda: hub.pool.get(friend.peer_id))
            assert hub.pool.wanted_for(friend.peer_id) == ("a download",)
