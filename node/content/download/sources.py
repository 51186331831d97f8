"""Who serves a mod that is being downloaded: found, asked to open a stream, kept, lost or banned.

What the sources are asked for is the business of the phase: first the manifest, then the chunks. A
source that breaks a rule is banned for this download, by name; one that is lost may come back.
Everything happens on the event loop, in answer to a frame or to the second hand.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from node.content.ports import LinkPort
from node.content.serve.exchange import Exchanges, Stream
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.errors import LinkClosed, ModswarmError, NoSources, RemoteError, Unexpected
from protocol.identity import peer_id_text

_log = logging.getLogger(__name__)

FindLinks = Callable[[bytes], AsyncIterator[LinkPort]]
"""Yields links to holders of a mod, by its id, as they are found; ends when there are no more."""

_REVIEW_INTERVAL_S = 1.0

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Source:
    """A peer with a stream for the mod. Phases see it once `opened` is set."""

    peer: bytes
    stream: Stream
    heard: float
    """When it last said something."""
    opened: frames.Opened | None = None
    bits: bytearray = field(default_factory=bytearray)
    """What it says it holds, if that is not all: a bit a chunk, the highest of a byte first."""

    def holds(self, have: frames.Have) -> None:
        """It says that it holds these as well."""
        start, end = have.first // 8, have.first // 8 + len(have.bits)
        self.bits.extend(bytes(max(0, end - len(self.bits))))
        held = int.from_bytes(self.bits[start:end]) | int.from_bytes(have.bits)
        self.bits[start:end] = held.to_bytes(end - start)


class DownloadPhase(Generic[_Result]):
    """What is asked of the sources now; done when `result` is."""

    def __init__(self) -> None:
        self.result: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()

    def finish(self, result: _Result) -> None:
        """The phase has what it wanted."""
        if not self.result.done():
            self.result.set_result(result)

    def joined(self, source: Source) -> None:
        """A source can be asked; raises RemoteError if what it claims is impossible."""

    def left(self, source: Source, *, banned: bool) -> None:
        """A source can no longer be asked."""

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """A source said something; raises RemoteError if it had no right to."""
        raise Unexpected(f"{type(answer).__name__} was not asked for")

    def reviewed(self, now: float) -> None:
        """A second has passed."""

    def is_stuck(self, now: float) -> bool:
        """Whether nothing more can come of the sources that are here."""
        raise NotImplementedError


class Sources:
    """The sources of one download. `find` and `review` run beside the phases."""

    def __init__(self, mod_id: bytes, exchanges: Exchanges) -> None:
        self._mod_id = mod_id
        self._exchanges = exchanges
        self._now = asyncio.get_running_loop().time
        self._phase: DownloadPhase[Any] | None = None
        self._searching = True
        self._search_error: ModswarmError | None = None
        self.sources: dict[bytes, Source] = {}
        self.banned: dict[bytes, str] = {}
        self.lost: dict[bytes, str] = {}
        """Peers that serve us no more, and why."""

    @property
    def opened(self) -> list[Source]:
        """The sources that can be asked, in the order of finding."""
        return [source for source in self.sources.values() if source.opened is not None]

    async def find(self, find_links: FindLinks) -> None:
        """Open a stream over every link to a holder that is found."""
        try:
            async for link in find_links(self._mod_id):
                self._try(link)
        except ModswarmError as error:
            self._search_error = error
        self._searching = False
        self._check_hope()

    async def review(self) -> None:
        """Notice, each second, who does not answer and what has stalled."""
        while True:
            await asyncio.sleep(_REVIEW_INTERVAL_S)
            now = self._now()
            for source in tuple(self.sources.values()):
                if source.opened is None and now - source.heard > limits.STALL_S:
                    self.lose(source.peer, "it did not answer")
            if self._phase is not None:
                self._phase.reviewed(now)
            self._check_hope()

    async def run(self, phase: DownloadPhase[_Result]) -> _Result:
        """Carry out a phase; raises NoSources, or why the search failed, if nobody can serve."""
        self._phase = phase
        try:
            for source in self.opened:
                self._join(source)
            self._check_hope()
            return await phase.result
        finally:
            self._phase = None
            if not phase.result.cancel() and not phase.result.cancelled():
                phase.result.exception()  # it may have failed while we were being cancelled

    def close(self) -> None:
        """End the streams."""
        for source in self.sources.values():
            source.stream.close()
        self.sources.clear()

    def stream_answered(self, stream: Stream, answer: ContentAnswer) -> None:
        """Take an answer; whoever breaks a rule with it is banned."""
        source = self.sources.get(stream.peer_id)
        if source is None or source.stream is not stream:
            return
        source.heard = self._now()
        try:
            self._take(source, answer)
        except RemoteError as error:
            self.ban(source.peer, error)

    def stream_lost(self, stream: Stream, reason: str) -> None:
        """The link of a source is gone."""
        self.lose(stream.peer_id, reason)

    def ban(self, peer: bytes, error: RemoteError) -> None:
        """A source broke a rule: it serves this download no more."""
        if peer not in self.banned:
            _log.warning("%s is banned from this download: %s", peer_id_text(peer), error)
            self._exchanges.refusals[error.name] += 1
            self.banned[peer] = str(error)
        self._remove(peer, banned=True)

    def lose(self, peer: bytes, reason: str) -> None:
        """A source went away."""
        if peer in self.sources:
            self.lost[peer] = reason
            self._remove(peer, banned=False)

    def _try(self, link: LinkPort) -> None:
        peer = link.peer_id
        known = self.sources.get(peer)
        if known is not None and not known.stream.is_open:
            self.lose(peer, "its link was replaced")  # it is about to tell us so
        if peer in self.banned or peer in self.sources:
            return
        try:
            stream = self._exchanges.attach(link).open(self._mod_id, self)
        except LinkClosed as error:
            self.lost[peer] = str(error)
            return
        self.sources[peer] = Source(peer, stream, self._now())
        self.lost.pop(peer, None)

    def _take(self, source: Source, answer: ContentAnswer) -> None:
        if isinstance(answer, frames.Opened):
            if source.opened is not None:
                raise Unexpected("a stream was opened twice")
            source.opened = answer
            self._join(source)
            return
        if isinstance(answer, frames.Refused):
            self.lose(source.peer, "it does not serve this mod")
            return
        if isinstance(answer, frames.Have):
            source.holds(answer)
        if self._phase is not None:
            self._phase.answered(source, answer)

    def _join(self, source: Source) -> None:
        if self._phase is None:
            return
        try:
            self._phase.joined(source)
        except RemoteError as error:
            self.ban(source.peer, error)

    def _remove(self, peer: bytes, *, banned: bool) -> None:
        source = self.sources.pop(peer, None)
        if source is None:
            return
        source.stream.close()
        if self._phase is not None and source.opened is not None:
            self._phase.left(source, banned=banned)
        self._check_hope()

    def _check_hope(self) -> None:
        """Give up when nothing can come of who is here, and nobody else will come."""
        phase = self._phase
        if self._searching or phase is None or phase.result.done():
            return
        if phase.is_stuck(self._now()):
            phase.result.set_exception(self._search_error or NoSources(self._why_not()))

    def _why_not(self) -> str:
        if self.sources:
            return "the peers that were found do not hold all of this mod"
        reasons = {**self.lost, **self.banned}
        told = "; ".join(f"{peer_id_text(peer)}: {why}" for peer, why in reasons.items())
        return "nobody serves this mod" + (f" any more ({told})" if told else "")
