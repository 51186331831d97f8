"""From a modswarm link to a complete mod in the vault: the manifest, then the missing chunks.

What the vault has is never fetched again, so a download that was cut short goes on where it was.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from node.content.download.bounds import SizeBound
from node.content.download.chunk_phase import ChunkPhase
from node.content.download.chunk_source import FindSources
from node.content.download.manifest_phase import ManifestPhase
from node.content.download.patience import Patience
from node.content.download.sources import Sources
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol import limits
from protocol.content.link import ModLink
from protocol.content.manifest import Contents, Manifest

_NO_BOUND = SizeBound(limits.MOD_BYTES, agreed=True)
_NO_PATIENCE = Patience()


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What a download did. `contents` is None if the content key is unknown."""

    manifest: Manifest
    contents: Contents | None
    chunks_fetched: int = 0
    bytes_fetched: int = 0
    """Sealed bytes of whole chunks, in this run."""
    bytes_from: dict[str, int] = field(default_factory=dict)
    """The same by the name of the source."""
    banned: dict[str, str] = field(default_factory=dict)
    """Sources that broke a rule, by name, and which."""


class Downloader:
    """Fetches mods into a vault. Several downloads may run at once, not two of one mod."""

    def __init__(self, vault: Vault, environment: Environment, opened: OpenedMods) -> None:
        self._vault = vault
        self._environment = environment
        self._opened = opened
        self.refusals: Counter[str] = Counter()
        """How often sources broke which rule, by the error's name."""

    async def look(
        self,
        link: ModLink,
        find_sources: FindSources,
        report: ReportProgress = ignore_progress,
        patience: Patience = _NO_PATIENCE,
    ) -> OpenedMod:
        """A mod's manifest and contents, of which the vault learns nothing. Raises as `download`.

        A download that follows soon does not fetch or read them again.
        """
        known = await self._known(link)
        if known is not None:
            return known
        report(Progress("finding"))
        async with self._searching(link, find_sources, report, patience) as (sources, _):
            return await self._fetch(link, sources, report)

    async def download(
        self,
        link: ModLink,
        find_sources: FindSources,
        report: ReportProgress = ignore_progress,
        bound: SizeBound = _NO_BOUND,
        patience: Patience = _NO_PATIENCE,
    ) -> DownloadResult:
        """Fetch what the vault lacks of a mod; when this returns the vault has all of it.

        `find_sources` is asked only if something is missing, and again while it is. Raises
        NoSources (or the error of `find_sources`), BadManifest if the mod itself is bad or does
        not open, TooLarge beyond the bound, of which the vault keeps nothing, DiskError.
        """
        opened = await self._known(link)
        if opened is not None:
            missing = await self._accept(link, opened, bound)
            if not missing:
                return DownloadResult(opened.manifest, opened.contents)
        report(Progress("finding"))
        async with self._searching(link, find_sources, report, patience) as (sources, beside):
            if opened is None:
                opened = await self._fetch(link, sources, report)
                missing = await self._accept(link, opened, bound)
            phase = ChunkPhase(
                *(sources, self._vault, opened.manifest, missing),
                *(self._environment.rng, report),
            )
            if missing:
                beside(phase.write())
                await sources.run(phase)
        return DownloadResult(
            *(opened.manifest, opened.contents, phase.chunks_fetched),
            *(phase.bytes_from.total(), dict(+phase.bytes_from), dict(sources.banned)),
        )

    @contextlib.asynccontextmanager
    async def _searching(
        self, link: ModLink, find_sources: FindSources, report: ReportProgress, patience: Patience
    ) -> AsyncIterator[tuple[Sources, Callable[[Coroutine[Any, Any, None]], None]]]:
        """Sources that are found and reviewed while inside, and what starts more work beside."""
        sources = Sources(link.mod_id, self.refusals, find_sources, patience, report)
        try:
            async with asyncio.TaskGroup() as group:
                helpers: list[asyncio.Task[None]] = []

                def beside(work: Coroutine[Any, Any, None]) -> None:
                    helpers.append(group.create_task(work))

                for work in (sources.find(), sources.review(), sources.watch_moves()):
                    beside(work)
                yield sources, beside
                for helper in helpers:
                    helper.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            sources.close()

    async def _key(self, link: ModLink) -> bytes | None:
        stored = await self._vault.mod(link.mod_id)
        return link.content_key or (stored.content_key if stored else None)

    async def _known(self, link: ModLink) -> OpenedMod | None:
        """A mod whose manifest is here."""
        content_key = await self._key(link)
        data = await self._vault.get(link.mod_id)
        if data is None:
            return self._opened.known(link.mod_id, content_key)
        return await self._opened.open(link.mod_id, data, content_key)

    async def _fetch(self, link: ModLink, sources: Sources, report: ReportProgress) -> OpenedMod:
        phase = ManifestPhase(sources, link.mod_id, self._environment.rng)
        data = await sources.run(phase)
        report(Progress("manifest"))
        return await self._opened.open(link.mod_id, data, await self._key(link))

    async def _accept(self, link: ModLink, opened: OpenedMod, bound: SizeBound) -> list[int]:
        """Record a mod; the numbers of the chunks that are missing. Raises TooLarge."""
        bound.check(opened)
        manifest, contents = opened
        mod = StoredMod(
            manifest.mod_id,
            await self._key(link),
            contents.name if contents else "",
            contents.version if contents else "",
            len(contents.files) if contents else 0,
            contents.total_bytes if contents else 0,
            manifest.sealed_bytes,
            len(manifest.addresses),
            published=False,
            added=self._environment.wall(),
        )
        await self._vault.add_mod(mod, manifest)
        return await self._vault.missing(link.mod_id)
