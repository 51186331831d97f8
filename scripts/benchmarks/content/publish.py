"""How fast a folder becomes a mod: walked, read, cut, packed, sealed, hashed and stored.

Incompressible bytes in one file, compressible ones, and many small files; each in a vault of its
own. What the disk is given is flushed to it, as in use.
"""

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from node.content.publish import publisher, walk
from node.content.publish.publisher import PublishedMod
from node.content.secrets import Secrets
from node.content.vault.packs import Packs
from node.content.vault.store import Store
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content import sealing
from protocol.content.chunking import Chunker
from scripts.benchmarks.content.apart import publisher_of
from scripts.benchmarks.content.hashed_bytes import HashedBytes
from scripts.benchmarks.content.stages import Stages

_MEGABYTE = 10**6
_SMALL_BYTES = 1000
_STAGES = (
    (walk, "walk", "walk"),
    (publisher, "_batches", "read"),
    (Secrets, "check", "look for secrets"),
    (Secrets, "check_anywhere", "look for secrets"),
    (Chunker, "feed", "chunk"),
    (Chunker, "cut", "chunk"),
    (sealing.RawBody, "of", "hash plaintext"),
    (sealing.Packer, "packed", "pack"),
    (sealing, "derive_key", "derive key"),
    (sealing, "seal_body", "seal"),
    (sealing, "address_of", "hash for address"),
    (Packs, "append", "store"),
    (Store, "put_sealed", "index"),
    (Store, "known_chunks", "index"),
    (Store, "add_mod", "index"),
)


def run(megabytes: int = 500, small_files: int = 20_000, runs: int = 3) -> dict[str, Any]:
    """Megabytes a second (the best of some runs, and the median), milliseconds of processor time a
    megabyte, hashes of each byte, and the percent of the processor time that each stage takes.
    """
    with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as name:
        folder = Path(name)
        raw = _file_of(folder / "raw", megabytes, os.urandom)
        figures = _figures(raw, folder, runs)
        stages, hashed = Stages(), HashedBytes()
        with stages.wrapping(*_STAGES):
            _publish(raw, folder)
        with hashed.counting():
            mod, *_ = _publish(raw, folder)
        shutil.rmtree(raw)
        packed = _figures(_file_of(folder / "packed", megabytes, _Words()), folder, runs)
        many = _figures(_small_files(folder / "many", small_files), folder, runs)
    return {
        "bytes": mod.bytes,
        "publish_MBps": figures["MBps"],
        "publish_MBps_median": figures["MBps_median"],
        "cpu_ms_per_MB": figures["cpu_ms_per_MB"],
        "hashes_per_byte": round(hashed.total / mod.bytes, 3),
        "stages_percent": stages.percent(),
        "disk_wait_s": round(stages.waited_s["store"], 2),
        "compressible_MBps": packed["MBps"],
        "compressible_cpu_ms_per_MB": packed["cpu_ms_per_MB"],
        "small_files": small_files,
        "small_files_s": many["seconds"],
        "small_files_cpu_s": many["cpu_s"],
    }


def _figures(source: Path, folder: Path, runs: int) -> dict[str, float]:
    measured = [_publish(source, folder) for _ in range(runs)]
    megabytes = measured[0][0].bytes / _MEGABYTE
    seconds = [wall for _, wall, _ in measured]
    cpu = min(used for *_, used in measured)
    return {
        "seconds": round(min(seconds), 2),
        "MBps": round(megabytes / min(seconds), 1),
        "MBps_median": round(megabytes / median(seconds), 1),
        "cpu_s": round(cpu, 2),
        "cpu_ms_per_MB": round(1000 * cpu / megabytes, 2),
    }


def _publish(source: Path, folder: Path) -> tuple[PublishedMod, float, float]:
    """Publish into a new vault; what came of it, seconds, and seconds of processor time."""
    home = folder / "home"
    home.mkdir()
    try:
        return asyncio.run(_publish_once(source, home))
    finally:
        shutil.rmtree(home)


async def _publish_once(source: Path, home: Path) -> tuple[PublishedMod, float, float]:
    vault = await Vault.open(home / "vault")
    try:
        made = publisher_of(vault, home, Environment())
        began = time.perf_counter(), time.process_time()
        mod = await made.publish(source)
        return mod, time.perf_counter() - began[0], time.process_time() - began[1]
    finally:
        await vault.close()


def _file_of(folder: Path, megabytes: int, some: Callable[[int], bytes]) -> Path:
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        for _ in range(megabytes):
            file.write(some(_MEGABYTE))
    return folder


class _Words:
    """Makes bytes that pack to less than half: words of a small vocabulary."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        self._words = [b"%08x " % self._rng.getrandbits(32) for _ in range(4096)]

    def __call__(self, size: int) -> bytes:
        words = self._rng.choices(self._words, k=size // 9 + 1)
        return b"".join(words)[:size]


def _small_files(folder: Path, count: int) -> Path:
    for number in range(count):
        place = folder / f"{number // 1000:03}" / f"{number:06}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(_SMALL_BYTES))
    return folder
