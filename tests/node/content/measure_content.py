"""Measures this room: `python -m tests.node.content.measure_content [megabytes] [folder]`.

Prints JSON: MB/s (10^6 bytes of plaintext) and CPU seconds for publishing, storing, moving over a
link in memory, and writing out; for random and for compressible data, and 10 000 small files.
"""

import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

from node.content.vault.vault import Vault
from protocol.content import sealing
from tests.node.content.content_nodes import content_node, links_to, read_files

_T = TypeVar("_T")
_WORDS = [bytes([65 + place % 26]) * (place % 11 + 1) + b"%d " % place for place in range(4000)]


def random_bytes(size: int) -> bytes:
    """Nothing can shrink these."""
    return random.Random(1).randbytes(size)


def compressible_bytes(size: int) -> bytes:
    """Text of numbered words: Zstandard makes it about a third."""
    rng = random.Random(2)
    parts, length = [], 0
    while length < size:
        parts.append(b"".join(rng.choices(_WORDS, k=20000)))
        length += len(parts[-1])
    return b"".join(parts)[:size]


class Stopwatch:
    """Seconds of wall and CPU per step."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.figures: dict[str, Any] = {}

    async def time(self, name: str, work: Awaitable[_T]) -> _T:
        """Run one step and note its figures."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = await work
        seconds = time.perf_counter() - wall
        self.figures[name] = {
            "MBps": round(self.size / seconds / 1e6, 1),
            "seconds": round(seconds, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
        }
        return result


async def measure(source: Path, size: int, work: Path) -> dict[str, Any]:
    """Publish, move and write out one folder."""
    clock = Stopwatch(size)
    async with content_node(work / "a", 1) as uploader, content_node(work / "b", 2) as downloader:
        shared = await clock.time("publish", uploader.publisher.publish(source, "measured"))
        await clock.time("publish_again", uploader.publisher.publish(source, "measured"))
        _, theirs = uploader.connect(downloader)
        find = links_to(theirs)
        await clock.time("download", downloader.download(shared.link, find))
        target = work / "out"
        await clock.time("assemble", downloader.assembler.assemble(shared.mod_id, target))
    assert read_files(target) == read_files(source)
    clock.figures["files"] = shared.files
    clock.figures["chunks"] = shared.chunks
    clock.figures["sealed_share"] = round(shared.new_bytes / clock.size, 3)
    return clock.figures


async def measure_vault(data: bytes, work: Path) -> dict[str, Any]:
    """Put chunks of 80 kB in batches of 4 MiB, then read them."""
    blobs = []
    for start in range(0, len(data), 80_000):
        part = data[start : start + 80_000]
        blobs.append((sealing.address_of(part), part))
    vault = await Vault.open(work / "vault")
    clock = Stopwatch(len(data))

    async def put() -> None:
        for start in range(0, len(blobs), 50):
            assert not await vault.put(blobs[start : start + 50])

    async def get() -> None:
        for start in range(0, len(blobs), 50):
            found = await vault.get_many([address for address, _ in blobs[start : start + 50]])
            assert None not in found

    await clock.time("put", put())
    await clock.time("get", get())
    await vault.close()
    return clock.figures


def main() -> None:
    """Run all of it in a temporary folder."""
    size = int(float(sys.argv[1]) * 1e6) if len(sys.argv) > 1 else 200_000_000
    base = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    work = Path(tempfile.mkdtemp(dir=base))
    try:
        figures: dict[str, Any] = {"vault": asyncio.run(measure_vault(random_bytes(size), work))}
        for name, data in (
            ("random", random_bytes(size)),
            ("compressible", compressible_bytes(size)),
        ):
            source = work / name / "source"
            source.mkdir(parents=True)
            (source / "data.bin").write_bytes(data)
            figures[name] = asyncio.run(measure(source, size, work / name))
        source = work / "small" / "source"
        rng = random.Random(3)
        sizes = [rng.randrange(100, 8000) for _ in range(10_000)]
        for number, length in enumerate(sizes):
            place = source / f"folder{number % 100}" / f"file{number}.bin"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(rng.randbytes(length))
        small = measure(source, sum(sizes), work / "small")
        figures["small_files"] = asyncio.run(small)
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
