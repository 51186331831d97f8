"""From a modswarm link to a complete mod in the vault: the manifest, then the missing chunks.

What the vault has is never fetched again, so a download that was cut short goes on where it was.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from node.content.download.chunk_phase import ChunkPhase
from node.content.download.chunk_source import FindSources
from node.content.download.manifest_phase import ManifestPhase
from node.content.download.sources import Sources
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content import manifest as manifests
from protocol.content.link import ModLink
from protocol.content.manifest import Contents, Manifest


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


class _Accepted(NamedTuple):
    manifest: Manifest
    contents: Contents | None
    missing: list[int]


class Downloader:
    """Fetches mods into a vault. Several downloads may run at once, not two of one mod."""

    def __init__(self, vault: Vault, environment: Environment) -> None:
        self._vault = vault
        self._environment = environment
        self.refusals: Counter[str] = Counter()
        """How often sources broke which rule, by the error's name."""

    async def download(
        self, link: ModLink, find_sources: FindSources, report: ReportProgress = ignore_progress
    ) -> DownloadResult:
        """Fetch what the vault lacks of a mod; when this returns the vault has all of it.

        `find_sources` is asked only if something is missing. Raises NoSources (or the error of
        `find_sources`), BadManifest if the mod itself is bad or does not open, DiskError.
        """
        known = await self._vault.get(link.mod_id)
        accepted = None if known is None else await self._accept(link, known)
        if accepted is not None and not accepted.missing:
            return DownloadResult(accepted.manifest, accepted.contents)
        report(Progress("finding"))
        sources = Sources(link.mod_id, self.refusals)
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(sources.find(find_sources)),
                    group.create_task(sources.review()),
                ]
                if accepted is None:
                    data = await sources.run(ManifestPhase(sources, link.mod_id))
                    accepted = await self._accept(link, data)
                phase = ChunkPhase(
                    *(sources, self._vault, accepted.manifest, accepted.missing),
                    *(self._environment.rng, report),
                )
                if accepted.missing:
                    helpers.append(group.create_task(phase.write()))
                    await sources.run(phase)
                for helper in helpers:
                    helper.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            sources.close()
        return DownloadResult(
            *(accepted.manifest, accepted.contents, phase.chunks_fetched),
            *(phase.bytes_from.total(), dict(phase.bytes_from), dict(sources.banned)),
        )

    async def _accept(self, link: ModLink, data: bytes) -> _Accepted:
        """Record the mod of a manifest; raises BadManifest."""
        stored = await self._vault.mod(link.mod_id)
        content_key = link.content_key or (stored.content_key if stored else None)
        manifest, contents = await asyncio.get_running_loop().run_in_executor(
            None, _open, data, content_key
        )
        mod = StoredMod(
            manifest.mod_id,
            content_key,
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
        return _Accepted(manifest, contents, await self._vault.missing(link.mod_id))


def _open(data: bytes, content_key: bytes | None) -> tuple[Manifest, Contents | None]:
    manifest = manifests.decode_manifest(data)
    if content_key is None:
        return manifest, None
    return manifest, manifests.open_contents(manifest, content_key)
