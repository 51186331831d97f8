"""A target that comes to another version and back, with a person's own files in it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from node.content.opened_mods import OpenedMod
from node.content.room import RoomBook
from node.content.targets.outcome import Updated
from node.content.targets.updater import TargetUpdater
from tests.node.content.content_nodes import ContentNode, content_node, read_files, write_files
from tests.node.content.crashing.life import Steps, check_vault, told
from tests.node.content.crashing.mods import link_in
from tests.node.content.targets.target_worlds import ONE, TWO, TargetWorld, source_of

VERSIONS = {1: ONE, 2: TWO}
MINE = {
    "changed.txt": b"changed by the person",
    "gone.txt": b"also changed",
    "new.txt": b"made by the person",
    "maps/mine": b"the person's alone",
}
"""What the person has in the target before all."""


class UpdateTarget:
    """A target gets the second version of a mod, then the first one again."""

    name = "update"

    async def prepare(self, world: Path) -> None:
        """Both versions in the vault, the first one written, and what a person changed there."""
        async with content_node(world / "disk") as node:
            made = TargetWorld(node, world / "disk", None)
            for number, files in VERSIONS.items():
                source = source_of(world / f"source{number}" / "mod", files, number)
                shared = await node.publisher.publish(source, "mod", continues=number > 1)
                (world / f"link{number}").write_text(str(shared.link))
                made.versions[number] = await _opened(node, world, number)
            await made.write(1)
            write_files(world / "disk" / "out", MINE)
            await made.updater.close()

    async def run(self, world: Path, steps: Steps) -> None:
        """Update it, then back; also where an earlier run was broken off."""
        async with steps.node(world / "disk") as node:
            updater = TargetUpdater(node.vault, node.claims, RoomBook())
            await steps.do(updater.recover)
            for number in (2, 1):
                opened = await _opened(node, world, number)
                steps.acknowledge("begins", str(number))
                await steps.do(partial(self._update, updater, opened, world))
                steps.acknowledge("updated", str(number))
            await updater.close()

    async def _update(self, updater: TargetUpdater, opened: OpenedMod, world: Path) -> Updated:
        return await updater.update(opened, world / "disk" / "out")

    async def check(self, world: Path, acknowledged: list[str]) -> None:
        """One version as a whole, all of the person's bytes, and nothing beside; it goes on."""
        check_vault(world / "disk" / "vault")
        target = world / "disk" / "out"
        async with content_node(world / "disk") as node:
            updater = TargetUpdater(node.vault, node.claims, RoomBook())
            await updater.recover()
            state = await updater.state_of(target)
            assert state is not None
            assert not state.pending
            links = {number: link_in(world, number) for number in VERSIONS}
            number = next(one for one, link in links.items() if link.mod_id == state.mod_id)
            assert number in _possible(acknowledged), "that version was not there, nor came"
            is_first = not told(acknowledged, "updated") and number == 1
            check_target(read_files(target), VERSIONS[number], untouched=is_first)
            for again in (3 - number, number):
                await self._update(updater, await _opened(node, world, again), world)
                check_target(read_files(target), VERSIONS[again], untouched=False)
            assert [one for one in target.parent.iterdir() if one.suffix == ".update"] == []
            await updater.close()
        check_vault(world / "disk" / "vault")


def _possible(acknowledged: list[str]) -> set[int]:
    """The versions that may be there."""
    possible = {1}
    for word, number in (one.split() for one in acknowledged):
        possible = possible | {int(number)} if word == "begins" else {int(number)}
    return possible


def check_target(found: dict[str, bytes], version: Mapping[str, bytes], *, untouched: bool) -> None:
    """The version, and each of the person's files once: in its place, or beside it."""
    left = dict(found)
    for path, data in MINE.items():
        names = [name for name, one in left.items() if one == data and name.startswith(path)]
        assert len(names) == 1, f"{path} of the person's is at {names}"
        assert names[0] == path or path in version or not untouched, f"{path} is {names[0]}"
        if names[0] != path or path not in version:
            del left[names[0]]
        else:
            left[path] = version[path]
    odd = {path for path in {*left, *version} if left.get(path) != version.get(path)}
    assert not odd, f"between two versions: {sorted(odd)} of {sorted(found)}"


async def _opened(node: ContentNode, world: Path, number: int) -> OpenedMod:
    link = link_in(world, number)
    data = await node.vault.get(link.mod_id)
    assert data is not None
    return await node.opened.open(link.mod_id, data, link.content_key)
