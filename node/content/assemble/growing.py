"""The files of one `get`, which grow while its chunks arrive.

A chunk that was fetched, verified and stored is offered while it is still in memory; a thread opens
it and writes it where it belongs. Where that is slower than the line, chunks are let go: they are
in the vault. `complete` reads those from there, and what the vault had before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from node.content.assemble.placing import ChunkPlacing, PlacedBytes
from node.content.assemble.tree import GrowingTree
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.vault.stored_target import WrittenTree
from node.tasks import in_thread
from protocol.content.manifests.contents import Contents
from protocol.errors import ModswarmError, NotFound

_WAITING_BYTES: Final = 16 * 2**20
"""Chunks in memory that wait to be written."""
_READ_BYTES: Final = 8 * 2**20
_SYNCERS: Final = 4
"""Threads that wait for the disk at once: it then commits many files in one go."""

ReadChunks = Callable[[Sequence[int]], Awaitable[list[bytes | None]]]
"""Reads sealed chunks by number; None for each that is not to be had."""


class GrowingFiles:
    """`begin`, `take` chunks as they come, `complete`; `end` in any case."""

    def __init__(
        self, tree: GrowingTree, contents: Contents, written: Callable[[int], None]
    ) -> None:
        """`written` learns how many bytes have been written."""
        self._loop = asyncio.get_running_loop()
        self._tree = tree
        self._contents = contents
        self._tell_written = written
        self._report: ReportProgress = ignore_progress
        self._placing: ChunkPlacing | None = None
        self._job: asyncio.Future[PlacedBytes] | None = None
        self._moved = asyncio.Event()
        self._waiting_bytes = 0
        self._done_bytes = 0
        self._error: Exception | None = None

    @property
    def written(self) -> WrittenTree:
        """How all is on the disk, once it is complete."""
        return self._tree.written

    async def begin(self) -> None:
        """Make the hidden folder; raises DiskError."""
        self._placing = await in_thread(self._begin)

    def _begin(self) -> ChunkPlacing:
        self._tree.begin(self._contents.disk_bytes)
        return ChunkPlacing(self._tree, self._contents)

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Chunks that were verified, and that the vault has, by number; returns at once."""
        if self._placing is None or self._error is not None:
            return
        for number, data in chunks:
            if self._waiting_bytes < _WAITING_BYTES:
                self._add(self._placing, number, data)
        self._go_on()

    async def complete(self, read: ReadChunks, report: ReportProgress) -> None:
        """Write what is missing, flush all of it, and give the folder its name.

        What hindered it before is tried once more. Raises TargetExists, UnsafePath, DiskError,
        ChunkMismatch, and NotFound if some chunks are not to be had: all others are written then,
        those may be taken, and this be called again.
        """
        placing = self._placing
        assert placing is not None
        await self._until(lambda: self._job is None)
        if isinstance(self._error, ModswarmError):
            self._error = None
        self._report = report
        missing = placing.missing()
        while missing:
            numbers, missing = self._batch(missing)
            for number, data in zip(numbers, await read(numbers), strict=True):
                if data is not None:
                    self._add(placing, number, data)
            self._go_on()
            await self._until(lambda: self._waiting_bytes <= _READ_BYTES)
            self._check()
        await self._until(lambda: self._job is None)
        self._check()
        if placing.missing():
            raise NotFound("the vault lacks a part of this mod; get it again")
        await in_thread(self._tree.finish)
        report(self._progress())
        await self._sync()
        await in_thread(self._tree.appear)

    async def end(self) -> None:
        """Remove what did not appear, once nothing is written any more."""
        self._placing = None
        if self._job is not None:
            await asyncio.wait([self._job])
        await in_thread(self._tree.clean_up)

    def _add(self, placing: ChunkPlacing, number: int, data: bytes) -> None:
        placing.add(number, data)
        self._waiting_bytes += len(data)

    def _go_on(self) -> None:
        placing = self._placing
        if placing is not None and self._job is None and placing.has_work:
            self._job = self._loop.run_in_executor(None, placing.step)
            self._job.add_done_callback(self._stepped)

    def _stepped(self, job: "asyncio.Future[PlacedBytes]") -> None:
        self._job = None
        try:
            step = job.result()
        except Exception as error:  # noqa: BLE001 - `complete` raises it
            self._error = error
            self._waiting_bytes = 0
            if self._placing is not None:
                self._placing.clear()
        else:
            self._waiting_bytes -= step.sealed_bytes
            self._done_bytes += step.written_bytes
            self._tell_written(self._done_bytes)
            self._report(self._progress())
        self._moved.set()
        self._go_on()

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for the thread; what waits is gone if it failed."""
        while not condition():
            self._moved.clear()
            await self._moved.wait()

    def _check(self) -> None:
        """Raise what the thread raised."""
        if self._error is not None:
            raise self._error

    def _batch(self, missing: list[int]) -> tuple[list[int], list[int]]:
        """The chunks to be read next, and the others."""
        size = 0
        for place, number in enumerate(missing):
            size += self._contents.lengths[number]
            if size >= _READ_BYTES:
                return missing[: place + 1], missing[place + 1 :]
        return missing, []

    async def _sync(self) -> None:
        """Flush every file to disk; all threads have ended when this returns or raises."""
        shares = range(_SYNCERS)
        jobs = [in_thread(partial(self._tree.sync, share, _SYNCERS)) for share in shares]
        for result in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _progress(self) -> Progress:
        total = self._contents.total_bytes
        return Progress("files", bytes_total=total, bytes_done=self._done_bytes)
