"""Where the byte stream of a mod to share is cut besides by its content: at files and members.

Files and members of some size begin and end at a boundary, so their chunks do not depend on what
lies beside them. Smaller ones flow together with their neighbours.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from node.content.publish.reading import FoundFile, opened
from node.content.secrets import Secrets
from node.disk.descent import Descent
from protocol.content.chunking import Chunker, grain_of
from protocol.content.containers.member_cuts import member_cuts

_PIECE_BYTES = 2**20


def cut_files(
    files: Sequence[FoundFile], descent: Descent, kept_back: Secrets, hashes: list[bytes]
) -> Iterator[bytes]:
    """The chunks of the files' byte stream; raises BadFolder, UnsafePath.

    Appends the SHA-256 of each file to `hashes` once it was read.
    """
    grain = grain_of(sum(file.size for file in files))
    chunker = Chunker(grain)
    for file in files:
        stands_alone = file.size >= grain.alone
        digest = hashlib.sha256()
        with opened(file, descent) as reading:
            cuts: Sequence[int] = ()
            if stands_alone:
                yield from chunker.cut()
                cuts = member_cuts(reading.read_at, file.size, grain.alone)
            for piece in _cut_up(reading.pieces(_PIECE_BYTES, kept_back), cuts):
                if piece:
                    digest.update(piece)
                    yield from chunker.feed(piece)
                else:
                    yield from chunker.cut()
        hashes.append(digest.digest())
        if stands_alone:
            yield from chunker.cut()
    yield from chunker.cut()


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
