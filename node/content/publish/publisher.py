"""From a folder to a mod in the vault: read, cut, seal what is new, describe it in a manifest.

Reading, sealing and storing run at the same time, each on its own batch, so at most three batches
are in memory. A chunk that the lineage has sealed before is not sealed again: it keeps its
ciphertext, and holders of an earlier version have it already.
"""

import asyncio
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from node.content.homes import HomeGuard
from node.content.patching.publishing import PatchPublishing
from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.publish import walk
from node.content.publish.chunk_table import ChunkTable
from node.content.publish.cutting import cut_files
from node.content.publish.describing import DescribedMod, describe_next, with_patch
from node.content.publish.leaving_out import LeavingOut
from node.content.publish.own_lineages import OwnLineages, checked_name, real_path
from node.content.publish.seal import seal_bodies
from node.content.publish.walk import FoundFolder
from node.content.secrets import Secrets
from node.content.vault.stored_mod import Lineage, LineageChunk
from node.content.vault.vault import Vault
from node.disk.descent import Descent
from node.environment import Environment
from node.tasks import TaskOwner
from protocol.content.lineage.keys import LineageKeys
from protocol.content.link import ModLink
from protocol.content.manifests.contents import ModFile
from protocol.content.sealing import RawBody
from protocol.errors import BadFolder, BadManifest

_BATCH_BYTES = 8 * 2**20
_TICK_S = 0.02
"""File systems date two changes alike that lie within a tick of the system's clock."""
_SEALERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class PublishedMod:
    """A mod that was just published."""

    mod_id: bytes
    link: ModLink
    name: str
    version: int
    is_new: bool
    """Whether it differs from the version before."""
    lineage: int
    """The number of its lineage in the vault."""
    keys: LineageKeys
    files: int
    bytes: int
    """Of all files together."""
    chunks: int
    """Unique ones."""
    new_bytes: int
    """Sealed bytes that the vault did not have."""
    left_out: int = 0
    """Files and folders."""
    left_out_paths: tuple[str, ...] = ()
    idle_excludes: tuple[str, ...] = ()
    """Patterns that a person gave in vain."""


class Publisher:
    """Makes mods of folders. Several may be published at once, the versions of one in turn."""

    def __init__(
        self, vault: Vault, environment: Environment, guard: HomeGuard, lineages: OwnLineages
    ) -> None:
        self._vault = vault
        self._environment = environment
        self._guard = guard
        self._lineages = lineages
        self._patches = PatchPublishing(vault)

    async def publish(
        self,
        folder: Path,
        name: str | None = None,
        report: ReportProgress = ignore_progress,
        exclude: Sequence[str] = (),
        *,
        continues: bool = False,
        times: bool = True,
    ) -> PublishedMod:
        """Put a folder or a single file into the vault, as the next version of its lineage.

        Where nothing has changed since the newest version it is that one. `name` and `continues`
        choose the lineage (`OwnLineages.choose`). `times`: tell when files were modified. Raises
        BadFolder, UnsafePath, BadInput, NameTaken, DiskError.
        """
        loop = asyncio.get_running_loop()
        rules = await loop.run_in_executor(None, LeavingOut.of, exclude)
        if name is not None:
            name = checked_name(name)
        found = await loop.run_in_executor(None, walk.walk, folder, self._guard, rules)
        real = await loop.run_in_executor(None, real_path, folder)
        lineage = await self._lineages.choose(real, name, continues=continues)
        async with self._lineages.publishing(lineage):
            await self._let_settle(found)
            lineage = await self._lineages.latest(lineage, real, continues=continues)
            async with self._vault.holding():
                kept_back = await loop.run_in_executor(None, self._guard.secrets)
                publication = _Publication(self._vault, lineage, found, report, kept_back)
                await publication.run()
                await loop.run_in_executor(None, self._check_unchanged, found, folder, exclude)
                keys = await self._lineages.keys(lineage)
                described = await self._described(publication, lineage, keys, times=times)
                mod = described.stored(self._environment.wall())
                made = self._lineages.published(lineage, real, mod.version, described.keys)
                await self._vault.add_mod(mod, described.manifest, made)
        return PublishedMod(
            mod_id=mod.mod_id,
            link=mod.link,
            name=lineage.name,
            version=mod.version,
            is_new=described.keys != lineage.head,
            lineage=lineage.number,
            keys=keys,
            files=mod.files,
            bytes=mod.bytes,
            chunks=mod.chunks,
            new_bytes=publication.new_bytes,
            left_out=rules.count,
            left_out_paths=tuple(rules.first),
            idle_excludes=rules.idle,
        )

    async def _described(
        self, publication: "_Publication", lineage: Lineage, keys: LineageKeys, *, times: bool
    ) -> DescribedMod:
        """What was published as a version, which is the newest one again if nothing changed."""
        head = lineage.head
        before = None if head is None else await self._vault.get(head.mod_id)
        times = times and self._environment.file_times
        describe = partial(publication.describe, keys, before, times=times)
        described = await asyncio.get_running_loop().run_in_executor(None, describe)
        if described.keys == head:
            return described
        return await self._with_patch(described, lineage, keys)

    async def _with_patch(
        self, described: DescribedMod, lineage: Lineage, keys: LineageKeys
    ) -> DescribedMod:
        """A version that names the patch which leads to it from the one before, if that pays."""
        patch = await self._patches.patch_to(described, lineage, keys)
        await self._patches.remove_stale(described)
        if patch is None:
            return described
        await self._vault.add_mod(patch.stored(self._environment.wall()), patch.manifest)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, with_patch, described, patch, keys)

    async def _let_settle(self, found: FoundFolder) -> None:
        """Wait until a change to come has another time than the latest that was."""
        loop = asyncio.get_running_loop()
        since = self._environment.wall() - await loop.run_in_executor(None, found.changed_at)
        if 0 <= since < _TICK_S:
            await asyncio.sleep(_TICK_S - since)

    def _check_unchanged(self, found: FoundFolder, folder: Path, exclude: Sequence[str]) -> None:
        """Raise BadFolder if the folder is not what it was when it was found."""
        found.check_same(walk.walk(folder, self._guard, LeavingOut.of(exclude)))


class _Publication:
    """One run over one mod's files."""

    def __init__(
        self,
        vault: Vault,
        lineage: Lineage,
        found: FoundFolder,
        report: ReportProgress,
        kept_back: Secrets,
    ) -> None:
        self._vault = vault
        self._lineage = lineage
        self._found = found
        self._report = report
        self._kept_back = kept_back
        self._bytes_total = sum(file.size for file in found.files)
        self._bytes_done = 0
        self._table = ChunkTable()
        self._hashes: list[bytes] = []
        """The SHA-256 of each file that was read."""
        self.new_bytes = 0

    async def run(self) -> None:
        """Read, seal and store every chunk."""
        loop = asyncio.get_running_loop()
        batches = _batches(self._found, self._kept_back, self._hashes)
        self._tell()
        reading = loop.run_in_executor(None, next, batches, None)
        tasks = TaskOwner("publishing")
        storing: asyncio.Task[int] | None = None
        try:
            while (batch := await asyncio.shield(reading)) is not None:
                reading = loop.run_in_executor(None, next, batches, None)
                new = await self._take(batch)
                if storing is not None:
                    self.new_bytes += await storing
                storing = tasks.start(
                    self._vault.put_sealed(self._lineage.number, new), name="store chunks"
                )
                self._tell()
            if storing is not None:
                self.new_bytes += await storing
        finally:
            under_way = (reading,) if storing is None else (reading, storing)
            await asyncio.gather(*under_way, return_exceptions=True)
            batches.close()

    async def _take(self, batch: Sequence[RawBody]) -> list[tuple[LineageChunk, bytes]]:
        """Append a batch to the mod's byte stream; what of it the lineage had not sealed before."""
        unknown = {raw.digest: raw for raw in batch if not self._table.has(raw)}
        chunks = await self._vault.known_chunks(self._lineage.number, list(unknown))
        sealed = await self._seal([raw for raw in unknown.values() if raw.digest not in chunks])
        chunks |= {chunk.plaintext_hash: chunk for chunk, _ in sealed}
        for raw in batch:
            self._table.append(raw, chunks.get(raw.digest))
            self._bytes_done += raw.plaintext_bytes
        if self._table.cannot_end_well(self._bytes_total - self._bytes_done):
            raise BadFolder(
                f"{self._bytes_total / 2**30:.0f} GiB of such files are more than one mod may "
                "have, which is about 70 GiB where nothing repeats: share it in parts"
            )
        return sealed

    async def _seal(self, bodies: Sequence[RawBody]) -> list[tuple[LineageChunk, bytes]]:
        """Seal these on several threads."""
        loop = asyncio.get_running_loop()
        secret = self._lineage.secret
        shares = [bodies[start::_SEALERS] for start in range(_SEALERS)]
        results = await asyncio.gather(
            *(loop.run_in_executor(None, seal_bodies, secret, share) for share in shares if share)
        )
        return [pair for result in results for pair in result]

    def describe(self, keys: LineageKeys, newest: bytes | None, *, times: bool) -> DescribedMod:
        """The mod as it is now; raises BadFolder for one that is too large.

        `newest`: the manifest of the lineage's newest version, if it is here.
        """
        files = tuple(
            ModFile(
                *(file.path, file.size, file.executable, digest),
                file.modified_ns if times else None,
            )
            for file, digest in zip(self._found.files, self._hashes, strict=True)
        )
        contents = replace(
            self._table.contents(self._lineage.name, 1, files),
            empty_folders=self._found.empty_folders,
        )
        try:
            return describe_next(contents, self._table.rows(), self._lineage, keys, newest)
        except BadManifest as error:
            raise BadFolder(f"this folder cannot be one mod: {error}") from None

    def _tell(self) -> None:
        self._report(
            Progress(
                "reading",
                chunks_total=self._table.total,
                chunks_done=self._table.total,
                bytes_total=self._bytes_total,
                bytes_done=self._bytes_done,
            )
        )


def _batches(
    found: FoundFolder, kept_back: Secrets, hashes: list[bytes]
) -> Generator[list[RawBody], None, None]:
    """The files' chunks, some megabytes at a time; `hashes` gets the SHA-256 of each file."""
    batch: list[RawBody] = []
    batch_bytes = 0
    with Descent(found.root) as descent:
        for data in cut_files(found.files, descent, kept_back, hashes):
            batch.append(RawBody.of(data))
            batch_bytes += len(data)
            if batch_bytes >= _BATCH_BYTES:
                yield batch
                batch, batch_bytes = [], 0
    if batch:
        yield batch
