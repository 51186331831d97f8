"""DATA chunks that go in pieces, because the path carries less than it did when they were cut.

A TSN stands for one chunk with all its bytes (RFC 9260, 6.1), so what has left once cannot be cut
into smaller DATA chunks. Two associations of ours send its bytes in PIECE chunks instead, each in a
packet of its own; a peer has to announce that it takes them (PROTOCOL.md, section 7).
"""

from math import ceil
from struct import Struct

from protocol.sctp import chunks, limits
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.serial import tsn_distance

_HEADER = Struct("!LHH")
"""TSN, number of the piece from 0, number of pieces."""
_HEADER_BYTES = _HEADER.size
_PIECE_BYTES = chunks.CHUNK_HEADER_BYTES + _HEADER_BYTES
_TSN = slice(4, 8)


def cut_chunk(chunk: bytes, space: int) -> list[bytes]:
    """Return the fewest PIECE chunks of at most `space` bytes that have a DATA chunk's bytes.

    They are alike in size, so that pieces of one number of pieces fit, whenever they left.
    """
    tsn = int.from_bytes(chunk[_TSN])
    count = ceil(len(chunk) / ((space - _PIECE_BYTES) & ~3))
    size = (ceil(len(chunk) / count) + 3) & ~3
    return [
        chunks.encode_chunk(
            chunks.PIECE, 0, _HEADER.pack(tsn, index, count) + chunk[place : place + size]
        )
        for index, place in enumerate(range(0, len(chunk), size))
    ]


class Pieces:
    """Pieces of chunks that are not whole yet: PIECES_BYTES at most, of which the oldest go first.

    `joined_bytes` counts those of all chunks that were put together.
    """

    __slots__ = ("_held", "held_bytes", "joined_bytes")

    def __init__(self) -> None:
        self._held: dict[int, tuple[int, dict[int, bytes]]] = {}
        self.held_bytes = 0
        self.joined_bytes = 0

    def add(self, value: bytes) -> bytes | None:
        """Take a PIECE chunk; return the DATA chunk that it completes. Raises MalformedChunk."""
        if len(value) <= _HEADER_BYTES:
            raise MalformedChunk("A PIECE chunk has no data.")
        tsn, index, count = _HEADER.unpack_from(value)
        if not index < count <= limits.PIECES_PER_CHUNK:
            raise MalformedChunk("A PIECE chunk has an impossible number.")
        if tsn in self._held and self._held[tsn][0] != count:
            self._drop(tsn)  # it was cut for packets of another size
        _, parts = self._held.setdefault(tsn, (count, {}))
        if index not in parts:
            parts[index] = value[_HEADER_BYTES:]
            self.held_bytes += _cost(parts[index])
        if len(parts) == count:
            return self._join(tsn, self._drop(tsn))
        while self.held_bytes > limits.PIECES_BYTES:
            self._drop(next(iter(self._held)))
        return None

    def _join(self, tsn: int, parts: dict[int, bytes]) -> bytes:
        chunk = b"".join(parts[index] for index in range(len(parts)))
        if len(chunk) <= chunks.DATA_HEADER_BYTES:
            raise MalformedChunk("The pieces of a chunk have no data.")
        kind, _, length, its_tsn, *_ = chunks.DATA_HEADER.unpack_from(chunk)
        fits = length > chunks.DATA_HEADER_BYTES and (length + 3) & ~3 == len(chunk)
        if kind != chunks.DATA or its_tsn != tsn or not fits:
            raise MalformedChunk("The pieces of a chunk make no DATA chunk.")
        self.joined_bytes += len(chunk)
        return chunk

    def forget(self, cumulative: int) -> None:
        """Drop what has arrived otherwise: chunks up to this TSN."""
        for tsn in [tsn for tsn in self._held if tsn_distance(tsn, cumulative) <= 0]:
            self._drop(tsn)

    def _drop(self, tsn: int) -> dict[int, bytes]:
        _, parts = self._held.pop(tsn)
        self.held_bytes -= sum(map(_cost, parts.values()))
        return parts


def _cost(part: bytes) -> int:
    return len(part) + limits.MESSAGE_OVERHEAD_BYTES
