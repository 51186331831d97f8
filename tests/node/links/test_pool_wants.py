"""Links that a node wants: kept against idleness and the cap, and made again when they are lost."""

import asyncio
import random
from itertools import pairwise

import pytest

from node.links.link import Link
from node.links.pool.wants import LinkWants, Want
from node.links.settings import LinkSettings
from protocol import limits
from protocol.description import Description, DtlsRole
from protocol.errors import CallFailed, LinkClosed, LinkFailed, Overloaded
from protocol.frame_types import WANTED_FRAME
from protocol.identity import PeerId
from protocol.signaling import CallResult
from tests.node.links.dead_ends import dead_end_of
from tests.node.links.link_network import (
    Node,
    call_directly,
    linked,
    network,
    offer_of,
    until,
)

pytestmark = pytest.mark.leaves_nothing

IDLE_S = 300.0
LONGEST_S = 60.0


def _now() -> float:
    return asyncio.get_running_loop().time()


class Cut:
    """The way between peers, which carries calls unless it is cut; `calls` tells when each left."""

    def __init__(self) -> None:
        self.is_cut = False
        self.calls: list[float] = []

    async def carry(
        self, caller: Node, callee: Node, offer_id: bytes, offer: Description
    ) -> CallResult:
        self.calls.append(_now())
        if self.is_cut:
            raise CallFailed("the way is cut")
        return await call_directly(caller, callee, offer_id, offer)


async def test_a_wanted_link_outlives_idleness_on_both_sides_until_it_is_given_back() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        with one.pool.want(other.peer_id, "a test"):
            await until(lambda: one.pool.get(other.peer_id) and other.pool.get(one.peer_id))
            link = one.pool.get(other.peer_id)
            assert link is not None
            assert one.pool.wanted_for(other.peer_id) == ("a test",)
            await asyncio.sleep(5 * IDLE_S)
            assert one.pool.get(other.peer_id) is link
            assert not other.pool.counts["closed_idle"]
            told = link.bytes_sent // len(WANTED_FRAME)
            assert told == pytest.approx(5 * 3, abs=1)
        assert one.pool.wanted_for(other.peer_id) == ()
        await asyncio.sleep(2 * IDLE_S)
        assert link.closed.done()
        assert not one.pool.links()
        assert not other.pool.links()


async def test_a_wanted_peer_is_called_again_after_growing_pauses() -> None:
    async with network() as peers:
        cut = Cut()
        peers.carry = cut.carry
        one, other = await peers.add(), await peers.add()
        with one.pool.want(other.peer_id, "a test"):
            await until(lambda: one.pool.get(other.peer_id) and other.pool.get(one.peer_id))
            await asyncio.sleep(2 * LONGEST_S)
            theirs = other.pool.get(one.peer_id)
            assert theirs is not None
            cut.is_cut = True
            cut.calls.clear()
            await theirs.close()
            await asyncio.sleep(600.0)
            pauses = [after - before for before, after in pairwise(cut.calls)]
            longest = [min(2.0**count, LONGEST_S) for count in range(len(pauses))]
            assert len(pauses) > 10
            for pause, longest_s in zip(pauses, longest, strict=True):
                assert longest_s / 2 <= pause <= longest_s
            assert len(set(pauses[7:])) > 1, "they are spread"
            cut.is_cut = False
            await until(lambda: one.pool.get(other.peer_id), LONGEST_S + 1.0, 0.1)


@pytest.mark.parametrize("news", ["its call", "our network"])
async def test_news_of_a_wanted_peer_end_the_pause(news: str) -> None:
    async with network() as peers:
        cut = Cut()
        peers.carry = cut.carry
        one, other = await peers.add(), await peers.add()
        cut.is_cut = True
        with one.pool.want(other.peer_id, "a test"):
            await asyncio.sleep(600.0)
            await until(lambda: _now() - cut.calls[-1] < 0.1, LONGEST_S, 0.1)
            await asyncio.sleep(2.0)
            cut.is_cut = False
            if news == "its call":
                await other.pool.connect(one.peer_id)
            else:
                one.pool.doubt_links()
            await until(lambda: one.pool.get(other.peer_id), 1.0)
        assert len(cut.calls) < 30


async def test_a_call_of_a_wanted_peer_that_fails_ends_the_pause_as_well() -> None:
    """Its way to this node may be worse than this node's to it."""
    async with network() as peers:
        cut = Cut()
        peers.carry = cut.carry
        one, other = await peers.add(connect_timeout_s=1.0), await peers.add()
        cut.is_cut = True
        with one.pool.want(other.peer_id, "a test"):
            await asyncio.sleep(600.0)
            await until(lambda: _now() - cut.calls[-1] < 0.1, LONGEST_S, 0.1)
            await asyncio.sleep(2.0)
            description = Description("abcd", "a" * 22, bytes(32), DtlsRole.ACTPASS, ())
            offer = offer_of(other.identity.public_key, bytes(16), dead_end_of(description))
            await one.pool.answer(offer)
            cut.is_cut = False
            await until(lambda: one.pool.get(other.peer_id), 5.0)


async def test_a_peer_cannot_hurry_calls_beyond_the_shortest_pause() -> None:
    calls: list[float] = []

    async def refuse(_: PeerId) -> Link:
        calls.append(_now())
        raise LinkFailed("no")

    wants = LinkWants(lambda _: None, refuse, LinkSettings(), random.Random(1))
    with wants.want(bytes(20), "a test"):
        for _ in range(1000):
            wants.heard_of(bytes(20))
            wants.network_changed()
            await asyncio.sleep(0.1)
    assert 50 <= len(calls) <= 101, "one a second at most, in 100 s"
    await wants.close()


async def test_a_task_that_dies_gives_its_want_back_and_others_keep_theirs() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        kept = one.pool.want(other.peer_id, "first")

        async def die() -> None:
            with one.pool.want(other.peer_id, "second"):
                await asyncio.Event().wait()

        dying = asyncio.ensure_future(die())
        await until(lambda: one.pool.wanted_for(other.peer_id) == ("first", "second"))
        dying.cancel()
        await asyncio.wait([dying])
        assert one.pool.wanted_for(other.peer_id) == ("first",)
        kept.close()
        kept.close()
        assert one.pool.wanted_for(other.peer_id) == ()


async def test_so_many_are_wanted_and_neither_this_node_nor_any_after_the_end() -> None:
    async with network() as peers:
        one = await peers.add()
        wants = [
            one.pool.want(number.to_bytes(20), "a test") for number in range(limits.LINKS_WANTED)
        ]
        with pytest.raises(Overloaded):
            one.pool.want(bytes([255]) * 20, "one too many")
        more = [one.pool.want(bytes(20), "again") for _ in range(limits.LINKS_WANTED - 1)]
        with pytest.raises(Overloaded):
            one.pool.want(bytes(20), "one reason too many")
        with pytest.raises(CallFailed, match="itself"):
            one.pool.want(one.peer_id, "a test")
        for want in [*wants, *more]:
            want.close()
        await one.pool.close()
        with pytest.raises(LinkClosed):
            one.pool.want(bytes(20), "too late")


async def test_many_that_call_push_no_wanted_link_out() -> None:
    """Not even one that the peer asked for, and others are of more use."""
    async with network() as peers:
        hub = await peers.add(max_links=8, tenure_s=1.0)
        friend = await peers.add()
        await linked(friend, hub)
        with hub.pool.want(friend.peer_id, "a test"):
            link = hub.pool.get(friend.peer_id)
            for _ in range(16):
                caller = await peers.add(busy_patience_s=0.0)
                hub.pool.usefulness.received(caller.peer_id, 1000, _now())
                await linked(caller, hub)
                await asyncio.sleep(1.5)
                assert len(hub.pool.links()) <= 8
            assert hub.pool.counts["closed_to_make_room"] > 8
            assert hub.pool.get(friend.peer_id) is link


async def test_a_wanted_peer_takes_the_place_of_one_that_called() -> None:
    async with network() as peers:
        hub = await peers.add(max_links=4, tenure_s=1.0)
        for _ in range(3):
            await linked(await peers.add(), hub)
        await linked(hub, await peers.add())
        friend = await peers.add()
        await asyncio.sleep(2.0)
        with hub.pool.want(friend.peer_id, "a test"):
            await until(lambda: hub.pool.get(friend.peer_id))
            assert len(hub.pool.links()) == 4
            assert hub.pool.counts["closed_to_make_room"] == 1


@pytest.mark.parametrize("seed", range(6))
async def test_at_random_the_cap_holds_and_what_is_wanted_comes_back(seed: int) -> None:
    rng = random.Random(seed)
    async with network() as peers:
        cut = Cut()
        peers.carry = cut.carry
        hub = await peers.add(max_links=8, tenure_s=1.0)
        others = [await peers.add(busy_patience_s=0.0) for _ in range(12)]
        held: list[tuple[Node, Want]] = []
        for _ in range(150):
            peer = rng.choice(others)
            match rng.choice(("want", "unwant", "call", "die", "moved", "cut")):
                case "want" if len({one.peer_id for one, _ in held} | {peer.peer_id}) <= 4:
                    held.append((peer, hub.pool.want(peer.peer_id, "a test")))
                case "unwant" if held:
                    held.pop(rng.randrange(len(held)))[1].close()
                case "call":
                    await asyncio.gather(peer.pool.connect(hub.peer_id), return_exceptions=True)
                case "die" if hub.pool.links():
                    await rng.choice(hub.pool.links()).close()
                case "moved":
                    hub.pool.doubt_links()
                case "cut":
                    cut.is_cut = not cut.is_cut
            await asyncio.sleep(rng.choice((0.0, 0.1, 5.0, 90.0)))
            assert len(hub.pool.links()) <= 8
            assert all(hub.pool.wanted_for(one.peer_id) for one, _ in held)
        cut.is_cut = False
        wanted = {one.peer_id for one, _ in held}
        await until(lambda: all(map(hub.pool.get, wanted)), LONGEST_S + 10.0, 0.5)
        for _, want in held:
            want.close()
        await asyncio.sleep(2 * IDLE_S)
        assert not hub.pool.links()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert not [name for name in names if name.startswith("keep links")]


async def test_a_frame_that_wants_a_link_has_nothing_else() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        ours.send(WANTED_FRAME)
        await asyncio.sleep(1.0)
        assert not theirs.closed.done()
        ours.send(WANTED_FRAME + b"\x00")
        await until(ours.closed.done)
        assert ours.closed.result() == "closed by the peer: malformed"
        assert other.counters.refused["malformed"] == 1


class Calls:
    """Stands for the pool: notes whom LinkWants calls, and has no link."""

    def __init__(self) -> None:
        self.called: list[PeerId] = []
        self.wants = LinkWants(lambda _: None, self.connect, LinkSettings(), random.Random(1))

    async def connect(self, peer_id: PeerId) -> Link:
        self.called.append(peer_id)
        raise CallFailed("it is not there")


async def test_whose_link_was_interrupted_is_called_once_when_we_are_back() -> None:
    calls = Calls()
    early, late, old = (PeerId(bytes([number]) * 32) for number in range(3))
    calls.wants.interrupted(old)
    await asyncio.sleep(limits.GET_WAIT_S)
    calls.wants.interrupted(early)
    await asyncio.sleep(60.0)
    assert calls.called == [], "it may be the peer that is away"
    calls.wants.network_changed()
    await asyncio.sleep(10.0)
    calls.wants.interrupted(late)
    await asyncio.sleep(60.0)
    calls.wants.network_changed()
    await asyncio.sleep(60.0)
    assert calls.called == [early, late], "each once, and none that waits no more"
    calls.wants.interrupted(early)
    await asyncio.sleep(600.0)
    assert calls.called == [early, late], "we have been here all the time"
    await calls.wants.close()


async def test_the_interrupted_that_are_remembered_are_bounded() -> None:
    calls = Calls()
    peers = [PeerId(number.to_bytes(32, "big")) for number in range(3 * limits.LINKS_WANTED)]
    for peer_id in peers:
        calls.wants.interrupted(peer_id)
    calls.wants.network_changed()
    await asyncio.sleep(1.0)
    assert calls.called == peers[-limits.LINKS_WANTED :], "the last ones"
    await calls.wants.close()
