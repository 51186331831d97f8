"""Mods as files for servers: whole or absent, in the order of the table, and never over others."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.content.exporting.exporter import Exported, Exporter
from node.content.hidden_names import growing_of, lock_of
from node.content.homes import HomeGuard
from node.content.progress import Progress
from protocol.content.origins.urls import file_names
from protocol.errors import ModswarmError, NotFound, TargetExists, UnsafePath
from protocol.identity import base32_text
from tests.node.content.origins.origin_worlds import OriginWorld, origin_world
from tests.node.content.origins.web_server import exported


async def export(world: OriginWorld, folder: Path) -> Exported:
    guard = HomeGuard(world.holder.vault.folder)
    return await Exporter(world.holder.vault, guard).export(world.shared.mod_id, folder)


async def test_an_export_is_the_manifest_and_all_chunks_in_a_row(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        told: list[Progress] = []
        guard = HomeGuard(world.holder.vault.folder)
        folder = tmp_path / "new" / "www"
        done = await Exporter(world.holder.vault, guard).export(
            world.shared.mod_id, folder, told.append
        )
        assert exported(folder) == world.files
        assert done.size == sum(map(len, world.files.values()))
        assert (done.manifest.name, done.chunks.name) == file_names(world.shared.mod_id)
        assert told[-1].bytes_done == told[-1].bytes_total == len(world.files[done.chunks.name])
        assert done.chunks.stat().st_mode & 0o444 == 0o444, "a server of another user reads it"
        before = done.chunks.stat().st_mtime_ns
        assert await export(world, folder) == done
        assert done.chunks.stat().st_mtime_ns == before


async def test_files_of_others_stay_and_beside_them_it_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "index.html").write_bytes(b"mine")
    async with origin_world(tmp_path) as world:
        await export(world, folder)
        assert exported(folder) == world.files | {"index.html": b"mine"}


def other_bytes(path: Path, right: bytes) -> None:
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))


def too_short(path: Path, right: bytes) -> None:
    path.write_bytes(right[:-1])


def a_link(path: Path, right: bytes) -> None:
    target = path.with_name("theirs")
    target.write_bytes(right)
    path.symlink_to(target)


def a_folder(path: Path, right: bytes) -> None:
    del right
    path.mkdir()


def a_pipe(path: Path, right: bytes) -> None:
    """To read it would never end: an export that tried held a thread for good."""
    del right
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("make", [other_bytes, too_short, a_link, a_folder, a_pipe])
async def test_a_foreign_file_of_its_name_is_refused_and_left(
    make: Callable[[Path, bytes], None], which: int, tmp_path: Path
) -> None:
    async with origin_world(tmp_path) as world:
        folder = tmp_path / "www"
        folder.mkdir()
        path = folder / file_names(world.shared.mod_id)[which]
        make(path, world.files[path.name])
        before = (path.lstat().st_ino, path.lstat().st_size)
        with pytest.raises(TargetExists) as refused:
            await export(world, folder)
        assert refused.value.advice == "Move it away, or export to another folder."
        assert (path.lstat().st_ino, path.lstat().st_size) == before
        assert not [name for name in os.listdir(folder) if name.startswith(".")]  # noqa: PTH208


async def test_what_a_killed_export_left_goes_with_the_next_one(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        folder = tmp_path / "www"
        target = folder / base32_text(world.shared.mod_id)
        growing_of(target).mkdir(parents=True)
        (growing_of(target) / f"{target.name}.chunks").write_bytes(b"half")
        lock_of(target).touch()
        await export(world, folder)
        assert exported(folder) == world.files


async def test_what_is_here_in_part_is_not_exported(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        guard = HomeGuard(world.getter.vault.folder)
        with pytest.raises(NotFound, match="not all of the mod"):
            await Exporter(world.getter.vault, guard).export(world.shared.mod_id, tmp_path / "www")
        assert not (tmp_path / "www").exists()


async def test_nothing_is_exported_into_a_home(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        with pytest.raises(UnsafePath):
            await export(world, world.holder.vault.folder / "www")


async def test_an_export_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        folder = tmp_path / "www"
        exporting = asyncio.ensure_future(export(world, folder))
        for _ in range(6):
            await asyncio.sleep(0)
        exporting.cancel()
        with pytest.raises((asyncio.CancelledError, ModswarmError)):
            await exporting
        assert not any(name.startswith(".") for name in os.listdir(folder))  # noqa: PTH208
