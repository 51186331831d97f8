"""The queue of downloads: some at once by priority, the others in their turn, over restarts.

    waiting --its turn--> active --all is written--> done
       ^                    |  \\--it cannot be--> failed
       |                    v
       +--resume-- paused   +--no peer serves it--> waiting, and is tried again later
                            +--one of a higher priority has no turn--> waiting

What a command watches needs no turn, and is cancelled when that command ends. Paused, failed and
waiting downloads keep their chunks in the vault, whatever its budget says, and go on from there.

What a person says is on the disk before it is done and answered; a disk that refuses it leaves all
as it was. What becomes of downloads by themselves is written too, and only logged if that fails.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from node.answers.downloads import DownloadList, DownloadState, DownloadView, Priority
from node.answers.mods import GetResult
from node.content.download.bounds import SizeBound
from node.content.progress import ReportProgress
from node.content.queue.entry import DownloadEntry, DownloadRequest
from node.content.queue.file import QueueFile
from node.content.queue.turns import rank, turns
from node.home import reserve_of
from node.tasks import TaskOwner
from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import (
    BadInput,
    DiskError,
    DownloadCancelled,
    ModswarmError,
    NetworkError,
    NotFound,
    TargetExists,
)

_log = logging.getLogger(__name__)

_STATES = DownloadState


class Get(Protocol):
    """What fetches and writes a mod: `Sharing.get`."""

    async def __call__(
        self,
        link: ModLink,
        target: Path | None = None,
        *,
        into: Path | None = None,
        progress: ReportProgress,
        bound: SizeBound,
        wait_s: float,
        weight: Callable[[], int],
        again: bool,
    ) -> GetResult:
        """Fetch and write."""
        ...


class DownloadQueue:
    """The downloads of a node. `start` before use, `close` before the links."""

    def __init__(
        self,
        path: Path,
        get: Get,
        hold: Callable[[Collection[bytes]], None],
        wall: Callable[[], float],
        at_once: int,
    ) -> None:
        """`path` is that of the file in a home, which is read; `wall` gives seconds since 1970.

        `hold` learns of which mods the vault shall keep what it has: their ids.
        """
        self._file = QueueFile(path, reserve_of(path.parent))
        self._get = get
        self._hold = hold
        self._wall = wall
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._entries: dict[int, DownloadEntry] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._tasks = TaskOwner("downloads")
        self._timer: asyncio.TimerHandle | None = None
        self._ending = False
        self._last = 0
        self._read()

    @property
    def defects(self) -> list[BaseException]:
        """What downloads raised that no peer, network or disk can be blamed for."""
        return self._tasks.defects

    def _read(self) -> None:
        for entry in self._file.read():
            self._entries[entry.number] = entry
        self._last = max(self._entries, default=0)
        self._keep_chunks()

    def start(self) -> None:
        """Go on with the downloads of the last run."""
        self._go_on()

    def try_again(self) -> None:
        """The network is another now: those that no peer served need not wait any longer."""
        for entry in self._entries.values():
            if entry.state is _STATES.WAITING:
                entry.try_at, entry.tries = 0.0, 0
        self._go_on()

    def keep_all(self) -> None:
        """The node is about to end: from now on a command that ends cancels nothing."""
        self._ending = True

    async def close(self) -> None:
        """End what is under way; it goes on when the node starts again."""
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()

    # What a person says ---------------------------------------------------------------------

    def add(self, request: DownloadRequest) -> DownloadView:
        """Let a download wait for its turn; the one that is there, if it is the same, by a priority
        that is given now.

        Raises TargetExists if another mod is to be written there, BadInput beyond DOWNLOADS_QUEUED,
        DiskError.
        """
        known = self._same(request)
        entry = known or self._new(request)
        try:
            with entry.changing():
                entry.foreground = entry.by_get = False
                entry.prefer(request.priority)
                self._write()
        except DiskError:
            if known is None:
                del self._entries[entry.number]
            raise
        self._go_on()
        return entry.view(self._loop.time())

    async def watch(self, request: DownloadRequest, report: ReportProgress) -> GetResult:
        """Download now, or watch the download that is the same; raises why it does not succeed.

        If this is cancelled, a download that began with it is cancelled as well, unless `keep_all`
        was called.
        """
        entry = self._same(request)
        if entry is None:
            entry = self._new(request)
            entry.by_get = True
        else:
            entry.prefer(request.priority)
            if entry.progress is not None:
                report(entry.progress)
        entry.foreground = entry.by_get
        entry.watchers.append(report)
        self._changed()
        ended = entry.ended
        try:
            return await asyncio.shield(ended)
        finally:
            entry.watchers.remove(report)
            if not ended.done() and entry.foreground and not (entry.watchers or self._ending):
                await self._end(entry)
                self._forget(entry)

    async def pause(self, number: int) -> DownloadView:
        """Let one rest; raises NotFound, DiskError, BadInput for one that has ended."""
        entry = self._known(number)
        if not entry.is_unfinished:
            raise BadInput(f"download {number} is {entry.state}: there is nothing to pause")
        with entry.changing():
            entry.state = _STATES.PAUSED
            self._write()
        await self._end(entry)
        entry.rest("paused")
        self._changed()
        return entry.view(self._loop.time())

    def resume(self, number: int, priority: Priority | None = None) -> DownloadView:
        """Let one go on that rests, failed or waits to be tried again; and change its priority.

        Raises NotFound, DiskError, BadInput if it is done.
        """
        entry = self._known(number)
        if entry.state is _STATES.DONE:
            raise BadInput(f"download {number} is done")
        rests = entry.state is not _STATES.ACTIVE
        with entry.changing():
            entry.prefer(priority)
            if rests:
                entry.state, entry.try_at, entry.tries = _STATES.WAITING, 0.0, 0
            self._write()
        if rests:
            entry.rest("queued")
        self._go_on()
        return entry.view(self._loop.time())

    async def cancel(self, number: int) -> DownloadView:
        """End one, and forget it; raises NotFound, DiskError. The vault keeps what came."""
        entry = self._known(number)
        view = entry.view(self._loop.time())
        self._write(but=entry)
        entry.state = _STATES.FAILED
        await self._end(entry)
        self._forget(entry)
        entry.settle(DownloadCancelled("the download was cancelled by another command"))
        return view

    def view(self) -> DownloadList:
        """All downloads."""
        entries = sorted(self._entries.values(), key=rank)
        now = self._loop.time()
        return DownloadList(tuple(entry.view(now) for entry in entries), self._at_once)

    # What goes on ---------------------------------------------------------------------------

    def _known(self, number: int) -> DownloadEntry:
        entry = self._entries.get(number)
        if entry is None:
            raise NotFound(f"there is no download {number}; `modswarm downloads` lists them")
        return entry

    def _same(self, request: DownloadRequest) -> DownloadEntry | None:
        """The unfinished download of the same mod to the same place; raises TargetExists."""
        for entry in self._entries.values():
            if not entry.is_unfinished:
                continue
            if entry.request.is_for_same(request):
                return entry
            if request.target is not None and entry.request.target == request.target:
                raise TargetExists(
                    f"download {entry.number} writes another mod to {request.target}; cancel that"
                    " one, or name another folder"
                )
        return None

    def _new(self, request: DownloadRequest) -> DownloadEntry:
        unfinished = [entry for entry in self._entries.values() if entry.is_unfinished]
        if len(unfinished) >= limits.DOWNLOADS_QUEUED:
            raise BadInput(f"{len(unfinished)} downloads wait already, and no more are taken")
        ended = [entry for entry in self._entries.values() if not entry.is_unfinished]
        for old in ended[: max(0, len(ended) - limits.DOWNLOADS_REMEMBERED)]:
            del self._entries[old.number]
        self._last += 1
        entry = DownloadEntry(self._last, request, self._wall())
        self._entries[entry.number] = entry
        return entry

    def _forget(self, entry: DownloadEntry) -> None:
        self._entries.pop(entry.number, None)
        self._changed()

    async def _end(self, entry: DownloadEntry) -> None:
        task = self._running.get(entry.number)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _write(self, but: DownloadEntry | None = None) -> None:
        """Keep all on the disk, without one that is cancelled; raises DiskError."""
        self._file.write([entry for entry in self._entries.values() if entry is not but])

    def _changed(self) -> None:
        """Keep what became of a download, if that can be, and begin what may begin."""
        try:
            self._write()
        except DiskError as error:
            _log.warning("after a restart downloads go on as of an earlier moment: %s", error)
        self._go_on()

    def _go_on(self) -> None:
        if self._ending:
            return
        self._keep_chunks()
        found = turns(self._entries.values(), self._running, self._at_once, self._loop.time())
        for entry in found.give_way:
            entry.state = _STATES.WAITING
            entry.rest("queued")
            self._running[entry.number].cancel()
        for entry in found.begin:
            self._begin(entry)
        if self._timer is not None:
            self._timer.cancel()
        at = found.look_at
        self._timer = None if at is None else self._loop.call_at(at, self._go_on)

    def _keep_chunks(self) -> None:
        self._hold({entry.request.link.mod_id for entry in self._entries.values() if entry.holds})

    def _begin(self, entry: DownloadEntry) -> None:
        entry.state = _STATES.ACTIVE
        task = self._tasks.start(self._run(entry), name=str(entry.number))
        self._running[entry.number] = task
        task.add_done_callback(lambda _: self._ended(entry))

    def _ended(self, entry: DownloadEntry) -> None:
        self._running.pop(entry.number, None)
        if not self._ending:
            self._changed()

    async def _run(self, entry: DownloadEntry) -> None:
        request, again = entry.request, entry.begin()
        try:
            result = await self._get(
                request.link,
                request.target,
                into=request.into,
                progress=entry.tell,
                bound=request.bound,
                wait_s=request.wait_s,
                weight=entry.weight,
                again=again,
            )
        except ModswarmError as error:
            self._failed(entry, error)
        except Exception as error:
            self._failed(entry, error)
            raise
        else:
            entry.state, entry.reason = _STATES.DONE, ""
            entry.name, entry.path = result.name, result.path
            entry.settle(result)
            if entry.foreground:
                self._entries.pop(entry.number, None)  # who watched it was told

    def _failed(self, entry: DownloadEntry, error: Exception) -> None:
        """One that no peer serves now is tried again, the others wait for a person."""
        if self._ending:
            entry.settle(error)
            return
        entry.reason = str(error)
        if entry.foreground:
            self._entries.pop(entry.number, None)
        elif isinstance(error, NetworkError):
            entry.state = _STATES.WAITING
            pause_s = limits.DOWNLOAD_RETRY_S * 2**entry.tries
            entry.try_at = self._loop.time() + min(pause_s, limits.DOWNLOAD_RETRY_MAX_S)
            entry.tries += pause_s < limits.DOWNLOAD_RETRY_MAX_S
        else:
            entry.state = _STATES.FAILED
        entry.settle(error)
