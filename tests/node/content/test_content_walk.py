"""Which files are shared: all of a folder or a plain refusal."""

import os
import socket
import sys
from pathlib import Path

import pytest

from node.content.homes import HomeGuard
from node.content.publish import reading, walk
from protocol import limits
from protocol.errors import BadFolder, BadInput, UnsafePath
from tests.node.content.content_nodes import write_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes are made the POSIX way")

GUARD = HomeGuard(Path("no home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "mod", {"b/x": b"12", "a": b"1", "b.txt": b"", "b/a/y": b"123"})


def found(folder: Path) -> dict[str, int]:
    return {file.path: file.size for file in walk.walk(folder, GUARD)}


def test_every_file_in_path_order(folder: Path) -> None:
    assert [file.path for file in walk.walk(folder, GUARD)] == ["a", "b.txt", "b/a/y", "b/x"]
    assert found(folder) == {"a": 1, "b.txt": 0, "b/a/y": 3, "b/x": 2}


def test_a_single_file(folder: Path) -> None:
    (file,) = walk.walk(folder / "b" / "x", GUARD)
    assert (file.path, file.size) == ("x", 2)


def test_hidden_files_are_files_and_empty_folders_are_not(folder: Path) -> None:
    write_files(folder, {".hidden": b"1"})
    (folder / "empty").mkdir()
    assert ".hidden" in found(folder)
    assert not any("empty" in path for path in found(folder))


def test_executable_files(folder: Path) -> None:
    (folder / "a").chmod(0o755)
    assert [file.path for file in walk.walk(folder, GUARD) if file.executable] == ["a"]


def test_links_within_the_folder_are_followed(folder: Path) -> None:
    (folder / "to_file").symlink_to("b/x")
    (folder / "c").mkdir()
    (folder / "c" / "to_folder").symlink_to(folder / "b")
    assert found(folder) | {"a": 1} == {
        "a": 1,
        "b.txt": 0,
        "b/a/y": 3,
        "b/x": 2,
        "to_file": 2,
        "c/to_folder/a/y": 3,
        "c/to_folder/x": 2,
    }


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert found(tmp_path / "link") == found(folder)
    assert walk.name_of(tmp_path / "link") == "link"
    assert walk.name_of(folder / "b" / "..") == "mod"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/hostname", "out of the folder"),
        ("../secret", "out of the folder"),
        (".", "circle"),
        ("b", "circle"),
    ],
)
def test_links_that_lead_elsewhere(folder: Path, target: str, reason: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    Path("/etc/hostname").touch()
    place = folder / "b" / "link" if target == "b" else folder / "link"
    place.symlink_to(folder / target if target == "b" else target)
    with pytest.raises(UnsafePath, match=reason):
        walk.walk(folder, GUARD)


def test_a_neighbour_whose_name_begins_alike_is_outside(folder: Path) -> None:
    write_files(folder.parent / "mod2", {"x": b"1"})
    (folder / "link").symlink_to(folder.parent / "mod2" / "x")
    with pytest.raises(UnsafePath, match="out of the folder"):
        walk.walk(folder, GUARD)


@pytest.mark.parametrize(
    ("target", "reason"), [("link", "leads in a circle"), ("nowhere", "is not there")]
)
def test_links_to_nothing(folder: Path, target: str, reason: str) -> None:
    (folder / "link").symlink_to(target)
    with pytest.raises(BadInput, match=f"'link' is a link to '{target}', which {reason}"):
        walk.walk(folder, GUARD)


def test_pipes_and_sockets_are_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(UnsafePath, match="neither a file nor a folder"):
        walk.walk(folder, GUARD)
    (folder / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket")[:100])
        with pytest.raises(UnsafePath, match="neither a file nor a folder"):
            walk.walk(folder, GUARD)


@pytest.mark.skipif(sys.platform != "linux", reason="the files are those of Linux")
@pytest.mark.parametrize(
    "place", ["/proc/self/environ", "/proc/version", "/proc", "/sys/kernel", "/dev", "/dev/null"]
)
def test_what_a_system_shows_of_itself_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(place)
    for root in (Path(place), tmp_path / "link"):
        with pytest.raises(UnsafePath, match="is the system's own"):
            walk.walk(root, GUARD)


@pytest.mark.skipif(sys.platform != "linux", reason="the file is one of Linux")
def test_a_file_that_holds_more_than_its_size_is_refused() -> None:
    source = Path("/proc/version")
    status = source.stat()
    place = status.st_dev, status.st_ino
    file = reading.FoundFile("a", source, status.st_size, False, status.st_mtime_ns, place)
    with pytest.raises(BadFolder, match="changed while it was read"):
        list(reading.read_pieces(file, 100, GUARD.secrets()))


@pytest.mark.parametrize(
    "name", ["a:b", "con", "x ", "new\nline", "tab\t", "back\\slash", "NUL.txt"]
)
def test_names_that_others_cannot_hold(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(UnsafePath):
        walk.walk(folder, GUARD)


def test_names_that_are_no_text(folder: Path) -> None:
    (folder / os.fsdecode(b"\xff")).write_bytes(b"")
    with pytest.raises(UnsafePath, match="not text") as caught:
        walk.walk(folder, GUARD)
    str(caught.value).encode()


@pytest.mark.parametrize("name", ["A", "B/z", "B.TXT"])
def test_names_that_collide(folder: Path, name: str) -> None:
    write_files(folder, {name: b""})
    with pytest.raises(UnsafePath, match="one name"):
        walk.walk(folder, GUARD)


def test_nothing_to_share(tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(BadFolder, match="no files"):
        walk.walk(tmp_path / "empty", GUARD)
    with pytest.raises(BadFolder, match="no such file"):
        walk.walk(tmp_path / "missing", GUARD)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsafePath, match="'pipe' is neither a file nor a folder"):
        walk.walk(tmp_path / "pipe", GUARD)


def test_too_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MANIFEST_FILES", 4)
    assert len(walk.walk(folder, GUARD)) == 4
    monkeypatch.setattr(limits, "MANIFEST_FILES", 3)
    with pytest.raises(BadFolder, match="more than 3 files"):
        walk.walk(folder, GUARD)


def test_reading(folder: Path) -> None:
    files = {
        file.path: b"".join(reading.read_pieces(file, 2, GUARD.secrets()))
        for file in walk.walk(folder, GUARD)
    }
    assert files == {"a": b"1", "b.txt": b"", "b/a/y": b"123", "b/x": b"12"}


@pytest.mark.parametrize("change", ["grown", "shorter", "rewritten", "link", "pipe", "gone"])
def test_a_file_that_changes_is_not_shared(folder: Path, change: str) -> None:
    (file,) = walk.walk(folder / "b" / "x", GUARD)
    place = folder / "b" / "x"
    if change in {"link", "pipe", "gone"}:
        place.unlink()
    if change == "link":
        place.symlink_to(folder / "a")
    elif change == "pipe":
        os.mkfifo(place)
    elif change != "gone":
        place.write_bytes({"grown": b"123", "shorter": b"1", "rewritten": b"34"}[change])
        os.utime(place, ns=(0, file.changed_ns + (change == "rewritten")))
    with pytest.raises(BadFolder):
        list(reading.read_pieces(file, 100, GUARD.secrets()))


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    place = folder / "b" / "x"
    place.write_bytes(bytes(10))
    (file,) = walk.walk(place, GUARD)
    pieces = reading.read_pieces(file, 4, GUARD.secrets())
    next(pieces)
    os.truncate(place, 5)
    with pytest.raises(BadFolder, match="changed while it was read"):
        list(pieces)
