"""The patch from a lineage's newest version to the next one, as a mod in the vault."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from node.content.opened_mods import OpenedMod
from node.content.patching.making import PatchMaking
from node.content.patching.plaintexts import ChunkKeys
from node.content.publish.chunk_table import ChunkTable
from node.content.publish.describing import DescribedMod, opened_version
from node.content.publish.seal import seal_bodies
from node.content.vault.stored_mod import Lineage
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content.chunking import COARSE, Chunker
from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests import manifest as manifests
from protocol.content.manifests.contents import ModFile, VersionKeys
from protocol.content.patching.part import PATCH_FILE
from protocol.content.patching.plan import PatchSide
from protocol.content.sealing import RawBody
from protocol.errors import BadContent, DiskError, NotFound

_log = logging.getLogger(__name__)


class PatchPublishing:
    """Makes patches where they pay. What it makes is stored; the caller adds the mod."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def patch_to(
        self, new: DescribedMod, lineage: Lineage, keys: LineageKeys
    ) -> DescribedMod | None:
        """The patch from the lineage's newest version to `new`, all of which the vault has.

        None where it does not pay, or that version is not here.
        """
        try:
            base = await self._whole(lineage.head)
            return None if base is None else await self._made(base, new, lineage, keys)
        except (NotFound, BadContent, DiskError) as error:
            _log.warning("no patch is made for %s: %s", lineage.name, error)
            return None

    async def remove_stale(self, new: DescribedMod) -> None:
        """Remove the patches of a share of this version that was broken off. Raises DiskError."""
        version = new.manifest.lineage_key, new.contents.version
        stale = await self._vault.recall(lambda tables: tables.mods.patches_to(*version))
        for mod_id in stale:
            await self._vault.remove_mod(mod_id)

    async def _whole(self, keys: VersionKeys | None) -> OpenedMod | None:
        """A version of which the vault has everything."""
        if keys is None or await self._vault.missing(keys.mod_id):
            return None
        data = await self._vault.get(keys.mod_id)
        loop = asyncio.get_running_loop()
        opened = await loop.run_in_executor(None, opened_version, data, keys)
        return None if opened is None else OpenedMod(opened.manifest, opened.contents)

    async def _made(
        self, base: OpenedMod, new: DescribedMod, lineage: Lineage, keys: LineageKeys
    ) -> DescribedMod | None:
        after = OpenedMod(new.manifest, new.contents)
        making = PatchMaking(
            *(self._vault, _side(base), ChunkKeys.of(base), _side(after), ChunkKeys.of(after)),
            new.manifest.sealed_lengths,
        )
        table, size, digest = ChunkTable(), 0, hashlib.sha256()
        chunker = Chunker(COARSE)  # a patch is fetched whole
        async for piece in making.pieces():
            size += len(piece)
            digest.update(piece)
            if chunks := chunker.feed(piece):
                await self._store(chunks, table, lineage)
        await self._store(chunker.cut(), table, lineage)
        if making.spared_bytes < limits.PATCH_WORTH_BYTES:
            self._vault.litter()
            return None
        file = ModFile(PATCH_FILE, size, sha256=digest.digest())
        contents = replace(
            table.contents(lineage.name, new.contents.version, [file]),
            patch_of=base.manifest.mod_id,
        )
        made, content_key = manifests.build_manifest(contents, table.rows(), keys)
        return DescribedMod(made, contents, VersionKeys(made.mod_id, content_key))

    async def _store(self, chunks: Iterable[bytes], table: ChunkTable, lineage: Lineage) -> None:
        """Seal and store more of the patch's byte stream."""
        loop = asyncio.get_running_loop()
        bodies = [RawBody.of(bytes(chunk)) for chunk in chunks]
        new = {raw.digest: raw for raw in bodies if not table.has(raw)}
        sealed = await loop.run_in_executor(None, seal_bodies, lineage.secret, list(new.values()))
        await self._vault.put_sealed(lineage.number, sealed)
        known = {chunk.plaintext_hash: chunk for chunk, _ in sealed}
        for raw in bodies:
            table.append(raw, known.get(raw.digest))


def _side(opened: OpenedMod) -> PatchSide:
    contents = opened.contents
    assert contents is not None
    files: Sequence[tuple[str, int]] = [(file.path, file.size) for file in contents.files]
    return PatchSide(files, opened.manifest.addresses, contents.lengths, contents.order)
