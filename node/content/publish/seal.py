"""Chunks that a lineage seals, in any thread."""

from collections.abc import Sequence

from node.content.vault.stored_mod import LineageChunk
from protocol.content import sealing
from protocol.content.sealing import RawBody


def seal_bodies(secret: bytes, bodies: Sequence[RawBody]) -> list[tuple[LineageChunk, bytes]]:
    """What these become under a lineage's secret, and what the vault has to remember of each."""
    packer = sealing.Packer()
    sealed = []
    for raw in bodies:
        chunk = sealing.seal_chunk(packer, secret, raw)
        known = LineageChunk(raw.digest, chunk.address, chunk.key, len(chunk.data))
        sealed.append((known, chunk.data))
    return sealed
