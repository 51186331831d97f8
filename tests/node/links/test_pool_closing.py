"""The end of a pool, at any moment of what it does: nothing is left."""

import asyncio
import itertools

import pytest

from node.links.link import Link
from protocol.description import Description, DtlsRole
from protocol.errors import CallFailed, LinkClosed
from protocol.identity import Identity
from protocol.signaling import CallResult
from simulations.internet.carrier import LOOPBACK_S
from simulations.internet.internet import Internet
from simulations.runtime.loop import VirtualLoop
from tests.node.links.dead_ends import dead_end_of
from tests.node.links.link_network import (
    Node,
    accepted,
    largest_frame,
    linked,
    network,
    offer_of,
    turn,
    until,
)

pytestmark = pytest.mark.leaves_nothing


async def test_a_close_that_is_cancelled_goes_on() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        closing = asyncio.ensure_future(ours.close("first try"))
        await turn()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await until(theirs.closed.done)
        assert theirs.closed.result() == "closed by the peer: first try"


@pytest.mark.parametrize("stage", ["calling", "connecting", "linked"])
async def test_closing_a_pool_ends_everything_within_a_second(stage: str) -> None:
    async def silent(*_: object) -> CallResult:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def dead_end(_: Node, callee: Node, offer_id: bytes, offer: Description) -> CallResult:
        return accepted(offer_id, callee.identity.public_key, dead_end_of(offer))

    async with network() as peers:
        one, other, third = await peers.add(), await peers.add(), await peers.add()
        if stage != "linked":
            peers.carry = silent if stage == "calling" else dead_end
        offer = dead_end_of(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        await one.pool.answer(offer_of(Identity(bytes(32)).public_key, bytes(16), offer))
        connecting = [
            asyncio.ensure_future(one.pool.connect(peer.peer_id)) for peer in (other, third)
        ]
        if stage == "linked":
            for link in await asyncio.gather(*connecting):
                link.send(largest_frame(link))
                link.send(largest_frame(link))
        else:
            await asyncio.wait(connecting, timeout=0.05)
        started_at = asyncio.get_running_loop().time()
        await one.pool.close()
        assert asyncio.get_running_loop().time() - started_at < 1.0
        assert one.pool.links() == []
        outcomes = await asyncio.gather(*connecting, return_exceptions=True)
        assert all(isinstance(outcome, LinkClosed | Link) for outcome in outcomes)
        with pytest.raises(LinkClosed, match="the node is stopping"):
            await one.pool.connect(other.peer_id)
        with pytest.raises(CallFailed, match="the node is stopping"):
            await one.pool.answer(offer_of(other.identity.public_key, bytes(16), offer))
        await until(lambda: not other.pool.links())


async def test_closing_at_any_moment_of_an_attempt_leaves_nothing(loop: VirtualLoop) -> None:
    internet = loop.network
    assert isinstance(internet, Internet)
    is_linked = False
    for packets in itertools.count():
        async with network() as peers:
            one, other = await peers.add(), await peers.add()
            connecting = asyncio.ensure_future(one.pool.connect(other.peer_id))
            enough = internet.carrier.delivered + packets
            await until(
                lambda: internet.carrier.delivered >= enough or connecting.done(),  # noqa: B023
                step_s=LOOPBACK_S / 2,
            )
            is_linked = connecting.done()
            await other.pool.close()
            await one.pool.close()
            await asyncio.gather(connecting, return_exceptions=True)
        if is_linked:
            break
    assert packets > 6


async def test_the_caller_of_answer_may_give_up() -> None:
    async with network() as peers:
        one = await peers.add()
        offer = dead_end_of(Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ()))
        key = Identity(bytes(32)).public_key
        await one.pool.answer(offer_of(key, bytes(16), offer))  # aiortc is imported from here on
        for turns in range(60):
            answering = asyncio.ensure_future(one.pool.answer(offer_of(key, bytes(16), offer)))
            for _ in range(turns):
                await turn()
            answering.cancel()
            await asyncio.wait([answering])
