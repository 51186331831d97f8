"""Where the byte stream of a mod to share is cut besides by its content: at files and members.

Files and members of some size begin and end at a boundary, so their chunks do not depend on what
lies beside them. Smaller ones flow together with their neighbours.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise

from node.content.publish.reading import FoundFile, opened
from node.content.secrets import Secrets
from node.disk.descent import Descent
from protocol.content.chunking import Chunker, Grain, grain_of
from protocol.content.containers.member_cuts import member_cuts

_PIECE_BYTES = 2**20


def cut_files(
    files: Sequence[FoundFile], descent: Descent, kept_back: Secrets, hashes: list[bytes]
) -> Iterator[bytes]:
    """The chunks of the files' byte stream; raises BadFolder, UnsafePath.

    Appends the SHA-256 of each file to `hashes` once it was read.
    """
    mod_bytes = sum(file.size for file in files)
    grain = grain_of(mod_bytes)
    chunker = Chunker(grain)
    for file in files:
        digest = hashlib.sha256()
        with opened(file, descent) as reading:
            pieces = _hashed(reading.pieces(_PIECE_BYTES, kept_back), digest.update)
            if file.size < grain.alone:
                for piece in pieces:
                    yield from chunker.feed(piece)
            else:
                cuts = member_cuts(reading.read_at, file.size, grain.alone)
                runs = pairwise(chain((0,), cuts, (file.size,)))
                grains = (grain_of(mod_bytes, end - start) for start, end in runs)
                yield from _cut_runs(chunker, _cut_up(pieces, cuts), grains)
                yield from chunker.begin(grain)
        hashes.append(digest.digest())
    yield from chunker.cut()


def _hashed(pieces: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _cut_runs(
    chunker: Chunker, pieces: Iterable[bytes], grains: Iterator[Grain]
) -> Iterator[bytes]:
    """The chunks of these pieces, of which an empty one ends a run, by the grain of each run."""
    yield from chunker.begin(next(grains))
    for piece in pieces:
        yield from chunker.feed(piece) if piece else chunker.begin(next(grains))


def _cut_up(pieces: Iterable[bytes], cuts: Sequence[int]) -> Iterator[bytes]:
    """The pieces with an empty one at each of these offsets, which ascend."""
    offset, nexts = 0, iter(cuts)
    cut = next(nexts, None)
    for piece in pieces:
        at = 0
        while cut is not None and cut < offset + len(piece):
            if cut > offset + at:
                yield piece[at : cut - offset]
            yield b""
            at, cut = cut - offset, next(nexts, None)
        yield piece[at:]
        offset += len(piece)
