"""What the pool tells of its links: up, down with the cause, and no more than is kept."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from node.links.pool.changes import LinkChange, LinkEnd, LinkEvent
from protocol import limits
from protocol.frame_types import WANTED_FRAME
from tests.node.links.link_network import Node, frame_of, linked, network, until

pytestmark = pytest.mark.leaves_nothing


def told(node: Node) -> list[tuple[LinkEvent, LinkEnd | None]]:
    return [(change.event, change.end) for change in node.pool.changes.since(0)]


async def _closes(one: Node, other: Node) -> None:
    link = one.pool.get(other.peer_id)
    assert link is not None
    await link.close("enough")


async def _stops(one: Node, _other: Node) -> None:
    await one.pool.close()


async def _breaks_a_rule(one: Node, other: Node) -> None:
    link = one.pool.get(other.peer_id)
    assert link is not None
    link.send(WANTED_FRAME + b"\x00")


async def _vanishes(one: Node, _other: Node) -> None:
    await one.paths.endpoint.close()
    await asyncio.sleep(60.0)


async def _meets_a_defect(one: Node, other: Node) -> None:
    def fail(_frame: bytes) -> None:
        raise ZeroDivisionError

    one.expected_defects = [ZeroDivisionError]
    link, theirs = one.pool.get(other.peer_id), other.pool.get(one.peer_id)
    assert link is not None
    assert theirs is not None
    link.register(range(40, 41), fail)
    theirs.send(b"\x91\x28")


@pytest.mark.parametrize(
    ("happens", "ours", "theirs", "reason"),
    [
        (_closes, LinkEnd.BY_US, LinkEnd.BY_PEER, "closed by the peer: enough"),
        (_stops, LinkEnd.STOPPING, LinkEnd.BY_PEER, "closed by the peer: the node is stopping"),
        (_breaks_a_rule, LinkEnd.BY_PEER, LinkEnd.PROTOCOL_BROKEN, "a frame about the link itself"),
        (_vanishes, LinkEnd.LOST, LinkEnd.LOST, "the peer stopped answering"),
        (_meets_a_defect, LinkEnd.FAULT, LinkEnd.BY_PEER, "closed by the peer: internal error"),
    ],
)
async def test_both_sides_are_told_of_a_link_and_why_it_ended(
    happens: Callable[[Node, Node], Coroutine[Any, Any, None]],
    ours: LinkEnd,
    theirs: LinkEnd,
    reason: str,
) -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        link, _ = await linked(one, other)
        assert told(one) == told(other) == [(LinkEvent.UP, None)]
        (up,) = one.pool.changes.since(0)
        assert (up.number, up.peer_id, up.path) == (1, other.peer_id, link.path)
        await happens(one, other)
        await until(lambda: one.pool.changes.last == other.pool.changes.last == 2, 60.0, 0.1)
        assert told(one)[1] == (LinkEvent.DOWN, ours)
        assert told(other)[1] == (LinkEvent.DOWN, theirs)
        assert other.pool.changes.since(1)[0].reason.startswith(reason)


async def test_one_that_makes_room_is_told_as_such() -> None:
    async with network() as peers:
        hub = await peers.add(max_links=4, tenure_s=1.0)
        await linked(await peers.add(), hub)
        for _ in range(4):
            await asyncio.sleep(2.0)
            await linked(hub, await peers.add())
        (gone,) = [one for one in hub.pool.changes.since(0) if one.event is LinkEvent.DOWN]
        assert gone.end is LinkEnd.TO_MAKE_ROOM
        assert hub.pool.get(gone.peer_id) is None


async def test_links_of_calls_that_cross_are_one_that_is_up_and_stays() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        await asyncio.gather(one.pool.connect(other.peer_id), other.pool.connect(one.peer_id))
        await until(lambda: len(one.pool.links()) == len(other.pool.links()) == 1)
        await asyncio.sleep(30.0)
        for node in (one, other):
            assert told(node)[0] == (LinkEvent.UP, None)
            assert all(event is LinkEvent.PATH for event, _ in told(node)[1:])


async def test_a_link_that_a_part_of_the_node_refuses_is_never_told() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()

        def refuse(_: object) -> None:
            raise ZeroDivisionError

        one.expected_defects = [ZeroDivisionError]
        one.pool.subscribe(refuse)
        await one.pool.connect(other.peer_id)
        await asyncio.sleep(5.0)
        assert told(one) == []


async def test_a_reader_waits_for_what_is_new() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        read: list[LinkChange] = []

        async def read_all() -> None:
            while True:
                read.extend(await one.pool.changes.after(read[-1].number if read else 0))

        reading = asyncio.ensure_future(read_all())
        ours, theirs = await linked(one, other)
        ours.send(frame_of(b"of no interest"))
        ours.path_changed()  # as after a restart that ends with the pair that was in use
        await asyncio.sleep(1.0)
        assert [change.event for change in read] == [LinkEvent.UP]
        await theirs.close("so")
        await until(lambda: len(read) == 2)
        assert read[1].reason == "closed by the peer: so"
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_slow_reader_costs_no_memory_and_is_told_what_it_missed() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        changes = one.pool.changes
        link, _ = await linked(one, other)
        for _ in range(limits.LINK_CHANGES):
            changes.uses(other.peer_id, None, LinkEnd.LOST, "gone")
            changes.uses(other.peer_id, link)
        assert changes.last == 2 * limits.LINK_CHANGES + 1
        kept = await changes.after(1)
        assert len(kept) == limits.LINK_CHANGES
        assert changes.missed(1) == limits.LINK_CHANGES
        assert kept[0].number == changes.missed(1) + 2
        assert changes.missed(kept[0].number) == 0
        assert changes.missed(changes.last) == changes.missed(changes.last + 10) == 0
