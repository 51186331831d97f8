"""One download of the queue: what was asked for, how far it is, who watches it."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from node.answers.downloads import DownloadState, DownloadView, Priority
from node.answers.mods import GetResult
from node.content.download.bounds import SizeBound
from node.content.progress import Progress, ReportProgress
from protocol import limits
from protocol.content.link import ModLink

WEIGHTS: Final = {Priority.HIGH: 16, Priority.NORMAL: 4, Priority.LOW: 1}
"""Under a download limit one of a priority gets four times what one of the next gets."""


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """What a person wants: the mod of `link` as the folder `target`, or by its name below `into`.

    Exactly one of these two is set. `priority` None: normal, or as it was given before. The other
    fields are as in `Sharing.get`.
    """

    link: ModLink
    target: Path | None = None
    into: Path | None = None
    bound: SizeBound = field(default_factory=SizeBound)
    wait_s: float = limits.GET_WAIT_S
    priority: Priority | None = None

    @property
    def place(self) -> Path:
        """The folder that was named."""
        place = self.target or self.into
        assert place is not None
        return place

    def is_for_same(self, other: "DownloadRequest") -> bool:
        """Whether both want one mod in one place."""
        return (self.link.mod_id, self.target, self.into) == (
            *(other.link.mod_id, other.target, other.into),
        )


@dataclass(eq=False, slots=True)
class DownloadEntry:
    """A download and its state. `foreground`: it ends with the command that watches it."""

    number: int
    request: DownloadRequest
    added: float
    state: DownloadState = DownloadState.WAITING
    reason: str = ""
    name: str = ""
    path: str = ""
    foreground: bool = False
    by_get: bool = False
    """Whether it began with a command that watched it, so that it ends with one that does again."""
    has_begun: bool = False
    """Whether it may be written already, by one that was broken off before it could note so."""
    tries: int = 0
    try_at: float = 0.0
    """On the loop's clock."""
    progress: Progress | None = None
    watchers: list[ReportProgress] = field(default_factory=list)
    ended: "asyncio.Future[GetResult]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def is_unfinished(self) -> bool:
        """Whether it is to go on, now or once a person says so."""
        return self.state not in (DownloadState.DONE, DownloadState.FAILED)

    @property
    def holds(self) -> bool:
        """Whether what came of it is to stay: it goes on from there, now or once it is resumed."""
        return self.state is not DownloadState.DONE

    @property
    def priority(self) -> Priority:
        """As a person gave it."""
        return self.request.priority or Priority.NORMAL

    @property
    def lacks_chunks(self) -> bool:
        """Whether there is more to do than to write the files of what is here."""
        told = self.progress
        if told is None or told.stage != "chunks":
            return told is None or told.stage != "files"
        return told.bytes_done < told.bytes_total

    def tell(self, progress: Progress) -> None:
        """Let those who watch it know."""
        self.progress = progress
        for watcher in tuple(self.watchers):
            watcher(progress)

    def rest(self, stage: str) -> None:
        """Let those who watch it know that nothing comes, and why."""
        self.tell((self.progress or Progress(stage)).resting(stage))

    def weight(self) -> int:
        """Its part of the download limit, by those of others."""
        return WEIGHTS[self.priority]

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """What raises inside leaves what a person may say of it as it was."""
        before = (self.request, self.state, self.foreground, self.by_get)
        tries = self.tries, self.try_at
        try:
            yield
        except BaseException:
            self.request, self.state, self.foreground, self.by_get = before
            self.tries, self.try_at = tries
            raise

    def begin(self) -> bool:
        """Note that it begins; whether it has before."""
        before, self.has_begun = self.has_begun, True
        return before

    def prefer(self, priority: Priority | None) -> None:
        """Change its place in the order, if one is given."""
        if priority is not None:
            self.request = replace(self.request, priority=priority)

    def settle(self, result: GetResult | BaseException) -> None:
        """Let those who watch it have its result or why there is none; what comes next is new."""
        ended, self.ended = self.ended, asyncio.get_running_loop().create_future()
        if isinstance(result, BaseException):
            ended.set_exception(result)
            ended.exception()  # retrieved, as perhaps no command watches
        else:
            ended.set_result(result)

    def view(self, now: float) -> DownloadView:
        """What is told of it. `now` is the loop's clock."""
        waits = self.state is DownloadState.WAITING and self.try_at > now
        return DownloadView(
            id=self.number,
            mod_id=self.request.link.mod_id,
            name=self.name,
            place=self.path or str(self.request.place),
            state=self.state,
            priority=self.priority,
            watched=bool(self.watchers),
            added=self.added,
            progress=self.progress,
            reason=self.reason,
            retry_s=self.try_at - now if waits else None,
        )
