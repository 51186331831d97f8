"""A vault that is kept: mods are pinned and evicted, and all bytes are checked and repaired."""

import contextlib
import sqlite3
from functools import partial
from pathlib import Path

from node.content.keeping.keeper import Keeper
from node.content.keeping.scrubber import Scrubber
from node.content.progress import ReportProgress
from node.content.rates.background import BackgroundPacer
from node.content.room import Disk
from node.content.vault.upkeep import scrubbing
from protocol.content.link import ModLink
from protocol.content.manifests.manifest import decode_manifest
from tests.node.content.content_nodes import ContentNode, content_node, links_to, write_files
from tests.node.content.crashing.life import Steps, check_vault, told
from tests.node.content.crashing.mods import check_mod, files_of, link_in

_ROOMY = Disk(1, 2**40, 2**40)
_MODS = (1, 2, 3, 4)


async def _share_all(node: ContentNode, world: Path) -> None:
    for seed in _MODS:
        source = write_files(world / f"source{seed}" / "mod", files_of(seed))
        shared = await node.publisher.publish(source, f"mod {seed}")
        (world / f"link{seed}").write_text(str(shared.link))


async def _known(node: ContentNode) -> set[bytes]:
    return {mod.mod_id for mod in await node.vault.mods()}


class Evict:
    """A person pins one mod and lets three go; two of these have no room in the budget."""

    name = "evict"

    _pinned, _left = 2, 2

    async def prepare(self, world: Path) -> None:
        """Four mods with chunks in common, all of which are pinned, as they are shared."""
        async with content_node(world / "disk") as node:
            await _share_all(node, world)

    async def run(self, world: Path, steps: Steps) -> None:
        """Let go of the others, and keep within the budget."""
        async with steps.node(world / "disk") as node:
            for seed in _MODS:
                pinned = seed == self._pinned
                mod_id = link_in(world, seed).mod_id
                if mod_id in await _known(node):
                    await steps.do(partial(node.vault.pin, mod_id, pinned=pinned))
                    steps.acknowledge("pinned" if pinned else "free", str(seed))
            await steps.do(partial(self._keep_within, node))
            there = await _known(node)
            assert len(there) == self._left
            for seed in _MODS:
                if link_in(world, seed).mod_id not in there:
                    steps.acknowledge("evicted", str(seed))

    async def _keep_within(self, node: ContentNode) -> None:
        await Keeper(node.vault, 700_000, look=lambda _: _ROOMY).keep_within()

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """What is pinned, or has room, is whole; the others are gone or whole."""
        check_vault(world / "disk" / "vault")
        ids = {seed: link_in(world, seed).mod_id for seed in _MODS}
        async with content_node(world / "disk") as node:
            await node.vault.collect()  # as a node does at its start
            there = await _known(node)
            pinned = {mod.mod_id for mod in await node.vault.kept() if mod.is_pinned}
            for what in ("pinned", "free"):
                for (named,) in told(acknowledged, what):
                    if ids[int(named)] not in there:
                        continue  # evicted since
                    assert (ids[int(named)] in pinned) == (what == "pinned"), f"{named} was {what}"
            for (named,) in told(acknowledged, "evicted"):
                assert ids[int(named)] not in there, f"mod {named} was evicted"
            for seed, mod_id in ids.items():
                if mod_id in there:
                    await check_mod(node, mod_id, world, files_of(seed))
                    await node.vault.pin(mod_id, pinned=seed == self._pinned)
            assert ids[self._pinned] in there
            assert len(there) >= self._left, "more went than had to"
            await self._keep_within(node)
            left = await _known(node)
            assert len(left) == self._left
            for seed, mod_id in ids.items():
                if mod_id in left:
                    await check_mod(node, mod_id, world, files_of(seed))
        check_vault(world / "disk" / "vault", is_tidy=True)


class Scrub:
    """All bytes of a vault are checked, of which some have rotted, and come again from a peer."""

    name = "scrub"

    _step_bytes = 400_000
    _rotten = (1, 4)
    """One chunk of each of these mods; no peer has the last one."""

    async def prepare(self, world: Path) -> None:
        """Two nodes with the mods, and bit rot at one of them."""
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            await _share_all(node, world)
            theirs, ours = node.connect(giver)
            for seed in _MODS[:-1]:
                await giver.download(link_in(world, seed), links_to(ours))
            theirs.cut("done")
            addresses = {seed: await self._addresses(node, world, seed) for seed in _MODS}
        for seed in self._rotten:
            others = {one for other in _MODS if other != seed for one in addresses[other]}
            chunk, address = next(
                (number, one) for number, one in enumerate(addresses[seed]) if one not in others
            )
            (world / f"rotten{seed}").write_text(str(chunk))
            _rot(world / "disk" / "vault", address)

    async def _addresses(self, node: ContentNode, world: Path, seed: int) -> tuple[bytes, ...]:
        manifest = await node.vault.get(link_in(world, seed).mod_id)
        return tuple(decode_manifest(manifest or b"").addresses)

    async def run(self, world: Path, steps: Steps) -> None:
        """Check all, and have what can be had again."""
        async with content_node(world / "giver", 2) as giver, steps.node(world / "disk") as node:
            await steps.do(partial(self._scrub, giver, node))
            steps.acknowledge("checked")

    async def _scrub(self, giver: ContentNode, node: ContentNode) -> None:
        scrubbing._CHECKED_BYTES = self._step_bytes

        async def repair(
            mod_id: bytes, report: ReportProgress, pacer: BackgroundPacer | None
        ) -> None:
            theirs, ours = giver.connect(node)
            try:
                await node.download(ModLink(mod_id), links_to(ours), report)
            finally:
                theirs.cut("over")

        await Scrubber(node.vault, repair).run()

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """What was checked is right; in the end only that is lost which nobody has."""
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            if told(acknowledged, "checked"):
                assert await node.vault.missing(link_in(world, 1).mod_id) == [], "it was repaired"
                assert await node.vault.missing(link_in(world, 4).mod_id) == self._lost(world)
            await self._scrub(giver, node)
            for seed in _MODS[:-1]:
                await check_mod(node, link_in(world, seed).mod_id, world, files_of(seed))
            assert await node.vault.missing(link_in(world, 4).mod_id) == self._lost(world)
            assert await node.vault.damaged() == [link_in(world, 4).mod_id]
        check_vault(world / "disk" / "vault")

    def _lost(self, world: Path) -> list[int]:
        return [int((world / "rotten4").read_text())]


def _rot(vault: Path, address: bytes) -> None:
    """Change one byte of a blob on the disk."""
    with contextlib.closing(sqlite3.connect(vault / "index.sqlite")) as database:
        found = "SELECT pack, start, length FROM blobs WHERE address = ?"
        pack, start, length = database.execute(found, (address,)).fetchone()
    with (vault / "packs" / f"{pack:08}.pack").open("r+b") as file:
        file.seek(start + length // 2)
        byte = file.read(1)[0]
        file.seek(start + length // 2)
        file.write(bytes([byte ^ 1]))
