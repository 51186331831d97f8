"""Answers that were not asked for cost the peer that sends them its link, of whatever kind.

What may be held: the time and the line of a node, by frames of linked peers. For how long: what a
peer owed on a stream that was closed, and 64 KiB, at most 32 MiB. How it is won back: the link of a
peer that sends more ends, and by `test_broken_rules` it gets no other one for a while.
"""

import asyncio
from pathlib import Path

import pytest

from node.content.download.chunk_source import ChunkStream
from node.content.serve.exchange import Stream
from protocol import limits
from protocol.content import frames
from protocol.content.frames import (
    Cancel,
    Cancelled,
    ChunkPiece,
    Close,
    ContentAnswer,
    ContentFrame,
    ContentRequest,
    GetChunks,
    GetManifest,
    Have,
    ManifestPiece,
    Missing,
    Open,
    Opened,
    Peers,
    Refused,
)
from protocol.identity import PeerId
from tests.node.content.content_nodes import ContentNode, content_node, links_to, until
from tests.node.content.downloads import swarm
from tests.node.content.memory_links import memory_link

LONG = bytes(15_000)
FLOOD_BYTES = 8 * 2**20
PEER = b"p" * 20

ANSWERS: dict[type[ContentAnswer], ContentAnswer] = {
    Opened: Opened(0, 2**20, complete=False),
    Have: Have(0, 0, b"\x80" + LONG),
    ManifestPiece: ManifestPiece(0, 0, LONG),
    ChunkPiece: ChunkPiece(0, 0, 0, LONG),
    Missing: Missing(0, tuple(range(limits.REQUESTS_PER_STREAM))),
    Refused: Refused(0, frames.NOT_HELD),
    Cancelled: Cancelled(0),
    Peers: Peers(0, tuple(PeerId(bytes([n]) * 20) for n in range(limits.PEERS_NAMED))),
}
REQUESTS: dict[type[ContentRequest], ContentRequest] = {
    Open: Open(0, bytes(32)),
    GetManifest: GetManifest(0),
    GetChunks: GetChunks(0, tuple(range(limits.REQUESTS_PER_STREAM))),
    Cancel: Cancel(0),
    Close: Close(0),
}


class Deaf:
    """A reader that minds no answer: what it lets pass the exchange has to charge."""

    def weight(self) -> int:
        return 1

    def stream_answered(self, stream: ChunkStream, answer: ContentAnswer) -> None:
        del stream, answer

    def stream_lost(self, stream: ChunkStream, reason: str) -> None:
        del stream, reason


class Flooder:
    """A linked peer that sends one frame for as long as its link stands."""

    def __init__(self, node: ContentNode, peer_id: bytes = PEER) -> None:
        ours, self.link = memory_link(node.peer_id, peer_id)
        self.link.register(range(128), lambda _: None)
        self.exchange = node.exchanges.attach(ours)

    def open(self) -> Stream:
        return self.exchange.open(bytes(32), Deaf())

    async def flood(self, frame: ContentFrame, most: int = FLOOD_BYTES) -> int:
        """The bytes that were taken before the link ended, or `most`."""
        data, before = frames.encode_frame(frame), self.link.bytes_sent
        while not self.link.closed.done() and self.link.bytes_sent - before < most:
            self.link.send(data)
            await asyncio.sleep(0.0001)
        return self.link.bytes_sent - before


def test_every_kind_of_frame_is_tried() -> None:
    assert tuple(ANSWERS) == frames.ANSWERS
    assert tuple(REQUESTS) == frames.REQUESTS


@pytest.mark.parametrize("kind", ANSWERS)
async def test_an_answer_on_a_stream_never_opened_ends_the_link(
    tmp_path: Path, kind: type[ContentAnswer]
) -> None:
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        taken = await peer.flood(ANSWERS[kind])
        assert taken <= 2 * len(frames.encode_frame(ANSWERS[kind]))
        assert node.exchanges.refusals == {"unexpected": 1}
        assert "never opened" in peer.link.closed.result()


@pytest.mark.parametrize("kind", ANSWERS)
async def test_answers_on_a_closed_stream_have_a_small_allowance(
    tmp_path: Path, kind: type[ContentAnswer]
) -> None:
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        peer.open().close()
        size = len(frames.encode_frame(ANSWERS[kind]))
        taken = await peer.flood(ANSWERS[kind])
        assert limits.LATE_ANSWERS_BYTES <= taken <= limits.LATE_ANSWERS_BYTES + 2 * size
        assert node.exchanges.refusals == {"over_limit": 1}


@pytest.mark.parametrize("kind", ANSWERS)
async def test_no_answer_is_free_on_an_open_stream(
    tmp_path: Path, kind: type[ContentAnswer]
) -> None:
    """The download minds none of them, as between its phases and while a person is asked."""
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        peer.open()
        if kind is not Opened:
            peer.link.send(frames.encode_frame(ANSWERS[Opened]))
        taken = await peer.flood(ANSWERS[kind])
        news = limits.HAVE_BYTES_BURST + limits.HAVE_BYTES_PER_SECOND
        most = news if kind is Have else 2 * limits.LATE_ANSWERS_BYTES
        assert taken <= most
        assert sum(node.exchanges.refusals.values()) == 1


@pytest.mark.parametrize("kind", REQUESTS)
async def test_no_request_is_free(tmp_path: Path, kind: type[ContentRequest]) -> None:
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        size = len(frames.encode_frame(REQUESTS[kind]))
        taken = await peer.flood(REQUESTS[kind])
        assert taken <= 2 * limits.CONTENT_REQUESTS_BURST * size
        assert sum(node.exchanges.refusals.values()) == 1


async def test_what_was_asked_for_pays_once(tmp_path: Path) -> None:
    """A manifest of a megabyte, and three chunks of which a cancel takes back what has not come."""
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        stream = peer.open()
        peer.link.send(frames.encode_frame(ANSWERS[Opened]))
        await until(lambda: peer.link.frames_sent == 1)
        stream.get_manifest()
        assert await peer.flood(ANSWERS[ManifestPiece], 2**20 - len(LONG)) >= 2**20 - len(LONG)
        stream.get_chunks((0, 1, 2))
        stream.cancel()
        chunks = 3 * limits.SEALED_CHUNK_BYTES
        assert await peer.flood(ANSWERS[ChunkPiece], chunks - 2 * len(LONG)) < chunks
        assert not peer.link.closed.done()
        assert await peer.flood(Cancelled(0), 1)
        await peer.flood(ANSWERS[ChunkPiece])
        assert "not asked for" in peer.link.closed.result()


async def test_late_answers_after_many_streams_are_bounded(tmp_path: Path) -> None:
    async with content_node(tmp_path) as node:
        peer = Flooder(node)
        for _ in range(100):
            stream = peer.open()
            stream.get_chunks(tuple(range(limits.REQUESTS_PER_STREAM)))
            stream.close()
        taken = await peer.flood(ANSWERS[ChunkPiece], 2 * limits.LATE_ANSWERS_BYTES_MAX)
        assert taken <= limits.LATE_ANSWERS_BYTES_MAX + 2 * len(LONG)


async def test_a_download_that_is_given_up_leaves_the_link_to_the_next(tmp_path: Path) -> None:
    """All that its holder sent before it knew is taken, and a second `get` goes by the link."""
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        back, ours = holder.connect(getter)
        back.bytes_per_second = 1e6
        first = asyncio.ensure_future(getter.download(shared.link, links_to(ours)))
        await until(lambda: back.bytes_sent > 500_000)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        result = await getter.download(shared.link, links_to(ours))
        assert result.chunks_fetched > 0
        assert not getter.exchanges.refusals
        assert not ours.closed.done()


async def test_three_flooders_cost_a_download_nothing(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        peers = [Flooder(getter, bytes([number]) * 20) for number in range(100, 103)]
        frame = ChunkPiece(4711, 0, 0, LONG)
        floods = [asyncio.ensure_future(peer.flood(frame)) for peer in peers]
        _, ours = holder.connect(getter)
        result = await getter.download(shared.link, links_to(ours))
        assert result.chunks_fetched == shared.chunks
        assert sum(await asyncio.gather(*floods)) <= 6 * len(frames.encode_frame(frame))
        assert getter.exchanges.refusals == {"unexpected": 3}
