"""Versions of a mod as a patch sees them, patches between two, and what is rebuilt by them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from protocol.content.chunking import COARSE, Chunker
from protocol.content.patching.frame import PatchFrame, Prefix, Rebuilding
from protocol.content.patching.part import PatchPart, PatchReader, encode_head, numbers_of
from protocol.content.patching.plan import PatchSide, plan_parts


@dataclass(frozen=True)
class Version:
    side: PatchSide
    chunks: list[bytes]


def version(files: Mapping[str, bytes]) -> Version:
    """A version whose chunks have their plaintexts' hashes as addresses."""
    chunker = Chunker(COARSE)
    cut: list[bytes] = []
    for path in sorted(files):
        cut += [bytes(one) for one in chunker.feed(files[path])]
        cut += [bytes(one) for one in chunker.cut()]
    numbers: dict[bytes, int] = {}
    chunks: list[bytes] = []
    order = []
    for chunk in cut:
        address = hashlib.sha256(chunk).digest()
        if address not in numbers:
            numbers[address] = len(chunks)
            chunks.append(chunk)
        order.append(numbers[address])
    named = [(path, len(files[path])) for path in sorted(files)]
    return Version(PatchSide(named, list(numbers), [len(one) for one in chunks], order), chunks)


def frame_of(prefix: bytes, yielded: Sequence[bytes], level: int = 3) -> bytes:
    """The frame of one part."""
    frame = PatchFrame(Prefix(prefix), sum(map(len, yielded)), level)
    return b"".join([*map(frame.add, yielded), frame.end()])


def patch_between(base: Version, new: Version, level: int = 3) -> bytes:
    """The bytes of a patch."""
    made = b""
    for planned in plan_parts(base.side, new.side):
        prefix = b"".join(base.chunks[number] for number in numbers_of(planned.base))
        yielded = [new.chunks[number] for number in numbers_of(planned.chunks)]
        frame = frame_of(prefix, yielded, level)
        made += encode_head(PatchPart(planned.base, planned.chunks, len(frame))) + frame
    return made


def rebuilt(
    patch: bytes, base: Version, lengths: list[int], piece_bytes: int = 10_000
) -> Iterator[tuple[int, bytes]]:
    """The chunks that a patch yields, with their numbers; raises BadContent."""
    reader = PatchReader(base.side.lengths, lengths)
    rebuilding: Rebuilding | None = None
    numbers: Iterator[int] = iter(())
    for start in range(0, len(patch), piece_bytes):
        for one in reader.feed(patch[start : start + piece_bytes]):
            if isinstance(one, PatchPart):
                if rebuilding is not None:
                    rebuilding.end()
                prefix = b"".join(base.chunks[number] for number in numbers_of(one.base))
                numbers = numbers_of(one.chunks)
                rebuilding = Rebuilding(Prefix(prefix), [lengths[number] for number in numbers])
                numbers = numbers_of(one.chunks)
            else:
                assert rebuilding is not None
                for chunk in rebuilding.feed(one):
                    yield next(numbers), chunk
    reader.end()
    if rebuilding is not None:
        rebuilding.end()
