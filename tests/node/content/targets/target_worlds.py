"""A node with two versions of a mod, and a target that has the first one."""

import contextlib
import os
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from node.content.homes import HomeGuard
from node.content.opened_mods import OpenedMod
from node.content.publish.publisher import Publisher
from node.content.room import RoomBook
from node.content.targets.outcome import ChangedFiles, Updated
from node.content.targets.preparing import HeldOpen
from node.content.targets.updater import TargetUpdater
from node.environment import Environment
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    lineages_of,
    open_files,
    write_files,
)

Files = Mapping[str, bytes]

ONE: Files = {
    "same.txt": b"always the same",
    "changed.txt": b"of version one",
    "gone.txt": b"only in version one",
    "maps/big": b"one" * 100_000,
    "maps/same": bytes(200_000) + b"end",
    "old folder/deep/file": b"x",
    "turns": b"a file, later a folder",
    "twist/inner": b"in a folder, later a file",
    "zero": b"",
}
TWO: Files = {
    "same.txt": b"always the same",
    "changed.txt": b"of version two, and longer",
    "new/folder/file": b"only in version two",
    "new.txt": b"",
    "maps/big": b"two" * 150_000,
    "maps/same": bytes(200_000) + b"end",
    "turns/inner": b"in a folder",
    "twist": b"a file",
    "zero": b"not zero",
}
MINE = b"my own words"
"""What a person writes into a target."""


def source_of(folder: Path, files: Files, number: int, *empty_folders: str) -> Path:
    """A folder to share, modified in 2020."""
    source = write_files(folder, dict(files))
    for path in empty_folders:
        (source / path).mkdir(parents=True)
    time = (1_600_000_000 + number) * 10**9 + 123_456_789
    for path in files:
        os.utime(source / path, ns=(time, time))
    return source


class TargetWorld:
    """A node whose target `out` has one of some versions, by their numbers."""

    def __init__(self, node: ContentNode, folder: Path, held_open: HeldOpen | None) -> None:
        self.node = node
        self.folder = folder
        self.target = folder / "out"
        self.versions: dict[int, OpenedMod] = {}
        environment = Environment(rng=random.Random(1))
        lineages = lineages_of(node.vault, environment, 1)
        guard = HomeGuard(node.vault.folder)
        self._publisher = Publisher(node.vault, environment, guard, lineages)
        room = RoomBook()
        self.updater = (
            TargetUpdater(node.vault, node.claims, room)
            if held_open is None
            else TargetUpdater(node.vault, node.claims, room, held_open)
        )

    async def publish(
        self, number: int, files: Files, *empty_folders: str, times: bool = True
    ) -> OpenedMod:
        """Share a version; without files it is the folder of the version before."""
        source = self.folder / f"source{number if files else number - 1}"
        if files:
            source_of(source, files, number, *empty_folders)
        shared = await self._publisher.publish(source, "mod", continues=number > 1, times=times)
        data = await self.node.vault.get(shared.mod_id)
        assert data is not None
        assert shared.link.content_key is not None
        opened = await self.node.opened.open(shared.mod_id, data, shared.link.content_key)
        self.versions[number] = opened
        return opened

    async def write(self, number: int) -> None:
        """As `get` does it."""
        mod_id = self.versions[number].manifest.mod_id
        done = await self.node.assembler.assemble(mod_id, self.target)
        await self.updater.wrote(self.target, mod_id, done.tree)

    async def update(self, number: int, changed: ChangedFiles = ChangedFiles.KEEP) -> Updated:
        """Bring the target to a version."""
        return await self.updater.update(self.versions[number], self.target, changed)

    async def mod_id(self) -> bytes:
        """Which version the vault says is there."""
        state = await self.updater.state_of(self.target)
        assert state is not None
        assert not state.pending
        return state.mod_id

    def left_beside(self) -> list[str]:
        """What is beside the target that should not be."""
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith("."))

    def left_open(self) -> list[str]:
        """What this process has open of the target and of what lies hidden beside it, on Linux."""
        return open_files(str(self.target), f"{self.folder}/.")


@contextlib.asynccontextmanager
async def target_world(
    folder: Path,
    one: Files = ONE,
    two: Files = TWO,
    *,
    held_open: HeldOpen | None = None,
    times: bool = True,
) -> AsyncIterator[TargetWorld]:
    """One whose target has version 1 of two."""
    async with content_node(folder) as node:
        world = TargetWorld(node, folder, held_open)
        await world.publish(1, one, times=times)
        await world.publish(2, two, times=times)
        await world.write(1)
        try:
            yield world
        finally:
            await world.updater.close()
            assert world.updater.defects == []
            assert world.left_open() == []


def tree_of(folder: Path) -> dict[str, bytes | str | None]:
    """All that is below a folder: files with their bytes, links with theirs, folders with None."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def tree_with(files: Files, *empty_folders: str) -> dict[str, bytes | str | None]:
    """What `tree_of` tells of a folder that has just these."""
    found: dict[str, bytes | str | None] = dict(files)
    for path in (*files, *(f"{folder}/x" for folder in empty_folders)):
        at = path.find("/")
        while at >= 0:
            found[path[:at]] = None
            at = path.find("/", at + 1)
    return found
