"""The sources of a mod that is being downloaded: found, asked for a stream, kept, lost or banned.

The phase decides what the sources are asked for: first the manifest, then the chunks. A source that
breaks a rule is banned for this download, by name; one that is lost may come back. Everything
happens on the event loop, when an answer comes or several times a second.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from node.content.download.chunk_source import ChunkSource, ChunkStream, FindSources
from node.content.download.patience import Patience, SearchRounds, Waiting
from node.content.download.phase import DownloadPhase
from node.content.download.reasons import NAMES_TOLD, tell_reasons
from node.content.download.source import Source
from node.content.progress import Progress, ReportProgress
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.errors import (
    NetworkError,
    NoSources,
    RemoteError,
    Unexpected,
)
from protocol.rates.rate_shares import alike

_log = logging.getLogger(__name__)

_REVIEW_INTERVAL_S = 0.25
_Result = TypeVar("_Result")


class Sources:
    """The sources of one download. `find`, `review` and `watch_moves` run beside the phases."""

    def __init__(
        self,
        mod_id: bytes,
        refusals: Counter[str],
        find_sources: FindSources,
        wait_s: Callable[[], float],
        patience: Patience,
        report: ReportProgress,
        weight: Callable[[], int] = alike,
    ) -> None:
        """`refusals` counts broken rules by the error's name.

        `weight`: the part of this download, where downloads share something scarce.
        """
        self.weight = weight
        self._refusals = refusals
        self._mod_id = mod_id
        self._now = asyncio.get_running_loop().time
        self._report = report
        self._phase: DownloadPhase[Any] | None = None
        self._rounds = SearchRounds(find_sources, mod_id, patience.look_up)
        self._patience = patience
        self._waiting = Waiting(wait_s)
        self._told_left_s = -1
        self._told_unanswered = 0
        self.by_name: dict[str, Source] = {}
        self.banned: dict[str, str] = {}
        self.lost: dict[str, str] = {}
        """Sources that went away, by name, and why."""
        self._unheard = False
        """Whether a link was lost before its source had answered anything, as datagrams may be."""

    @property
    def opened(self) -> list[Source]:
        """The sources that can be asked, in the order of finding."""
        return [source for source in self.by_name.values() if source.opened is not None]

    async def find(self) -> None:
        """Open a stream at every source that is found, now and later."""
        await self._rounds.run(self._try, self._give_up_if_hopeless)

    async def watch_moves(self) -> None:
        """Search anew each time this node's network has changed, or its machine slept."""
        while True:
            await self._patience.until_moved()
            self._rounds.search_anew()

    async def watch_names(self) -> None:
        """Search besides each time that peers are known of whom sources told, or who came."""
        while True:
            await self._patience.until_named()
            self._rounds.call_named()

    def progressed(self) -> None:
        """Something that was asked for has come."""
        self._waiting.progressed()

    def search_anew(self) -> None:
        """Search now: it may be looked up sooner than before."""
        self._rounds.search_anew()

    async def review(self) -> None:
        """Lose, every moment, the sources that did not answer; let the phase see what stalled."""
        while True:
            await asyncio.sleep(_REVIEW_INTERVAL_S)
            now = self._now()
            for source in tuple(self.by_name.values()):
                if source.stream.waits:
                    source.not_asked_yet(now)
                if source.is_unanswering(now):
                    self.lose(source.name, "it did not answer")
            if self._phase is not None:
                self._phase.reviewed(now)
            self._tell_unanswered()
            self._give_up_if_hopeless()

    def _tell_unanswered(self) -> None:
        """Say how many were asked, while none of all sources has answered."""
        count = 0 if self.opened or self.lost else len(self.by_name)
        if count != self._told_unanswered:
            self._told_unanswered = count
            if count:
                self._report(Progress("finding", unanswered=count))

    async def run(self, phase: DownloadPhase[_Result]) -> _Result:
        """Carry out a phase; raises NoSources, or why the search failed, if no source can serve."""
        self._phase = phase
        self._waiting.progressed()
        try:
            for source in sorted(self.opened, key=_doubt):
                self._join(source)
            self._give_up_if_hopeless()
            return await phase.result
        finally:
            self._phase = None
            if not phase.result.cancel() and not phase.result.cancelled():
                phase.result.exception()  # it may have failed while we were being cancelled

    def close(self) -> None:
        """End the streams."""
        for source in self.by_name.values():
            source.stream.close()
        self.by_name.clear()

    def stream_answered(self, stream: ChunkStream, answer: ContentAnswer) -> None:
        """Take an answer; a source that breaks a rule with it is banned."""
        source = self._source_of(stream)
        if source is None:
            return
        try:
            self._take(source, answer)
        except RemoteError as error:
            self.ban(source.name, error)

    def stream_lost(self, stream: ChunkStream, reason: str) -> None:
        """The stream of a source is gone."""
        source = self._source_of(stream)
        if source is not None:
            self.lose(source.name, reason, link_lost=not stream.is_open)

    def ban(self, name: str, error: RemoteError) -> None:
        """A source broke a rule: it serves this download no more."""
        if name not in self.banned:
            _log.warning("%s is banned from this download: %s", name, error)
            self._refusals[error.name] += 1
            self.banned[name] = str(error)
        self._remove(name, banned=True)

    def lose(self, name: str, reason: str, *, link_lost: bool = False) -> None:
        """A source went away. It is waited for if it has served, or had begun and lost its link."""
        source = self.by_name.get(name)
        if source is not None:
            self.lost[name] = reason
            self._unheard = self._unheard or (link_lost and source.opened is None)
            if source.is_proved or (link_lost and source.opened is not None):
                self._waiting.lost[name] = reason
                _log.info("%s is lost to this download: %s", name, reason)
            self._remove(name, banned=False)

    def _refused(self, source: Source) -> None:
        """A source says that it does not serve the mod: it is not waited for."""
        self.lost[source.name] = "it does not serve this mod"
        self._waiting.lost.pop(source.name, None)
        self._remove(source.name, banned=False)

    def _source_of(self, stream: ChunkStream) -> Source | None:
        source = self.by_name.get(stream.name)
        return source if source is not None and source.stream is stream else None

    def _try(self, found: ChunkSource) -> None:
        name = found.name
        known = self.by_name.get(name)
        if known is not None and not known.stream.is_open:
            self.lose(name, "its link was replaced", link_lost=True)  # before its loss is told
        if name in self.banned or name in self.by_name:
            return
        try:
            stream = found.open(self._mod_id, self)
        except NetworkError as error:
            self.lost[name] = str(error)
            return
        source = self.by_name[name] = Source(found, stream, self._now())
        self.lost.pop(name, None)
        if self._phase is not None:
            self._phase.began(source)

    def _take(self, source: Source, answer: ContentAnswer) -> None:
        if isinstance(answer, frames.Opened):
            self._opened(source, answer)
            return
        if isinstance(answer, frames.Refused):
            self._refused(source)
            return
        if source.opened is None:
            raise Unexpected("an answer on a stream that was not opened")
        if isinstance(answer, frames.Peers):
            return  # its stream has told the search
        if isinstance(answer, frames.Have):
            source.holds(answer)
        if isinstance(answer, frames.ManifestPiece) and source.takes_late_manifest(answer):
            return
        if self._phase is not None:
            self._phase.answered(source, answer)

    def _opened(self, source: Source, answer: frames.Opened) -> None:
        if source.opened is not None:
            raise Unexpected("a stream was opened twice")
        if source.manifest_left and answer.manifest_bytes > limits.MANIFEST_SHORT_BYTES:
            self.begin_anew(source)  # another was faster, and this would be many bytes in vain
            return
        source.opens(answer, self._now())
        self._waiting.lost.pop(source.name, None)
        self._join(source)
        self._give_up_if_hopeless()

    def begin_anew(self, source: Source) -> None:
        """End the stream of a source and open another: what was asked for on it is not wanted."""
        source.stream.close()
        try:
            stream = source.found.open(self._mod_id, self)
        except NetworkError as error:
            self.lose(source.name, str(error))
            return
        self.by_name[source.name] = Source(source.found, stream, self._now())

    def _join(self, source: Source) -> None:
        if self._phase is None:
            return
        try:
            self._phase.joined(source)
        except RemoteError as error:
            self.ban(source.name, error)

    def _remove(self, name: str, *, banned: bool) -> None:
        source = self.by_name.pop(name, None)
        if source is None:
            return
        source.stream.abandon(for_good=banned)
        if self._phase is not None and source.opened is not None:
            self._phase.left(source, banned=banned)
        self._give_up_if_hopeless()

    def _give_up_if_hopeless(self) -> None:
        """Give up when no source can serve what is missing, none is waited for, and the search has
        ended.
        """
        phase, now = self._phase, self._now()
        if phase is None or phase.result.done():
            return
        is_starved = phase.is_starved()
        self._rounds.settle(served=not is_starved)
        if not is_starved:
            return
        if self._waiting.begin(now) and self._waiting.lost:
            self._rounds.search_anew()
        left_s = self._waiting.left_s(now)
        if left_s > 0:
            self._tell_waiting(phase, left_s)
            return
        is_over = self._waiting.is_over(now)
        if (self._rounds.searching and not is_over) or not phase.is_stuck(now):
            return
        if self._rounds.is_early and not is_over:
            return
        if not is_over and self._is_settling(now):
            return
        if is_over or not self._unheard or not self._rounds.search_once_more():
            phase.result.set_exception(self.why_not())

    def _is_settling(self, now: float) -> bool:
        """Whether others may still come up, as this node has; then search again, and say so."""
        left_s = self._patience.settles_at() - now
        if left_s <= 0:
            return False
        self._rounds.search_anew()
        self._report(Progress("finding", wait_left_s=round(left_s, 1)))
        return True

    def _tell_waiting(self, phase: DownloadPhase[Any], left_s: float) -> None:
        """Say whom the download waits for, how long still, and what it has: once a second."""
        if int(left_s) == self._told_left_s:
            return
        self._told_left_s = int(left_s)
        names = tuple(self._waiting.lost)[:NAMES_TOLD]
        self._report(
            replace(
                phase.progress(),
                stage="waiting",
                waiting_for=names,
                lost=len(self._waiting.lost),
                wait_left_s=round(left_s, 1),
            )
        )

    def why_not(self) -> NetworkError:
        """Why nothing comes, and what is kept."""
        error, now = self._rounds.error, self._now()
        kept = self._phase.progress() if self._phase is not None else Progress("chunks")
        if not self._waiting.lost and isinstance(error, NetworkError):
            return self._with_origins(error)
        if self.by_name:
            return NoSources("the sources that were found do not hold all of this mod")
        told = tell_reasons({**self.lost, **self.banned})
        text = "no source serves this mod" + (" any more" if self._waiting.lost else "")
        text += f" ({told})" if told else ""
        waited_s = self._waiting.waited_s(now)
        if self._waiting.lost and waited_s >= 1:
            text += f"; {waited_s:.0f} s were waited for one"
        if kept.bytes_done:
            text += f"; {kept.kept()}"
        cause = error.cause if isinstance(error, NetworkError) else None
        return NoSources(text, cause=cause)

    def _with_origins(self, error: NetworkError) -> NetworkError:
        """Why no peer serves, and why no origin does: their names are URLs."""
        told = {name: why for name, why in (self.lost | self.banned).items() if "/" in name}
        note = tell_reasons(told)
        if told and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        return error


def _doubt(source: Source) -> tuple[bool, bool]:
    """What sorts sources: first those that have served, last those that are late."""
    return source.is_late, not source.is_proved
