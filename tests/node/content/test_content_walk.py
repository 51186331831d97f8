"""Which files are shared: all of a folder or a plain refusal."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.content.homes import HomeGuard
from node.content.publish import reading, walk
from node.content.publish.leaving_out import LeavingOut
from node.disk.descent import BY_FOLDER, Descent
from protocol import limits
from protocol.errors import BadFolder, BadInput, UnsafePath
from tests.node.content.content_nodes import write_files

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links and pipes are made the POSIX way")

GUARD = HomeGuard(Path("no home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "mod", {"b/x": b"12", "a": b"1", "b.txt": b"", "b/a/y": b"123"})


def pieces_of(file: reading.FoundFile, root: Path, piece_bytes: int) -> Iterator[bytes]:
    with Descent(root) as descent, reading.opened(file, descent) as opened:
        yield from opened.pieces(piece_bytes, GUARD.secrets())


def found(folder: Path) -> dict[str, int]:
    return {file.path: file.size for file in walk.walk(folder, GUARD).files}


def test_every_file_in_path_order(folder: Path) -> None:
    assert [file.path for file in walk.walk(folder, GUARD).files] == ["a", "b.txt", "b/a/y", "b/x"]
    assert found(folder) == {"a": 1, "b.txt": 0, "b/a/y": 3, "b/x": 2}


def test_a_single_file(folder: Path) -> None:
    (file,) = walk.walk(folder / "b" / "x", GUARD).files
    assert (file.path, file.size) == ("x", 2)


def test_hidden_files_are_files(folder: Path) -> None:
    write_files(folder, {".hidden": b"1"})
    assert ".hidden" in found(folder)


def test_folders_are_empty_where_nothing_that_is_shared_lies_in_them(folder: Path) -> None:
    for path in ("empty/deep/er", "b/none", "logs", "out", "rules"):
        (folder / path).mkdir(parents=True)
    write_files(folder, {"logs/x.log": b"", "rules/.modswarmignore": b"*.log", "out/x": b""})
    rules = LeavingOut.of(["*.log", "/out"])
    assert walk.walk(folder, GUARD, rules).empty_folders == (
        *("b/none", "empty/deep/er", "logs", "rules"),
    )
    write_files(folder, {"B/none/x": b""})
    with pytest.raises(UnsafePath, match="are one name on some systems"):
        walk.walk(folder, GUARD, rules)


LONG = "f" * 70


def deep_folder(root: Path, bytes_at_least: int) -> str:
    """Make folders within one another, with a file and an empty folder in the last; its path."""
    path, name = "", "n" * 250
    with Descent(root) as descent:
        while len(path) < bytes_at_least:
            os.mkdir(name, dir_fd=descent._folder(path))
            path = f"{path}/{name}" if path else name
        folder = descent._folder(path)
        os.mkdir("empty", dir_fd=folder)
        descriptor = os.open(LONG, os.O_CREAT | os.O_WRONLY, dir_fd=folder)
        os.write(descriptor, b"deep")
        os.close(descriptor)
    return path


@pytest.mark.skipif(not BY_FOLDER, reason="this system opens nothing by a folder")
def test_a_path_that_the_system_does_not_take_at_once(folder: Path) -> None:
    deep = deep_folder(folder, 4000)
    name = f"{deep}/{LONG}"
    with pytest.raises(OSError, match="too long"):
        (folder / name).read_bytes()
    seen = walk.walk(folder, GUARD)
    (file,) = (file for file in seen.files if file.path == name)
    assert (seen.empty_folders, file.size) == ((f"{deep}/empty",), 4)
    assert list(pieces_of(file, folder, 100)) == [b"deep"]
    (folder / ("m" * 20)).mkdir()
    deep_folder(folder / ("m" * 20), 4000)
    with pytest.raises(UnsafePath, match="is longer than 4096 bytes"):
        walk.walk(folder, GUARD)


def test_where_nothing_is_opened_by_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "link").symlink_to("b")
    expected = walk.walk(folder, GUARD)
    monkeypatch.setattr("node.disk.descent.BY_FOLDER", False)
    assert walk.walk(folder, GUARD) == expected
    files = {file.path: b"".join(pieces_of(file, folder, 100)) for file in expected.files}
    assert files["link/a/y"] == files["b/a/y"] == b"123"


def open_files() -> int:
    place = Path("/proc/self/fd")
    return sum(1 for _ in place.iterdir()) if place.exists() else 0


def test_links_and_folders_keep_few_files_open(folder: Path) -> None:
    place = folder
    for number in range(100):
        place /= "d"
        write_files(place, {f"{number}.bin": b"1"})
    (folder / "link").symlink_to("/".join("d" * 90))
    before = open_files()
    with Descent(folder) as descent:
        for file in walk.walk(folder, GUARD).files:
            with reading.opened(file, descent) as opened:
                read = b"".join(opened.pieces(9, GUARD.secrets()))
            assert read == (folder / file.path).read_bytes()
            assert open_files() < before + 40


def test_executable_files(folder: Path) -> None:
    (folder / "a").chmod(0o755)
    assert [file.path for file in walk.walk(folder, GUARD).files if file.executable] == ["a"]


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
    place, stamp = (status.st_dev, status.st_ino), (status.st_mtime_ns, status.st_ctime_ns)
    file = reading.FoundFile("a", "version", status.st_size, 0, False, stamp, place)
    with pytest.raises(BadFolder, match="changed while it was read"):
        list(pieces_of(file, Path("/proc"), 100))


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
    assert len(walk.walk(folder, GUARD).files) == 4
    monkeypatch.setattr(limits, "MANIFEST_FILES", 3)
    with pytest.raises(BadFolder, match="more than 3 files"):
        walk.walk(folder, GUARD)


def test_what_no_manifest_could_list_is_refused_before_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it takes of the disk: neither holes nor a second name of a file take any."""
    sparse = folder / "b" / "sparse"
    sparse.touch()
    os.truncate(sparse, 2**33)
    write_files(folder, {"c": os.urandom(600_000)})
    os.link(folder / "c", folder / "d")
    monkeypatch.setattr(limits, "SHARE_STORED_BYTES", 2**20)
    assert len(walk.walk(folder, GUARD).files) == 7
    write_files(folder, {"e": os.urandom(600_000)})
    with pytest.raises(BadFolder, match=r"takes 0 GiB of the disk, .* 'b/sparse' with 8\.0 GiB"):
        walk.walk(folder, GUARD)
    monkeypatch.setattr(limits, "SHARE_STORED_BYTES", 2**30)
    assert len(walk.walk(folder, GUARD).files) == 8


def test_reading(folder: Path) -> None:
    files = {
        file.path: b"".join(pieces_of(file, folder, 2)) for file in walk.walk(folder, GUARD).files
    }
    assert files == {"a": b"1", "b.txt": b"", "b/a/y": b"123", "b/x": b"12"}


@pytest.mark.parametrize("change", ["grown", "shorter", "rewritten", "link", "pipe", "gone"])
def test_a_file_that_changes_is_not_shared(folder: Path, change: str) -> None:
    (file,) = walk.walk(folder / "b" / "x", GUARD).files
    place = folder / "b" / "x"
    if change in {"link", "pipe", "gone"}:
        place.unlink()
    if change == "link":
        place.symlink_to(folder / "a")
    elif change == "pipe":
        os.mkfifo(place)
    elif change != "gone":
        place.write_bytes({"grown": b"123", "shorter": b"1", "rewritten": b"34"}[change])
        os.utime(place, ns=(0, file.stamp[0] + (change == "rewritten")))
    with pytest.raises(BadFolder):
        list(pieces_of(file, folder / "b", 100))


def test_a_file_is_another_one_though_its_size_and_time_are_the_same(folder: Path) -> None:
    (file,) = walk.walk(folder / "b" / "x", GUARD).files
    other = folder / "b" / "other"
    other.write_bytes(b"34")
    os.utime(other, ns=(file.stamp[0], file.stamp[0]))
    other.rename(folder / "b" / "x")
    with pytest.raises(BadFolder, match="'x' changed while it was read"):
        list(pieces_of(file, folder / "b", 100))


def test_a_folder_whose_place_a_link_took_is_not_read(folder: Path, tmp_path: Path) -> None:
    files = walk.walk(folder, GUARD).files
    (folder / "b").rename(tmp_path / "moved")
    (folder / "b").symlink_to(tmp_path / "moved")
    with pytest.raises(BadFolder, match="changed while it was read"):
        list(pieces_of(files[-1], folder, 100))


def test_a_file_that_shrinks_while_it_is_read(folder: Path) -> None:
    place = folder / "b" / "x"
    place.write_bytes(bytes(10))
    (file,) = walk.walk(place, GUARD).files
    pieces = pieces_of(file, folder / "b", 4)
    next(pieces)
    os.truncate(place, 5)
    with pytest.raises(BadFolder, match="changed while it was read"):
        list(pieces)
