"""Downloads from sources that are no links: a download knows them by the protocol alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from node.content.download.chunk_source import AnswerReader, ChunkSource, ChunkStream, FindSources
from node.content.download.reasons import tell_reasons
from node.content.publish.publisher import PublishedMod
from protocol.content.frames import (
    Cancelled,
    ChunkPiece,
    ContentAnswer,
    ManifestPiece,
    Opened,
)
from protocol.errors import NoSources, Unreachable
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    some_files,
    until,
    write_files,
)

FILES = some_files(sizes=(100, 70_000, 2_000_000))
PIECE_BYTES = 40_000
ANSWER_S = 0.01
ORIGIN, OTHER = "https://origin.example/mods", "https://other.example/mods"


class Origin:
    """A source that has a mod in memory and sends one answer after another."""

    def __init__(self, name: str, manifest: bytes, chunks: list[bytes]) -> None:
        self.name = name
        self.manifest = manifest
        self.chunks = chunks
        self.streams: list[OriginStream] = []
        self.refuses = False
        self.holds_back: tuple[type[ContentAnswer], ...] = ()
        """Answers that do not come, and whether that is as its stream waits for its turn."""
        self.waits = False

    def open(self, mod_id: bytes, reader: AnswerReader) -> ChunkStream:
        if self.refuses:
            raise Unreachable("the origin does not answer")
        self.streams.append(OriginStream(self, reader))
        return self.streams[-1]


class OriginStream:
    """One download from an origin."""

    def __init__(self, origin: Origin, reader: AnswerReader) -> None:
        self.name = origin.name
        self.is_open = True
        self.round_trip_s = None
        self.next_chunk: int | None = None
        self.asked: list[int] = []
        self._next_at = 0.0
        self._origin = origin
        self._reader = reader
        self.good_bytes = 0
        self._answer(Opened(0, len(origin.manifest), complete=True))

    @property
    def waits(self) -> bool:
        return self._origin.waits

    def learn_chunks(self, lengths: Sequence[int]) -> None:
        """It has them in memory."""

    def get_manifest(self) -> None:
        for offset, data in _pieces(self._origin.manifest):
            self._answer(ManifestPiece(0, offset, data))

    def get_chunks(self, chunks: tuple[int, ...]) -> None:
        self.asked.extend(chunks)
        for chunk in chunks:
            for offset, data in _pieces(self._origin.chunks[chunk]):
                self._answer(ChunkPiece(0, chunk, offset, data))

    def cancel(self) -> None:
        self._answer(Cancelled(0))

    def verified(self, size: int) -> None:
        self.good_bytes += size

    def close(self) -> None:
        self.is_open = False

    def abandon(self, *, for_good: bool = False) -> None:
        self.close()

    def lose(self, reason: str) -> None:
        """End as a source that goes away does."""
        self.is_open = False
        self._reader.stream_lost(self, reason)

    def _answer(self, answer: ContentAnswer) -> None:
        loop = asyncio.get_running_loop()
        self._next_at = max(self._next_at, loop.time()) + ANSWER_S
        loop.call_at(self._next_at, self._deliver, answer)

    def _deliver(self, answer: ContentAnswer) -> None:
        if isinstance(answer, self._origin.holds_back):
            asyncio.get_running_loop().call_later(1.0, self._deliver, answer)
        elif self.is_open:
            self._reader.stream_answered(self, answer)


def _pieces(data: bytes) -> list[tuple[int, bytes]]:
    starts = range(0, len(data), PIECE_BYTES)
    return [(start, data[start : start + PIECE_BYTES]) for start in starts]


@contextlib.asynccontextmanager
async def mod_in_memory(
    folder: Path,
) -> AsyncIterator[tuple[ContentNode, PublishedMod, Callable[[str], Origin]]]:
    """A node without the mod, the mod, and what makes origins that have all of it."""
    async with content_node(folder / "a") as publisher, content_node(folder / "b", 2) as node:
        shared = await publisher.publisher.publish(write_files(folder / "source", FILES), "mod")
        manifest = await publisher.vault.get(shared.mod_id)
        found = await publisher.vault.get_chunks(shared.mod_id, range(shared.chunks))
        assert manifest is not None
        assert found is not None
        chunks = [data for data in found if data is not None]
        yield node, shared, lambda name: Origin(name, manifest, list(chunks))


def sources(*found: ChunkSource) -> FindSources:
    async def find(_: bytes) -> AsyncIterator[ChunkSource]:
        for one in found:
            yield one

    return find


async def test_a_mod_comes_from_a_source_that_is_no_link(tmp_path: Path) -> None:
    async with mod_in_memory(tmp_path) as (node, shared, origin_called):
        origin = origin_called(ORIGIN)
        done = await node.downloader.download(shared.link, sources(origin))
        assert done.bytes_from == {ORIGIN: shared.new_bytes + len(done.manifest.data)}
        assert done.banned == {}
        assert sorted(origin.streams[0].asked) == list(range(shared.chunks))
        assert [stream.is_open for stream in origin.streams] == [False]
        assert origin.streams[0].good_bytes == shared.new_bytes
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    assert read_files(tmp_path / "out") == FILES


async def test_a_lying_source_is_banned_by_its_name(tmp_path: Path) -> None:
    async with mod_in_memory(tmp_path) as (node, shared, origin_called):
        liar, honest = origin_called(ORIGIN), origin_called(OTHER)
        liar.chunks = [bytes(len(data)) for data in liar.chunks]
        done = await node.downloader.download(shared.link, sources(liar, honest, liar))
        assert set(done.banned) == {ORIGIN}
        assert "do not hash" in done.banned[ORIGIN]
        assert node.downloader.refusals == {"chunk_mismatch": 1}
        assert len(liar.streams) == 1
        assert done.bytes_from[OTHER] == shared.new_bytes


async def test_links_and_other_sources_serve_one_download(tmp_path: Path) -> None:
    async with (
        mod_in_memory(tmp_path) as (node, shared, origin_called),
        content_node(tmp_path / "c", 3) as holder,
    ):
        await holder.downloader.download(shared.link, sources(origin_called(ORIGIN)))
        ours, theirs = holder.connect(node)
        ours.bytes_per_second = PIECE_BYTES / ANSWER_S
        exchange = node.exchanges.attach(theirs)
        origin = origin_called(OTHER)
        done = await node.downloader.download(shared.link, sources(exchange, origin))
        assert set(done.bytes_from) == {holder.name, OTHER}


@pytest.mark.parametrize("refuses", [True, False])
async def test_the_reason_why_no_source_is_left_is_given_by_name(
    refuses: bool, tmp_path: Path
) -> None:
    async with mod_in_memory(tmp_path) as (node, shared, origin_called):
        origin = origin_called(ORIGIN)
        origin.refuses = refuses
        downloading = asyncio.ensure_future(node.downloader.download(shared.link, sources(origin)))
        if not refuses:
            await until(lambda: origin.streams)
            origin.streams[0].lose("the origin does not answer")
            await until(lambda: origin.streams[1:])  # it is searched for once more
            origin.streams[1].lose("the origin does not answer")
        with pytest.raises(NoSources) as failed:
            await downloading
        told = f"no source serves this mod ({ORIGIN}: the origin does not answer)"
        assert str(failed.value) == told


def test_many_lost_sources_make_no_long_sentence() -> None:
    reasons = {f"peer {number}": "it did not answer" for number in range(384)}
    reasons |= {"a": "it lied", "b": "it lied"}
    assert tell_reasons(reasons) == "384 sources: it did not answer; a, b: it lied"
    each = {f"peer {number}": f"reason {number}" for number in range(384)}
    assert tell_reasons(each).endswith("peer 4: reason 4; and others")


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("answers", [(Opened, ManifestPiece), (ManifestPiece,), (ChunkPiece,)])
async def test_a_source_that_was_not_asked_yet_is_not_taken_for_a_silent_one(
    answers: tuple[type[ContentAnswer], ...], waits: bool, tmp_path: Path
) -> None:
    """As other downloads of this node have the connections to its server."""
    async with mod_in_memory(tmp_path) as (node, shared, origin_called):
        origin = origin_called(ORIGIN)
        origin.holds_back, origin.waits = answers, waits
        downloading = asyncio.ensure_future(node.downloader.download(shared.link, sources(origin)))
        await asyncio.sleep(1000.0)
        assert downloading.done() is not waits
        assert len(origin.streams) == 1 or not waits
        if not waits:
            with pytest.raises(NoSources):
                await downloading
            return
        origin.holds_back, origin.waits = (), False
        assert (await downloading).bytes_from[ORIGIN]
