"""The first phase of a download: a manifest whose SHA-256 is the mod id, from sources that race.

Nothing of a manifest is proved before its last byte. So a few sources are asked at once, those
first that announce least, short ones by chance: an announcement costs nothing. For each that is
late, or has left, one more is asked, so the race doubles while it comes to nothing: whatever a
source does, it holds up neither the others nor the download. A long manifest stands in no short
one's way. The first whole manifest that hashes to the mod id counts.

While fewer sources have been asked than may be at once, the next one is asked along with its Open,
which saves a round trip. Should it then announce one that has to wait, its stream is begun anew.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from node.content.download.phase import DownloadPhase
from node.content.download.source import Source
from node.content.download.sources import Sources
from node.content.progress import Progress
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.content.reassembly import ManifestPieces
from protocol.errors import Unexpected
from protocol.randomness import Random


@dataclass(slots=True)
class _Asked:
    """A source that was asked, and what has come of it."""

    source: Source
    pieces: ManifestPieces
    since: float
    waited_s: float = 0.0
    """How long after that it had not been asked, as other downloads came first."""
    is_late: bool = False


class ManifestPhase(DownloadPhase[bytes]):
    """The result is the manifest's bytes."""

    def __init__(self, sources: Sources, mod_id: bytes, rng: Random) -> None:
        super().__init__()
        self._sources = sources
        self._mod_id = mod_id
        self._rng = rng
        self._lots: dict[str, float] = {}
        """What decides between sources whose announcements do not."""
        self._asked: dict[str, _Asked] = {}
        self._ahead: set[str] = set()
        """Sources that were asked along with Open, and have not answered that."""
        self._failed = self._failed_bytes = 0
        """How many were asked and left, and what they had announced."""
        self._patience = 1
        self.won_by = ""
        """The name of the source whose manifest counts, once one does."""
        self._now = asyncio.get_running_loop().time

    def began(self, source: Source) -> None:
        """Ask it ahead of its answer, if so few were asked."""
        self._ahead.intersection_update(self._unopened())
        self._ahead.discard(source.name)
        running = sum(not one.is_late for one in self._asked.values())
        if running + len(self._ahead) < limits.MANIFESTS_RACED:
            self._ahead.add(source.name)
            source.stream.get_manifest()

    def _unopened(self) -> Iterator[str]:
        return (name for name, one in self._sources.by_name.items() if one.opened is None)

    def joined(self, source: Source) -> None:
        """Ask it, if it is its turn; what was asked of it before counts if it would be now."""
        now, length = self._now(), _announced(source)
        self._lots[source.name] = self._rng.random()
        if source.name in self._ahead:
            self._ahead.discard(source.name)
            if _is_long(length) or not self._may_race(length):
                self._sources.begin_anew(source)
            else:
                self._expect(source, now)
        self._ask(now)

    def left(self, source: Source, *, banned: bool) -> None:
        """Ask others."""
        del banned
        asked = self._asked.pop(source.name, None)
        if asked is not None:
            self._failed += 1
            self._failed_bytes += asked.pieces.length
        self._ask(self._now())

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """Collect the pieces; raises Unexpected, BadManifest."""
        if isinstance(answer, frames.Have):
            return
        asked = self._asked.get(source.name)
        if not isinstance(answer, frames.ManifestPiece) or asked is None:
            raise Unexpected(f"{type(answer).__name__} was not asked for")
        data = asked.pieces.add(answer)
        if data is not None:
            self._end(source)
            self.finish(data)

    def _end(self, winner: Source) -> None:
        """Let what the others still send of the manifest come to nothing."""
        winner.proves()
        self.won_by = winner.name
        for asked in self._asked.values():
            asked.source.lost_the_race(asked.pieces.left)
        for name in self._ahead.intersection(self._unopened()):
            self._sources.by_name[name].lost_the_race(limits.MANIFEST_BYTES)

    def reviewed(self, now: float) -> None:
        """Ask more sources if some are late; sources that take far too long are lost."""
        for asked in tuple(self._asked.values()):
            age, length = now - asked.since, asked.pieces.length
            came = length - asked.pieces.left
            late_s = limits.LATE_S + came / limits.LATE_BYTES_PER_SECOND
            asked.is_late = age > self._patience * late_s
            asked.source.judge(late=asked.is_late)
            if asked.source.stream.waits:
                asked.waited_s = age
            elif age - asked.waited_s > limits.SILENT_S + length / limits.LEAST_BYTES_PER_SECOND:
                self._sources.lose(asked.source.name, "its manifest did not come in time")
        self._ask(now)

    def is_stuck(self, now: float) -> bool:
        """Whether no source is left."""
        del now
        return not self._sources.by_name

    def is_starved(self) -> bool:
        """Whether no source is left."""
        return not self._sources.by_name

    def progress(self) -> Progress:
        """That it is under way."""
        return Progress("manifest", sources=len(self._sources.opened))

    def _ask(self, now: float) -> None:
        """Ask sources that were not, as many as may be asked at once."""
        for source in sorted(self._sources.opened, key=self._turn):
            if source.name in self._asked or not _has_waited(source, now):
                continue
            if not self._may_race(_announced(source)):
                return
            self._expect(source, now)
            source.stream.get_manifest()

    def _expect(self, source: Source, now: float) -> None:
        pieces = ManifestPieces(self._mod_id, _announced(source))
        self._asked[source.name] = _Asked(source, pieces, now)

    def _turn(self, source: Source) -> tuple[int, float]:
        """What sorts sources: first those that announce least, short ones by chance."""
        return max(_announced(source), limits.MANIFEST_SHORT_BYTES), self._lots[source.name]

    def _may_race(self, length: int) -> bool:
        """Whether one more source may be asked; asks it if memory alone was in the way."""
        rivals = [
            one
            for one in self._asked.values()
            if _is_long(length) or not _is_long(one.pieces.length)
        ]
        running = [one.pieces.length for one in rivals if not one.is_late]
        late = [one for one in rivals if one.is_late]
        late_bytes = sum(one.pieces.length for one in late)
        if running and (
            len(running) >= limits.MANIFESTS_RACED + len(late) + self._failed
            or sum(running) + length > limits.MANIFEST_RACE_BYTES + late_bytes + self._failed_bytes
        ):
            return False
        if sum(running) + length + late_bytes <= limits.MANIFESTS_GATHERED_BYTES:
            return True
        if late:
            self._patience *= 2  # so that a slow line gets through in the end
            slowest = max(late, key=lambda one: one.pieces.left).source.name
            self._sources.lose(slowest, "it was too slow with a long manifest")
        return False  # but `left` has asked on


def _announced(source: Source) -> int:
    return source.opened.manifest_bytes if source.opened is not None else 0


def _is_long(length: int) -> bool:
    return length > limits.MANIFEST_RACE_BYTES


def _has_waited(source: Source, now: float) -> bool:
    """Whether a source may be asked, which announces much only after others could announce less."""
    length = _announced(source)
    wait_s = length / limits.MANIFEST_WAIT_BYTES_PER_SECOND
    return not _is_long(length) or now - source.opened_at >= wait_s
