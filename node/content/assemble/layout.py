"""Where the bytes of a mod lie: its chunks in the byte stream, and the stream in its files."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from protocol.content.manifests.contents import Contents, ModFile


class FilePart(NamedTuple):
    """`length` bytes of file `number`, from its byte `at` on."""

    number: int
    at: int
    length: int


class FileStarts:
    """The stream that files are, one after the other."""

    def __init__(self, files: Sequence[ModFile]) -> None:
        self._starts = array("Q", accumulate((file.size for file in files), initial=0))

    def parts(self, start: int, length: int) -> Iterator[FilePart]:
        """The parts of files that so many bytes of the stream from `start` on are.

        Raises ValueError beyond the end. Files without a byte have no part.
        """
        if start + length > self._starts[-1]:
            raise ValueError("bytes beyond the last file")
        # Of files that start at one place all but the last are empty.
        number = bisect_right(self._starts, start) - 1
        while length:
            at = start - self._starts[number]
            size = min(length, self._starts[number + 1] - start)
            if size:
                yield FilePart(number, at, size)
            start, length, number = start + size, length - size, number + 1


class ChunkPlaces:
    """Where each chunk is in the stream, by its number; most are at one place."""

    def __init__(self, contents: Contents) -> None:
        self._first = array("Q", bytes(8 * len(contents.lengths)))
        self._again: dict[int, array[int]] = {}
        appeared = end = 0
        for number in contents.order:
            if number == appeared:  # chunks are numbered by first appearance
                self._first[number] = end
                appeared += 1
            else:
                self._again.setdefault(number, array("Q")).append(end)
            end += contents.lengths[number]

    def of(self, number: int) -> Iterator[int]:
        """The places of a chunk."""
        yield self._first[number]
        yield from self._again.get(number, ())
