"""A caller that is cancelled does not go on before the thread that it waits for has ended."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.content.assemble.held_place import HeldPlace
from node.content.assemble.tree import GrowingTree
from node.content.exporting.exporter import Exporter, ExportPlace
from node.content.homes import HomeGuard
from node.content.publish import cutting, publisher
from node.tasks import in_thread
from tests.node.content.content_nodes import content_node, open_files, some_files, write_files

pytestmark = pytest.mark.real_loop


class Gate:
    """A place in a thread: it tells that it is reached, and goes on when it is opened."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened = threading.Event()
        self.reached = asyncio.Event()
        self.passed = False

    def wait(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        assert self._opened.wait(60)
        self.passed = True

    async def ends_after_it(self, task: "asyncio.Future[Any]") -> None:
        """A task that is cancelled while its thread is here ends once that has passed."""
        await self.reached.wait()
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        self._opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert self.passed


@pytest.mark.parametrize("error", [None, OSError("which the caller does not hear of")])
async def test_a_call(error: Exception | None) -> None:
    gate = Gate()

    def call() -> None:
        gate.wait()
        if error is not None:
            raise error

    task = asyncio.ensure_future(in_thread(call))
    await gate.ends_after_it(task)


async def test_a_call_of_a_caller_that_is_cancelled_twice() -> None:
    gate = Gate()
    task = asyncio.ensure_future(in_thread(gate.wait))
    await gate.reached.wait()
    task.cancel()
    await asyncio.sleep(0)
    await gate.ends_after_it(task)


async def test_reading_files_to_publish_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(1_000_000,)))
    gate = Gate()

    def slow(*arguments: Any) -> Iterator[bytes]:
        gate.wait()
        yield from cutting.cut_files(*arguments)

    monkeypatch.setattr(publisher, "cut_files", slow)
    async with content_node(tmp_path) as node:
        await gate.ends_after_it(asyncio.ensure_future(node.publisher.publish(source, "m")))
        assert (await node.publisher.publish(source, "m")).new_bytes > 0


async def test_flushing_files_that_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(1_000_000,)))
    gate = Gate()
    sync, clean_up = GrowingTree.sync, GrowingTree.clean_up

    def slow_sync(tree: GrowingTree, share: int, shares: int) -> None:
        gate.wait()
        sync(tree, share, shares)

    def late_clean_up(tree: GrowingTree) -> None:
        assert gate.passed
        clean_up(tree)

    monkeypatch.setattr(GrowingTree, "sync", slow_sync)
    monkeypatch.setattr(GrowingTree, "clean_up", late_clean_up)
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source, "m")
        writing = node.assembler.assemble(shared.mod_id, tmp_path / "out")
        await gate.ends_after_it(asyncio.ensure_future(writing))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "name"), [(GrowingTree, "clean_up"), (HeldPlace, "release")])
async def test_giving_back_what_writing_has_taken(
    kind: type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(1_000_000,)))
    gate = Gate()
    give_back = getattr(kind, name)

    def slow(taken: Any) -> None:
        gate.wait()
        give_back(taken)

    monkeypatch.setattr(kind, name, slow)
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source, "m")
        writing = node.assembler.assemble(shared.mod_id, tmp_path / "out")
        await gate.ends_after_it(asyncio.ensure_future(writing))
        await node.assembler.assemble(shared.mod_id, tmp_path / "again")


async def test_opening_the_file_of_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_files(tmp_path / "source", some_files(sizes=(1_000_000,)))
    gate = Gate()
    begin = ExportPlace.begin_chunks

    def slow(place: ExportPlace) -> None:
        gate.wait()
        begin(place)

    monkeypatch.setattr(ExportPlace, "begin_chunks", slow)
    async with content_node(tmp_path) as node:
        shared = await node.publisher.publish(source, "m")
        exporter = Exporter(node.vault, HomeGuard(node.vault.folder))
        exporting = exporter.export(shared.mod_id, tmp_path / "www")
        await gate.ends_after_it(asyncio.ensure_future(exporting))
        assert open_files(str(tmp_path / "www")) == []
