"""Times, permissions and empty folders of a target, and disks that know less of these."""

import os
from pathlib import Path

import pytest

from node.content.targets import survey
from node.content.targets.outcome import ChangedFiles
from node.content.targets.swap import Swap
from node.content.targets.target_tree import TargetTree
from tests.node.content.targets.target_worlds import (
    MINE,
    ONE,
    TWO,
    target_world,
    tree_of,
    tree_with,
)


def times_of(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


async def test_files_have_the_times_that_their_publisher_says(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        assert times_of(world.target) == times_of(tmp_path / "source1")
        await world.update(2)
        assert times_of(world.target) == times_of(tmp_path / "source2")
        await world.update(1)
        assert times_of(world.target) == times_of(tmp_path / "source1")


async def test_a_version_without_times_leaves_those_of_the_disk(tmp_path: Path) -> None:
    async with target_world(tmp_path, times=False) as world:
        before = times_of(world.target)
        assert all(before[path] != time for path, time in times_of(tmp_path / "source1").items())
        await world.update(2)
        now = times_of(world.target)
        same = {path for path in ONE if ONE[path] == TWO.get(path)}
        assert {path: now[path] for path in same} == {path: before[path] for path in same}


async def test_what_is_as_it_was_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with target_world(tmp_path) as world:
        read: list[str] = []
        monkeypatch.setattr(survey, "digest", lambda _, path, *__: read.append(path))
        await world.update(2)
        await world.update(1)
        # Those whose times the first update set are looked at once more.
        assert set(read) == {path for path in ONE if ONE[path] == TWO.get(path)}


async def test_a_change_within_the_same_moment_is_seen(tmp_path: Path) -> None:
    async with target_world(tmp_path, times=False) as world:
        place = world.target / "changed.txt"
        status = place.stat()
        mine = b"?" * status.st_size
        place.write_bytes(mine)
        os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert (await world.update(2)).kept_local == ("changed.txt.local",)
        assert (world.target / "changed.txt.local").read_bytes() == mine


async def test_a_disk_that_has_forgotten_parts_of_times(tmp_path: Path) -> None:
    """As FAT does, by 2 s and by the hour of a summer time, once it is mounted again."""
    async with target_world(tmp_path) as world:
        for path in ONE:
            time = (world.target / path).stat().st_mtime_ns // (2 * 10**9) * 2 * 10**9
            os.utime(world.target / path, ns=(time, time + 3600 * 10**9))
        (world.target / "gone.txt").write_bytes(MINE)
        done = await world.update(2)
        assert done.kept_local == ("gone.txt.local",)
        assert tree_of(world.target) == tree_with({**TWO, "gone.txt.local": MINE})
        assert times_of(world.target)["same.txt"] == times_of(tmp_path / "source2")["same.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
async def test_permissions_alone_change(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        same = world.target / "same.txt"
        inode = same.stat().st_ino
        (tmp_path / "source2" / "same.txt").chmod(0o755)
        await world.publish(3, {})
        for version, executable in ((3, True), (2, False), (3, True), (1, False)):
            await world.update(version)
            assert bool(same.stat().st_mode & 0o111) is executable, version
            assert same.stat().st_ino == inode


async def test_empty_folders_come_and_go(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        await world.publish(3, TWO, "hollow/inner", "twisted")
        await world.update(3)
        assert tree_of(world.target) == tree_with(TWO, "hollow/inner", "twisted")
        (world.target / "hollow" / "mine").write_bytes(MINE)
        await world.update(2)
        assert tree_of(world.target) == tree_with({**TWO, "hollow/mine": MINE})
        (world.target / "hollow" / "inner").write_bytes(MINE)
        await world.update(3)
        expected = {**TWO, "hollow/mine": MINE, "hollow/inner.local": MINE}
        assert tree_of(world.target) == tree_with(expected, "hollow/inner", "twisted")


def found_in(folder: Path, path: str) -> str:
    """A path as a disk has it that takes small and capital letters for the same."""
    found = ""
    for name in path.split("/"):
        place = folder / found
        there = [one.name for one in place.iterdir()] if place.is_dir() else []
        names = {one.casefold(): one for one in there}
        found = f"{found}/{names.get(name.casefold(), name)}".lstrip("/")
    return found


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    real = TargetTree.at

    def at(tree: TargetTree, path: str) -> tuple[str, int | None]:
        return real(tree, found_in(tree.root, path) if path[-1:] != "." else path)

    monkeypatch.setattr(TargetTree, "at", at)


@pytest.mark.usefixtures("folding")
async def test_names_that_change_in_case_alone(tmp_path: Path) -> None:
    one = {"Readme.txt": b"one", "Data/x": b"x1", "Same": b"same", "z": b"z"}
    two = {"readme.txt": b"two", "data/x": b"x2", "same": b"same", "z": b"z"}
    async with target_world(tmp_path, one, two) as world:
        for version, files in ((2, two), (1, one), (2, two)):
            done = await world.update(version, ChangedFiles.REFUSE)
            assert done.kept_local == ()
            found = {path.casefold(): data for path, data in tree_of(world.target).items() if data}
            assert found == {path.casefold(): data for path, data in files.items()}
        (world.target / "same").write_bytes(MINE)
        assert (await world.update(1)).kept_local == ("same.local",)


@pytest.mark.usefixtures("folding")
async def test_a_name_that_changes_in_case_is_not_taken_for_a_persons_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ended when all had its name tells only by names what it did."""
    real = Swap.forward

    def forward(swap: Swap) -> None:
        real(swap)
        real(swap)

    monkeypatch.setattr(Swap, "forward", forward)
    one, two = {"Readme.txt": b"one", "z": b"z"}, {"readme.txt": b"of two", "z": b"z"}
    async with target_world(tmp_path, one, two) as world:
        (world.target / "Readme.txt").write_bytes(MINE)
        assert (await world.update(2)).kept_local == ("Readme.txt.local",)
        found = {**two, "Readme.txt.local": MINE}
        assert tree_of(world.target) == found
