"""Updates that are taken back, or carried out once more, because something broke them off."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content.targets.swap import Swap
from node.content.targets.target_tree import TargetTree
from protocol.errors import DiskError, TargetGone
from tests.node.content.targets.target_worlds import (
    MINE,
    ONE,
    TWO,
    target_world,
    tree_of,
    tree_with,
)

Move = Callable[[TargetTree, str, TargetTree, str], None]


@pytest.fixture
def before_a_move(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, str], None]], None]:
    """Sets what is called with both paths before a file of the target is renamed."""

    def set_up(come: Callable[[str, str], None]) -> None:
        for name in ("move", "move_new"):
            real: Move = getattr(TargetTree, name)

            def moved(
                tree: TargetTree, path: str, other: TargetTree, to: str, real: Move = real
            ) -> None:
                come(path, to)
                real(tree, path, other, to)

            monkeypatch.setattr(TargetTree, name, moved)

    return set_up


@pytest.mark.skipif(os.name == "nt", reason="Windows lets no open file lose its name")
async def test_what_a_program_writes_into_a_new_file_that_is_taken_back(
    tmp_path: Path, before_a_move: Callable[[Callable[[str, str], None]], None]
) -> None:
    async with target_world(tmp_path) as world:
        place = world.target / "changed.txt"
        descriptors: list[int] = []

        def come(path: str, to: str) -> None:
            if to == "zero" and not descriptors:  # the last file that gets its name
                assert place.read_bytes() == TWO["changed.txt"]
                descriptors.append(os.open(place, os.O_WRONLY | os.O_APPEND))
                raise OSError(errno.EIO, os.strerror(errno.EIO), to)
            if to == "changed.txt" and descriptors:  # the old one comes back
                os.write(descriptors[0], MINE)

        before_a_move(come)
        with pytest.raises(DiskError):
            await world.update(2)
        os.close(descriptors[0])
        kept = {"changed.txt.local": TWO["changed.txt"] + MINE}
        assert tree_of(world.target) == tree_with({**ONE, **kept})
        assert world.left_beside() == []
        assert await world.mod_id() == world.versions[1].manifest.mod_id


@pytest.mark.skipif(os.name == "nt", reason="Windows lets no folder with open files be moved")
async def test_a_folder_that_is_moved_away_meanwhile(
    tmp_path: Path, before_a_move: Callable[[Callable[[str, str], None]], None]
) -> None:
    async with target_world(tmp_path) as world:

        def come(path: str, to: str) -> None:
            if path == "gone.txt" and not (tmp_path / "moved").exists():
                world.target.rename(tmp_path / "moved")

        before_a_move(come)
        with pytest.raises(TargetGone, match="was moved, removed or replaced while"):
            await world.update(2)
        assert not world.target.exists()
        (tmp_path / "moved").rename(world.target)
        await world.updater.recover()
        assert tree_of(world.target) == tree_with(ONE)
        assert world.left_beside() == []


async def test_a_folder_that_a_person_removed_is_not_made_by_taking_back(
    tmp_path: Path, before_a_move: Callable[[Callable[[str, str], None]], None]
) -> None:
    async with target_world(tmp_path) as world:
        (world.target / "old folder" / "deep" / "file").unlink()
        (world.target / "old folder" / "deep").rmdir()
        before = tree_of(world.target)
        refused: list[str] = []

        def come(path: str, to: str) -> None:
            if to == "zero" and not refused:
                refused.append(to)
                raise OSError(errno.EIO, os.strerror(errno.EIO), to)

        before_a_move(come)
        with pytest.raises(DiskError):
            await world.update(2)
        assert tree_of(world.target) == before


async def test_a_target_on_which_another_disk_is_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with target_world(tmp_path) as world:
        real = Path.stat

        def mounted(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
            status = real(path, follow_symlinks=follow_symlinks)
            if path != world.target:
                return status
            fields = list(status)
            fields[2] += 1  # st_dev
            return os.stat_result(fields)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "stat", mounted)
            with pytest.raises(DiskError, match="is on another disk than the folder that it lies"):
                await world.update(2)
        assert tree_of(world.target) == tree_with(ONE)
        assert world.left_beside() == []


@pytest.mark.parametrize("times", [2, 3])
async def test_what_is_done_already_is_not_done_again(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that ended when all had its name, and before the vault knew that."""
    real = Swap.forward

    def forward(swap: Swap) -> None:
        for _ in range(times):
            real(swap)

    monkeypatch.setattr(Swap, "forward", forward)
    async with target_world(tmp_path) as world:
        mine = ("changed.txt", "gone.txt", "turns", "twist/inner")
        for path in mine:
            (world.target / path).write_bytes(MINE)
        await world.update(2)
        kept = {"changed.txt.local", "gone.txt.local", "turns.local", "twist.local/inner.local"}
        assert tree_of(world.target) == tree_with({**TWO, **dict.fromkeys(kept, MINE)})
