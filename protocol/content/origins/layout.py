"""The one file of all sealed chunks of a mod, in the order of its table, and ranges of it.

Where a chunk begins follows from the lengths of those before it, so an origin reads nothing and
needs no index (as web seeds do, BEP 19).
"""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from protocol import limits

_OFFSET: Final = "Q"


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """Neighbouring chunks: numbers `first` to before `end`, and their bytes in the file."""

    first: int
    end: int
    start: int
    size: int

    @property
    def last_byte(self) -> int:
        """The last byte, as HTTP counts it."""
        return self.start + self.size - 1


class ChunkLayout:
    """Where the chunks of a mod lie in its file. `lengths` are those of the sealed chunks."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self._starts = array(_OFFSET, accumulate(lengths, initial=0))

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self._starts[-1]

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return len(self._starts) - 1

    def size(self, chunk: int) -> int:
        """Bytes of a chunk."""
        return self._starts[chunk + 1] - self._starts[chunk]

    def chunk_at(self, byte: int) -> int:
        """The chunk in which a byte of the file is."""
        return bisect_right(self._starts, byte) - 1

    def span(self, first: int, end: int) -> ChunkRange:
        """The range of the chunks from `first` to before `end`."""
        start = self._starts[first]
        return ChunkRange(first, end, start, self._starts[end] - start)

    def run_around(self, chunk: int, wanted: Collection[int], most_bytes: int) -> ChunkRange:
        """The range of a chunk and its wanted neighbours: those after it, then those before it,
        up to `most_bytes`, or that chunk alone where it has more.
        """
        first, end = chunk, chunk + 1
        room = most_bytes - self.size(chunk)
        while end in wanted and self.size(end) <= room:
            room -= self.size(end)
            end += 1
        while first - 1 in wanted and self.size(first - 1) <= room:
            first -= 1
            room -= self.size(first)
        return self.span(first, end)


def range_bytes(wanted_bytes: int) -> int:
    """How long a range may be where so much is wanted: two of them fill a line without a pause."""
    return min(max(wanted_bytes // 2, limits.RANGE_BYTES_MIN), limits.RANGE_BYTES_MAX)
