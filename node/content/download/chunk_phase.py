"""The second phase of a download: the missing chunks, from all sources at once, into the vault.

`protocol.content.swarm` decides which source is asked for which chunk; this carries it out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from node.content.download.phase import DownloadPhase
from node.content.download.source import Source
from node.content.download.sources import Sources
from node.content.download.writer import ChunkWriter, FindPacer
from node.content.progress import Progress, ReportProgress, SourceRate
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.frames import ContentAnswer
from protocol.content.manifests.manifest import Manifest
from protocol.content.rarity import Shuffler
from protocol.content.rate import RateMeter
from protocol.content.reassembly import ChunkPieces
from protocol.content.swarm import StallVerdict, Swarm
from protocol.errors import ChunkMismatch, Unexpected
from protocol.rates.rate_shares import RateShare

_REPORT_INTERVAL_S = 0.1
_SMOOTHED_S = 5.0
_SILENT_S = 2.0
"""What came is told as a rate of the last seconds, and as none once nothing came for so long."""


class ChunkPhase(DownloadPhase[None]):
    """Fetches chunks by number; done when the vault has them all. `write` runs beside it."""

    def __init__(
        self,
        sources: Sources,
        vault: Vault,
        manifest: Manifest,
        missing: Sequence[int],
        rng: Shuffler,
        report: ReportProgress,
        downlink: RateShare,
        hand_out: Callable[[Sequence[tuple[int, bytes]]], None],
        bytes_from: Counter[str],
        pacer: FindPacer,
    ) -> None:
        """`hand_out` gets the chunks that the vault has verified and stored, while they are in
        memory. `bytes_from` has what came so far, by the name of its source, and is added to.
        `pacer`: what paces the storing while no person waits for it.
        """
        super().__init__()
        self._sources = sources
        self._manifest = manifest
        self._lengths = manifest.sealed_lengths
        self._swarm = Swarm(self._lengths, missing, rng)
        self._downlink = downlink
        self._held_back: set[str] = set()
        """The sources that the download limits let nothing be asked of when they last could be."""
        self._writer = ChunkWriter(vault, self._stored, pacer)
        self._pieces: dict[str, ChunkPieces] = {}
        self._checked: set[str] = set()
        """Sources whose first chunk was good."""
        self._now = asyncio.get_running_loop().time
        self._progressed = self._heard = self._came = self._now()
        self._meter = RateMeter(self._now(), _SMOOTHED_S)
        self._report = report
        self._reported = self._now() - _REPORT_INTERVAL_S
        self._bytes_done = manifest.sealed_bytes - sum(self._lengths[chunk] for chunk in missing)
        self._hand_out = hand_out
        self._bytes_from = bytes_from
        self.chunks_fetched = 0
        self._handlers: dict[type[ContentAnswer], Callable[[Source, Any], None]] = {
            frames.Have: self._on_have,
            frames.ChunkPiece: self._on_piece,
            frames.Missing: self._on_missing,
            frames.Cancelled: self._on_cancelled,
        }

    async def write(self) -> None:
        """Store what comes until cancelled, then what is left; raises DiskError."""
        try:
            await self._writer.run()
        except asyncio.CancelledError:
            await self._writer.flush()
            raise

    def joined(self, source: Source) -> None:
        """Begin to ask a source."""
        complete = source.opened is not None and source.opened.complete
        self._swarm.join(source.name, self._now(), complete=complete)
        self._pieces[source.name] = ChunkPieces()
        source.stream.learn_chunks(self._lengths)
        if source.bits:
            self._swarm.holds(source.name, 0, bytes(source.bits))
        self._ask(source.name)
        self._tell()

    def left(self, source: Source, *, banned: bool) -> None:
        """Ask other sources for what was asked of this one; what it sent of a chunk is dropped."""
        self._pieces.pop(source.name, None)
        self._held_back.discard(source.name)
        if banned:
            self._swarm.ban(source.name)
        else:
            self._swarm.leave(source.name)
        self._ask_all()

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """Take a piece, or news of what a source holds; raises Unexpected."""
        handler = self._handlers.get(type(answer))
        if handler is None:
            raise Unexpected(f"{type(answer).__name__} was not asked for")
        handler(source, answer)

    def _on_have(self, source: Source, answer: frames.Have) -> None:
        self._swarm.holds(source.name, answer.first, answer.bits)
        self._ask(source.name)

    def _on_piece(self, source: Source, answer: frames.ChunkPiece) -> None:
        chunk, name = answer.chunk, source.name
        if not self._swarm.expects(name, chunk):
            raise Unexpected("a chunk that was not asked for")
        now = self._now()
        self._swarm.heard(name, len(answer.data), now)
        self._heard = self._came = now
        self._meter.add(len(answer.data), now)
        data = self._pieces[name].add(answer, self._lengths[chunk])
        if data is None:
            return
        if name not in self._checked or self._swarm.is_contested(chunk):
            # The vault checks all of them; a source that only lies is found out by its first, and
            # no lie takes the place of a chunk that another source is about to send.
            sealing.check_address(self._manifest.addresses[chunk], data)
            self._checked.add(name)
        if self._swarm.arrived(name, chunk, now):
            self._writer.add(chunk, self._manifest.addresses[chunk], data)
            self._bytes_from[name] += len(data)
            self.chunks_fetched += 1
            self._bytes_done += len(data)
            self._progressed = now
            self._sources.progressed()
        self._ask(name)
        if self._swarm.is_gathered:
            self._writer.hurry()
        self._tell(at_once=self.chunks_fetched == 1)

    def _on_missing(self, source: Source, answer: frames.Missing) -> None:
        self._swarm.lacks(source.name, answer.chunks)
        self._ask_all()

    def _on_cancelled(self, source: Source, _: frames.Cancelled) -> None:
        self._swarm.cancelled(source.name)
        self._ask(source.name)

    def reviewed(self, now: float) -> None:
        """Ask other sources for the chunks of one that stalls."""
        for name in self._swarm.sources:
            if self._sources.by_name[name].stream.waits:
                self._swarm.not_asked_yet(name, now)
        for name, verdict in self._swarm.review(now):
            if verdict is StallVerdict.SILENT:
                self._sources.lose(name, verdict.value)
            else:
                self._sources.by_name[name].stream.cancel()
        self._ask_all()
        self._tell()

    def is_stuck(self, now: float) -> bool:
        """Whether no source is left, or none of them has given a chunk for long."""
        if not self._swarm.idle:
            return False
        return not self._sources.by_name or now - self._progressed > limits.SILENT_S

    def is_starved(self) -> bool:
        """Whether no source owes a chunk, though some are missing and may be asked for."""
        return self._swarm.idle and self._swarm.left > 0 and not self._held_back

    def _ask(self, name: str) -> None:
        """Ask a source for what its window has room for, if the disk keeps up."""
        if self._writer.dirty_bytes < limits.DIRTY_BYTES:
            was_idle = self._swarm.idle
            now = self._now()
            most_bytes = self._downlink.room(name, now)
            if most_bytes == 0:
                self._held_back.add(name)
                return
            self._held_back.discard(name)
            stream = self._sources.by_name[name].stream
            chunks = self._swarm.requests(name, now, most_bytes, stream.next_chunk)
            self._downlink.spend(name, sum(self._lengths[chunk] for chunk in chunks), now)
            if chunks:
                self._heard = self._now() if was_idle else self._heard
                stream.get_chunks(tuple(chunks))

    def _ask_all(self) -> None:
        for name in self._swarm.sources:
            self._ask(name)

    def _stored(self, good: list[tuple[int, bytes]], bad: list[int]) -> None:
        """The vault has verified a batch."""
        self._hand_out(good)
        for chunk, _ in good:
            source = self._sources.by_name.get(self._swarm.stored(chunk))
            if source is not None:
                source.proves()
                source.stream.verified(self._lengths[chunk])
        for chunk in bad:
            self._bytes_done -= self._lengths[chunk]
            name = self._swarm.mismatched(chunk)
            self._bytes_from[name] -= self._lengths[chunk]
            self.chunks_fetched -= 1
            error = ChunkMismatch("a chunk's bytes do not hash to its address")
            self._sources.ban(name, error)
        self._ask_all()
        self._tell(at_once=not self._swarm.left)
        if not self._swarm.left:
            self.finish(None)

    def _tell(self, *, at_once: bool = False) -> None:
        """Report progress, not too often."""
        now = self._now()
        if now - self._reported < _REPORT_INTERVAL_S and not at_once:
            return
        self._reported = now
        self._report(self.progress())

    def progress(self) -> Progress:
        """How far it is."""
        total, now = len(self._lengths), self._now()
        rate = int(self._meter.rate(now)) if now - self._came < _SILENT_S else 0
        return Progress(
            "chunks",
            chunks_total=total,
            chunks_done=total - self._swarm.left,
            bytes_total=self._manifest.sealed_bytes,
            bytes_done=self._bytes_done,
            bytes_fetched=self._bytes_from.total(),
            sources=len(self._swarm.sources),
            bytes_per_second=rate,
            left_s=self._left_s(rate),
            rates=self._rates(now),
            silent_s=0 if self._swarm.idle else int(now - self._heard),
        )

    def _left_s(self, rate: int) -> int | None:
        left = self._manifest.sealed_bytes - self._bytes_done
        return ceil(left / rate) if rate and left > 0 else None

    def _rates(self, now: float) -> tuple[SourceRate, ...]:
        found = [(int(rate), name) for name, rate in self._swarm.rates(now).items()]
        fastest = sorted(found, key=lambda one: (-one[0], one[1]))[: limits.SOURCES_SHOWN]
        return tuple(SourceRate(name, rate) for rate, name in fastest if rate)
