"""The plaintexts of chunks of a mod in the vault, a few megabytes at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from node.content.opened_mods import OpenedMod
from node.content.vault.vault import Vault
from protocol.content import sealing
from protocol.content.patching.frame import Prefix
from protocol.errors import NotFound

_BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """What opens a mod's chunks, by their numbers."""

    addresses: Sequence[bytes] = field(repr=False)
    keys: Sequence[bytes] = field(repr=False)
    lengths: Sequence[int] = field(repr=False)

    @classmethod
    def of(cls, opened: OpenedMod) -> "ChunkKeys":
        """Those of a mod whose sealed part is open."""
        assert opened.contents is not None
        return cls(opened.manifest.addresses, opened.contents.keys, opened.contents.lengths)


class Plaintexts:
    """Reads and opens chunks. Raises NotFound for those that the vault lacks, ChunkMismatch."""

    def __init__(self, vault: Vault, chunks: ChunkKeys) -> None:
        self._vault = vault
        self._chunks = chunks

    async def read(self, numbers: Iterable[int]) -> AsyncIterator[list[bytes]]:
        """Batches of plaintexts, in this order."""
        batch: list[int] = []
        size = 0
        for number in numbers:
            batch.append(number)
            size += self._chunks.lengths[number]
            if size >= _BATCH_BYTES:
                yield await self._opened(batch)
                batch, size = [], 0
        if batch:
            yield await self._opened(batch)

    async def prefix(self, numbers: Sequence[int]) -> Prefix:
        """All of them as what a frame refers to."""
        data = bytearray(sum(self._chunks.lengths[number] for number in numbers))
        at = 0
        async for batch in self.read(numbers):
            for plaintext in batch:
                data[at : at + len(plaintext)] = plaintext
                at += len(plaintext)
        return Prefix(data)

    async def _opened(self, numbers: Sequence[int]) -> list[bytes]:
        sealed = await self._vault.get_many([self._chunks.addresses[one] for one in numbers])
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self._open, numbers, sealed)

    def _open(self, numbers: Sequence[int], sealed: Sequence[bytes | None]) -> list[bytes]:
        plaintexts = []
        for number, data in zip(numbers, sealed, strict=True):
            if data is None:
                raise NotFound("the vault lacks a chunk of a mod")
            keys, lengths = self._chunks.keys, self._chunks.lengths
            plaintexts.append(sealing.open_chunk(keys[number], data, lengths[number]))
        return plaintexts
