"""A target comes from one version to another, whatever a person did there meanwhile."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from node.content.vault.stored_target import WrittenFile, WrittenTree
from node.disk import moving
from protocol import limits
from tests.node.content.targets.target_worlds import ONE, TWO, target_world, tree_of, tree_with


async def test_to_the_new_version_and_back(tmp_path: Path) -> None:
    async with target_world(tmp_path) as world:
        inode = (world.target / "maps" / "same").stat().st_ino
        done = await world.update(2)
        assert tree_of(world.target) == tree_with(TWO)
        assert await world.mod_id() == done.mod_id == world.versions[2].manifest.mod_id
        assert (world.target / "maps" / "same").stat().st_ino == inode
        changed = {path for path in TWO if TWO[path] != ONE.get(path)}
        assert set(done.written) == changed
        assert set(done.removed) == {*ONE} - {*TWO}
        assert done.bytes_written == sum(len(TWO[path]) for path in changed)
        assert (done.unchanged, done.kept_local, done.left_changed) == (2, (), ())
        back = await world.update(1)
        assert tree_of(world.target) == tree_with(ONE)
        assert back.restored == ()
        assert world.left_beside() == []


def _refused(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.mark.parametrize("system", ["opens nothing by a folder", "no exclusive rename", "no links"])
async def test_on_systems_that_can_do_less(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "opens nothing by a folder":
        monkeypatch.setattr("node.disk.descent.BY_FOLDER", False)
        monkeypatch.setattr("node.content.targets.target_tree.BY_FOLDER", False)
    else:
        monkeypatch.setattr(moving, "_exclusive_rename", lambda: None)
    if system == "no links":
        monkeypatch.setattr(os, "link", _refused)
    async with target_world(tmp_path) as world:
        (world.target / "changed.txt").write_bytes(b"mine")
        (world.target / "new.txt").mkdir()
        (world.target / "new.txt" / "x").write_bytes(b"mine")
        done = await world.update(2)
        kept = {"changed.txt.local": b"mine", "new.txt.local/x": b"mine"}
        assert tree_of(world.target) == tree_with({**TWO, **kept})
        assert done.kept_local == ("changed.txt.local", "new.txt.local")
        await world.update(1)
        assert tree_of(world.target) == tree_with({**ONE, **kept})
        assert world.left_beside() == []


def test_a_move_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    for less in (None, "_exclusive_rename", "link"):
        if less == "link":
            monkeypatch.setattr(os, "link", _refused)
        elif less is not None:
            monkeypatch.setattr(moving, less, lambda: None)
        with pytest.raises(FileExistsError):
            moving.move_new(str(tmp_path / "one"), None, str(tmp_path / "two"), None)
        moving.move_new(str(tmp_path / "one"), None, str(tmp_path / "three"), None)
        moving.move_new(str(tmp_path / "three"), None, str(tmp_path / "one"), None)
        assert tree_of(tmp_path) == {"one": b"1", "two": b"2"}


def test_all_that_a_manifest_can_name_is_read_again() -> None:
    """Without times in it a manifest has room for longer paths than the tree that is kept has."""
    in_a_manifest = 3 + 8 + 1 + 32  # of each file: its path's length, size, flag and hash
    length = limits.MANIFEST_BYTES // limits.MANIFEST_FILES - in_a_manifest
    paths = (f"{number:06}".ljust(length, "p") for number in range(limits.MANIFEST_FILES))
    tree = WrittenTree(tuple(WrittenFile(path, 5, 1, False, bytes(32)) for path in paths))
    assert WrittenTree.of_packed(tree.packed()) == tree
