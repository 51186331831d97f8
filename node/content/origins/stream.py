"""One mod from one origin: a ChunkStream whose answers come of HTTP.

The manifest is one GET; chunks are ranges of neighbours, a few at once. A chunk is given on whole.
What fails is tried again; an origin that fails again and again, or does what no try mends, is lost.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final

import aiohttp

from node.content.download.chunk_source import AnswerReader
from node.content.origins.client import OriginAnswer, OriginClient, said_of
from node.content.origins.connections import Asker, TurnOver
from node.content.origins.manifest_file import ORIGIN_STREAM, ManifestFile
from node.content.origins.whole_file import WholeFile
from node.tasks import TaskOwner
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.content.origins.answers import (
    NotThere,
    RangeBody,
    range_answer,
    retry_after_s,
)
from protocol.content.origins.connection_turns import is_long
from protocol.content.origins.health import OriginHealth
from protocol.content.origins.layout import ChunkLayout, ChunkRange, range_bytes
from protocol.content.origins.pace import RangePace
from protocol.content.origins.urls import file_names
from protocol.errors import BadAnswer, OriginFailed
from protocol.randomness import Random

_log = logging.getLogger(__name__)

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
        asker: Asker,
        server: OriginHealth,
        files: OriginHealth,
        tasks: TaskOwner,
        rng: Random,
        *,
        trusted: bool,
    ) -> None:
        self.name = name
        self.is_open = True
        manifest_url, self._chunks_url = (f"{name}/{one}" for one in file_names(mod_id))
        self._reader = reader
        self._client = client
        self._asker = asker
        self._server, self._files = server, files
        self._tasks = tasks
        self._rng = rng
        self._trusted = trusted
        self._loop = asyncio.get_running_loop()
        self._manifest = ManifestFile(
            partial(client.get, manifest_url, asker, trusted=trusted), self._judged, self._answer
        )
        self._layout: ChunkLayout | None = None
        self._whole: WholeFile | None = None
        self._next: int | None = None
        self._wanted: dict[int, None] = {}
        self._wanted_bytes = 0
        self._asked: set[int] = set()
        """The chunks of the ranges that are under way, as far as they have not come."""
        self._begun: dict[int, bytearray] = {}
        """What came of chunks whose range ended in favour of another download's."""
        self._pace = RangePace(self._loop.time())
        self._workers: set[asyncio.Task[None]] = set()
        self._opening = self._start(self._open(), "manifest")

    def _start(self, work: Coroutine[Any, Any, None], what: str) -> asyncio.Task[None]:
        return self._tasks.start(work, name=f"{what} of {self.name}")

    # What a download asks -------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether it has yet to ask, as other downloads of this node have the connections."""
        return self._asker.waits

    @property
    def next_chunk(self) -> int | None:
        """Where the ranges that were asked for last end; in a whole file where its body is.

        Servers that say that they answer ranges are asked from a place drawn by chance, so that
        many who fetch have something for one another.
        """
        return self._next if self._whole is None else self._whole.at

    def get_manifest(self) -> None:
        """Ask for the manifest."""
        self._manifest.want()

    def learn_chunks(self, lengths: Sequence[int]) -> None:
        """The manifest is here: of this origin, or of another source."""
        self._layout = ChunkLayout(lengths)
        self._opening.cancel()
        self._next = (
            int(self._rng.random() * self._layout.chunks) if self._manifest.is_ranged else 0
        )

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
        self._begun.clear()
        self._wanted_bytes = 0
        self._end_workers()
        self._loop.call_soon(self._answer, frames.Cancelled(ORIGIN_STREAM))

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
                await self._manifest.read()
            except TurnOver:
                continue
            except NotThere:
                self._answer(frames.Refused(ORIGIN_STREAM, frames.NOT_HELD))
            except (*_HTTP_ERRORS, OriginFailed, BadAnswer) as error:
                failure = said_of(error)
                is_over = self._failed(str(failure), for_good=isinstance(failure, BadAnswer))
                if not (is_over or self._manifest.is_opened):
                    await asyncio.sleep(limits.ORIGIN_RETRY_S)
                    continue
                self._lose(str(failure))
            return

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
        """The next one; short where other downloads wait, and first what is begun already."""
        assert self._layout is not None
        waiting = self._wanted.keys() - self._asked if self._asked else self._wanted.keys()
        begun = next((chunk for chunk in self._begun if chunk in waiting), None)
        first = next((chunk for chunk in self._wanted if chunk in waiting), begun)
        if first is None:
            return None
        most = range_bytes(self._wanted_bytes)
        if self._client.others_wait(self._chunks_url, self._asker):
            most = min(most, self._pace.turn_bytes(self._loop.time()))
        if begun is None:
            return self._layout.run_around(first, waiting, most)
        return self._layout.span(begun, self._layout.run_around(begun, waiting, most).end)

    def _ended(self, worker: "asyncio.Task[None]") -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            self._begin_ranges()

    async def _fetch(self, part: ChunkRange) -> None:
        chunks = range(part.first, part.end)
        try:
            await self._fetch_range(part)
        except TurnOver:
            pass  # what has not come is asked for anew, in the next turn
        except NotThere:
            reason = "it has the mod's manifest and not its chunks: upload both files"
            self._failed(reason, for_good=True)
            self._lose(reason)
        except (*_HTTP_ERRORS, OriginFailed, BadAnswer) as error:
            failure = said_of(error)
            for chunk in chunks:
                self._begun.pop(chunk, None)
            if self._failed(str(failure), for_good=isinstance(failure, BadAnswer)):
                self._lose(str(failure))
            else:
                await asyncio.sleep(limits.ORIGIN_RETRY_S)
        finally:
            self._take_back(chunks)

    async def _fetch_range(self, part: ChunkRange) -> None:
        assert self._layout is not None
        total, begun = self._layout.total, len(self._begun.get(part.first, b""))
        asked = ChunkRange(part.first, part.end, part.start + begun, part.size - begun)
        async with self._client.get(
            *(self._chunks_url, self._asker),
            trusted=self._trusted,
            byte_range=(asked.start, asked.last_byte),
            is_long=self._whole is not None and is_long(total),
        ) as got:
            http = got.http
            self._pace.answered(self._loop.time() - got.connection.asked_at)
            found = self._judged(
                http, lambda: range_answer(http.status, http.headers, asked, total)
            )
            if found.body is RangeBody.WHOLE:
                await self._read_whole(got)
            else:
                await self._read_range(got, part, found.size)

    async def _read_range(self, got: OriginAnswer, part: ChunkRange, left: int) -> None:
        """Read the chunks of which so many bytes come, the first from where it was left."""
        assert self._layout is not None
        for chunk in range(part.first, part.end):
            begun = self._begun.get(chunk) if chunk == part.first else None
            data = self._begun[chunk] = begun or bytearray()
            lacks = self._layout.size(chunk) - len(data)
            if left < lacks:
                if chunk == part.first:
                    raise BadAnswer("it answers with less than a chunk of what was asked for")
                del self._begun[chunk]
                return  # it may give less than was asked for; the rest is asked for anew
            left -= lacks
            await _read_into(data, got, lacks)
            self._begun.pop(chunk, None)
            self._arrived(chunk, bytes(data))

    async def _read_whole(self, got: OriginAnswer) -> None:
        """Read a file from its beginning, for what is wanted of it, until that lies before."""
        assert self._layout is not None
        own = asyncio.current_task()
        others = [worker for worker in self._workers if worker is not own]
        whole = self._whole = self._whole or WholeFile(self._layout)
        if whole.is_read:
            return  # by another worker
        got.connection.keep(is_long=is_long(self._layout.total))
        for worker in others:
            self._workers.discard(worker)
            worker.cancel()
        self._take_back(tuple(self._asked))
        with whole.reading(got.http.content):
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
            self._answer(frames.ChunkPiece(ORIGIN_STREAM, chunk, 0, data))
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


async def _read_into(data: bytearray, got: OriginAnswer, size: int) -> None:
    """Read so many bytes, which are in `data` as they come; raises IncompleteReadError."""
    while size:
        part = await got.http.content.read(size)
        if not part:
            raise asyncio.IncompleteReadError(bytes(data), size)
        got.connection.brought()
        data += part
        size -= len(part)
