"""The form of a patch: parts, each of which yields chunks of a version out of chunks of another.

A patch is the one file of a mod of its own. Its base is the version that its reader has, by its mod
id; chunks of the base and of what is yielded have the numbers of the two manifests' tables. So
nothing of a patch need be believed: the base's bytes are known, and what is yielded is right if it
seals into the addresses of the new version's table.

A part is the length of its head (4 bytes, big-endian), the head, and a Zstandard frame. The head
is the list [1, base chunks, yielded chunks, bytes of the frame], where chunks are runs of 8 bytes
each: the number of the first, and how many follow one another. The frame has the base chunks'
plaintexts, one after the other, as its prefix, and becomes the plaintexts of the yielded ones.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from protocol import codec, limits
from protocol.errors import BadContent, Malformed

PATCH_FILE = "patch"
"""The name of the one file of such a mod."""

_VERSION = 1
_LENGTH = struct.Struct(">I")
_RUN = struct.Struct(">II")
_HEAD_BYTES = 2 * limits.PATCH_PART_CHUNKS * _RUN.size + 32
_NUMBER_END = 2**32

Runs = tuple[tuple[int, int], ...]
"""Ascending chunk numbers as (first, count), where none could be joined with the next."""


@dataclass(frozen=True, slots=True)
class PatchPart:
    """The head of a part: of which chunks of the base it makes which of the new version."""

    base: Runs
    chunks: Runs
    frame_bytes: int

    def check(self, base_lengths: Sequence[int], lengths: Sequence[int], first: int) -> None:
        """Raise BadContent unless it fits these two tables, of plaintext bytes by number.

        Chunks before `first` were yielded by parts before this one, or might have been.
        """
        prefix = _bytes_of(self.base, base_lengths, "base")
        yielded = _bytes_of(self.chunks, lengths, "new version")
        if not yielded or self.chunks[0][0] < first:
            raise BadContent("a part of a patch that yields nothing, or what came before")
        if max(prefix, yielded) > limits.PATCH_PART_BYTES:
            raise BadContent(f"a part of a patch of more than {limits.PATCH_PART_BYTES} bytes")
        if self.frame_bytes > yielded + limits.PATCH_FRAME_MORE_BYTES:
            raise BadContent("a part of a patch that is larger than what it yields")


def runs_of(numbers: Iterable[int]) -> Runs:
    """The runs of ascending numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and sum(runs[-1]) == number:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return tuple(runs)


def numbers_of(runs: Runs) -> Iterator[int]:
    """The numbers in runs."""
    return (number for first, count in runs for number in range(first, first + count))


def encode_head(part: PatchPart) -> bytes:
    """What stands before a part's frame."""
    base, chunks = (b"".join(_RUN.pack(*run) for run in runs) for runs in (part.base, part.chunks))
    head = codec.encode_long([_VERSION, base, chunks, part.frame_bytes])
    return _LENGTH.pack(len(head)) + head


def decode_head(head: bytes) -> PatchPart:
    """The head of a part, without its length; raises BadContent. `check` has still to pass."""
    try:
        fields = codec.decode_canonical(head, max_bytes=_HEAD_BYTES, max_items=4)
        version, base, chunks, frame_bytes = codec.shape(fields, int, bytes, bytes, int)
    except Malformed as error:
        raise BadContent(f"a part of a patch is not well-formed: {error}") from None
    if version != _VERSION:
        raise BadContent(f"a part of a patch of version {version}")
    if not 0 < frame_bytes < _NUMBER_END:
        raise BadContent("a part of a patch without a frame")
    return PatchPart(_decoded_runs(base), _decoded_runs(chunks), frame_bytes)


def _decoded_runs(data: bytes) -> Runs:
    if len(data) % _RUN.size:
        raise BadContent("chunks of a patch that are no runs")
    runs = tuple(_RUN.iter_unpack(data))
    end = -1
    for first, count in runs:
        if first <= end or not count:
            raise BadContent("runs of chunks that do not ascend, are empty or could be one")
        end = first + count
    if end >= _NUMBER_END or sum(count for _, count in runs) > limits.PATCH_PART_CHUNKS:
        raise BadContent("a part of a patch of too many chunks")
    return runs


def _bytes_of(runs: Runs, lengths: Sequence[int], which: str) -> int:
    if runs and sum(runs[-1]) > len(lengths):
        raise BadContent(f"a patch names chunks that its {which} does not have")
    return sum(lengths[number] for number in numbers_of(runs))


def _parts_most(lengths: Sequence[int]) -> int:
    """The parts that a version of such chunks can need, if all but the last are at least half full.

    Full is a part by its bytes or by the number of its chunks.
    """
    by_bytes = sum(lengths) // (limits.PATCH_PART_BYTES // 2)
    return 1 + by_bytes + len(lengths) // (limits.PATCH_PART_CHUNKS // 2)


class PatchReader:
    """Tells heads and bytes of frames apart, as a patch comes in pieces. Raises BadContent.

    Takes little memory: a head and what was given to it last.
    """

    def __init__(self, base_lengths: Sequence[int], lengths: Sequence[int]) -> None:
        self._base_lengths = base_lengths
        self._lengths = lengths
        full = _parts_most(lengths)
        self._base_bytes_left = full * limits.PATCH_PART_BYTES
        self._base_chunks_left = full * limits.PATCH_PART_CHUNKS
        self._buffer = bytearray()
        self._frame_left = 0
        self._first = 0

    def feed(self, data: bytes) -> Iterator[PatchPart | bytes]:
        """The parts that begin in `data`, each followed by bytes of its frame; to be exhausted."""
        self._buffer += data
        while self._buffer:
            if self._frame_left:
                taken = bytes(self._buffer[: self._frame_left])
                del self._buffer[: len(taken)]
                self._frame_left -= len(taken)
                yield taken
                continue
            part = self._head()
            if part is None:
                return
            part.check(self._base_lengths, self._lengths, self._first)
            self._count_base(part)
            self._first = sum(part.chunks[-1])
            self._frame_left = part.frame_bytes
            yield part

    def _count_base(self, part: PatchPart) -> None:
        """Each part may refer to all that a part can: many small ones would cost that each."""
        self._base_bytes_left -= _bytes_of(part.base, self._base_lengths, "base")
        self._base_chunks_left -= sum(count for _, count in part.base)
        if min(self._base_bytes_left, self._base_chunks_left) < 0:
            raise BadContent("a patch of more parts, or of more of its base, than can be needed")

    def _head(self) -> PatchPart | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack_from(self._buffer)
        if size > _HEAD_BYTES:
            raise BadContent(f"a part of a patch with a head of {size} bytes")
        end = _LENGTH.size + size
        if len(self._buffer) < end:
            return None
        head = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return decode_head(head)

    def end(self) -> None:
        """No more comes; raises BadContent if a part is not whole."""
        if self._buffer or self._frame_left:
            raise BadContent("a patch that ends early")
