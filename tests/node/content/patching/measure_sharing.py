"""Shares two versions between which much changed, and prints what memory the patch took."""

import asyncio
import json
import random
import sys
from pathlib import Path

from node.content.patching.publishing import PatchPublishing
from scripts.benchmarks.peak import peak_mb
from tests.node.content.content_nodes import content_node, write_files

_BYTES = 98 * 2**20
_EACH_BYTES = 4096
_CHANGED = 0.6


def versions() -> tuple[bytes, bytes]:
    """Of the second one more than a half is new, in pieces everywhere: its patch is as large."""
    rng = random.Random(1)
    before = rng.randbytes(_BYTES)
    after = bytearray(before)
    for place in range(0, _BYTES, _EACH_BYTES):
        length = int(_EACH_BYTES * _CHANGED)
        after[place : place + length] = rng.randbytes(length)
    return before, bytes(after)


def write_versions(folder: Path) -> None:
    """Two folders to share."""
    for name, data in zip(("one", "two"), versions(), strict=True):
        write_files(folder / name, {"big.bin": data})


async def run(folder: Path) -> None:
    """Prints the peaks before the patch is made and afterwards, in MB, and its bytes."""
    before = 0.0
    real = PatchPublishing.patch_to

    async def noting(*arguments: object) -> object:
        nonlocal before
        before = peak_mb()
        return await real(*arguments)  # type: ignore[arg-type]

    PatchPublishing.patch_to = noting  # type: ignore[method-assign,assignment]
    async with content_node(folder) as node:
        await node.publisher.publish(folder / "one", "mod")
        await node.publisher.publish(folder / "two", "mod", continues=True)
        patches = [mod.bytes for mod in await node.vault.mods() if mod.patch_of]
    told = {"before": before, "shared": peak_mb(), "patches": patches}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[2:] == ["write"]:  # by a process of its own, which takes more memory than a share
        write_versions(Path(sys.argv[1]))
    else:
        asyncio.run(run(Path(sys.argv[1])))
