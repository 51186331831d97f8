"""One stream's pieces become whole manifests and chunks, in order and never more than announced.

The bytes are kept in one array: a list of parts would let a source that sends single bytes take
forty times the memory.
"""

import hashlib

from protocol.content.frames import ChunkPiece, ManifestPiece
from protocol.errors import BadManifest, ChunkMismatch, Unexpected


class ManifestPieces:
    """Collects a manifest of a length that its source announced, and hashes it as it comes."""

    def __init__(self, mod_id: bytes, length: int) -> None:
        self.length = length
        self._mod_id = mod_id
        self._hash = hashlib.sha256()
        self._bytes = bytearray()

    @property
    def left(self) -> int:
        """The bytes that have not come yet."""
        return self.length - len(self._bytes)

    def add(self, piece: ManifestPiece) -> bytes | None:
        """The manifest's bytes once all have come.

        Raises Unexpected on a wrong piece, BadManifest if the whole is not the mod's.
        """
        if piece.offset != len(self._bytes) or len(piece.data) > self.left:
            raise Unexpected("a piece of a manifest that does not follow the one before")
        self._bytes += piece.data
        self._hash.update(piece.data)
        if self.left:
            return None
        if self._hash.digest() != self._mod_id:
            raise BadManifest("its manifest does not hash to the mod id")
        return bytes(self._bytes)


class ChunkPieces:
    """Collects one chunk at a time: a source never interleaves the chunks of a stream."""

    def __init__(self) -> None:
        self._chunk: int | None = None
        self._bytes = bytearray()

    def add(self, piece: ChunkPiece, length: int) -> bytes | None:
        """The chunk once all of its `length` bytes have come.

        Raises Unexpected for pieces out of turn, ChunkMismatch for bytes beyond the length.
        """
        if self._chunk is None:
            self._chunk = piece.chunk
        have = len(self._bytes)
        if piece.chunk != self._chunk or piece.offset != have:
            raise Unexpected("a piece of a chunk that does not follow the one before")
        if have + len(piece.data) > length:
            raise ChunkMismatch("a chunk longer than its manifest says")
        if len(piece.data) == length:
            self._chunk = None
            return piece.data
        if have + len(piece.data) < length:
            self._bytes += piece.data
            return None
        data = b"".join((self._bytes, piece.data))
        self._chunk, self._bytes = None, bytearray()
        return data
