"""The first phase of a download: a manifest whose SHA-256 is the mod id, from one source at a time.

A manifest is small beside its mod, and who sends a wrong one is known at once.
"""

import asyncio

from node.content.download.sources import DownloadPhase, Source, Sources
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.frames import ContentAnswer
from protocol.content.reassembly import ManifestPieces
from protocol.errors import BadManifest, Unexpected


class ManifestPhase(DownloadPhase[tuple[bytes, bytes]]):
    """One try; the result is the peer that sent it, and the bytes."""

    def __init__(self, roster: Sources) -> None:
        super().__init__()
        self._roster = roster
        self._asked: Source | None = None
        self._asked_at = 0.0
        self._pieces = ManifestPieces(0)

    def joined(self, source: Source) -> None:
        """Ask the first source."""
        if self._asked is not None or source.opened is None:
            return
        self._asked = source
        self._asked_at = asyncio.get_running_loop().time()
        self._pieces = ManifestPieces(source.opened.manifest_bytes)
        source.stream.get_manifest()

    def left(self, source: Source, *, banned: bool) -> None:
        """Ask the next one."""
        del banned
        if source is self._asked:
            self._asked = None
            for other in self._roster.opened[:1]:
                self.joined(other)

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """Collect the pieces."""
        if isinstance(answer, frames.Have):
            return
        if not isinstance(answer, frames.ManifestPiece) or source is not self._asked:
            raise Unexpected(f"{type(answer).__name__} was not asked for")
        data = self._pieces.add(answer)
        if data is not None:
            self.finish((source.peer, data))

    def reviewed(self, now: float) -> None:
        """A source that stalls is lost."""
        asked = self._asked
        if asked is not None and now - max(asked.heard, self._asked_at) > limits.STALL_S:
            self._roster.lose(asked.peer, "it stopped answering")

    def is_stuck(self, now: float) -> bool:
        """Nobody is here."""
        del now
        return not self._roster.sources


async def fetch_manifest(roster: Sources, mod_id: bytes) -> bytes:
    """The manifest's bytes; raises NoSources, or why the search for sources failed."""
    loop = asyncio.get_running_loop()
    while True:
        peer, data = await roster.run(ManifestPhase(roster))
        if await loop.run_in_executor(None, sealing.address_of, data) == mod_id:
            return data
        roster.ban(peer, BadManifest("its manifest does not hash to the mod id"))
