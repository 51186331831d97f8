"""One mod from one origin: a ChunkStream whose answers come of HTTP.

The manifest is one GET; chunks are ranges of neighbours, a few at once. A chunk is given on whole.
What fails is tried again; an origin that fails again and again, or does what no try mends, is lost.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

import aiohttp

from node.content.download.chunk_source import AnswerReader
from node.content.origins.client import OriginClient, said_of
from node.content.origins.whole_file import WholeFile
from node.tasks import TaskOwner
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.content.origins.answers import (
    NotThere,
    RangeBody,
    manifest_answer,
    range_answer,
    retry_after_s,
)
from protocol.content.origins.health import OriginHealth
from protocol.content.origins.layout import ChunkLayout, ChunkRange, range_bytes
from protocol.content.origins.pace import RangePace
from protocol.content.origins.urls import file_names
from protocol.errors import BadAnswer, OriginFailed
from protocol.randomness import Random

_log = logging.getLogger(__name__)

_STREAM: Final = 0
"""The number in the answers: a stream of an origin has none."""
_PIECE_BYTES: Final = 2**16
_HTTP_ERRORS: Final = (aiohttp.ClientError, OSError, ValueError, asyncio.IncompleteReadError)


class OriginStream:
    """A ChunkStream. `trusted`: the origin is of this node's own settings.

    `server` is the health of the origin, `files` that of what it has of this mod.
    """

    round_trip_s = None

    def __init__(
        self,
        name: str,
        mod_id: bytes,
        reader: AnswerReader,
        client: OriginClient,
        server: OriginHealth,
        files: OriginHealth,
        tasks: TaskOwner,
        rng: Random,
        *,
        trusted: bool,
    ) -> None:
        self.name = name
        self.is_open = True
        self._manifest_url, self._chunks_url = (f"{name}/{one}" for one in file_names(mod_id))
        self._reader = reader
        self._client = client
        self._server, self._files = server, files
        self._tasks = tasks
        self._rng = rng
        self._trusted = trusted
        self._loop = asyncio.get_running_loop()
        self._manifest_wanted = asyncio.Event()
        self._layout: ChunkLayout | None = None
        self._is_ranged = self._is_opened = False
        self._whole: WholeFile | None = None
        self._next: int | None = None
        self._wanted: dict[int, None] = {}
        self._wanted_bytes = 0
        self._asked: set[int] = set()
        """The chunks of the ranges that are under way, as far as they have not come."""
        self._pace = RangePace(self._loop.time())
        self._workers: set[asyncio.Task[None]] = set()
        self._opening = self._start(self._open(), "manifest")

    def _start(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._tasks.start(work, name=f"{what} of {self.name}")

    # What a download asks -------------------------------------------------------------------

    @property
    def next_chunk(self) -> int | None:
        """Where the ranges that were asked for last end; in a whole file where its body is.

        Servers that say that they answer ranges are asked from a place drawn by chance, so that
        many who fetch have something for one another.
        """
        return self._next if self._whole is None else self._whole.at

    def get_manifest(self) -> None:
        """Ask for the manifest."""
        self._manifest_wanted.set()

    def learn_chunks(self, lengths: Sequence[int]) -> None:
        """The manifest is here: of this origin, or of another source."""
        self._layout = ChunkLayout(lengths)
        self._opening.cancel()
        self._next = int(self._rng.random() * self._layout.chunks) if self._is_ranged else 0

    def get_chunks(self, chunks: tuple[int, ...]) -> None:
        """Ask for chunks by number."""
        assert self._layout is not None
        for chunk in chunks:
            self._wanted[chunk] = None
            self._wanted_bytes += self._layout.size(chunk)
        self._next = (chunks[-1] + 1) % self._layout.chunks
        if self._whole is not None:
            self._whole.more()
        self._begin_ranges()

    def cancel(self) -> None:
        """Take back all that has not come; what is under way ends with its connection."""
        self._wanted.clear()
        self._wanted_bytes = 0
        self._end_workers()
        self._loop.call_soon(self._answer, frames.Cancelled(_STREAM))

    def verified(self, size: int) -> None:
        """So many bytes of it were what was asked for."""
        self._server.served()
        self._files.served()

    def close(self) -> None:
        """End the stream; may be called again."""
        self.is_open = False
        self._opening.cancel()
        self._end_workers()

    def abandon(self, *, for_good: bool = False) -> None:
        """End the stream; an origin that sent what it was not asked for is left alone."""
        self.close()
        if for_good:
            self._failed("it sent what it was not asked for", for_good=True)

    def _end_workers(self) -> None:
        for worker in tuple(self._workers):
            worker.cancel()
        self._workers.clear()
        self._take_back(tuple(self._asked))

    # The manifest ---------------------------------------------------------------------------

    async def _open(self) -> None:
        """Get the manifest; again after a failure, unless a part of it was given."""
        while True:
            try:
                await self._get_manifest()
            except NotThere:
                self._answer(frames.Refused(_STREAM, frames.NOT_HELD))
            except (*_HTTP_ERRORS, OriginFailed, BadAnswer) as error:
                failure = said_of(error)
                is_over = self._failed(str(failure), for_good=isinstance(failure, BadAnswer))
                if not (is_over or self._is_opened):
                    await asyncio.sleep(limits.ORIGIN_RETRY_S)
                    continue
                self._lose(str(failure))
            return

    async def _get_manifest(self) -> None:
        async with _closing(
            await self._client.get(self._manifest_url, trusted=self._trusted)
        ) as got:
            found = self._judged(got, lambda: manifest_answer(got.status, got.headers))
            self._is_ranged = found.has_ranges
            if found.size is None:
                data = await _read_up_to(got.content, limits.MANIFEST_BYTES)
                self._opened(len(data))
                await self._manifest_wanted.wait()
                for offset in range(0, len(data), _PIECE_BYTES):
                    self._give_manifest(offset, data[offset : offset + _PIECE_BYTES])
                return
            self._opened(found.size)
            await self._manifest_wanted.wait()
            offset = 0
            while offset < found.size:
                data = await got.content.read(min(_PIECE_BYTES, found.size - offset))
                if not data:
                    raise OriginFailed("its manifest ends before its announced length")
                self._give_manifest(offset, data)
                offset += len(data)

    def _opened(self, size: int) -> None:
        self._is_opened = True
        self._answer(frames.Opened(_STREAM, size, complete=True))

    def _give_manifest(self, offset: int, data: bytes) -> None:
        self._answer(frames.ManifestPiece(_STREAM, offset, data))

    # Chunks ---------------------------------------------------------------------------------

    def _begin_ranges(self) -> None:
        """Ask for ranges until the line has enough to do; a whole file is asked for once."""
        most = 1 if self._whole is not None else limits.ORIGIN_CONNECTIONS
        while self.is_open and len(self._workers) < most and self._pace.wants(self._loop.time()):
            part = self._next_range()
            if part is None:
                return
            self._asked.update(range(part.first, part.end))
            self._pace.asked(part.size)
            worker = self._start(self._fetch(part), "chunks")
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    def _next_range(self) -> ChunkRange | None:
        assert self._layout is not None
        waiting = self._wanted.keys() - self._asked if self._asked else self._wanted.keys()
        first = next((chunk for chunk in self._wanted if chunk in waiting), None)
        if first is None:
            return None
        return self._layout.run_around(first, waiting, range_bytes(self._wanted_bytes))

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            self._begin_ranges()

    async def _fetch(self, part: ChunkRange) -> None:
        try:
            await self._fetch_range(part)
        except NotThere:
            reason = "it has the mod's manifest and not its chunks: upload both files"
            self._failed(reason, for_good=True)
            self._lose(reason)
        except (*_HTTP_ERRORS, OriginFailed, BadAnswer) as error:
            failure = said_of(error)
            if self._failed(str(failure), for_good=isinstance(failure, BadAnswer)):
                self._lose(str(failure))
            else:
                await asyncio.sleep(limits.ORIGIN_RETRY_S)
        finally:
            self._take_back(range(part.first, part.end))

    async def _fetch_range(self, part: ChunkRange) -> None:
        assert self._layout is not None
        layout, asked_at = self._layout, self._loop.time()
        answer = await self._client.get(
            self._chunks_url, trusted=self._trusted, byte_range=(part.start, part.last_byte)
        )
        self._pace.answered(self._loop.time() - asked_at)
        async with _closing(answer) as got:
            found = self._judged(
                got, lambda: range_answer(got.status, got.headers, part, layout.total)
            )
            if found.body is RangeBody.WHOLE:
                await self._read_whole(got.content)
                return
            left = found.size
            for chunk in range(part.first, part.end):
                size = layout.size(chunk)
                if left < size:
                    if chunk == part.first:
                        raise BadAnswer("it answers with less than a chunk of what was asked for")
                    return  # it may give less than was asked for; the rest is asked for anew
                left -= size
                self._arrived(chunk, await got.content.readexactly(size))

    async def _read_whole(self, body: aiohttp.StreamReader) -> None:
        """Read a file from its beginning, for what is wanted of it, until that lies before."""
        assert self._layout is not None
        own = asyncio.current_task()
        others = [worker for worker in self._workers if worker is not own]
        whole = self._whole = self._whole or WholeFile(self._layout)
        if whole.is_read:
            return  # by another worker
        for worker in others:
            self._workers.discard(worker)
            worker.cancel()
        self._take_back(tuple(self._asked))
        with whole.reading(body):
            while (chunk := await whole.next_of(self._wanted)) is not None:
                self._arrived(chunk, await whole.take())

    def _take_back(self, chunks: Iterable[int]) -> None:
        """These do not come, or have come, by a range that was asked for."""
        for chunk in chunks:
            if self._layout is not None and chunk in self._asked:
                self._asked.remove(chunk)
                self._pace.settled(self._layout.size(chunk))

    def _arrived(self, chunk: int, data: bytes) -> None:
        self._take_back((chunk,))
        self._pace.came(len(data), self._loop.time())
        if chunk in self._wanted:
            del self._wanted[chunk]
            self._wanted_bytes -= len(data)
            self._server.answered()
            self._answer(frames.ChunkPiece(_STREAM, chunk, 0, data))
            self._begin_ranges()

    # What becomes of it ---------------------------------------------------------------------

    def _judged(self, got: aiohttp.ClientResponse, judge: Callable[[], Any]) -> Any:
        """What an answer is; a server that asks to be left alone for a while is."""
        try:
            return judge()
        except OriginFailed as failure:
            after_s = retry_after_s(got.headers)
            if after_s:
                self._failed(str(failure), for_good=False, after_s=after_s)
            raise

    def _failed(self, why: str, *, for_good: bool, after_s: float = 0.0) -> bool:
        """Note a failure; whether the origin is to be left alone, `for_good` for this mod alone."""
        now, chance = self._loop.time(), self._rng.random()
        health = self._files if for_good else self._server
        return health.failed(now, chance, why, for_good=for_good, after_s=after_s)

    def _answer(self, answer: ContentAnswer) -> None:
        if self.is_open:
            self._reader.stream_answered(self, answer)

    def _lose(self, reason: str) -> None:
        if self.is_open:
            _log.info("%s: %s", self.name, reason)
            self._reader.stream_lost(self, reason)
            self.close()


@contextlib.asynccontextmanager
async def _closing(got: aiohttp.ClientResponse) -> Any:
    """Inside, an answer is read; a connection of which all was read is used again."""
    try:
        yield got
        got.release()
    finally:
        got.close()


async def _read_up_to(body: aiohttp.StreamReader, most: int) -> bytes:
    """All of a body whose length was not announced; raises BadAnswer."""
    data = bytearray()
    async for part in body.iter_any():
        data += part
        if len(data) > most:
            raise BadAnswer("its manifest has no end")
    return bytes(data)
