"""What a person did not mean to share or to overwrite: homes, keys, whole disks, half a mod."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content import homes
from node.content.assemble.tree import GrowingTree, checked_target
from node.content.homes import HomeGuard
from node.content.publish import walk
from node.content.publish.leaving_out import LeavingOut
from node.faces.api import forms
from node.faces.cli.mods import choose
from protocol.errors import BadFolder, BadInput, FolderProblems, TargetExists, UnsafePath
from tests.node.content.content_nodes import write_files
from tests.node.content.homes import made_home
from tests.node.faces.fake_node import stored_mod

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links are made the POSIX way")

GUARD = HomeGuard(Path("/nowhere/home"))


def shared(folder: Path, *excludes: str, guard: HomeGuard = GUARD) -> list[str]:
    rules = LeavingOut.of(excludes)
    return [file.path for file in walk.walk(folder, guard, rules).files]


def _as_it_was(home: Path) -> None:
    pass


def _newer(home: Path) -> None:
    (home / "identity.key").rename(home / "identity.sealed")
    (home / "format.json").write_text(json.dumps({"format": 7, "made": "by a later version"}))


def _older(home: Path) -> None:
    (home / "identity.key").unlink()
    (home / "format.json").write_text('{"format": 0}')
    shutil.rmtree(home / "vault")


def _in_capitals(home: Path) -> None:
    for path in [*home.iterdir()]:
        path.rename(path.with_name(path.name.upper()))


def _without_keys(home: Path) -> None:
    for name in ("identity.key", "certificate.pem", "control.json", "lock"):
        (home / name).unlink()


@pytest.mark.parametrize("change", [_as_it_was, _newer, _older, _in_capitals, _without_keys])
async def test_a_copy_of_any_home_in_a_folder_is_told_with_what_to_do(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    home = await made_home(tmp_path / "made")
    copy = tmp_path / "backups" / "laptop" / "old"
    shutil.copytree(home, copy)
    change(copy)
    write_files(tmp_path / "backups", {"x": b"1"})
    with pytest.raises(UnsafePath, match="'laptop/old/' is the home of a node") as told:
        shared(tmp_path / "backups")
    assert 'leave it out with --exclude "/laptop/old"' in str(told.value)
    for inside in (copy, next(path for path in copy.iterdir() if path.is_file())):
        with pytest.raises(UnsafePath, match="is in the home of a node, where nothing is shared"):
            shared(inside)
    with pytest.raises(UnsafePath, match="where nothing is written"):
        checked_target(copy / "out", GUARD)
    assert shared(tmp_path / "backups", "/laptop/old") == ["x"]


async def test_a_home_of_which_a_part_is_left_out_is_a_home(tmp_path: Path) -> None:
    await made_home(tmp_path / "mods" / "home")
    for patterns in (["identity.key"], ["vault", "lock", "format.json"], ["*", "!*/", "!log.txt"]):
        with pytest.raises(UnsafePath, match="'home/' is the home of a node"):
            shared(tmp_path / "mods", *patterns)


async def test_a_home_in_reach_is_told_before_all_else_is_walked(tmp_path: Path) -> None:
    """Whoever shares the folder of all their folders waits for no walk, and reads the reason."""
    home = await made_home(tmp_path / "a" / ".local" / "share" / "modswarm")
    write_files(tmp_path / "a", {"Games/x:y": b"1", "Games/z": b"1"})
    guard = HomeGuard(tmp_path / "other", home)
    with pytest.raises(UnsafePath, match=r"'.local/share/modswarm/' is the home of a node"):
        shared(tmp_path / "a", guard=guard)
    assert shared(tmp_path / "a", ".local/", "*:*", guard=guard) == ["Games/z"]


async def test_the_root_may_be_no_home_by_another_name_whatever_is_left_out(tmp_path: Path) -> None:
    home = await made_home(tmp_path / "home")
    (tmp_path / "link").symlink_to(home)
    (tmp_path / "file").symlink_to(home / "identity.key")
    for place in (home, tmp_path / "link", tmp_path / "file", home / "vault"):
        with pytest.raises(UnsafePath, match="is in the home of a node"):
            shared(place, "*")


def test_the_root_in_letters_of_any_case_is_told_as_itself(tmp_path: Path) -> None:
    """Where the file system tells cases apart, and only the walk does not."""
    write_files(tmp_path / "bag", {"Identity.key": b"x", "Lock": b"", "x": b"1"})
    with pytest.raises(UnsafePath, match=r"^the folder is the home of a node") as told:
        shared(tmp_path / "bag")
    assert "--exclude" not in str(told.value)


async def test_of_a_home_with_more_files_than_are_known_nothing_is_shared_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked at for each share is bounded; homes themselves are told by their names."""
    home = await made_home(tmp_path / "a" / "home")
    monkeypatch.setattr(homes, "_PLACES_KNOWN", 5)
    guard = HomeGuard(home)
    assert len(guard.places()) == 5
    for place in (home, tmp_path / "a", home / "vault", home / "vault" / "index.sqlite"):
        with pytest.raises(UnsafePath, match="the home of a node"):
            shared(place, guard=guard)


def test_files_that_only_have_the_names_of_a_home_are_shared(tmp_path: Path) -> None:
    files = {
        "a/format.json": b'{"format": "png"}',
        "a/lock": b"",
        "b/format.json": b"[1]",
        "b/vault/x": b"1",
        "c/format.json": b'{"format": 1}',
        "d/format.json/x": b"1",
        "d/config.toml": b"",
    }
    assert shared(write_files(tmp_path / "mod", files)) == sorted(files)


def test_a_pipe_in_place_of_a_format_file_holds_up_nothing(tmp_path: Path) -> None:
    write_files(tmp_path / "mod", {"lock": b"", "x": b"1"})
    os.mkfifo(tmp_path / "mod" / "format.json")
    assert shared(tmp_path / "mod", "format.json") == ["lock", "x"]


def test_a_mod_that_is_being_written_is_not_shared(tmp_path: Path) -> None:
    """Neither with the folder that it lies in, nor itself."""
    write_files(tmp_path / "mods", {"done/x": b"1"})
    growing = GrowingTree(tmp_path / "mods" / "hats", ())
    growing.begin(0)
    (part,) = (tmp_path / "mods").glob(".modswarm-*")
    write_files(part, {"half": b"1"})
    with pytest.raises(UnsafePath, match="is a mod that `get` is writing") as told:
        shared(tmp_path / "mods")
    assert "wait for it, or delete it; leave it out with --exclude" in str(told.value)
    with pytest.raises(UnsafePath, match="is a mod that `get` is writing"):
        shared(part)
    assert shared(tmp_path / "mods", ".modswarm-*.part/") == ["done/x"]
    growing.clean_up()
    assert shared(tmp_path / "mods") == ["done/x"]


def test_the_whole_disk_and_the_folder_of_a_person_are_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(write_files(tmp_path / "home" / "ann", {"mod/x": b"1"})))
    (tmp_path / "link").symlink_to("/")
    with pytest.raises(BadFolder, match=r"^/ is all of a disk: name the folder"):
        shared(tmp_path / "link")
    for place in (Path("/"), Path("//"), tmp_path / ".." / ("../" * 40)):
        with pytest.raises(BadFolder, match="is all of a disk: name the folder"):
            shared(place)
        with pytest.raises(BadFolder, match="is all of a disk"):
            walk.name_of(place)
    for place in (tmp_path / "home", tmp_path / "home" / "ann"):
        with pytest.raises(BadFolder, match="has all that is yours, with keys and passwords"):
            shared(place)
    assert shared(tmp_path / "home" / "ann" / "mod") == ["x"]


def test_keys_of_other_programs_are_told_together(tmp_path: Path) -> None:
    files = {".ssh/config": b"", "a/.GnuPG/x": b"", "a/id_ed25519": b"", "a/.netrc": b"", "b": b"1"}
    folder = write_files(tmp_path / "mod", files)
    with pytest.raises(FolderProblems) as told:
        shared(folder)
    assert set(told.value.problems) == {
        f"'{name}' holds keys or passwords, by its name; "
        f'leave it out with --exclude "/{name.rstrip("/")}"'
        for name in ("a/.netrc", "a/id_ed25519", "a/.GnuPG/", ".ssh/")
    }
    with pytest.raises(UnsafePath, match=r"'.ssh' holds keys or passwords"):
        shared(folder / ".ssh")
    assert shared(folder, ".ssh", ".GnuPG", "id_*", ".netrc") == ["b"]


def test_no_target_is_overwritten(tmp_path: Path) -> None:
    write_files(tmp_path, {"full/x": b"1", "file": b"1"})
    (tmp_path / "to_full").symlink_to("full")
    (tmp_path / "to_file").symlink_to("file")
    for target in ("full", "to_full", "file", "to_file", "full/..", "file/in"):
        with pytest.raises(TargetExists):
            checked_target(tmp_path / target, GUARD)
    with pytest.raises(TargetExists):
        checked_target(Path("/"), GUARD)
    (tmp_path / "to_new").symlink_to("full/new")
    assert checked_target(tmp_path / "to_new", GUARD) == tmp_path / "full" / "new"


def test_a_name_that_fits_several_mods_removes_none_and_lists_some() -> None:
    listed = [stored_mod(bytes([number]) * 32, "hats") for number in range(23)]
    mods = [forms.to_json(one) for one in listed]
    for count in (2, 20, 23):
        with pytest.raises(BadInput, match="'hats' means several mods; name one by its id") as told:
            choose("hats", mods[:count])
        assert str(told.value).count(" of 20") == min(count, 20)
        assert str(told.value).endswith("and 3 more in `modswarm ls`") == (count == 23)
    assert choose(mods[7]["mod_id"], mods) is mods[7]
