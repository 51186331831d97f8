"""What a `get` tells of itself while it runs, and what it has done with once it ends."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from node.content.assemble.growing import GrowingFiles
from node.content.assemble.place import TargetPlace
from node.content.assemble.tree import GrowingTree
from node.content.progress import Progress
from node.content.room import Disk, RoomBook
from protocol.content.manifests.contents import Contents
from tests.node.content.content_nodes import Unwatched, links_to
from tests.node.content.downloads import FILES, swarm

LINE_BYTES_S = 2e6
PLAIN_BYTES = sum(map(len, FILES.values()))


class Room(RoomBook):
    """Of a disk of any size; knows what is claimed of it."""

    def __init__(self) -> None:
        super().__init__(look=lambda _: Disk(1, 10**12, 10**12))

    @property
    def claimed(self) -> int:
        return sum(claim.left for claim in self._claims)


async def test_bytes_are_told_from_the_first_to_the_last(tmp_path: Path) -> None:
    """Of the mod, of what came from others, and of the files; of the disk less is claimed."""
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        ours, theirs = holder.connect(getter)
        ours.bytes_per_second = LINE_BYTES_S
        room = Room()
        told: list[Progress] = []
        claimed: list[int] = []

        def report(progress: Progress) -> None:
            told.append(progress)
            claimed.append(room.claimed)

        async with contextlib.AsyncExitStack() as claims:
            place = TargetPlace(getter.assembler, room, claims, tmp_path / "out", tmp_path)
            await place.prepare()
            done = await getter.downloader.download(
                shared.link,
                lambda mod_id: getter.exchanges.sources(links_to(theirs)(mod_id), Unwatched()),
                report,
                taker=place,
            )
            await place.write(report)
            at_end = room.claimed
    fetched = [one.bytes_fetched for one in told if one.stage in {"manifest", "chunks"}]
    assert fetched == sorted(fetched)
    assert len(set(fetched)) > 20
    assert fetched[-1] == done.bytes_fetched
    manifest = next(one for one in told if one.stage == "manifest" and one.bytes_fetched)
    assert manifest.bytes_fetched == len(done.manifest.data)
    chunks = [one for one in told if one.stage == "chunks"]
    bytes_done = [one.bytes_done for one in chunks]
    assert bytes_done == sorted(bytes_done)
    assert len(set(bytes_done)) > 20
    assert {one.bytes_total for one in chunks} == {bytes_done[-1]} == {shared.new_bytes}
    assert (told[-1].stage, told[-1].bytes_done, told[-1].bytes_total) == (
        *("files", PLAIN_BYTES),
        PLAIN_BYTES,
    )
    growing = claimed[: len(told) - 1]
    assert max(growing) > PLAIN_BYTES
    assert len(set(growing)) > 5, "less is claimed with each part that was written"
    assert at_end < max(growing) - PLAIN_BYTES // 2


class Threads:
    """What is to run in threads, in place of them: each call ends once it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self.began: list[str] = []
        self._ends: list[Callable[[], None]] = []
        monkeypatch.setattr(self._loop, "run_in_executor", self._run)

    def _run(self, _: None, call: Callable[..., Any], *given: Any) -> "asyncio.Future[Any]":
        self.began.append(call.__name__)
        future = self._loop.create_future()
        self._ends.append(lambda: future.set_result(call(*given)))
        return future

    def end_next(self) -> None:
        """Let the one that began first end."""
        self._ends.pop(0)()


class Tree:
    """Notes what is done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def begin(self, _disk_bytes: int) -> None:
        self.done.append("begun")

    def clean_up(self) -> None:
        self.done.append("cleaned up")


async def some_turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nothing_is_cleaned_up_while_a_thread_is_still_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller of the thread may be cancelled; the thread cannot be."""
    threads, tree = Threads(monkeypatch), Tree()
    contents = Contents("mod", 1, (), (), (), ())
    growing = GrowingFiles(cast("GrowingTree", tree), contents, lambda _: None)

    async def begin_and_end() -> None:
        try:
            await growing.begin()
        finally:
            await growing.end()

    task = asyncio.create_task(begin_and_end())
    await some_turns()
    task.cancel()
    await some_turns()
    assert (threads.began, tree.done) == (["_begin"], [])
    threads.end_next()
    await some_turns()
    threads.end_next()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tree.done == ["begun", "cleaned up"]
