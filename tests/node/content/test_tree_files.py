"""Files of a mod on the disk: where their bytes lie, long paths, and how they are flushed."""

import ctypes
import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble import tree
from node.content.assemble.layout import ChunkPlaces, FilePart, FileStarts
from node.content.assemble.tree import GrowingTree
from node.disk import flushing
from node.disk.removing import remove_tree
from protocol.content.manifests.contents import Contents, ModFile
from protocol.errors import DiskError, UnsafePath
from tests.node.content.content_nodes import read_files


def test_bytes_of_the_stream_are_parts_of_files() -> None:
    sizes = (0, 0, 3, 0, 5, 1, 0)
    starts = FileStarts([ModFile(str(number), size) for number, size in enumerate(sizes)])
    whole = [FilePart(2, 0, 3), FilePart(4, 0, 5), FilePart(5, 0, 1)]
    assert list(starts.parts(0, 9)) == whole
    assert list(starts.parts(2, 4)) == [FilePart(2, 2, 1), FilePart(4, 0, 3)]
    assert list(starts.parts(8, 1)) == [FilePart(5, 0, 1)]
    assert list(starts.parts(9, 0)) == []
    with pytest.raises(ValueError, match="beyond"):
        list(starts.parts(8, 2))


def test_a_chunk_is_wherever_the_order_has_it() -> None:
    places = ChunkPlaces(Contents("m", 1, (), (), (2, 3, 5), (0, 1, 0, 0, 2, 1)))
    assert [list(places.of(number)) for number in range(3)] == [[0, 5, 7], [2, 14], [9]]


def a_tree(folder: Path, files: list[ModFile], empty: tuple[str, ...] = ()) -> GrowingTree:
    growing = GrowingTree(folder / "out", files, empty)
    growing.begin(0)
    return growing


def complete(growing: GrowingTree) -> None:
    growing.finish()
    for share in range(2):
        growing.sync(share, 2)
    growing.appear()
    growing.clean_up()


@pytest.mark.parametrize("seed", range(6))
def test_bytes_come_in_any_order(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    sizes = [rng.choice((0, 1, 10, 70_000, 200_000)) for _ in range(60)]
    files = [
        ModFile(f"{number // 9}/{number:03}", size, number % 2 == 1)
        for number, size in enumerate(sizes)
    ]
    stream = bytearray(rng.randbytes(sum(sizes)))
    for _ in range(5):
        start = rng.randrange(max(1, len(stream) - 150_000))
        stream[start : start + 150_000] = bytes(len(stream[start : start + 150_000]))
    growing = a_tree(tmp_path, files, ("zz/empty",))
    pieces = list(range(0, len(stream), 33_000))
    rng.shuffle(pieces)
    for start in pieces:
        growing.write(start, bytes(stream[start : start + 33_000]))
        if rng.random() < 0.2:  # once more, as after a failure
            growing.write(start, bytes(stream[start : start + 33_000]))
    complete(growing)
    at = 0
    for file in files:
        found = tmp_path / "out" / file.path
        assert found.read_bytes() == stream[at : at + file.size]
        assert bool(found.stat().st_mode & 0o100) is file.executable
        at += file.size
    assert (tmp_path / "out/zz/empty").is_dir()
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == len(files)


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    files = [ModFile(f"{number:04}", 10) for number in range(500)]
    growing = a_tree(tmp_path, files)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for start in range(0, 5000, 5):
        growing.write(start, b"12345")
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 32
    complete(growing)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


LONG = "/".join(["n" * 254] * 16)
DEEP = "d/" * 2000 + "x"


@pytest.mark.parametrize("path", [LONG, DEEP])
def test_paths_of_4096_bytes(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, name = path.rpartition("/")
    growing = a_tree(tmp_path, [ModFile(path, 4)], (f"{folder}/y",))
    tree.check_paths(tmp_path / "out", [path])
    opened, real = 0, os.open

    def counted(place: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        nonlocal opened
        opened += 1
        return real(place, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", counted)
        growing.write(0, b"text")
        complete(growing)
    assert opened < 25 * (folder.count("/") + 10), "each folder is reached by all above it"
    here = os.open(tmp_path / "out", os.O_RDONLY)
    for step in folder.split("/"):
        inner = os.open(step, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    with os.scandir(here) as entries:
        assert {entry.name for entry in entries} == {name, "y"}
    found = os.open(name, os.O_RDONLY, dir_fd=here)
    assert os.read(found, 10) == b"text"
    os.close(found)
    os.close(here)
    remove_tree(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_too_long_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnsafePath, match="has 256 bytes, too many"):
        tree.check_paths(tmp_path / "out", ["a/b", f"a/{'n' * 256}/b"])


class Flushes:
    """Stands between a tree and the system's calls that flush."""

    def __init__(self, patch: pytest.MonkeyPatch, result: int = 0) -> None:
        self.files = self.disks = 0
        self._result = result
        real = os.fsync

        def fsync(descriptor: int) -> None:
            self.files += 1
            real(descriptor)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(flushing, "_libc", lambda: self)
        patch.setattr(flushing, "_can_tell", lambda: True)

    def syncfs(self, _: int) -> int:
        self.disks += 1
        ctypes.set_errno(5)
        return self._result

    def fstatfs(self, _: int, told: Any) -> int:
        ctypes.c_long.from_buffer(told).value = self.kind
        return 0

    kind = 0xEF53


def many(folder: Path) -> GrowingTree:
    growing = a_tree(folder, [ModFile(f"{number:03}", 1) for number in range(100)])
    growing.write(0, bytes(100))
    return growing


def test_many_files_are_flushed_by_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes = Flushes(monkeypatch)
    complete(many(tmp_path))
    assert (flushes.disks, flushes.files) == (1, 1), "and the folder that holds the target"


def test_where_that_call_may_not_be_enough_each_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes = Flushes(monkeypatch)
    monkeypatch.setattr(Flushes, "kind", 0x65735546)  # FUSE
    complete(many(tmp_path))
    assert (flushes.disks, flushes.files) == (0, 102)


def test_few_files_wait_for_no_others_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes = Flushes(monkeypatch)
    growing = a_tree(tmp_path, [ModFile("a/x", 1), ModFile("b", 1)])
    growing.write(0, b"12")
    complete(growing)
    assert (flushes.disks, flushes.files) == (0, 5)


def test_what_did_not_reach_the_disk_does_not_appear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Flushes(monkeypatch, result=-1)
    growing = many(tmp_path)
    growing.finish()
    with pytest.raises(DiskError, match="the disk fails"):
        growing.sync(0, 1)
    growing.clean_up()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_taken_back", [True, False])
def test_a_name_that_is_not_safe_is_taken_back_or_said_to_be_in_doubt(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_taken_back: bool,
) -> None:
    growing, target = a_tree(tmp_path, [ModFile("b", 2)]), tmp_path / "out"
    growing.write(0, b"12")
    growing.finish()
    rename, full = Path.rename, OSError(errno.ENOSPC, "No space left on device")

    def refuse(*_: object) -> None:
        raise full

    def renamed(place: Path, to: Path) -> Path:
        if place == target and not is_taken_back:
            refuse()
        return rename(place, to)

    with monkeypatch.context() as patch:
        patch.setattr(tree, "flush_folder", refuse)
        patch.setattr(Path, "rename", renamed)
        told = r"^cannot write .*: the disk is full" if is_taken_back else "has all of the mod, but"
        with pytest.raises(DiskError, match=told):
            growing.appear()
    assert target.exists() is not is_taken_back
    if is_taken_back:
        growing.appear()
    growing.clean_up()
    assert read_files(target) == {"b": b"12"}


@pytest.mark.skipif(not flushing._can_tell(), reason="this system has no such call")
def test_the_call_itself(tmp_path: Path) -> None:
    disk = flushing.DiskFlush.of(tmp_path)
    if disk is not None:
        disk.flush()
        disk.close()
        disk.close()
