"""Attempts that meet: several at once for one link, and calls of both sides that cross."""

import asyncio

import pytest

from protocol.description import Description
from protocol.errors import CallCrossed
from protocol.signaling import CallResult
from tests.node.links.dead_ends import dead_end_of, silence
from tests.node.links.link_network import (
    Node,
    accepted,
    call_directly,
    frame_of,
    linked,
    network,
    until,
)

pytestmark = pytest.mark.leaves_nothing


async def test_all_that_wait_for_an_attempt_get_its_link() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        waiting = [asyncio.ensure_future(one.pool.connect(other.peer_id)) for _ in range(4)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        links = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(links[0], asyncio.CancelledError)
        assert links[1:] == [one.pool.get(other.peer_id)] * 3
        await until(lambda: other.pool.links())
        assert other.pool.counts == {"opened_incoming": 1}


async def test_connecting_to_a_peer_that_is_calling_joins_its_call() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        calling = asyncio.ensure_future(one.pool.connect(other.peer_id))
        await until(lambda: other.pool.answering, step_s=0.0)
        joined = await other.pool.connect(one.peer_id)
        assert joined.direction == "incoming"
        assert await calling is one.pool.get(other.peer_id)
        assert other.pool.counts == {"opened_incoming": 1}


@pytest.mark.parametrize("smaller_first", [True, False])
async def test_calls_both_ways_at_once_end_with_one_link(smaller_first: bool) -> None:
    async with network() as peers:
        pair = sorted((await peers.add(), await peers.add()), key=lambda node: node.peer_id)
        one, other = pair if smaller_first else reversed(pair)
        await asyncio.gather(one.pool.connect(other.peer_id), other.pool.connect(one.peer_id))
        await until(lambda: not one.pool.connecting and not one.pool.answering)
        await until(lambda: not other.pool.connecting and not other.pool.answering)
        await until(lambda: len(one.pool.links()) == len(other.pool.links()) == 1)
        (ours,), (theirs,) = one.pool.links(), other.pool.links()
        assert (ours.direction, theirs.direction) == ("outgoing", "incoming"), "the first call's"
        ours.send(frame_of(b"one"))
        theirs.send(frame_of(b"other"))
        await until(lambda: one.received == [b"other"] and other.received == [b"one"])


async def test_a_call_that_is_no_longer_needed_is_given_up() -> None:
    given_up: list[Node] = []

    async def slow_one_way(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller is not slow:
            return await call_directly(caller, callee, offer_id, offer)
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(caller)
        raise AssertionError("never")

    async with network() as peers:
        slow, other = await peers.add(), await peers.add()
        peers.carry = slow_one_way
        waiting = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: slow.pool.connecting)
        await other.pool.connect(slow.peer_id)
        assert (await waiting).direction == "incoming"
        await until(lambda: given_up == [slow])
        assert slow.pool.counts == {"opened_incoming": 1}


async def test_a_call_that_was_answered_goes_on_beside_the_other() -> None:
    async def dead_end_one_way(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller is not slow:
            return await call_directly(caller, callee, offer_id, offer)
        return accepted(offer_id, callee.identity.public_key, dead_end_of(offer))

    async with network() as peers:
        slow, other = await peers.add(), await peers.add()
        peers.carry = dead_end_one_way
        waiting = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: [call for call in slow.pool.connecting if call.answered])
        await other.pool.connect(slow.peer_id)
        link = await waiting
        assert slow.pool.connecting
        await link.close("used up")
        peers.carry = call_directly
        again = asyncio.ensure_future(slow.pool.connect(other.peer_id))
        await until(lambda: not slow.pool.connecting, 20.0)  # the dead end
        assert (await again).direction == "outgoing"
        assert slow.pool.links() == [await again]


async def test_a_call_that_crossed_waits_for_the_other_one() -> None:
    async def crossed(
        caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        if caller.peer_id < callee.peer_id:
            return await call_directly(caller, callee, offer_id, offer)
        raise CallCrossed("the other's call goes on")

    async with network() as peers:
        one, other = sorted((await peers.add(), await peers.add()), key=lambda node: node.peer_id)
        peers.carry = crossed
        links = await asyncio.gather(
            other.pool.connect(one.peer_id), one.pool.connect(other.peer_id)
        )
        assert [link.direction for link in links] == ["incoming", "outgoing"]
        assert one.pool.counts == {"opened_outgoing": 1}
        assert other.pool.counts == {"opened_incoming": 1}


@pytest.mark.parametrize("caller_is_smaller", [True, False])
@pytest.mark.parametrize("first_asked_by_caller", [True, False])
async def test_a_peer_that_lost_its_link_replaces_it(
    caller_is_smaller: bool, first_asked_by_caller: bool
) -> None:
    async with network() as peers:
        smaller, larger = sorted(
            (await peers.add(), await peers.add()), key=lambda node: node.peer_id
        )
        caller, callee = (smaller, larger) if caller_is_smaller else (larger, smaller)
        if first_asked_by_caller:
            lost, stale = await linked(caller, callee)
        else:
            stale, lost = await linked(callee, caller)
        silence(lost)  # so that closing it is not heard
        await lost.close()
        assert callee.pool.links() == [stale]
        fresh = await caller.pool.connect(callee.peer_id)
        await until(lambda: callee.pool.get(caller.peer_id) is not stale)
        fresh.send(frame_of(b"fresh"))
        await until(lambda: callee.received == [b"fresh"])
        await until(stale.closed.done, 45.0)
        assert caller.pool.links() == [fresh]
        assert len(callee.pool.links()) == 1
