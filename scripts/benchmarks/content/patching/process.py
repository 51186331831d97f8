"""A publisher or a follower in a process of its own, which prints what its patch cost, as JSON.

`share VAULT BEFORE AFTER`, then `apply VAULT OTHER-VAULT` with the two mods' ids.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from node.content.opened_mods import OpenedMods
from node.content.patching.patches import Patches, PatchTaker
from node.content.patching.publishing import PatchPublishing
from node.content.room import RoomBook
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.content.link import ModLink, parse
from scripts.benchmarks.content.apart import publisher_of
from scripts.benchmarks.peak import peak_mb

_AT_ONCE = 100


async def _share(folder: Path, before: Path, after: Path) -> dict[str, Any]:
    vault = await Vault.open(folder)
    publisher = publisher_of(vault, folder, Environment(rng=random.Random(1)))
    making_s = 0.0
    honest = PatchPublishing.patch_to

    async def timed(self: PatchPublishing, *arguments: Any) -> Any:
        nonlocal making_s
        started = time.perf_counter()
        try:
            return await honest(self, *arguments)
        finally:
            making_s = time.perf_counter() - started

    PatchPublishing.patch_to = timed  # type: ignore[method-assign, assignment]
    try:
        started = time.perf_counter()
        first = await publisher.publish(before, "mod")
        first_s = time.perf_counter() - started
        before_mb = peak_mb()
        started = time.perf_counter()
        second = await publisher.publish(after, "mod", continues=True)
        return {
            "links": [str(first.link), str(second.link)],
            "first_share_s": round(first_s, 3),
            "second_share_s": round(time.perf_counter() - started, 3),
            "make_s": round(making_s, 3),
            "share_peak_mb": before_mb,
            "make_peak_mb": peak_mb(),
        }
    finally:
        await vault.close()


class _Copying:
    """Brings mods from one vault to another, and counts their bytes."""

    def __init__(self, source: Vault, target: Vault) -> None:
        self._source = source
        self._target = target
        self._opened = OpenedMods()
        self.bytes = 0

    async def bring(self, link: ModLink, taker: PatchTaker | None = None) -> None:
        """All of a mod."""
        opened = await self.manifest(link, taker)
        addresses = opened.manifest.addresses
        for start in range(0, len(addresses), _AT_ONCE):
            part = addresses[start : start + _AT_ONCE]
            found = await self._source.get_many(part)
            blobs = [(one, data) for one, data in zip(part, found, strict=True) if data is not None]
            self.bytes += sum(len(data) for _, data in blobs)
            await self._target.put(blobs)

    async def manifest(self, link: ModLink, taker: PatchTaker | None = None) -> Any:
        """A mod without its chunks."""
        data, mod = await self._source.get(link.mod_id), await self._source.mod(link.mod_id)
        assert data is not None
        assert mod is not None
        opened = await self._opened.open(link.mod_id, data, link.content_key)
        if taker is not None:
            await taker.accept(opened)
        await self._target.add_mod(mod, opened.manifest)
        self.bytes += len(data)
        return opened


async def _apply(folder: Path, other: Path, first: ModLink, second: ModLink) -> dict[str, Any]:
    source, target = await Vault.open(folder), await Vault.open(other)
    try:
        copying = _Copying(source, target)
        await copying.bring(first)
        copying.bytes = 0
        new = await copying.manifest(second)
        manifest_bytes, copying.bytes = copying.bytes, 0
        missing = await target.missing(second.mod_id)
        lengths = new.manifest.sealed_lengths
        before_mb = peak_mb()
        started = time.perf_counter()
        patches = Patches(target, OpenedMods(), RoomBook())
        await patches.apply(new, missing, copying.bring, lambda _: None)
        applied_s = time.perf_counter() - started
        left = await target.missing(second.mod_id)
        return {
            "manifest_bytes": manifest_bytes,
            "missing_bytes": sum(lengths[number] for number in missing),
            "patch_bytes": copying.bytes,
            "left_bytes": sum(lengths[number] for number in left),
            "apply_s": round(applied_s, 3),
            "bring_peak_mb": before_mb,
            "apply_peak_mb": peak_mb(),
        }
    finally:
        await source.close()
        await target.close()


def main() -> None:
    """Does what the arguments say."""
    what, *words = sys.argv[1:]
    if what == "share":
        told = asyncio.run(_share(*map(Path, words)))
    else:
        vault, other = map(Path, words[:2])
        first, second = (one for one in map(parse, words[2:]) if isinstance(one, ModLink))
        told = asyncio.run(_apply(vault, other, first, second))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
