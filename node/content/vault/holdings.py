"""Which chunks of its mods the vault has: one bit a chunk, in memory.

A mod's chunks are looked up in the index once; from then on each chunk that comes or is lost
changes its bit. So what a peer may ask at any time costs no look at the chunks. All mods of a vault
of a terabyte take 2 MB.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.content.vault.index import Index
from protocol import limits

_ALL: Final = 0xFF


@dataclass(frozen=True, slots=True)
class Held:
    """What can be served of a mod."""

    manifest_bytes: int
    chunks: int
    complete: bool
    bits: bytes
    """One bit a chunk, the highest of a byte first; those beyond the last chunk are 0."""


class Holding:
    """The chunks that the vault has of one mod. `manifest_bytes` is 0 if it lacks the manifest."""

    def __init__(self, manifest_bytes: int, chunks: int, missing: Iterable[int]) -> None:
        self._manifest_bytes = manifest_bytes
        self._chunks = chunks
        self._bits = bytearray(b"\xff" * ((chunks + 7) // 8))
        for beyond in range(chunks, 8 * len(self._bits)):
            self._bits[beyond >> 3] ^= 0x80 >> (beyond & 7)
        self._lacks = 0
        for chunk in missing:
            self._set(chunk, held=False)
        self._held: Held | None = None
        self._checked_at = -math.inf

    @property
    def complete(self) -> bool:
        """Whether no chunk is missing."""
        return not self._lacks

    @property
    def serves(self) -> bool:
        """Whether there is something to serve: the manifest and a chunk, if it has any."""
        return self._manifest_bytes > 0 and (self.complete or self._lacks < self._chunks)

    def has(self, chunk: int) -> bool:
        """Whether the vault has this chunk; there need not be one of that number."""
        return 0 <= chunk < self._chunks and bool(self._bits[chunk >> 3] & (0x80 >> (chunk & 7)))

    def mark(self, chunk: int, *, held: bool) -> None:
        """A chunk came, or is lost."""
        if self.has(chunk) is not held:
            self._set(chunk, held=held)
            self._held = None

    def _set(self, chunk: int, *, held: bool) -> None:
        self._bits[chunk >> 3] ^= 0x80 >> (chunk & 7)
        self._lacks += -1 if held else 1

    def manifest_unchecked(self, now: float) -> bool:
        """Whether it is long ago, or never, that all of the manifest's bytes were seen right."""
        return now - self._checked_at > limits.MANIFEST_CHECKED_S

    def checked_manifest(self, now: float) -> None:
        """All of the manifest's bytes were seen right."""
        self._checked_at = now

    def missing(self) -> list[int]:
        """The numbers of the chunks that the vault lacks."""
        return [
            chunk
            for place, byte in enumerate(self._bits)
            if byte != _ALL
            for chunk in range(8 * place, min(8 * place + 8, self._chunks))
            if not self.has(chunk)
        ]

    def held(self) -> Held | None:
        """What can be served; one value until something changes. None without the manifest."""
        if self._held is None and self._manifest_bytes:
            bits = bytes(self._bits)
            self._held = Held(self._manifest_bytes, self._chunks, self.complete, bits)
        return self._held


class Holdings:
    """Those of all mods in an index."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known: dict[bytes, Holding] = {}

    def of(self, mod_id: bytes) -> Holding | None:
        """What the vault has of a mod; None if it does not know it."""
        known = self._known.get(mod_id)
        if known is not None:
            return known
        mod, manifest = self._index.mods.get(mod_id), self._index.place(mod_id)
        if mod is None:
            return None
        length = manifest.length if manifest else 0
        known = self._known[mod_id] = Holding(length, mod.chunks, self._index.mods.missing(mod_id))
        return known

    def forget(self, mod_id: bytes) -> None:
        """A mod is new, or gone."""
        self._known.pop(mod_id, None)

    def stored(self, addresses: Iterable[bytes]) -> None:
        """These have been recorded in the index."""
        incomplete = [known for known in self._known.values() if not known.complete]
        self._mark(addresses, held=True, matters=bool(incomplete))

    def lost(self, addresses: Iterable[bytes]) -> None:
        """These are not in the index any more."""
        self._mark(addresses, held=False, matters=bool(self._known))

    def _mark(self, addresses: Iterable[bytes], *, held: bool, matters: bool) -> None:
        for address in addresses:
            self.forget(address)  # if it is a manifest's
            for mod_id, chunk in self._index.mods.chunks_at(address) if matters else ():
                known = self._known.get(mod_id)
                if known is not None:
                    known.mark(chunk, held=held)
