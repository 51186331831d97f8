"""The serving side, as a peer that may say anything sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.content.download.chunk_source import ChunkStream
from node.content.publish.publisher import PublishedMod
from node.content.serve import content_sender
from node.content.vault.peer_reads import PeerReads
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.frames import (
    Cancel,
    Cancelled,
    ChunkPiece,
    Close,
    ContentAnswer,
    ContentFrame,
    GetChunks,
    GetManifest,
    Have,
    Missing,
    Open,
    Opened,
    Refused,
)
from protocol.content.manifests import manifest
from protocol.errors import DiskError, LinkClosed
from simulations.runtime.running import run_virtually
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    some_files,
    until,
    write_files,
)
from tests.node.content.frame_peer import PEER, Peer, size_of
from tests.node.content.memory_links import LOW_WATER_BYTES, MemoryLink, memory_link


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[ContentNode, PublishedMod]]:
    sizes = (100, 70_000, 2_000_000)
    source = write_files(folder / "source", some_files(sizes=sizes))
    async with content_node(folder) as node:
        yield node, await node.publisher.publish(source)


async def test_a_mod_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        data = await node.vault.get(shared.mod_id)
        assert data is not None
        peer = Peer(node, max_frame_bytes=1000)
        peer.say(Open(5, shared.mod_id))
        assert await peer.hear(Opened) == [Opened(5, len(data), complete=True)]
        peer.say(GetManifest(5))
        pieces = await peer.until(lambda heard: sum(map(size_of, heard)) >= len(data))
        assert [piece.stream for piece in pieces] == [5] * len(pieces)
        assert b"".join(piece.data for piece in pieces) == data  # type: ignore[union-attr]
        found = await node.vault.get_chunks(shared.mod_id, [0])
        assert found is not None
        assert found[0] is not None
        assert await peer.chunk(5, 0, len(found[0])) == found[0]


async def test_a_long_manifest_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_sender, "_MANIFEST_PART_BYTES", 300)
    async with serving(tmp_path) as (node, shared):
        data = await node.vault.get(shared.mod_id)
        assert data is not None
        peer = Peer(node, max_frame_bytes=200)
        peer.say(Open(0, shared.mod_id), GetManifest(0))
        _, *pieces = await peer.until(lambda heard: sum(map(size_of, heard)) >= len(data))
        assert b"".join(piece.data for piece in pieces) == data  # type: ignore[union-attr]
        await node.vault.remove_mod(shared.mod_id)
        peer.say(Open(1, shared.mod_id))
        await peer.hear(Refused)


async def test_chunks_come_whole_one_after_another_in_the_order_of_asking(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        every = tuple(range(shared.chunks))[::-1]
        found = await node.vault.get_chunks(shared.mod_id, every)
        assert found is not None
        total = sum(len(data) for data in found if data is not None)
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id), GetChunks(0, every))
        _, *pieces = await peer.until(lambda heard: sum(map(size_of, heard)) >= total)
        whole: dict[int, bytes] = {}
        for piece in pieces:
            assert isinstance(piece, ChunkPiece)
            assert piece.offset == len(whole.get(piece.chunk, b""))
            assert piece.chunk in whole or len(whole) == every.index(piece.chunk)
            whole[piece.chunk] = whole.get(piece.chunk, b"") + piece.data
        assert list(whole.values()) == found


async def test_what_is_not_here_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        peer = Peer(node)
        peer.say(Open(0, bytes(32)), GetChunks(0, (1,)), Open(1, shared.mod_id))
        heard = await peer.hear(Refused, Opened)
        assert heard[0] == Refused(0, frames.NOT_HELD)
        peer.say(GetChunks(1, (0, shared.chunks, limits.MANIFEST_CHUNKS - 1)))
        heard = await peer.until(lambda heard: any(isinstance(one, Missing) for one in heard))
        assert heard[-1] == Missing(1, (shared.chunks, limits.MANIFEST_CHUNKS - 1))
        await node.vault.remove_mod(shared.mod_id)
        peer.say(GetChunks(1, (0,)))
        assert await peer.hear(Refused) == [Refused(1, frames.NOT_HELD)]
        peer.say(GetChunks(1, (0,)), Cancel(1), Open(1, bytes(32)))
        await peer.hear(Refused)


async def test_a_cancel_is_confirmed_and_nothing_follows(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id))
        await peer.hear(Opened)
        peer.link.other.hold()
        peer.say(GetChunks(0, tuple(range(shared.chunks))))
        await until(lambda: peer.link.other.buffered_bytes > LOW_WATER_BYTES)
        peer.say(Cancel(0))
        await until(lambda: not peer.link.buffered_bytes)
        peer.link.other.release()
        heard = await peer.until(lambda heard: Cancelled(0) in heard)
        assert heard[-1] == Cancelled(0)
        sent = sum(size_of(piece) for piece in heard if isinstance(piece, ChunkPiece))
        assert 0 < sent <= 8 * 2**16 < shared.new_bytes
        peer.say(Open(1, bytes(32)))
        await peer.hear(Refused)


async def test_no_more_is_queued_than_the_link_takes(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id), GetManifest(0))
        peer.say(GetChunks(0, tuple(range(shared.chunks)) * 8))
        await peer.until(lambda heard: sum(map(size_of, heard)) >= shared.new_bytes * 8)
        most = peer.link.other.most_buffered_bytes
        assert most <= LOW_WATER_BYTES + limits.SEALED_CHUNK_BYTES + 2000


async def test_streams_take_turns(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        peer = Peer(node)
        every = tuple(range(shared.chunks)) * 8
        peer.say(Open(0, shared.mod_id), GetChunks(0, every))
        peer.say(Open(1, shared.mod_id), GetChunks(1, every[: shared.chunks]))
        total = shared.new_bytes * 9
        heard = await peer.until(lambda heard: sum(map(size_of, heard)) >= total)
        last_of_second = max(place for place, frame in enumerate(heard) if frame.stream == 1)
        assert last_of_second < len(heard) / 2


async def test_a_closed_stream_ends_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as (node, shared):
        peer = Peer(node)
        peer.say(Open(0, shared.mod_id), GetChunks(0, tuple(range(shared.chunks)) * 8))
        peer.say(Close(0))
        peer.say(Open(1, bytes(32)))
        heard = await peer.until(lambda heard: Refused(1, 0) in heard)
        assert sum(map(size_of, heard)) <= 17 * limits.SEALED_CHUNK_BYTES
        peer.say(Open(0, shared.mod_id))
        await peer.hear(Opened)


async def test_what_comes_to_us_later_is_told(tmp_path: Path) -> None:
    """A partial holder says what it holds, and what has come since."""
    async with serving(tmp_path / "a") as (node, shared), content_node(tmp_path / "b") as other:
        mod = await node.vault.mod(shared.mod_id)
        data = await node.vault.get(shared.mod_id)
        chunks = await node.vault.get_chunks(shared.mod_id, range(shared.chunks))
        assert mod is not None
        assert data is not None
        assert chunks is not None
        await other.vault.add_mod(mod, manifest.decode_manifest(data))
        blobs = [(sealing.address_of(one), one) for one in chunks if one is not None]
        await other.vault.put(blobs[:3] + blobs[9:10])
        peer = Peer(other)
        peer.say(Open(0, shared.mod_id))
        assert (await peer.hear(Opened, Have))[1] == Have(0, 0, b"\xe0\x40")
        assert not (await peer.until(lambda _: True))
        await other.vault.put(blobs[3:4])
        await other.vault.put(blobs[4:5])
        assert await peer.hear(Have) == [Have(0, 0, b"\xf8")]
        await other.vault.put(blobs)
        (have,) = await peer.hear(Have)
        assert have.first == 0
        held = int.from_bytes(have.bits).bit_count()
        assert held == shared.chunks
        await other.vault.put([(sealing.address_of(b"other"), b"other")])
        peer.say(Open(1, bytes(32)))
        await peer.hear(Refused)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ([Open(0, bytes(32)), Open(0, bytes(32))], "unexpected"),
        ([Open(n, bytes(32)) for n in range(limits.STREAMS_PER_LINK + 1)], "over_limit"),
        ([Open(0, b"m" * 32), GetManifest(0), GetManifest(0)], "over_limit"),
        ([Open(0, b"m" * 32), *[GetChunks(0, (1,) * 1000)] * 2], "over_limit"),
    ],
)
async def test_a_peer_that_asks_too_much_loses_the_link(
    said: list[ContentFrame], name: str, tmp_path: Path
) -> None:
    async with content_node(tmp_path) as node:
        peer = Peer(node)
        peer.link.hold()
        peer.say(*said)
        peer.link.other.hold()
        # All of it arrives before the node has had a turn to answer any.
        for frame in said:
            peer.link.other.receive(frames.encode_frame(frame))
        assert "broke the protocol" in await peer.link.closed
        assert node.exchanges.refusals == {name: 1}


@given(
    noise=st.lists(
        st.binary(max_size=50)
        | st.builds(Open, st.integers(0, 3), st.just(b"m" * 32)).map(frames.encode_frame)
        | st.builds(GetChunks, st.integers(0, 3), st.just((0, 5))).map(frames.encode_frame)
        | st.builds(Cancelled, st.integers(0, 3)).map(frames.encode_frame)
        | st.builds(Cancel, st.integers(0, 3)).map(frames.encode_frame)
        | st.builds(Close, st.integers(0, 3)).map(frames.encode_frame)
        | st.builds(ChunkPiece, st.integers(0, 3), st.just(0), st.just(0), st.just(b"x")).map(
            frames.encode_frame
        ),
        max_size=12,
    )
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_noise_ends_its_link_at_most(noise: list[bytes], tmp_path_factory: Any) -> None:
    async def scenario() -> None:
        async with content_node(tmp_path_factory.mktemp("noise")) as node:
            peer = Peer(node)
            with contextlib.suppress(LinkClosed):
                for data in noise:
                    peer.link.send(data)
                    await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            good = Peer(node)
            good.say(Open(0, bytes(32)))
            await good.hear(Refused)

    run_virtually(scenario())


class _Reader:
    def __init__(self) -> None:
        self.answers: list[ContentAnswer] = []
        self.losses: list[str] = []

    def weight(self) -> int:
        return 1

    def stream_answered(self, stream: ChunkStream, answer: ContentAnswer) -> None:
        self.answers.append(answer)

    def stream_lost(self, stream: ChunkStream, reason: str) -> None:
        self.losses.append(reason)


async def test_streams_hear_of_the_end_of_their_link_once(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        ours, theirs = memory_link(node.peer_id, PEER)
        exchange = node.exchanges.attach(ours)
        assert node.exchanges.attach(ours) is exchange
        reader, closed = _Reader(), _Reader()
        stream = exchange.open(bytes(32), reader)
        exchange.open(bytes(32), closed).close()
        theirs.cut("the line is cut")
        await until(lambda: reader.losses)
        stream.get_manifest()
        stream.close()
        with pytest.raises(LinkClosed):
            exchange.open(bytes(32), reader)
        assert reader.losses == ["the line is cut"]
        assert closed.losses == []


async def test_a_link_is_held_while_it_has_a_stream_of_ours(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        ours, theirs = memory_link(node.peer_id, PEER)
        exchange = node.exchanges.attach(ours)
        assert not node.holds
        streams = [exchange.open(bytes(32), _Reader()) for _ in range(2)]
        assert [hold.peer_id for hold in node.holds] == [PEER]
        streams[0].close()
        streams[0].close()
        assert node.holds
        streams[1].abandon()
        assert not node.holds
        exchange.open(bytes(32), _Reader())
        assert node.holds
        theirs.cut("the line is cut")
        await until(lambda: not node.holds)


async def test_too_many_streams_of_ours(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        ours, _ = memory_link(node.peer_id, PEER)
        exchange = node.exchanges.attach(ours)
        streams = [exchange.open(bytes(32), _Reader()) for _ in range(limits.STREAMS_PER_LINK)]
        with pytest.raises(LinkClosed, match="as many"):
            exchange.open(bytes(32), _Reader())
        streams[0].close()
        exchange.open(bytes(32), _Reader())


async def test_answers_that_are_late_are_ignored(tmp_path: Path) -> None:
    """Those on streams never opened are in `hostile/downloads/test_answers_unasked`."""
    async with content_node(tmp_path) as node:
        ours, theirs = memory_link(node.peer_id, PEER)
        theirs.register(range(128), lambda _: None)
        reader = _Reader()
        node.exchanges.attach(ours).open(bytes(32), reader).close()
        for late in (Opened(0, 100, complete=True), ChunkPiece(0, 0, 0, b"x"), Refused(0, 0)):
            theirs.send(frames.encode_frame(late))
        await until(lambda: theirs.frames_sent == 3)
        assert not ours.closed.done()
        assert reader.answers == []


async def test_a_failing_disk_ends_the_stream_not_the_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as (node, shared):

        async def fail(*_: Any) -> None:
            raise DiskError("the disk failed")

        peer = Peer(node)
        peer.say(Open(0, shared.mod_id))
        await peer.hear(Opened)
        with monkeypatch.context() as patched:
            patched.setattr(PeerReads, "chunks", fail)
            peer.say(GetChunks(0, (0,)))
            await peer.hear(Refused)
        peer.say(Open(1, shared.mod_id))
        await peer.hear(Opened)


async def test_closing_ends_every_link(tmp_path: Path) -> None:
    links: list[MemoryLink] = []
    async with serving(tmp_path) as (node, shared):
        for _ in range(3):
            peer = Peer(node)
            peer.say(Open(0, shared.mod_id), GetChunks(0, (0, 1, 2)))
            links.append(peer.link)
        await asyncio.sleep(0)
    assert [link.closed.result() for link in links] == ["this node stops"] * 3
