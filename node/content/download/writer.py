"""Fetched chunks on their way to the vault: many to a job, so that no chunk waits for the disk.

A chunk has arrived as soon as it is in memory; the vault verifies and stores what has gathered once
there is enough, or after a moment. ChunkPhase bounds what is in memory: it asks for no more chunks
while there are too many `dirty_bytes`.
"""

import asyncio
import contextlib
from collections.abc import Callable

from node.content.rates.background import BackgroundPacer
from node.content.vault.store import Blob
from node.content.vault.vault import Vault
from protocol import limits

_ENOUGH_BYTES = 16 * 2**20
_LINGER_S = 0.25
"""At most so much fetched work is lost with a killed process, besides the job under way."""

Stored = Callable[[list[tuple[int, bytes]], list[int]], None]
"""Called with the chunks that are in the vault now, and with those whose bytes are wrong."""


FindPacer = Callable[[], BackgroundPacer | None]
"""What paces the storing now; None while a person waits for it."""


def without_pacer() -> None:
    """A FindPacer for what a person waits for."""


class ChunkWriter:
    """Gathers one download's chunks; `run` it, and `flush` at the end."""

    def __init__(self, vault: Vault, stored: Stored, pacer: FindPacer = without_pacer) -> None:
        self._vault = vault
        self._stored = stored
        self._pacer = pacer
        self._gathered: dict[bytes, tuple[int, bytes]] = {}
        self._gathered_bytes = 0
        self._writing_bytes = 0
        self._some = asyncio.Event()
        self._enough = asyncio.Event()

    @property
    def dirty_bytes(self) -> int:
        """Bytes that are in memory and not yet on disk."""
        return self._gathered_bytes + self._writing_bytes

    def add(self, chunk: int, address: bytes, data: bytes) -> None:
        """Take a chunk that came."""
        self._gathered[address] = (chunk, data)
        self._gathered_bytes += len(data)
        self._some.set()
        if self._gathered_bytes >= _ENOUGH_BYTES:
            self._enough.set()

    def hurry(self) -> None:
        """Nothing more will come soon: write what there is."""
        self._enough.set()

    async def run(self) -> None:
        """Write batches until cancelled; raises DiskError."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_S):
                    await self._enough.wait()
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered; raises DiskError."""
        batch, self._gathered = self._gathered, {}
        self._writing_bytes, self._gathered_bytes = self._gathered_bytes, 0
        self._some.clear()
        self._enough.clear()
        if not batch:
            return
        try:
            blobs = [(address, data) for address, (_, data) in batch.items()]
            wrong = set(await self._put(blobs))
        finally:
            self._writing_bytes = 0
        good = [found for address, found in batch.items() if address not in wrong]
        bad = [chunk for address, (chunk, _) in batch.items() if address in wrong]
        self._stored(good, bad)

    async def _put(self, blobs: list[Blob]) -> list[bytes]:
        """Store them, at once if a person waits; else what is in memory asks for no more."""
        pacer = self._pacer()
        if pacer is None:
            return await self._vault.put(blobs)
        await pacer.rest()
        size = sum(len(data) for _, data in blobs)
        pacer.charge(size * limits.BACKGROUND_LINK_MS_PER_MB / 1e9)
        return await self._vault.put(blobs, pacer.measured)
