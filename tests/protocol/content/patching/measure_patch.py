"""Makes and reads the largest part that there can be, and prints what memory that took."""

import json
import random
import sys

from protocol import limits
from protocol.content.patching.frame import PatchFrame, Prefix, Rebuilding
from scripts.benchmarks.peak import peak_mb

_CHUNK_BYTES = limits.CHUNK_BYTES_MAX
_CHUNKS = limits.PATCH_PART_BYTES // _CHUNK_BYTES


def chunk(rng: random.Random, number: int) -> bytes:
    """A chunk of which nothing compresses but what the base has."""
    return random.Random(number).randbytes(_CHUNK_BYTES - 1) + rng.randbytes(1)


def base_bytes() -> bytearray:
    """The largest prefix."""
    data = bytearray(limits.PATCH_PART_BYTES)
    for number in range(_CHUNKS):
        start = number * _CHUNK_BYTES
        data[start : start + _CHUNK_BYTES] = chunk(random.Random(0), number)
    return data


def made(level: int) -> bytes:
    """The frame of the largest part."""
    rng = random.Random(1)
    frame = PatchFrame(Prefix(base_bytes()), limits.PATCH_PART_BYTES, level)
    parts = [frame.add(chunk(rng, number)) for number in range(_CHUNKS)]
    return b"".join([*parts, frame.end()])


def main() -> None:
    """Prints the peaks, in MB, until it was made and until it was read."""
    frame = made(int(sys.argv[1]))
    made_mb = peak_mb()
    rebuilding = Rebuilding(Prefix(base_bytes()), [_CHUNK_BYTES] * _CHUNKS)
    rng = random.Random(1)
    count = 0
    for number, got in enumerate(rebuilding.feed(frame)):
        assert got == chunk(rng, number)
        count += 1
    rebuilding.end()
    assert count == _CHUNKS
    sys.stdout.write(json.dumps({"frame": len(frame), "made": made_mb, "rebuilt": peak_mb()}))


if __name__ == "__main__":
    main()
