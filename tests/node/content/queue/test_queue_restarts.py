"""A download goes on to its target after its node was ended, from the chunks that it had."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.answers.downloads import DownloadState, Priority
from node.content.assemble import written
from node.content.keeping.keeper import Keeper
from node.content.progress import Progress
from node.content.queue.entry import DownloadRequest
from node.content.queue.queue import DownloadQueue
from protocol import limits
from tests.node.content.content_nodes import (
    ContentNode,
    content_node,
    read_files,
    until,
    write_files,
)
from tests.node.content.downloads import FILES, Getter, swarm


@asynccontextmanager
async def run(folder: Path, giver: ContentNode) -> AsyncIterator[tuple[Getter, DownloadQueue]]:
    """A node with a queue in this folder."""
    async with content_node(folder, 9) as taker:
        getter = Getter(taker, giver)
        held = DownloadQueue(folder / "downloads.json", getter.get, getter.keep, lambda: 1.7e9, 1)
        held.start()
        try:
            yield getter, held
        finally:
            await held.close()
            await taker.downloader.close()


def bytes_done(held: DownloadQueue) -> Callable[[], int]:
    return lambda: (held.view().downloads[0].progress or Progress("queued")).bytes_done


async def test_download_goes_on_over_two_restarts(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    async with swarm(tmp_path, 1) as ((giver,), shared):
        giver.up.command("200k", None)
        async with run(home, giver) as (_, held):
            held.add(DownloadRequest(shared.link, target=target))
            await until(lambda: bytes_done(held)() > 1_500_000)
        async with run(home, giver) as (_, held):
            await until(lambda: bytes_done(held)() > 3_000_000)
            assert not target.exists()
        async with run(home, giver) as (getter, held):
            await until(lambda: held.view().downloads[0].state is DownloadState.DONE)
            assert 0 < getter.fetched < 2_500_000
        async with run(home, giver) as (getter, held):
            await asyncio.sleep(10.0)
            assert (getter.fetched, held.view().downloads[0].state) == (0, DownloadState.DONE)
    assert read_files(target) == FILES


async def test_small_vault_keeps_what_came_of_a_paused_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CUT_SHORT_KEPT_S", 0.0)
    home = tmp_path / "home"
    home.mkdir()
    async with swarm(tmp_path, 1) as ((giver,), shared):
        giver.up.command("500k", None)
        async with run(home, giver) as (getter, held):
            number = held.add(DownloadRequest(shared.link, target=tmp_path / "out")).id
            await until(lambda: bytes_done(held)() > 1_000_000)
            await held.pause(number)
            assert await Keeper(getter.node.vault, budget=0).keep_within() == 0
            came = bytes_done(held)()
        async with run(home, giver) as (getter, held):
            assert await Keeper(getter.node.vault, budget=0).keep_within() == 0
            held.resume(number)
            await until(lambda: held.view().downloads[0].state is DownloadState.DONE)
            assert getter.fetched <= sum(map(len, FILES.values())) - came + 100_000
            assert await Keeper(getter.node.vault, budget=0).keep_within() == 1


async def test_one_that_gave_way_goes_on_from_its_chunks(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with swarm(tmp_path, 1) as ((giver,), shared):
        giver.up.command("200k", None)
        other = write_files(tmp_path / "other", {"a": bytes(range(256)) * 400})
        urgent = await giver.publisher.publish(other, "urgent")
        async with run(home, giver) as (getter, held):
            low = DownloadRequest(shared.link, target=tmp_path / "low", priority=Priority.LOW)
            number = held.add(low).id
            await until(lambda: bytes_done(held)() > 1_500_000)
            high = tmp_path / "high"
            held.add(DownloadRequest(urgent.link, target=high, priority=Priority.HIGH))
            await until(high.exists)
            assert not (tmp_path / "low").exists()
            assert [view.id for view in held.view().downloads][-1] != number
            await until((tmp_path / "low").exists)
            assert 0 < getter.fetched < 4_000_000
    assert read_files(high) == read_files(other)
    assert read_files(tmp_path / "low") == FILES


@pytest.mark.parametrize("is_by_name", [False, True])
@pytest.mark.parametrize("changed", [None, "part1/file0001.bin"])
async def test_what_was_written_as_the_node_died_is_done_and_other_files_stay(
    tmp_path: Path, changed: str | None, is_by_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = list[Path]()
    monkeypatch.setattr(written, "flush_folder", flushed.append)
    home, target = tmp_path / "home", tmp_path / "mod"
    home.mkdir()
    async with swarm(tmp_path, 1) as ((giver,), shared):
        by_name, exactly = (tmp_path, None) if is_by_name else (None, target)
        async with run(home, giver) as (_, held):
            held.add(DownloadRequest(shared.link, exactly, by_name))
            waiting = (home / "downloads.json").read_bytes()
            await until(lambda: held.view().downloads[0].state is DownloadState.DONE)
        (home / "downloads.json").write_bytes(waiting)
        if changed is not None:
            (target / changed).write_bytes(bytes(len(FILES[changed])))
        async with run(home, giver) as (getter, held):
            await until(lambda: held.view().downloads[0].state is not DownloadState.ACTIVE)
            (view,) = held.view().downloads
        assert getter.fetched == 0
        if changed is None:
            assert (view.state, view.name, view.place) == (DownloadState.DONE, "mod", str(target))
            assert read_files(target) == FILES
            assert flushed == [tmp_path], "the node may have died before its name was safe"
        else:
            assert view.state is DownloadState.FAILED
            assert view.reason == f"{target} exists and is not an empty folder"
            assert read_files(target)[changed] == bytes(len(FILES[changed]))
