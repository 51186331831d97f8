"""The bytes of a patch, made of two versions in the vault: parts that pay, one at a time.

A part is tried at a level that costs little, and made at one that costs more only where it then
pays: what does not resemble the version before is fetched as chunks. The level falls with the
bytes that changed, so that sharing does not become many times slower.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from node.content.patching.plaintexts import ChunkKeys, Plaintexts
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content.patching.frame import PatchFrame, Prefix
from protocol.content.patching.part import PatchPart, encode_head, numbers_of
from protocol.content.patching.plan import PatchSide, PlannedPart, plan_parts

_TRIED_LEVEL = 3
_LEVELS = ((16 * 2**20, 12), (256 * 2**20, 9))
"""Up to so many plaintext bytes of lacking chunks: about 40 and 90 MB/s; beyond, the first try."""
_PAYS = 0.8
"""Of the sealed bytes of the chunks that a part yields; more is not worth a lookup and the work."""


class PatchMaking:
    """One patch from `base` to `new`. The vault has all chunks of both."""

    def __init__(
        self,
        vault: Vault,
        base: PatchSide,
        base_keys: ChunkKeys,
        new: PatchSide,
        new_keys: ChunkKeys,
        sealed_lengths: Sequence[int],
    ) -> None:
        self._base, self._new = base, new
        self._before = Plaintexts(vault, base_keys)
        self._after = Plaintexts(vault, new_keys)
        self._lengths = new.lengths
        self._sealed_lengths = sealed_lengths
        self.spared_bytes = 0
        """Sealed bytes of the chunks that the parts so far yield, less those of the parts."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The patch's bytes, in their order; none where no part pays. Raises NotFound, DiskError.

        A frame may be nearly as large as what it yields: none of it is in memory twice.
        """
        loop = asyncio.get_running_loop()
        planned = await loop.run_in_executor(None, plan_parts, self._base, self._new)
        level = self._level(planned)
        for part in planned:
            chunks = list(numbers_of(part.chunks))
            most = int(sum(self._sealed_lengths[number] for number in chunks) * _PAYS)
            if most < limits.PATCH_WORTH_BYTES and len(planned) == 1:
                return
            prefix = await self._before.prefix(list(numbers_of(part.base)))
            frame = await self._frame(prefix, chunks, _TRIED_LEVEL, most)
            if frame is not None and level != _TRIED_LEVEL:
                frame = await self._frame(prefix, chunks, level, most) or frame
            if frame is not None:
                del prefix
                size = sum(map(len, frame))
                head = encode_head(PatchPart(part.base, part.chunks, size))
                self.spared_bytes += int(most / _PAYS) - len(head) - size
                yield head
                while frame:
                    yield frame.popleft()

    def _level(self, planned: Sequence[PlannedPart]) -> int:
        size = sum(self._lengths[one] for part in planned for one in numbers_of(part.chunks))
        return next((level for most, level in _LEVELS if size <= most), _TRIED_LEVEL)

    async def _frame(
        self, prefix: Prefix, chunks: Sequence[int], level: int, most: int
    ) -> deque[bytes] | None:
        """The pieces of the frame that yields these; None once it is longer than `most` bytes."""
        loop = asyncio.get_running_loop()
        size = sum(self._lengths[number] for number in chunks)
        frame = await loop.run_in_executor(None, PatchFrame, prefix, size, level)
        made: deque[bytes] = deque()
        left = most
        async for batch in self._after.read(chunks):
            for plaintext in batch:
                made.append(await loop.run_in_executor(None, frame.add, plaintext))
                left -= len(made[-1])
            if left < 0:
                return None
        made.append(await loop.run_in_executor(None, frame.end))
        return made if len(made[-1]) <= left else None
