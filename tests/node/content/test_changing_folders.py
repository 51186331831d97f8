"""A folder that changes while it is read: that is said, and nothing of it is published."""

import asyncio
import dataclasses
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content.homes import HomeGuard
from node.content.progress import Progress
from node.content.publish import walk
from node.content.publish.leaving_out import IGNORE_FILE
from node.content.publish.publisher import Publisher
from node.environment import Environment
from protocol.errors import BadFolder
from tests.node.content.content_nodes import content_node, lineages_of, read_files, write_files

GUARD = HomeGuard(Path("no home"))
FILES = {
    "a": b"first",
    "b/c": random.Random(1).randbytes(20_000_000),
    "d/e": b"last",
    "d/f": b"more",
}


def rewritten(folder: Path) -> None:
    """With as many bytes, and the time of change set back, as programs that copy do."""
    times = (folder / "a").stat()
    (folder / "a").write_bytes(b"other")
    os.utime(folder / "a", ns=(times.st_atime_ns, times.st_mtime_ns))


def replaced(folder: Path) -> None:
    (folder / "d" / "new").write_bytes(b"last")
    (folder / "d" / "new").replace(folder / "d" / "e")


def moved(folder: Path) -> None:
    (folder / "b").rename(folder / "z")


def linked(folder: Path) -> None:
    """A link takes the place of a file that is to be read."""
    (folder / "d" / "f").unlink()
    (folder / "d" / "f").symlink_to("e")


def folder_replaced(folder: Path) -> None:
    (folder / "d").rename(folder.parent / "elsewhere")
    (folder / "d").write_bytes(b"")


def swapped(folder: Path) -> None:
    """Names of two files that were read, or are to be."""
    (folder / "d" / "f").rename(folder / "d" / "g")
    (folder / "d" / "e").rename(folder / "d" / "f")
    (folder / "d" / "g").rename(folder / "d" / "e")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "rewritten": (rewritten, "'a'"),
    "replaced": (replaced, "'d/e'"),
    "grown": (lambda folder: (folder / "a").write_bytes(b"first and more"), "'a'"),
    "added": (lambda folder: (folder / "0").write_bytes(b"new"), "'0'"),
    "gone": (lambda folder: (folder / "a").unlink(), "'a'"),
    "renamed": (lambda folder: (folder / "a").rename(folder / "A"), "'A'"),
    "moved": (moved, "'b/c'"),
    "linked": (linked, "'d/f'"),
    "folder replaced": (folder_replaced, "'d/e'"),
    "swapped": (swapped, "'d/e'"),
    "executable": (lambda folder: (folder / "a").chmod(0o755), "'a'"),
    "link": (lambda folder: (folder / "0").symlink_to("a"), "'0'"),
    "empty folder": (lambda folder: (folder / "new").mkdir(), "'new/'"),
    "filled folder": (lambda folder: (folder / "none" / "x").write_bytes(b"1"), "'none/'"),
    "rules": (lambda folder: (folder / IGNORE_FILE).write_bytes(b"d/f\n"), "'d/f'"),
}


def let_pass_a_tick(folder: Path) -> None:
    """Until the file system gives another time to a change."""
    latest = max(path.lstat().st_ctime_ns for path in folder.rglob("*"))
    other = folder.parent / "other"
    while not other.exists() or other.stat().st_ctime_ns <= latest:
        other.write_bytes(b"")


@pytest.mark.skipif(os.name == "nt", reason="files are replaced and linked the POSIX way")
@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_is_said_and_nothing_is_published(change: str, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mod", FILES)
    (folder / "none").mkdir()
    let_pass_a_tick(folder)
    happen, path = CHANGES[change]
    waits = [True]

    def report(progress: Progress) -> None:
        if progress.bytes_done and waits:  # the first file was read
            waits.clear()
            happen(folder)

    async with content_node(tmp_path / "node") as node:
        with pytest.raises(BadFolder, match="changed while it was read") as told:
            await node.publisher.publish(folder, report=report)
        assert path in str(told.value) or path.strip("'/") in str(told.value)
        assert not waits
        assert await node.vault.mods() == []
        shared = await node.publisher.publish(folder)
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
    expected = read_files(folder)
    expected.pop(IGNORE_FILE, None)
    if change == "rules":
        del expected["d/f"]
    assert read_files(tmp_path / "out") == expected


async def test_what_is_left_out_may_change(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mod", {**FILES, "logs/1": b"1"})

    def report(progress: Progress) -> None:
        (folder / "logs" / f"{progress.bytes_done}").write_bytes(b"more")

    async with content_node(tmp_path / "node") as node:
        shared = await node.publisher.publish(folder, report=report, exclude=["/logs/*"])
        assert shared.left_out == 1
        assert (await node.publisher.publish(folder, exclude=["/logs/*"])).mod_id == shared.mod_id


@pytest.mark.parametrize(("since", "waited"), [(0.0, 0.02), (0.015, 0.005), (0.02, 0), (-5.0, 0)])
async def test_a_change_to_come_has_a_time_of_its_own(
    since: float, waited: float, tmp_path: Path
) -> None:
    """A file that was written just now may be written again at the same time, as disks count."""
    folder = write_files(tmp_path / "mod", {"a": b"1"})
    changed_at = walk.walk(folder, GUARD).changed_at()
    loop = asyncio.get_running_loop()
    async with content_node(tmp_path / "node") as node:
        environment = dataclasses.replace(Environment(), wall=lambda: changed_at + since)
        began = loop.time()
        await Publisher(
            node.vault, environment, GUARD, lineages_of(node.vault, environment)
        ).publish(folder)
    assert loop.time() - began == pytest.approx(waited, abs=1e-4)


async def test_empty_folders_and_files_and_one_byte_come_out_again(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "mod", {"a": b"", "b/one": b"1", "b/none": b""})
    (folder / "b" / "run").write_bytes(b"#!")
    (folder / "b" / "run").chmod(0o755)
    for path in ("empty", "b/deep/er"):
        (folder / path).mkdir(parents=True)
    async with content_node(tmp_path / "node") as node:
        shared = await node.publisher.publish(folder)
        await node.assembler.assemble(shared.mod_id, tmp_path / "out")
        again = await node.publisher.publish(tmp_path / "out", "mod", continues=True)
        assert again.mod_id == shared.mod_id
        (folder / "empty").rmdir()
        without = await node.publisher.publish(folder, "mod", continues=True)
        assert without.mod_id != shared.mod_id
    assert read_files(tmp_path / "out") == read_files(folder)
    assert os.name == "nt" or (tmp_path / "out" / "b" / "run").stat().st_mode & 0o100
    out = tmp_path / "out"
    found = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert found == {"a", "b", "b/deep", "b/deep/er", "b/none", "b/one", "b/run", "empty"}
