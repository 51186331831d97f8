"""The first phase of a download: a manifest whose SHA-256 is the mod id, from one source at a time.

A manifest is small beside its mod, and the sender of a wrong one is known at once.
"""

import asyncio

from node.content.download.sources import DownloadPhase, Source, Sources
from protocol import limits
from protocol.content import frames, sealing
from protocol.content.frames import ContentAnswer
from protocol.content.reassembly import ManifestPieces
from protocol.errors import BadManifest, Unexpected


class ManifestPhase(DownloadPhase[tuple[str, bytes]]):
    """One try; the result is the name of the source that sent it, and the bytes."""

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
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
            for other in self._sources.opened[:1]:
                self.joined(other)

    def answered(self, source: Source, answer: ContentAnswer) -> None:
        """Collect the pieces; raises Unexpected."""
        if isinstance(answer, frames.Have):
            return
        if not isinstance(answer, frames.ManifestPiece) or source is not self._asked:
            raise Unexpected(f"{type(answer).__name__} was not asked for")
        data = self._pieces.add(answer)
        if data is not None:
            self.finish((source.name, data))

    def reviewed(self, now: float) -> None:
        """A source that stalls is lost."""
        asked = self._asked
        if asked is not None and now - max(asked.heard, self._asked_at) > limits.STALL_S:
            self._sources.lose(asked.name, "it stopped answering")

    def is_stuck(self, now: float) -> bool:
        """Whether no source is left."""
        del now
        return not self._sources.by_name


async def fetch_manifest(sources: Sources, mod_id: bytes) -> bytes:
    """The manifest's bytes; raises NoSources, or why the search for sources failed."""
    loop = asyncio.get_running_loop()
    while True:
        name, data = await sources.run(ManifestPhase(sources))
        if await loop.run_in_executor(None, sealing.address_of, data) == mod_id:
            return data
        sources.ban(name, BadManifest("its manifest does not hash to the mod id"))
