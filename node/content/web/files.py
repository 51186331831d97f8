"""The bytes of the two files of a mod, as the vault has them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from node.content.vault.peer_reads import PeerReads
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content.manifests.manifest import decode_manifest
from protocol.content.origins.layout import ChunkLayout

_PART_BYTES: Final = 2**18


class Layouts:
    """Where chunks lie in the files of the mods that were asked for last."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[bytes, ChunkLayout] = {}
        self._turn = asyncio.Lock()

    async def of(self, mod_id: bytes) -> ChunkLayout | None:
        """That of a mod; None if its manifest is not here."""
        async with self._turn:  # to read a manifest costs memory and time: one after another
            known = self._known.pop(mod_id, None) or await self._read(mod_id)
            if known is not None:
                self._known[mod_id] = known
            if len(self._known) > limits.HTTP_LAYOUTS:
                del self._known[next(iter(self._known))]
            return known

    async def _read(self, mod_id: bytes) -> ChunkLayout | None:
        data = await self._vault.get(mod_id)
        if data is None:
            return None
        loop = asyncio.get_running_loop()
        manifest = await loop.run_in_executor(None, decode_manifest, data)
        return ChunkLayout(manifest.sealed_lengths)


async def manifest_parts(
    reads: PeerReads, mod_id: bytes, start: int, end: int
) -> AsyncIterator[tuple[int, bytes]]:
    """The bytes of a manifest, in parts; ends early where the vault has lost them.

    No part is a chunk, so each comes with the number -1.
    """
    while start < end:
        data = await reads.manifest_part(mod_id, start, min(_PART_BYTES, end - start))
        if not data:
            return
        yield -1, data
        start += len(data)


async def chunk_parts(
    reads: PeerReads, layout: ChunkLayout, mod_id: bytes, start: int, end: int
) -> AsyncIterator[tuple[int, bytes]]:
    """The bytes of the file of chunks, by chunks; ends early where the vault has lost one."""
    at = layout.chunk_at(start)
    while start < end:
        numbers = range(at, min(layout.chunks, at + limits.CHUNKS_PER_REQUEST_UNIT))
        found = await reads.chunks(mod_id, numbers, limits.READ_AHEAD_BYTES_MIN)
        for data in found or [None]:
            if data is None:
                return
            begin = layout.span(at, at + 1).start
            part = data[start - begin : end - begin]
            yield at, part
            start += len(part)
            at += 1
            if start >= end:
                return
