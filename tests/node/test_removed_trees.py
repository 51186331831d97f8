"""A folder of ours goes with all that is in it, and what a link leads to stays."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.content.assemble.leftovers import sweep
from node.content.hidden_names import growing_of, update_of
from node.content.targets.staging import Staging
from node.disk import removing
from node.disk.removing import remove_tree
from tests.node.content.targets.target_worlds import tree_of

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a right on Windows")

DEPTH = 40


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What is not ours."""
    folder = tmp_path / "outside"
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "inner" / "deep" / "file").write_bytes(b"a person's")
    (folder / "file").write_bytes(b"a person's")
    return folder


@pytest.fixture
def without_rmtree(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where inode numbers change, or folders are too deep for it."""

    def refuse(folder: Path) -> None:
        if folder.lstat():
            raise RecursionError

    monkeypatch.setattr(removing, "shutil", SimpleNamespace(rmtree=refuse))


def deep_tree(folder: Path) -> Path:
    for number in range(3):
        deep = folder / f"a{number}" / "/".join(["b"] * DEPTH)
        deep.mkdir(parents=True)
        (deep / "file").write_bytes(b"x")
    (folder / "~0").mkdir()
    (folder / "~1").write_bytes(b"x")
    return folder


@pytest.mark.usefixtures("without_rmtree")
def test_all_of_it_goes(tmp_path: Path) -> None:
    remove_tree(deep_tree(tmp_path / "ours"))
    remove_tree(tmp_path / "ours")
    assert list(tmp_path.iterdir()) == []


@needs_links
def test_a_link_in_its_place_goes_alone(tmp_path: Path, outside: Path) -> None:
    before = tree_of(outside)
    (tmp_path / "ours").symlink_to(outside)
    remove_tree(tmp_path / "ours")
    assert not (tmp_path / "ours").is_symlink()
    assert tree_of(outside) == before


def test_a_file_in_its_place_goes(tmp_path: Path) -> None:
    (tmp_path / "ours").write_bytes(b"x")
    remove_tree(tmp_path / "ours")
    assert list(tmp_path.iterdir()) == []


@needs_links
@pytest.mark.usefixtures("without_rmtree")
def test_links_in_it_go_alone(tmp_path: Path, outside: Path) -> None:
    before = tree_of(outside)
    ours = deep_tree(tmp_path / "ours")
    for place in (ours / "link", ours / "a0" / "link", ours / "a1" / "b" / "link"):
        place.symlink_to(outside)
    remove_tree(ours)
    assert not ours.exists()
    assert tree_of(outside) == before


@needs_links
@pytest.mark.usefixtures("without_rmtree")
@pytest.mark.parametrize("at", range(12))
def test_a_link_that_takes_the_place_of_an_inner_folder_meanwhile(
    at: int, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree_of(outside)
    ours = tmp_path / "ours"
    (ours / "inner" / "deep").mkdir(parents=True)
    (ours / "inner" / "deep" / "file").write_bytes(b"x")
    calls, real = 0, os.stat

    def swapping(*arguments: Any, **keywords: Any) -> os.stat_result:
        """After the at-th look at anything the folder is a link."""
        nonlocal calls
        status = real(*arguments, **keywords)
        calls += 1
        if calls == at and (ours / "inner").is_dir():
            (ours / "inner").rename(tmp_path / "away")
            (ours / "inner").symlink_to(outside)
        return status

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", swapping)
        try:
            remove_tree(ours)
        except OSError:
            assert calls >= at
    assert tree_of(outside) == before


@needs_links
@pytest.mark.parametrize("kind", ["gone", "try", "part", "update"])
def test_what_a_killed_get_left_may_have_become_a_link(
    kind: str, tmp_path: Path, outside: Path
) -> None:
    before = tree_of(outside)
    left = tmp_path / f".modswarm-0123456789abcdef.{kind}"
    left.symlink_to(outside)
    sweep(tmp_path, ())
    assert not left.is_symlink()
    assert tree_of(outside) == before


@needs_links
def test_what_is_prepared_lies_in_no_folder_of_a_link(tmp_path: Path, outside: Path) -> None:
    before = tree_of(outside)
    target = tmp_path / "out"
    for hidden in (update_of(target), growing_of(target)):
        hidden.symlink_to(outside)
    staging = Staging(target)
    staging.begin(1, 0)
    assert not staging.root.is_symlink()
    staging.close()
    assert tree_of(outside) == before
