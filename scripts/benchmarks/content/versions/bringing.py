"""A folder of many small files that comes to another version, in a process of its own.

`prepare FOLDER FILES` prints the links of both versions, `update FOLDER LINK LINK` what it took to
bring the folder from the first to the second, and back. Both print JSON.
"""

import asyncio
import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

from node.content.assemble.assembler import Assembler
from node.content.assemble.claims import TargetClaims
from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMod, OpenedMods
from node.content.room import RoomBook
from node.content.targets.updater import TargetUpdater
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content.link import ModLink, parse
from scripts.benchmarks.content import sources
from scripts.benchmarks.content.apart import publisher_of
from scripts.benchmarks.peak import peak_mb

_EACH_BYTES = 1000
_CHANGED_EVERY = 100
_SHARED_S = 1_600_000_000
"""In 2020: of a file that is as new as its folder only the bytes tell whether it changed."""


async def _prepare(folder: Path, files: int) -> list[str]:
    """Share both versions, and write the first one."""
    source = sources.small_files(folder / "mod", files, _EACH_BYTES)
    paths = sorted(source.rglob("*.bin"))
    vault = await Vault.open(folder / "vault")
    try:
        publisher = publisher_of(vault, folder / "vault", Environment(rng=random.Random(1)))
        _date(paths, _SHARED_S)
        first = await publisher.publish(source)
        rng = random.Random(4)
        for path in paths[::_CHANGED_EVERY]:
            path.write_bytes(rng.randbytes(_EACH_BYTES))
        _date(paths[::_CHANGED_EVERY], _SHARED_S + 1)
        second = await publisher.publish(source)
        opened, claims = OpenedMods(), TargetClaims()
        await _opened(vault, opened, first.link)
        assembler = Assembler(vault, HomeGuard(folder / "vault"), opened, claims)
        done = await assembler.assemble(first.mod_id, folder / "out")
        await TargetUpdater(vault, claims, RoomBook()).wrote(done.path, first.mod_id, done.tree)
        opened.close()
    finally:
        await vault.close()
    return [str(first.link), str(second.link)]


def _date(paths: list[Path], seconds: int) -> None:
    for path in paths:
        os.utime(path, (seconds, seconds))


async def _opened(vault: Vault, opened: OpenedMods, link: ModLink) -> OpenedMod:
    manifest = await vault.get(link.mod_id)
    assert manifest is not None
    assert link.content_key is not None
    return await opened.open(link.mod_id, manifest, link.content_key)


async def _update(folder: Path, first: ModLink, second: ModLink) -> dict[str, Any]:
    """Bring the folder to the second version, look at it once more, and back."""
    vault = await Vault.open(folder / "vault")
    opened = OpenedMods()
    updater = TargetUpdater(vault, TargetClaims(), RoomBook())
    told: dict[str, Any] = {}
    try:
        mod = await _opened(vault, opened, second)
        told["peak_before_MB"] = peak_mb()
        for name, link in (("forward", second), ("nothing to do", second), ("back", first)):
            mod = await _opened(vault, opened, link)
            began = time.perf_counter(), time.process_time()
            done = await updater.update(mod, folder / "out")
            told[name] = {
                "seconds": round(time.perf_counter() - began[0], 2),
                "cpu_s": round(time.process_time() - began[1], 2),
                "written": len(done.written),
            }
        told["peak_MB"] = peak_mb()
    finally:
        await updater.close()
        opened.close()
        await vault.close()
    return told


def main() -> None:
    """Does what the arguments say."""
    what, folder, *words = sys.argv[1:]
    told: Any
    if what == "prepare":
        told = asyncio.run(_prepare(Path(folder), int(words[0])))
    else:
        first, second = (one for one in map(parse, words) if isinstance(one, ModLink))
        told = asyncio.run(_update(Path(folder), first, second))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
