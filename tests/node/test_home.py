"""A node's home: which folders may become one, and that no other is touched."""

import errno
import os
import stat
from pathlib import Path

import pytest

from node.home import FORMAT, Home, check_folder
from protocol.errors import DiskError, HomeError
from tests.node.content.content_nodes import write_files

posix = pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")


def snapshot(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mode) for path in [folder, *folder.rglob("*")])


@posix
@pytest.mark.parametrize("mode", [0o1777, 0o755, 0o700])
@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": b"1"},
        {"config.toml": b"", "hats/a": b"1"},
        {".hidden": b""},
        {"identity.key.old": b""},
        {"lock": b"", "control.json": b"", "README": b""},
    ],
)
def test_a_folder_with_other_files_is_refused_and_left_as_it_is(
    tmp_path: Path, files: dict[str, bytes], mode: int
) -> None:
    folder = write_files(tmp_path / "folder", files)
    folder.chmod(mode)
    before = snapshot(folder)
    with pytest.raises(HomeError, match="neither empty nor the home of a node"):
        Home.open(folder)
    assert snapshot(folder) == before


@posix
@pytest.mark.parametrize(
    "files",
    [None, {}, {"config.toml": b""}, {"lock": b""}, {"lock": b"", ".format.json.partial": b""}],
    ids=["missing", "empty", "settings", "killed at the lock", "killed at the format"],
)
def test_what_becomes_a_home_is_private(tmp_path: Path, files: dict[str, bytes] | None) -> None:
    folder = tmp_path / "home"
    if files is not None:
        folder.mkdir(0o755)
        write_files(folder, files)
    Home.open(folder).close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    write_files(folder, {"mine.txt": b"a home stays one, whatever its user keeps in it"})
    Home.open(folder).close()


@posix
def test_an_empty_folder_that_users_share_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(HomeError, match="several users share"):
        Home.open(folder)
    assert snapshot(folder) == [(str(folder), 0o041777)]


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(HomeError, match="cannot use"):
            Home.open(path)


def test_a_disk_that_is_not_to_be_written_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DiskError, match="read-only"):
        Home.open(tmp_path / "new")


def test_looking_changes_nothing(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_home_of_another_format_is_told(tmp_path: Path) -> None:
    write_files(tmp_path, {"format.json": b'{"format": %d}' % (FORMAT + 1), "other": b""})
    with pytest.raises(HomeError, match="has format 2"):
        Home.open(tmp_path)
