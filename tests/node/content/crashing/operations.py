"""The operations that are broken off; here those of mods that are shared, fetched and removed."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from node.content.opened_mods import OpenedMods
from node.content.publish.publisher import PublishedMod
from protocol.content import frames
from protocol.content.frames import GetChunks
from protocol.content.manifests.manifest import decode_manifest
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    links_to,
    read_files,
    write_files,
)
from tests.node.content.crashing.export_kept import Export
from tests.node.content.crashing.follow_kept import Follow
from tests.node.content.crashing.home_kept import HomeKept
from tests.node.content.crashing.life import Operation, Steps, check_vault, told
from tests.node.content.crashing.mods import (
    LINE_BYTES_S,
    acknowledging,
    check_mod,
    files_of,
    link_in,
)
from tests.node.content.crashing.queue_kept import QueueKept
from tests.node.content.crashing.target_kept import UpdateTarget
from tests.node.content.crashing.vault_kept import Evict, Scrub


class Share:
    """A node shares two mods that have files in common, and the first one once more, changed."""

    name = "share"

    _mods = (("one", 1), ("two", 2), ("one", 3))

    async def prepare(self, world: Path) -> None:
        """The folders to be shared."""
        for place, (name, seed) in enumerate(self._mods):
            write_files(world / f"source{place}" / name, files_of(seed))

    async def run(self, world: Path, steps: Steps) -> None:
        """Share them, one after another."""
        async with steps.node(world / "disk") as node:
            for place in range(len(self._mods)):
                if await self._is_superseded(node, place):
                    continue
                shared = await steps.do(partial(self._share, node, world, place))
                steps.acknowledge("shared", str(place), shared.mod_id.hex())

    async def _share(self, node: ContentNode, world: Path, place: int) -> PublishedMod:
        name = self._mods[place][0]
        return await node.publisher.publish(
            world / f"source{place}" / name, name, continues=self._follows(place)
        )

    def _follows(self, place: int) -> bool:
        """Whether it is the next version of one before."""
        return self._mods[place][0] in [name for name, _ in self._mods[:place]]

    async def _is_superseded(self, node: ContentNode, place: int) -> bool:
        """Whether the next version of it was made: shared again it would come after that."""
        name = self._mods[place][0]
        version = [name for name, _ in self._mods[: place + 1]].count(name)
        return any(mod.name == name and mod.version > version for mod in await node.vault.mods())

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """What was shared can be had; sharing it again stores nothing and gives the same link.

        But for the version that another one follows: what it had then is a version after that.
        """
        check_vault(world / "disk" / "vault")
        async with content_node(world / "disk") as node:
            for number, mod_id in {tuple(one) for one in told(acknowledged, "shared")}:
                mod, place = bytes.fromhex(mod_id), int(number)
                await check_mod(node, mod, world, files_of(self._mods[place][1]))
                if await self._is_superseded(node, place):
                    continue
                again = await self._share(node, world, place)
                assert (again.mod_id, again.new_bytes) == (mod, 0)
            shared = {int(number) for number, _ in told(acknowledged, "shared")}
            for place in sorted({*range(len(self._mods))} - shared):
                if await self._is_superseded(node, place):
                    continue
                mod = (await self._share(node, world, place)).mod_id
                await check_mod(node, mod, world, files_of(self._mods[place][1]))
            assert len(await node.vault.mods()) == len(self._mods)
            await node.vault.collect()
        check_vault(world / "disk" / "vault", is_tidy=True)


class Get:
    """A node fetches a mod, of which its vault has a part from another one, and writes it out."""

    name = "get"

    async def prepare(self, world: Path) -> None:
        """One that has both mods, and one that has the first."""
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            for seed in (1, 2):
                source = write_files(world / f"source{seed}" / "mod", files_of(seed))
                shared = await giver.publisher.publish(source, "mod", continues=seed > 1)
                (world / f"link{seed}").write_text(str(shared.link))
            await self._fetch(giver, node, world, 1)

    async def run(self, world: Path, steps: Steps) -> None:
        """Fetch the second one, and write it."""
        async with content_node(world / "giver", 2) as giver, steps.node(world / "disk") as node:
            acknowledging(node.vault, steps)
            await steps.do(lambda: self._fetch(giver, node, world, 2))
            steps.acknowledge("fetched")
            await steps.do(lambda: self._write(node, world))
            steps.acknowledge("written")

    async def _write(self, node: ContentNode, world: Path) -> None:
        """Write it as the queue does, which may have been broken off once it was there."""
        link, target = link_in(world, 2), world / "disk" / "new" / "folder" / "out"
        if not target.exists():
            await node.assembler.assemble(link.mod_id, target)
            return
        data = await node.vault.get(link.mod_id)
        opened = await OpenedMods().open(link.mod_id, data or b"", link.content_key)
        assert await node.assembler.written(opened, target), "half of a mod under its name"

    async def _fetch(
        self, giver: ContentNode, node: ContentNode, world: Path, seed: int
    ) -> set[int]:
        """Fetch what is missing of a mod; returns what was asked for."""
        asked: set[int] = set()

        def look(data: bytes) -> bytes:
            frame = frames.decode_frame(data)
            if isinstance(frame, GetChunks):
                asked.update(frame.chunks)
            return data

        theirs, ours = giver.connect(node)
        theirs.bytes_per_second, ours.meddler = LINE_BYTES_S, look
        await node.download(link_in(world, seed), links_to(ours))
        ours.cut("done")
        return asked

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """What was stored is not fetched again, and what is written is whole."""
        check_vault(world / "disk" / "vault")
        mod_id = link_in(world, 2).mod_id
        target = world / "disk" / "new" / "folder" / "out"
        if told(acknowledged, "written"):
            assert target.exists(), "the mod was written"
        if target.exists():
            assert read_files(target) == files_of(2), "half of a mod under its name"
        async with content_node(world / "giver", 2) as giver, content_node(world / "disk") as node:
            kept = {address for (address,) in told(acknowledged, "stored")}
            for address in kept:
                assert await node.vault.get(bytes.fromhex(address)), f"{address} was stored"
            manifest = decode_manifest(await giver.vault.get(mod_id) or b"")
            asked = await self._fetch(giver, node, world, 2)
            again = {manifest.addresses[chunk].hex() for chunk in asked} & kept
            assert not again, "fetched again, though they were stored"
            if not target.exists():
                await node.assembler.assemble(mod_id, target)
            assert read_files(target) == files_of(2)
            for other in (target.with_name("other"), world / "disk" / "other"):
                await node.assembler.assemble(link_in(world, 1).mod_id, other)
                assert read_files(other) == files_of(1)
                shutil.rmtree(other)
            await node.vault.collect()
        check_vault(world / "disk" / "vault", is_tidy=True)
        left = {path.relative_to(world / "disk").parts[:3] for path in _below(world / "disk")}
        left = {parts for parts in left if parts[0] != "vault" and parts[-1] != "out"}
        assert left == {("new",), ("new", "folder")}, f"left behind: {sorted(left)}"


class Remove:
    """A node forgets two of four mods, and the room of what only they need comes back."""

    name = "remove"

    _removed = (2, 3)

    async def prepare(self, world: Path) -> None:
        """The four of them, of which two have chunks in common with those that go."""
        async with content_node(world / "disk") as node:
            for seed in (1, 2, 3, 4):
                source = write_files(world / f"source{seed}" / "mod", files_of(seed))
                shared = await node.publisher.publish(
                    source, f"mod {1 + seed % 2}", continues=seed > 2
                )
                (world / f"link{seed}").write_text(str(shared.link))

    async def run(self, world: Path, steps: Steps) -> None:
        """Remove them, as `modswarm rm` does."""
        async with steps.node(world / "disk") as node:
            for seed in self._removed:
                mod_id = link_in(world, seed).mod_id
                await steps.do(partial(node.vault.remove_mod, mod_id))
                steps.acknowledge("removed", str(seed))

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """The others are whole; each of these is gone or whole, and its room comes back."""
        check_vault(world / "disk" / "vault")
        gone = {int(seed) for (seed,) in told(acknowledged, "removed")}
        async with content_node(world / "disk") as node:
            await node.vault.collect()  # as a node does at its start
            known = {mod.mod_id for mod in await node.vault.mods()}
            for seed in (1, 2, 3, 4):
                link = link_in(world, seed)
                if link.mod_id in known:
                    assert seed not in gone, f"mod {seed} was removed"
                    await check_mod(node, link.mod_id, world, files_of(seed))
                else:
                    assert seed in self._removed, f"mod {seed} is lost"
            for seed in self._removed:
                await node.vault.remove_mod(link_in(world, seed).mod_id)
        check_vault(world / "disk" / "vault", is_tidy=True)


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Share(),
        Get(),
        Remove(),
        HomeKept(),
        QueueKept(),
        Evict(),
        Scrub(),
        UpdateTarget(),
        Follow(),
        Export(),
    )
}


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*"))
