"""The vault's thread: what peers ask of it costs little, and no peer waits for those that ask much.

Who may hold it: a peer for one job, which reads at most READ_AHEAD_BYTES_MAX and a chunk. How it
is won back: jobs of peers are done by turns, those of the owner before them.
"""

import asyncio
import random
import threading
from functools import partial
from pathlib import Path

import pytest

from node.content.vault.jobs import OWNER, VaultJob, VaultJobs, VaultTurns
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.frames import (
    Cancel,
    Cancelled,
    Close,
    GetChunks,
    GetManifest,
    Missing,
    Open,
    Opened,
)
from simulations.attacks.partial_mod import add_partial_mod
from tests.hostile.serving.vault_counters import VaultWork
from tests.node.content.content_nodes import content_node, links_to, until, write_files
from tests.node.content.downloads import swarm
from tests.node.content.frame_peer import Peer, size_of

CHUNKS = 20_000
OPENS = 50


async def test_opens_look_at_no_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them used to walk all chunks of the mod in the index."""
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, CHUNKS)
        peer = Peer(node)
        peer.say(Open(0, mod_id), Close(0))
        await until(lambda: peer.heard)
        work = VaultWork(monkeypatch)
        for number in range(1, OPENS):
            peer.say(Open(number, mod_id), GetChunks(number, (0,)))
        await peer.until(lambda heard: sum(isinstance(one, Missing) for one in heard) == OPENS - 1)
        assert work.done["jobs"] <= 2 * OPENS
        assert work.done["rows"] == 0


async def test_a_partial_mod_is_followed_without_looking_at_its_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 streams that want news of it: each batch that comes costs one job, and its own rows."""
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, CHUNKS)
        peer = Peer(node)
        for number in range(limits.STREAMS_PER_LINK):
            peer.say(Open(number, mod_id))
        opened = limits.STREAMS_PER_LINK
        await peer.until(lambda heard: sum(isinstance(one, Opened) for one in heard) == opened)
        work = VaultWork(monkeypatch)
        data = b"of no mod"
        await node.vault.put([(sealing.address_of(data), data)])
        await asyncio.sleep(2.0)
        assert work.done["jobs"] == 1
        assert work.done["rows"] <= 2
        assert peer.heard == []


async def test_the_owners_list_looks_at_no_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, CHUNKS)
        assert await node.vault.incomplete() == {mod_id}
        work = VaultWork(monkeypatch)
        assert await node.vault.incomplete() == {mod_id}
        assert work.done["rows"] == 1


async def test_a_manifest_is_checked_once_and_never_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, CHUNKS)
        peer = Peer(node)
        work = VaultWork(monkeypatch)
        manifest_bytes = 36 * CHUNKS
        for number in range(OPENS):
            peer.say(Open(number, mod_id), GetManifest(number))
            await peer.until(lambda heard: sum(map(size_of, heard)) > manifest_bytes)
            peer.say(Close(number))
        assert work.done["hashed"] == 0
        assert work.done["read"] < (OPENS + 1.1) * manifest_bytes


async def test_chunks_that_are_not_there_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1024 numbers of 4 bytes each used to cost 64 jobs and 1024 looks into the index."""
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, CHUNKS)
        peer = Peer(node)
        peer.say(Open(0, mod_id))
        await peer.hear(Opened)
        work = VaultWork(monkeypatch)
        wanted = tuple(range(CHUNKS - 500, CHUNKS + limits.REQUESTS_PER_STREAM - 500))
        peer.say(GetChunks(0, wanted))
        assert await peer.hear(Missing) == [Missing(0, wanted)]
        assert work.done == {"jobs": 1}


async def test_what_is_cancelled_is_hardly_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that cancels as soon as a piece comes: little more is read than was sent.

    It has been served honestly before, so much is read for it at once.
    """
    async with content_node(tmp_path) as node:
        source = {"big": random.Random(1).randbytes(12_000_000)}
        shared = await node.publisher.publish(write_files(tmp_path / "source", source))
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id), GetChunks(0, tuple(range(shared.chunks))))
        await peer.until(lambda heard: sum(map(size_of, heard)) >= 12_000_000)
        line = peer.link.other
        line.bytes_per_second = 10e6
        work, before = VaultWork(monkeypatch), line.bytes_sent
        for _ in range(OPENS):
            peer.say(GetChunks(0, tuple(range(shared.chunks))[:64]))
            await until(lambda: peer.heard)
            peer.say(Cancel(0))
            await peer.until(lambda heard: Cancelled(0) in heard)
        sent = line.bytes_sent - before
        vain = limits.READ_AHEAD_BYTES_MIN + limits.SEALED_CHUNK_BYTES
        assert work.done["read"] <= sent + limits.READ_AHEAD_BYTES_MAX + OPENS * vain


async def test_streams_are_opened_at_a_bounded_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the peer that opens more waits for them."""
    async with content_node(tmp_path) as node:
        mod_id = await add_partial_mod(node.vault, 8)
        greedy, honest = Peer(node), Peer(node, peer_id=b"h" * 20)
        work = VaultWork(monkeypatch)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(400):
            greedy.say(Open(number, mod_id))
            await until(lambda: greedy.heard or loop.time() > began + 1.0)
            greedy.heard.clear()
            greedy.say(Close(number))
        seconds = loop.time() - began
        assert work.done["jobs"] <= limits.OPENS_BURST + limits.OPENS_PER_SECOND * seconds + 1
        before = loop.time()
        honest.say(Open(0, mod_id))
        await honest.hear(Opened)
        assert loop.time() - before < 0.01


async def test_a_peer_has_one_budget_on_all_its_links(tmp_path: Path) -> None:
    """Who asks more loses the link, and has no more on the next one."""
    async with content_node(tmp_path) as node:
        peer = Peer(node)
        asked = 0
        while not peer.link.closed.done():
            asked += 1
            peer.say(Close(asked))
            await until(lambda: not peer.link.buffered_bytes or peer.link.closed.done())
        burst, rate = limits.CONTENT_REQUESTS_BURST, limits.CONTENT_REQUESTS_PER_SECOND
        assert burst < asked < burst + 3 * rate
        again, other = Peer(node), Peer(node, peer_id=b"h" * 20)
        for _ in range(5):
            again.say(Close(1))
            other.say(Close(1))
        await until(again.link.closed.done)
        assert not other.link.closed.done()


async def test_chunks_that_are_sent_pay_for_requests(tmp_path: Path) -> None:
    """A peer that asks for chunks one by one is served however many there are."""
    async with content_node(tmp_path) as node:
        source = write_files(tmp_path / "source", {"a": random.Random(1).randbytes(300_000)})
        shared = await node.publisher.publish(source)
        found = await node.vault.read_by("").chunks(shared.mod_id, [0], 1)
        assert found is not None
        assert found[0] is not None
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id))
        await peer.hear(Opened)
        for _ in range(2 * int(limits.CONTENT_REQUESTS_BURST)):
            assert await peer.chunk(0, 0, len(found[0])) == found[0]


@pytest.mark.real_loop
async def test_the_owner_is_served_first_and_peers_by_turns(tmp_path: Path) -> None:
    """A thousand jobs of ten peers wait, and the owner's `ls` is the next job that is done."""
    jobs, gate, done = VaultJobs(tmp_path), threading.Event(), list[str]()

    def job(who: str) -> None:
        gate.wait()
        done.append(who)

    names = [f"peer {number % 10}" for number in range(1000)] + ["late"] + [OWNER, OWNER]
    running = [asyncio.ensure_future(jobs.run(who, partial(job, who))) for who in names]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*running)
    jobs.shut_down()
    assert done.index(OWNER) <= 1  # one job may have begun before
    assert done.index("late") <= 1 + 2 + 10


async def test_turns() -> None:
    turns = VaultTurns()
    result = asyncio.get_running_loop().create_future()
    jobs = {name: VaultJob(name.upper, result) for name in ("a1", "a2", "a3", "b1", "o1", "b2")}
    for name, job in jobs.items():
        turns.add(OWNER if name == "o1" else name[0], job)
    order = [turns.take() for _ in jobs]
    assert order == [jobs[name] for name in ("o1", "a1", "b1", "a2", "b2", "a3")]


@pytest.mark.real_loop
async def test_the_jobs_of_a_link_that_is_gone_are_not_done(tmp_path: Path) -> None:
    jobs, gate, done = VaultJobs(tmp_path), threading.Event(), list[str]()
    first = asyncio.ensure_future(jobs.run("a", gate.wait))
    second = asyncio.ensure_future(jobs.run("a", lambda: done.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    gate.set()
    await first
    await jobs.run(OWNER, lambda: done.append("owner"))
    await jobs.run("a", lambda: done.append("third"))
    jobs.shut_down()
    assert done == ["owner", "third"]


async def test_a_download_beside_ten_attackers_does_its_own_work_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten peers ask for all that costs something, as fast as it is answered."""
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        mod_id = await add_partial_mod(holder.vault, CHUNKS)
        peers = [Peer(holder, peer_id=bytes([number]) * 20) for number in range(100, 110)]
        work = VaultWork(monkeypatch)
        for peer in peers:
            for number in range(limits.STREAMS_PER_LINK):
                peer.say(Open(number, mod_id), GetManifest(number))
                peer.say(GetChunks(number, tuple(range(limits.REQUESTS_PER_STREAM))))
        _, theirs = holder.connect(getter)
        result = await getter.download(shared.link, links_to(theirs))
        assert result.chunks_fetched == shared.chunks
        assert work.done["rows"] < CHUNKS + 40 * shared.chunks
        for peer in peers:
            peer.link.cut("enough")


def test_frames_of_requests_are_small() -> None:
    """What the attackers pay: the bytes of each request."""
    assert len(frames.encode_frame(Open(0, bytes(32)))) == 37
    assert len(frames.encode_frame(GetManifest(0))) == 3
