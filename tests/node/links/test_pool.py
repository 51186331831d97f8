"""Pools on loopback: links open, carry frames, and end, each for a reason that is told."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from node.links.link import Link
from node.links.stages import Stage
from protocol import limits
from protocol.errors import CalleeBusy, LinkClosed, LinkFailed, Malformed
from tests.node.links.dead_ends import silence
from tests.node.links.link_network import (
    frame_of,
    largest_frame,
    linked,
    network,
    until,
)

pytestmark = pytest.mark.leaves_nothing


@pytest.mark.real_loop
async def test_frames_go_both_ways_in_order_up_to_the_largest() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        assert ours.max_frame_bytes == limits.MESSAGE_BYTES - 16
        texts = [b"", b"a", bytes(ours.max_frame_bytes - 2), *(b"%d" % n for n in range(100))]
        for text in texts:
            ours.send(frame_of(text))
            theirs.send(frame_of(text[::-1]))
        await until(lambda: len(one.received) == len(other.received) == len(texts))
        assert other.received == texts
        assert one.received == [text[::-1] for text in texts]
        assert ours.bytes_sent == theirs.bytes_received == sum(len(one) + 2 for one in texts)
        with pytest.raises(ValueError, match="a frame of"):
            ours.send(bytes(ours.max_frame_bytes + 1))


async def test_both_sides_know_the_key_and_address_of_the_other() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        assert (ours.peer_id, theirs.peer_id) == (other.peer_id, one.peer_id)
        assert (ours.peer_key, theirs.peer_key) == (
            other.identity.public_key,
            one.identity.public_key,
        )
        assert (ours.direction, theirs.direction) == ("outgoing", "incoming")
        assert ours.path.way == theirs.path.way == "direct"
        assert ours.path.remote.host == theirs.path.remote.host == "127.0.0.1"
        for link, controlling in ((ours, True), (theirs, False)):
            agent = link.channel.dtls.ice.agent  # type: ignore[attr-defined]
            assert agent.controlling is controlling
        assert ours.path.local == theirs.path.remote
        assert one.announced == one.pool.links() == [ours]
        assert other.announced == other.pool.links() == [theirs]
        assert await one.pool.connect(other.peer_id) is ours
        assert await other.pool.connect(one.peer_id) is theirs


async def test_a_link_tells_its_round_trip_and_how_long_each_stage_took() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        began = asyncio.get_running_loop().time()
        ours, theirs = await linked(one, other)
        assert list(ours.stage_seconds) == list(Stage)
        assert list(theirs.stage_seconds) == [*Stage][1:]
        assert sum(ours.stage_seconds.values()) <= ours.opened_at - began
        assert ours.round_trip_s is not None
        assert 0 < ours.round_trip_s < sum(ours.stage_seconds.values())


async def test_the_same_pair_links_again_the_other_way_round() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        await ours.close("again")
        await until(lambda: not other.pool.links())
        theirs, ours = await linked(other, one)
        assert (ours.direction, theirs.direction) == ("incoming", "outgoing")
        ours.send(frame_of(b"back"))
        await until(lambda: other.received == [b"back"])


async def test_a_sender_that_waits_is_held_back_and_released() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, _ = await linked(one, other)
        frame = largest_frame(ours)
        for _ in range(80):
            ours.send(frame)
        waiting = asyncio.ensure_future(ours.drained())
        await asyncio.sleep(0)
        buffered = ours.buffered_bytes
        assert buffered > 4 * 2**20
        assert not waiting.done()
        await waiting
        assert ours.buffered_bytes <= 4 * 2**20
        await until(lambda: len(other.received) == 80)
        assert ours.buffered_bytes == 0


async def test_closing_tells_the_other_side_why_at_once() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        for _ in range(20):
            ours.send(frame_of(bytes(60_000)))
        waiting = asyncio.ensure_future(theirs.drained())
        await ours.close("enough\n of this")
        assert ours.closed.result() == "closed by us: enough\n of this"
        async with asyncio.timeout(0.5):
            assert await asyncio.shield(theirs.closed) == "closed by the peer: enough of this"
        await waiting
        for link in (ours, theirs):
            with pytest.raises(LinkClosed, match="enough"):
                link.send(frame_of(b"late"))
            with pytest.raises(LinkClosed, match="enough"):
                await link.drained()
        assert one.pool.links() == other.pool.links() == []


@pytest.mark.real_loop
async def test_a_sender_held_back_hears_of_the_end() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        for _ in range(40):
            ours.send(largest_frame(ours))
        waiting = asyncio.ensure_future(ours.drained())
        await asyncio.sleep(0)
        await theirs.close("no room")
        with pytest.raises(LinkClosed, match="closed by the peer: no room"):
            await waiting


async def test_a_vanished_peer_is_noticed() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, theirs = await linked(one, other)
        silence(theirs)
        took_s = await until(ours.closed.done, 30.0)
        assert ours.closed.result() == "the peer stopped answering"
        assert took_s > 15.0
        assert one.pool.links() == []


async def test_an_idle_path_that_answers_is_not_taken_for_dead() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, _ = await linked(one, other)
        started_at = asyncio.get_running_loop().time()
        await until(lambda: asyncio.get_running_loop().time() > started_at + 120.0, 200.0, 0.05)
        ours.send(frame_of(b"still here"))
        await until(lambda: other.received == [b"still here"])


async def test_the_cap_closes_the_least_useful_link_after_its_tenure() -> None:
    async with network() as peers:
        hub = await peers.add(max_links=2, tenure_s=5.0)
        first, second, third, fourth = [await peers.add(busy_patience_s=0.0) for _ in range(4)]
        _, to_first = await linked(first, hub)
        _, to_second = await linked(second, hub)
        with pytest.raises(LinkFailed, match="all 2 links are in use"):
            await hub.pool.connect(third.peer_id)
        with pytest.raises(CalleeBusy) as refused:
            await third.pool.connect(hub.peer_id)
        assert refused.value.retry_after_s == 5
        await asyncio.sleep(5.0)
        hub.pool.usefulness.received(first.peer_id, 1, asyncio.get_running_loop().time())
        await linked(hub, third)
        assert to_second.closed.result() == "closed by us: making room for another link"
        await until(lambda: not second.pool.links())
        assert hub.pool.get(first.peer_id) is to_first
        assert hub.pool.counts["closed_to_make_room"] == 1
        await asyncio.sleep(5.0)
        hub.pool.usefulness.received(third.peer_id, 2, asyncio.get_running_loop().time())
        await linked(hub, fourth)
        assert to_first.closed.done()
        assert len(hub.pool.links()) == 2


async def test_a_caller_asks_a_busy_peer_again_until_it_has_a_place() -> None:
    async with network() as peers:
        hub = await peers.add(max_links=2, tenure_s=30.0)
        for _ in range(2):
            await linked(await peers.add(), hub)
        started = asyncio.get_running_loop().time()
        await linked(await peers.add(), hub)
        assert 29.0 < asyncio.get_running_loop().time() - started < 36.0


async def test_a_peer_that_takes_nothing_is_given_up() -> None:
    async with network() as peers:
        one, other = await peers.add(stall_timeout_s=30.0), await peers.add()
        ours, theirs = await linked(one, other)
        dtls: Any = theirs.channel.dtls  # type: ignore[attr-defined]
        dtls._receive = None  # answers ICE, and nothing else
        for _ in range(40):
            ours.send(largest_frame(ours))
        took_s = await until(ours.closed.done, 100.0)
        assert ours.closed.result() == "the path carries no data, though checks pass"
        assert took_s < 30.0


async def test_a_fault_in_what_takes_links_ends_only_that_link() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()

        def fails_at_first(link: Link) -> None:
            if len(other.announced) == 1:
                raise ZeroDivisionError

        other.pool.subscribe(fails_at_first)
        ours = await one.pool.connect(other.peer_id)
        await until(ours.closed.done)
        assert ours.closed.result() == "closed by the peer: internal error"
        assert other.pool.counts["closed_fault"] == 1
        other.expected_defects = [ZeroDivisionError]
        ours, _ = await linked(one, other)
        ours.send(frame_of(b"fine"))
        await until(lambda: other.received == [b"fine"])


async def test_a_handler_that_refuses_a_frame_closes_the_link_by_the_errors_name() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()

        def refuse(frame: bytes) -> None:
            raise Malformed(f"a frame of {len(frame)} bytes")

        other.pool.subscribe(lambda link: link.register(range(64, 65), refuse))
        ours, theirs = await linked(one, other)
        ours.send(b"\x91\x40")
        await until(ours.closed.done)
        assert theirs.closed.result() == "a frame of 2 bytes"
        assert ours.closed.result() == "closed by the peer: malformed"
        assert other.counters.refused["malformed"] == 1


async def test_a_fault_of_a_handler_is_kept_as_a_defect() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()

        def fails(_: bytes) -> None:
            raise ZeroDivisionError

        other.pool.subscribe(lambda link: link.register(range(64, 65), fails))
        ours, _ = await linked(one, other)
        ours.send(b"\x91\x40")
        await until(ours.closed.done)
        assert ours.closed.result() == "closed by the peer: internal error"
        assert not other.counters.refused["malformed"]
        other.expected_defects = [ZeroDivisionError]


async def test_each_subscriber_has_its_types_and_all_others_are_refused() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        relayed: list[bytes] = []
        other.pool.subscribe(lambda link: link.register(range(64, 96), relayed.append))
        ours, theirs = await linked(one, other)
        ours.send(frame_of(b"one"))
        ours.send(b"\x91\x5f")
        await until(lambda: relayed == [b"\x91\x5f"])
        assert other.received == [b"one"]
        ours.send(b"\x91\x60")
        await until(ours.closed.done)
        assert theirs.closed.result() == "a frame of the unknown type 96"
        assert ours.closed.result() == "closed by the peer: malformed"
        assert other.counters.refused["malformed"] == 1


def test_the_pool_does_not_import_aiortc() -> None:
    code = (
        "import sys, node.links.pool.pool;"
        "print([name for name in ('aiortc', 'aioice', 'av', 'OpenSSL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
