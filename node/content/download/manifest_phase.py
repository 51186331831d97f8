"""The first phase of a download: a manifest whose SHA-256 is the mod id, from sources that race.

Nothing of a manifest is proved before its last byte. So a few sources are asked at once, those
first that announce least, and more as soon as these are late: whatever a source does, it holds up
neither the others nor the download. The first whole manifest that hashes to the mod id counts.
"""

import asyncio
from dataclasses import dataclass

from node.content.download.sources import DownloadPhase, Source, Sources
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.content.reassembly import ManifestPieces
from protocol.errors import Unexpected


@dataclass(slots=True)
class _Asked:
    """A source that was asked, and what has come of it."""

    source: Source
    pieces: ManifestPieces
    since: float
    is_late: bool = False


class ManifestPhase(DownloadPhase[bytes]):
    """The result is the manifest's bytes."""

    def __init__(self, sources: Sources, mod_id: bytes) -> None:
        super().__init__()
        self._sources = sources
        self._mod_id = mod_id
        self._asked: dict[str, _Asked] = {}
        self._patience = 1
        self._now = asyncio.get_running_loop().time

    def joined(self, source: Source) -> None:
        """Ask it, if it is its turn."""
        del source
        self._ask(self._now())

    def left(self, source: Source, *, banned: bool) -> None:
        """Ask others."""
        del banned
        self._asked.pop(source.name, None)
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
        for asked in self._asked.values():
            asked.source.lost_the_race(asked.pieces.left)

    def reviewed(self, now: float) -> None:
        """Ask more sources if some are late; sources that take far too long are lost."""
        for asked in tuple(self._asked.values()):
            age, length = now - asked.since, asked.pieces.length
            late_s = limits.LATE_S + length / limits.LATE_BYTES_PER_SECOND
            asked.is_late = age > self._patience * late_s
            asked.source.judge(late=asked.is_late)
            if age > limits.SILENT_S + length / limits.LEAST_BYTES_PER_SECOND:
                self._sources.lose(asked.source.name, "its manifest did not come in time")
        self._ask(now)

    def is_stuck(self, now: float) -> bool:
        """Whether no source is left."""
        del now
        return not self._sources.by_name

    def _ask(self, now: float) -> None:
        """Ask sources that were not, as many as may be asked at once."""
        for source in sorted(self._sources.opened, key=_announced):
            if source.name in self._asked or not _has_waited(source, now):
                continue
            if not self._may_race(_announced(source)):
                return
            pieces = ManifestPieces(self._mod_id, _announced(source))
            self._asked[source.name] = _Asked(source, pieces, now)
            source.stream.get_manifest()

    def _may_race(self, length: int) -> bool:
        """Whether one more source may be asked; makes room for it if memory alone is in the way."""
        running = [one.pieces.length for one in self._asked.values() if not one.is_late]
        late = [one for one in self._asked.values() if one.is_late]
        if running and (
            len(running) >= limits.MANIFESTS_RACED + len(late)
            or sum(running) + length > limits.MANIFEST_RACE_BYTES
        ):
            return False
        while late and sum(running) + length > limits.MANIFESTS_GATHERED_BYTES - sum(
            one.pieces.length for one in late
        ):
            slowest = max(late, key=lambda one: one.pieces.left)
            late.remove(slowest)
            self._patience *= 2  # so that a slow line gets through in the end
            del self._asked[slowest.source.name]
            self._sources.lose(slowest.source.name, "it was too slow with a long manifest")
        return True


def _announced(source: Source) -> int:
    return source.opened.manifest_bytes if source.opened is not None else 0


def _has_waited(source: Source, now: float) -> bool:
    """Whether a source may be asked, which announces much only after others could announce less."""
    length = _announced(source)
    wait_s = length / limits.MANIFEST_WAIT_BYTES_PER_SECOND
    return length <= limits.MANIFEST_RACE_BYTES or now - source.opened_at >= wait_s
