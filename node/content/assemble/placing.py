"""Sealed chunks become bytes in files, some megabytes at a time.

`add` and `clear` are called on the event loop, `step` in a thread, one call at a time.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from node.content.assemble.layout import ChunkPlaces
from node.content.assemble.tree import GrowingTree
from protocol.content import sealing
from protocol.content.manifests.contents import Contents

_STEP_BYTES = 4 * 2**20
"""So much is written at once: a chunk may be at very many places of a mod."""


class PlacedBytes(NamedTuple):
    """What a step did: sealed bytes that it took, plain ones that it wrote."""

    sealed_bytes: int
    written_bytes: int


class _Opened(NamedTuple):
    number: int
    plaintext: bytes
    places: Iterator[int]


class ChunkPlacing:
    """Opens chunks, each once, and writes them wherever a mod has them."""

    def __init__(self, tree: GrowingTree, contents: Contents) -> None:
        """Takes some tenths of a second for many chunks."""
        self._tree = tree
        self._contents = contents
        self._places = ChunkPlaces(contents)
        self._written = bytearray(len(contents.lengths))
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._opened: _Opened | None = None

    @property
    def has_work(self) -> bool:
        """Whether a chunk waits."""
        return self._opened is not None or bool(self._waiting)

    def missing(self) -> list[int]:
        """The chunks that were not written, while none waits."""
        return [number for number, written in enumerate(self._written) if not written]

    def add(self, number: int, data: bytes) -> None:
        """Let a sealed chunk wait for its turn; it was verified."""
        self._waiting.append((number, data))

    def clear(self) -> None:
        """Forget what waits, and what could not be written."""
        self._waiting.clear()
        self._opened = None

    def step(self) -> PlacedBytes:
        """Write some megabytes; raises DiskError, UnsafePath, ChunkMismatch.

        The last is for a chunk that is not what its publisher says.
        """
        taken = done = 0
        while done < _STEP_BYTES:
            if self._opened is None:
                if not self._waiting:
                    break
                number, data = self._waiting.popleft()
                taken += len(data)
                if self._written[number]:
                    continue
                self._opened = self._open(number, data)
            done += self._write(self._opened, _STEP_BYTES - done)
        return PlacedBytes(taken, done)

    def _open(self, number: int, data: bytes) -> _Opened:
        contents = self._contents
        plaintext = sealing.open_chunk(contents.keys[number], data, contents.lengths[number])
        return _Opened(number, plaintext, self._places.of(number))

    def _write(self, opened: _Opened, enough: int) -> int:
        """Write a chunk to its next places, until that was enough; returns the bytes."""
        done = 0
        for place in opened.places:
            self._tree.write(place, opened.plaintext)
            done += len(opened.plaintext)
            if done >= enough:
                return done
        self._written[opened.number] = True
        self._opened = None
        return done
