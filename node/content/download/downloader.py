"""From a modswarm link to a complete mod in the vault: the manifest, then the missing chunks.

What the vault has is never fetched again, so a download that was cut short goes on where it was.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from node.content.download.bounds import SizeBound
from node.content.download.chunk_source import FindSources
from node.content.download.fetch import Fetch, FetchParts, Member, TakeChunks, ignore_chunks
from node.content.download.patience import Patience
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.patching.patches import Patches, PatchTaker
from node.content.progress import ReportProgress, ignore_progress
from node.content.rates.background import BackgroundPacer
from node.content.room import RoomBook
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from node.environment import Environment
from node.tasks import TaskOwner
from protocol import limits
from protocol.content.link import ModLink
from protocol.content.manifests.contents import Contents
from protocol.content.manifests.manifest import Manifest
from protocol.errors import DownloadCancelled
from protocol.identity import base32_text
from protocol.rates.rate_shares import RateShares, alike
from protocol.rates.transfer_rate import TransferRate

_NO_BOUND = SizeBound(limits.MOD_BYTES, agreed=True)
_NO_PATIENCE = Patience()
REMOVED = "this mod was removed while it was fetched; get it again"
_INDEX_PART = 64
"""Of the bytes of chunks one in so many is needed besides, for the index."""


class ChunkTaker(Protocol):
    """What a download is for."""

    async def accept(self, opened: OpenedMod) -> None:
        """See the mod before the vault learns of it; raises why it is not wanted."""

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """Sealed chunks that came and that the vault has now, by number; must return at once.

        Not all of them: those before `accept`, or that the vault had, come by no `take`.
        """


class AnyMod:
    """A ChunkTaker of mods that are to be in the vault, and nowhere else."""

    async def accept(self, opened: OpenedMod) -> None:
        """Any mod may come."""

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """They are in the vault."""


ANY_MOD = AnyMod()

FindPatch = Callable[[ModLink], FindSources]
"""Begins a search for the holders of a patch, by its link."""


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What a download did. `contents` is None if the content key is unknown."""

    manifest: Manifest
    contents: Contents | None
    chunks_fetched: int = 0
    bytes_fetched: int = 0
    """Bytes of the manifest and of whole sealed chunks, in this run."""
    bytes_from: dict[str, int] = field(default_factory=dict)
    """The same by the name of the source."""
    banned: dict[str, str] = field(default_factory=dict)
    """Sources that broke a rule, by name, and which."""
    found_by: FindSources | None = field(default=None, compare=False)
    """The search that found the sources, maybe another download's; None if none was needed."""

    def and_then(self, more: "DownloadResult") -> "DownloadResult":
        """What this one and a later one of the same mod did together."""
        return replace(
            self,
            chunks_fetched=self.chunks_fetched + more.chunks_fetched,
            bytes_fetched=self.bytes_fetched + more.bytes_fetched,
            bytes_from=dict(Counter(self.bytes_from) + Counter(more.bytes_from)),
            banned=self.banned | more.banned,
            found_by=self.found_by or more.found_by,
        )


class Downloader:
    """Fetches mods into a vault. Downloads of one mod at the same time are one fetch."""

    def __init__(
        self,
        vault: Vault,
        environment: Environment,
        opened: OpenedMods,
        room: RoomBook | None = None,
        downlink: TransferRate | None = None,
    ) -> None:
        self._vault = vault
        self._environment = environment
        self._opened = opened
        self._room = room or RoomBook()
        self._patches = Patches(vault, opened, self._room)
        self.refusals: Counter[str] = Counter()
        """How often sources broke which rule, by the error's name."""
        shares = RateShares(downlink or TransferRate())
        self._parts = FetchParts(vault, environment, self.refusals, shares)
        self._fetches: dict[bytes, tuple[Fetch, asyncio.Task[None]]] = {}
        self._patching: dict[bytes, bytes] = {}
        """The patches that are fetched now, by the mod for which that is."""
        self._tasks = TaskOwner("fetches")

    @property
    def defects(self) -> list[BaseException]:
        """What fetches raised that no peer, network or disk can be blamed for."""
        return self._tasks.defects

    async def close(self) -> None:
        """End every fetch; its downloads fail with LinkClosed and keep what came."""
        await self._tasks.close()

    async def removed(self, mod_id: bytes) -> bool:
        """A mod was removed: the fetch of it ends, and its downloads fail with DownloadCancelled.

        Whether there was one. What it had begun to store is then in the vault.
        """
        patch_id = self._patching.get(mod_id)
        if patch_id is not None:
            await self.removed(patch_id)
        fetch, task = self._fetches.get(mod_id, (None, None))
        if fetch is None or task is None or task.done():
            return False
        fetch.end_by(DownloadCancelled(REMOVED))
        task.cancel()
        await asyncio.wait([task])
        return True

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
        async with self._joined(link.mod_id, find_sources, report, patience) as (fetch, member):
            return await self._fetch_manifest(link, fetch, member)

    async def download(
        self,
        link: ModLink,
        find_sources: FindSources,
        report: ReportProgress = ignore_progress,
        bound: SizeBound = _NO_BOUND,
        patience: Patience = _NO_PATIENCE,
        taker: ChunkTaker = ANY_MOD,
        pacer: BackgroundPacer | None = None,
        weight: Callable[[], int] = alike,
        find_patch: FindPatch | None = None,
    ) -> DownloadResult:
        """Fetch what the vault lacks of a mod; when this returns the vault has all of it.

        `find_sources` is asked only if something is missing, again while it is, and not at all if
        another download fetches the mod already. `taker` may refuse the mod before the vault
        learns of it, and gets its chunks as they come. `pacer` is for what no person waits for.
        Under a limit it gets its part by `weight`, beside those of others, at any time. With
        `find_patch` chunks are made by a patch where a version that is here makes that cheaper.

        Raises NoSources (or the error of `find_sources`), BadManifest if the mod
        itself is bad or does not open, TooLarge beyond the bound, of which the vault keeps nothing,
        DiskError, also where the vault's disk has no room for all of it.
        """
        opened = await self._known(link)
        if opened is not None:
            missing = await self._accept(link, opened, bound, taker)
            if not missing:
                return DownloadResult(opened.manifest, opened.contents)
        data = opened.manifest.data if opened is not None else None
        wants = link.mod_id, find_sources, report, patience
        joined = self._joined(*wants, data, taker.take, pacer, weight)
        async with joined as (fetch, member):
            if opened is None:
                opened = await self._fetch_manifest(link, fetch, member)
                missing = await self._accept(link, opened, bound, taker)
            patch = None
            if find_patch is not None and not fetch.is_wanted:
                patch = await self._patched(opened, missing, find_patch, report, taker, weight)
                missing = await self._vault.missing(link.mod_id)
            await self._want(fetch, opened.manifest, missing)
            fetched = await fetch.all_chunks(member)
        done = DownloadResult(
            *(opened.manifest, opened.contents, fetched.chunks),
            *(sum(fetched.bytes_from.values()), fetched.bytes_from, fetched.banned),
            fetched.found_by,
        )
        return done if patch is None else done.and_then(patch)

    async def _patched(
        self,
        opened: OpenedMod,
        missing: Sequence[int],
        find_patch: FindPatch,
        report: ReportProgress,
        taker: ChunkTaker,
        weight: Callable[[], int],
    ) -> DownloadResult | None:
        """Make chunks by a patch, if there is one that pays; what fetching it did."""
        done: DownloadResult | None = None

        async def download(link: ModLink, patch: PatchTaker) -> None:
            nonlocal done
            find = find_patch(link)
            self._patching[opened.manifest.mod_id] = link.mod_id
            try:
                done = await self.download(link, find, report, taker=patch, weight=weight)
            finally:
                self._patching.pop(opened.manifest.mod_id, None)

        await self._patches.apply(opened, missing, download, taker.take)
        return done

    @contextlib.asynccontextmanager
    async def _joined(
        self,
        mod_id: bytes,
        find_sources: FindSources,
        report: ReportProgress,
        patience: Patience,
        manifest: bytes | None = None,
        take: TakeChunks = ignore_chunks,
        pacer: BackgroundPacer | None = None,
        weight: Callable[[], int] = alike,
    ) -> AsyncIterator[tuple[Fetch, Member]]:
        """A member of the mod's fetch, which begins with the first and ends with the last."""
        fetch, task = self._fetches.get(mod_id, (None, None))
        if fetch is None or task is None or not fetch.members or task.done():
            before = task
            fetch = Fetch(self._parts, mod_id, find_sources, patience, manifest)
            task = self._tasks.start(fetch.run(before), name=base32_text(mod_id)[:12])
            self._fetches[mod_id] = fetch, task
        member = fetch.join(report, patience, take, pacer, weight)
        try:
            yield fetch, member
        finally:
            del fetch.members[member]
            if not fetch.members:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if self._fetches.get(mod_id) == (fetch, task):
                    del self._fetches[mod_id]

    async def _want(self, fetch: Fetch, manifest: Manifest, missing: Sequence[int]) -> None:
        """Have the chunks fetched, unless they are; raises DiskError where they have no room."""
        if fetch.is_wanted:
            return
        lengths = manifest.sealed_lengths
        size = sum(lengths[chunk] for chunk in missing)
        claim = await self._room.claim_freeing(self._vault.folder, size + size // _INDEX_PART)
        fetch.want(manifest, claim)

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

    async def _fetch_manifest(self, link: ModLink, fetch: Fetch, member: Member) -> OpenedMod:
        data = await fetch.manifest(member)
        return await self._opened.open(link.mod_id, data, await self._key(link))

    async def _accept(
        self, link: ModLink, opened: OpenedMod, bound: SizeBound, taker: ChunkTaker
    ) -> list[int]:
        """Record a mod; the numbers of the chunks that are missing.

        Raises TooLarge, and what the taker's `accept` does.
        """
        bound.check(opened)
        await taker.accept(opened)
        manifest, contents = opened
        mod = StoredMod(
            manifest.mod_id,
            await self._key(link),
            contents.name if contents else "",
            contents.version if contents else 0,
            len(contents.files) if contents else 0,
            contents.total_bytes if contents else 0,
            manifest.sealed_bytes,
            len(manifest.addresses),
            published=False,
            added=self._environment.wall(),
            lineage_key=manifest.lineage_key,
            patch_of=contents.patch_of if contents else None,
        )
        await self._vault.add_mod(mod, manifest)
        return await self._vault.missing(link.mod_id)
