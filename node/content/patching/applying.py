"""A patch that is in the vault, and what the vault lacks of a version, made by it.

Nothing that a patch says is believed. What it yields is sealed under the manifest's keys, and only
what then has the manifest's address comes into the vault, as what a peer sends does.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from node.content.opened_mods import OpenedMod
from node.content.patching.plaintexts import ChunkKeys, Plaintexts
from node.content.vault.vault import Vault
from protocol.content import sealing
from protocol.content.patching.frame import Rebuilding
from protocol.content.patching.part import PatchPart, PatchReader, numbers_of
from protocol.content.sealing import RawBody
from protocol.errors import ChunkMismatch

_STORED_BYTES = 8 * 2**20
"""Sealed anew and then stored at once."""

_Sealed = tuple[int, bytes, bytes]
"""A chunk's number, its address by the manifest, and what may be its bytes."""


class PatchApplying:
    """Applies one patch: `base` is whole in the vault, and so is `patch`; `new` lacks `missing`."""

    def __init__(
        self,
        vault: Vault,
        base: OpenedMod,
        new: OpenedMod,
        missing: Sequence[int],
        take: Callable[[Sequence[tuple[int, bytes]]], None],
    ) -> None:
        """`take` gets chunks that are right once the vault has them, as it gets those of peers."""
        assert base.contents is not None
        assert new.contents is not None
        self._vault = vault
        self._before = Plaintexts(vault, ChunkKeys.of(base))
        self._manifest, self._contents = new.manifest, new.contents
        self._missing = set(missing)
        self._take = take
        self._reader = PatchReader(base.contents.lengths, new.contents.lengths)
        self._packer = sealing.Packer()
        self._rebuilding: Rebuilding | None = None
        self._numbers: Iterator[int] = iter(())
        self.chunks_made = self.chunks_wrong = 0

    async def run(self, patch: OpenedMod) -> None:
        """Put what comes right into the vault.

        Raises BadContent where the patch is not well-formed or yields something else, NotFound
        where the vault has lost a part of it or of the base, DiskError. What was stored stays.
        """
        assert patch.contents is not None
        pieces = Plaintexts(self._vault, ChunkKeys.of(patch))
        async for batch in pieces.read(patch.contents.order):
            for piece in batch:
                await self._read(piece)
        self._end_part()
        self._reader.end()

    async def _read(self, piece: bytes) -> None:
        for one in self._reader.feed(piece):
            if isinstance(one, PatchPart):
                self._end_part()
                await self._begin(one)
            elif self._rebuilding is not None:
                await self._store(self._sealed(self._rebuilding, one))

    async def _begin(self, part: PatchPart) -> None:
        """Of a part of which nothing is missing nothing is unpacked."""
        if self._missing.isdisjoint(numbers_of(part.chunks)):
            return
        prefix = await self._before.prefix(list(numbers_of(part.base)))
        lengths = [self._contents.lengths[number] for number in numbers_of(part.chunks)]
        self._rebuilding = Rebuilding(prefix, lengths)
        self._numbers = numbers_of(part.chunks)

    def _end_part(self) -> None:
        rebuilding, self._rebuilding = self._rebuilding, None
        if rebuilding is not None:
            rebuilding.end()

    def _sealed(self, rebuilding: Rebuilding, data: bytes) -> Iterator[_Sealed]:
        """The missing chunks that more of a frame yields, sealed as they have to be."""
        for plaintext in rebuilding.feed(data):
            number = next(self._numbers)
            if number in self._missing:
                yield number, self._manifest.addresses[number], self._seal(number, plaintext)

    def _seal(self, number: int, plaintext: bytes) -> bytes:
        """As the publisher did: packed where what it sealed is shorter than the plaintext."""
        body = RawBody.of(plaintext).data
        if self._manifest.sealed_lengths[number] < len(plaintext) + sealing.SEAL_OVERHEAD_BYTES:
            body = self._packer.packed(body) or body
        return sealing.seal_body(self._contents.keys[number], body)

    async def _store(self, sealed: Iterator[_Sealed]) -> None:
        loop = asyncio.get_running_loop()
        while batch := await loop.run_in_executor(None, _some, sealed):
            wrong = set(await self._vault.put([(address, data) for _, address, data in batch]))
            good = [(number, data) for number, address, data in batch if address not in wrong]
            self.chunks_made += len(good)
            self.chunks_wrong += len(wrong)
            self._missing.difference_update(number for number, _ in good)
            self._take(good)
            # Another release of Zstandard packs some chunks in another way; a lie is all wrong.
            if self.chunks_wrong > self.chunks_made:
                raise ChunkMismatch("it yields other bytes than those of the version")


def _some(sealed: Iterator[_Sealed]) -> list[_Sealed]:
    """The next of them, some megabytes; none at the end."""
    size = 0
    batch: list[_Sealed] = []
    for one in sealed:
        batch.append(one)
        size += len(one[2])
        if size >= _STORED_BYTES:
            break
    return batch
