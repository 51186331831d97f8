"""What cannot be one mod is refused after the walk, a walk is bounded, and all is told at once."""

import os
from pathlib import Path

import pytest

from node.content.homes import HomeGuard
from node.content.publish import publisher, walk
from protocol import limits
from protocol.content.file_paths import quoted
from protocol.content.manifests import manifest
from protocol.errors import BadFolder, BadInput, FolderProblems, UnsafePath
from tests.node.content.content_nodes import content_node, write_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links are made the POSIX way")

GUARD = HomeGuard(Path("/nowhere/home"))


def sparse(place: Path, size: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        file.truncate(size)


async def test_a_file_that_no_mod_can_hold_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "cut_files", None)  # so that reading one fails
    sparse(tmp_path / "mod" / "f", 1500 * 2**30)
    async with content_node(tmp_path / "node") as node:
        for place in (tmp_path / "mod", tmp_path / "mod" / "f"):
            with pytest.raises(BadFolder, match="1500 GiB, and a mod has 256 GiB at most") as told:
                await node.publisher.publish(place)
            assert "its largest file is 'f' with 1500.0 GiB: share it in parts" in str(told.value)


def test_sizes_of_a_folder_are_added_up(tmp_path: Path) -> None:
    for number in range(4):
        sparse(tmp_path / "mod" / str(number), 2**36)
    assert len(walk.walk(tmp_path / "mod", GUARD).files) == 4
    sparse(tmp_path / "mod" / "more", 1)
    with pytest.raises(BadFolder, match="at most"):
        walk.walk(tmp_path / "mod", GUARD)


async def test_too_many_chunks_are_told_as_soon_as_that_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is left, not by what was read: four times as much would be read otherwise."""
    monkeypatch.setattr(limits, "MANIFEST_CHUNKS", 250)
    folder = write_files(tmp_path / "mod", {"a": bytes(64 * 2**20)})
    done: list[int] = []
    async with content_node(tmp_path / "node") as node:
        with pytest.raises(BadFolder, match="more than one mod may have"):
            await node.publisher.publish(folder, report=lambda told: done.append(told.bytes_done))
    assert max(done) < 16 * 2**20


async def test_a_manifest_too_long_is_told_before_all_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MANIFEST_BYTES", 4 * manifest.CHUNK_BYTES_LEAST)
    folder = write_files(tmp_path / "mod", {"a": os.urandom(48 * 2**20)})
    done: list[int] = []
    async with content_node(tmp_path / "node") as node:
        with pytest.raises(BadFolder, match="more than one mod may have"):
            await node.publisher.publish(folder, report=lambda told: done.append(told.bytes_done))
    assert max(done) < 16 * 2**20


def doubling(folder: Path, folders: int) -> Path:
    """Folders with two links each to the one before, so that the last has 2**folders paths."""
    write_files(folder, {"d0/x": b"1"})
    for number in range(1, folders + 1):
        (folder / f"d{number}").mkdir()
        for name in "ab":
            (folder / f"d{number}" / name).symlink_to(f"../d{number - 1}")
    return folder


def test_folders_that_links_multiply_are_not_walked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is counted: folders listed, not seconds."""
    listed = 0
    scandir = os.scandir

    def counting(place: Path) -> object:
        nonlocal listed
        listed += 1
        return scandir(place)

    doubling(tmp_path / "mod", 18)
    monkeypatch.setattr(os, "scandir", counting)
    with pytest.raises(BadFolder, match="links to folders that lead to more than 10000 ones"):
        walk.walk(tmp_path / "mod", GUARD)
    assert listed < 10_100
    monkeypatch.setattr(os, "scandir", scandir)
    few = doubling(tmp_path / "few", 3)
    assert len(walk.walk(few, GUARD).files) == 1 + 2 + 4 + 8


def test_what_a_walk_looks_at_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty folders count as well, and no folder is looked through to its end."""
    looked_at = 0
    is_folder = walk._is_folder

    def counting(entry: "os.DirEntry[str]") -> bool:
        nonlocal looked_at
        looked_at += 1
        return is_folder(entry)

    monkeypatch.setattr(walk, "_is_folder", counting)
    for number in range(30):
        (tmp_path / "mod" / f"empty{number}").mkdir(parents=True)
    monkeypatch.setattr(limits, "WALK_ENTRIES", 20)
    with pytest.raises(BadFolder, match="more than 20 files and folders, more than one mod may"):
        walk.walk(tmp_path / "mod", GUARD)
    assert looked_at == 20
    write_files(tmp_path / "flat", {f"{number}": b"" for number in range(30)})
    monkeypatch.setattr(limits, "MANIFEST_FILES", 5)
    with pytest.raises(BadFolder, match=r"more than 5 files.*share it in parts, or leave some out"):
        walk.walk(tmp_path / "flat", GUARD)
    assert looked_at == 20 + 6


def test_a_path_deeper_than_any_mod_has_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deeper than Python's own stack and than the system names in one path.

    Nor is each folder reached anew from the root: that would be two million calls.
    """
    tmp_path.joinpath("mod").mkdir()
    here = os.open(tmp_path / "mod", os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    opened, real = 0, os.open

    def counted(place: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        nonlocal opened
        opened += 1
        return real(place, flags, mode, dir_fd=dir_fd)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "open", counted)
            with pytest.raises(UnsafePath, match="is longer than 4096 bytes"):
                walk.walk(tmp_path / "mod", GUARD)
        assert opened < 100_000
    finally:
        top = tmp_path / "mod" / "d"
        while (top / "d").is_dir():  # what pytest itself could not remove
            (top / "d").rename(tmp_path / "below")
            top.rmdir()
            (tmp_path / "below").rename(top)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    folder = write_files(
        tmp_path / "mod", {"a:b/c?d": b"1", "a:b/good": b"1", "Hat": b"1", "hat": b"1", "x": b"1"}
    )
    (folder / "dangling").symlink_to("/nowhere/at/all")
    (folder / "out").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(FolderProblems, match="6 things stand in the way") as told:
        walk.walk(folder, GUARD)
    reserved = 'has one of the characters " * : < > ? \\ |'
    assert told.value.problems == (
        f"the path 'a:b' {reserved}",
        "'dangling' is a link to '/nowhere/at/all', which is not there",
        f"'out' is a link that leads out of the folder, to '{tmp_path}'",
        "'pipe' is neither a file nor a folder, but a pipe, socket or device",
        f"the path 'a:b/c?d' {reserved}",
        "'Hat' and 'hat' are one name on some systems",
    )
    assert told.value.more == 0


def test_of_many_the_first_twenty_are_told_and_how_many_more(tmp_path: Path) -> None:
    write_files(tmp_path / "mod", {f"{number:02}:": b"" for number in range(33)})
    with pytest.raises(FolderProblems, match="33 things stand in the way") as told:
        walk.walk(tmp_path / "mod", GUARD)
    assert [one[:13] for one in told.value.problems] == [
        f"the path '{number:02}:" for number in range(20)
    ]
    assert told.value.more == 13


def test_a_folder_that_differs_in_case_alone_is_told_once(tmp_path: Path) -> None:
    files = {f"{folder}/{number}": b"" for folder in ("Hats", "hats") for number in range(9)}
    with pytest.raises(UnsafePath, match=r"^'Hats' and 'hats' are one name on some systems"):
        walk.walk(write_files(tmp_path / "mod", files), GUARD)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read all")
def test_what_may_not_be_read_is_told_before_anything_is_read(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mod", {"a": b"1", "b/c": b"1", "d": b"1"})
    (folder / "a").chmod(0)
    (folder / "b").chmod(0)
    with pytest.raises(FolderProblems, match="2 things"):
        walk.walk(folder, GUARD)
    (folder / "b").chmod(0o700)


def test_a_file_that_may_not_be_read_names_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path / "mod", {"a": b"1", "b": b"1"})
    monkeypatch.setattr(os, "access", lambda path, *_, **__: Path(path).name != "b")
    with pytest.raises(BadFolder, match="'b' cannot be read: this user may not"):
        walk.walk(tmp_path / "mod", GUARD)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("モッド/帽子", "'モッド/帽子'"),
        ("Überzieher.txt", "'Überzieher.txt'"),
        ("abc\u202etxt.exe", "'abc\\u202etxt.exe'"),
        ("a\x1b[2J", "'a\\x1b[2J'"),
        ("a\u200bb", "'a\\u200bb'"),
        ("a\nb", "'a\\nb'"),
        (os.fsdecode(b"\xff"), "'\\udcff'"),
        ("x/" * 60 + "name.txt", "'" + "x/" * 18 + "x..." + "x/" * 16 + "name.txt'"),
        ("d/" * 50 + "n" * 50, "'" + "d/" * 13 + ".../" + "n" * 50 + "'"),
        ("d/" * 50 + "n" * 96 + ".jar", "'" + "d/" * 8 + "d..." + "n" * 56 + ".jar'"),
    ],
)
def test_names_are_shown_as_they_are_and_long_paths_keep_their_end(text: str, shown: str) -> None:
    assert quoted(text) == shown
    assert shown.isprintable()


def test_the_longest_name_keeps_its_end(tmp_path: Path) -> None:
    name = "n" * 230 + ":" + ".jar"
    write_files(tmp_path / "mod", {f"{'d' * 200}/{name}": b""})
    with pytest.raises(BadInput) as told:
        walk.walk(tmp_path / "mod", GUARD)
    assert ":.jar' has one of the characters" in str(told.value)
