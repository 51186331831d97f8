"""The queue of downloads: turns, priorities, pauses, cancels, restarts."""

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from node import files
from node.answers.downloads import DownloadState, Priority
from node.answers.mods import GetResult
from node.content.download.bounds import SizeBound
from node.content.progress import Progress
from node.content.queue.entry import DownloadRequest
from node.content.queue.queue import DownloadQueue
from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import (
    BadInput,
    DiskError,
    DownloadCancelled,
    LinkClosed,
    NoSources,
    NotFound,
    TargetExists,
    Unreachable,
)
from tests.node.content.content_nodes import until
from tests.node.content.queue.gets import Asked, GetDouble

KEY = bytes([7]) * 32


def link(number: int) -> ModLink:
    return ModLink(bytes([number]) * 32, KEY)


def wanted(number: int, priority: Priority | None = None) -> DownloadRequest:
    return DownloadRequest(link(number), target=Path(f"/mods/{number}"), priority=priority)


class Gets(GetDouble):
    """What fetches: each `get` lasts until it is told how it ends."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.cancelled: list[int] = []
        self.asked: list[Asked] = []
        self.under_way: dict[int, asyncio.Future[None]] = {}

    async def fetch(self, asked: Asked) -> GetResult:
        number = asked.link.mod_id[0]
        self.began.append(number)
        self.asked.append(asked)
        asked.progress(Progress("chunks", 2, 1, bytes_total=10, bytes_done=5, bytes_per_second=1))
        ended = self.under_way[number] = asyncio.get_running_loop().create_future()
        try:
            await ended
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            del self.under_way[number]
        return asked.result(name=f"mod {number}")

    async def end(self, number: int, error: BaseException | None = None) -> None:
        if error is None:
            self.under_way[number].set_result(None)
        else:
            self.under_way[number].set_exception(error)
        await turns()


async def turns() -> None:
    """Let all that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def queue(folder: Path, get: Gets, at_once: int = 2) -> DownloadQueue:
    made = DownloadQueue(folder / "downloads.json", get.get, get.keep, lambda: 1.7e9, at_once)
    made.start()
    return made


def states(held: DownloadQueue) -> dict[int, str]:
    return {view.mod_id[0]: view.state.value for view in held.view().downloads}


async def test_some_go_on_at_once_and_the_others_in_their_turn(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1, Priority.HIGH))
    held.add(wanted(2, Priority.HIGH))
    held.add(wanted(3, Priority.LOW))
    held.add(wanted(4))
    held.add(wanted(5, Priority.HIGH))
    await turns()
    assert gets.began == [1, 2]
    await gets.end(2)
    await gets.end(1)
    assert gets.began == [1, 2, 5, 4]
    await gets.end(4)
    assert gets.began == [1, 2, 5, 4, 3]
    assert states(held) == {5: "active", 3: "active", 1: "done", 2: "done", 4: "done"}
    assert list(states(held)) == [5, 3, 1, 2, 4]
    await held.close()


async def test_what_is_asked_for_again_keeps_its_priority_unless_one_is_given(
    tmp_path: Path,
) -> None:
    held = queue(tmp_path, Gets())
    assert held.add(wanted(1)).priority is Priority.NORMAL
    assert held.add(wanted(1, Priority.LOW)).priority is Priority.LOW
    assert held.add(wanted(1)).priority is Priority.LOW
    watching = asyncio.create_task(held.watch(wanted(1, Priority.HIGH), lambda _: None))
    await turns()
    assert held.view().downloads[0].priority is Priority.HIGH
    watching.cancel()
    await held.close()


async def test_one_of_a_higher_priority_takes_the_turn_of_the_lowest(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1, Priority.LOW))
    held.add(wanted(2, Priority.LOW))
    await turns()
    for number in (3, 4, 5):
        held.add(wanted(number))
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2, 3, 4], [2, 1])
    assert states(held) == {3: "active", 4: "active", 5: "waiting", 1: "waiting", 2: "waiting"}
    told = [view.progress for view in held.view().downloads[3:]]
    assert told == [Progress("queued", 2, 1, bytes_total=10, bytes_done=5)] * 2
    held.resume(2, Priority.HIGH)  # its number is that of the mod
    await turns()
    assert (gets.began[4:], gets.cancelled[2:]) == ([2], [4])
    for number in (2, 3, 4, 5):
        await gets.end(number)
    assert (gets.began[5:], gets.cancelled[3:]) == ([4, 5, 1], [])
    assert states(held)[1] == "active"
    await held.close()


@pytest.mark.parametrize(
    "told",
    [Progress("chunks", bytes_total=10, bytes_done=10), Progress("files", bytes_total=10)],
)
async def test_one_that_only_writes_its_files_keeps_its_turn(
    tmp_path: Path, told: Progress
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1, Priority.LOW))
    held.add(wanted(2, Priority.LOW))
    await turns()
    gets.asked[1].progress(told)
    held.add(wanted(3, Priority.HIGH))
    held.add(wanted(4, Priority.HIGH))
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2, 3], [1])
    await gets.end(2)
    assert gets.began == [1, 2, 3, 4]
    await held.close()


async def test_no_more_give_way_while_one_ends_already(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1, Priority.LOW))
    held.add(wanted(2, Priority.LOW))
    await turns()
    held.add(wanted(3))
    held.add(wanted(4, Priority.LOW))  # before the second one has ended
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2, 3], [2])
    await held.close()


async def test_what_is_watched_gives_no_turn_and_takes_none(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    held.add(wanted(1, Priority.LOW))
    watching = [
        asyncio.create_task(held.watch(wanted(number, priority), lambda _: None))
        for number, priority in ((2, Priority.LOW), (3, Priority.HIGH))
    ]
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2, 3], [])
    held.add(wanted(4))
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2, 3, 4], [1])
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    await held.close()


async def test_weight_follows_the_priority_at_any_time(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=3)
    for number, priority in enumerate(Priority):
        held.add(wanted(number, priority))
    await turns()
    assert [asked.weight() for asked in gets.asked] == [16, 4, 1]
    held.resume(3, Priority.HIGH)
    assert gets.asked[2].weight() == 16
    await held.close()


async def test_paused_one_gives_its_turn_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    first = held.add(wanted(1)).id
    second = held.add(wanted(2)).id
    await turns()
    paused = await held.pause(first)
    assert paused.state is DownloadState.PAUSED
    assert paused.progress == Progress("paused", 2, 1, bytes_total=10, bytes_done=5)
    await turns()
    assert (gets.began, gets.cancelled) == ([1, 2], [1])
    held.resume(first)
    await turns()
    assert states(held) == {1: "waiting", 2: "active"}
    await held.pause(second)
    await turns()
    assert gets.began == [1, 2, 1]
    held.resume(second, Priority.HIGH)
    assert list(states(held)) == [2, 1]
    await turns()
    assert (gets.began[3:], gets.cancelled[2:]) == ([2], [1])
    await gets.end(2)
    await gets.end(1)
    with pytest.raises(BadInput, match="is done"):
        held.resume(first)
    with pytest.raises(BadInput, match="nothing to pause"):
        await held.pause(first)
    for act in (held.pause, held.cancel):
        with pytest.raises(NotFound, match="no download 99"):
            await act(99)
    await held.close()


async def test_cancelled_one_is_forgotten_and_its_watcher_told(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    watching = asyncio.create_task(held.watch(wanted(1), lambda _: None))
    await turns()
    (view,) = held.view().downloads
    assert view.watched
    cancelled = await held.cancel(view.id)
    assert cancelled.progress is not None
    assert cancelled.progress.bytes_done == 5
    with pytest.raises(DownloadCancelled):
        await watching
    assert (gets.cancelled, held.view().downloads) == ([1], ())
    await held.close()


async def test_what_is_watched_needs_no_turn_and_ends_with_its_watcher(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    held.add(wanted(1))
    watching = asyncio.create_task(held.watch(wanted(2), lambda _: None))
    done = asyncio.create_task(held.watch(wanted(3), lambda _: None))
    await turns()
    assert gets.began == [1, 2, 3]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert gets.cancelled == [2]
    await gets.end(3)
    assert (await done).name == "mod 3"
    assert states(held) == {1: "active"}
    await held.close()


async def test_pause_by_another_command_is_told_to_who_watches(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    reports: list[str] = []
    watching = asyncio.create_task(held.watch(wanted(1), lambda one: reports.append(one.stage)))
    await turns()
    await held.pause(1)
    await asyncio.sleep(3600.0)
    assert (reports, watching.done()) == (["chunks", "paused"], False)
    held.resume(1)
    await turns()
    await gets.end(1)
    assert (await watching).name == "mod 1"
    assert reports == ["chunks", "paused", "queued", "chunks"]
    await held.close()


async def test_same_download_twice_is_one_and_two_mods_to_one_place_are_refused(
    tmp_path: Path,
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    first = held.add(wanted(1))
    assert held.add(wanted(1)).id == first.id
    reports: list[Progress] = []
    await turns()
    watching = asyncio.create_task(held.watch(wanted(1), reports.append))
    await turns()
    assert (gets.began, [one.stage for one in reports]) == ([1], ["chunks"])
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert gets.cancelled == []  # it was in the queue before
    with pytest.raises(TargetExists, match="download 1 writes another mod to"):
        held.add(DownloadRequest(link(2), target=Path("/mods/1")))
    await held.close()


async def test_what_nobody_serves_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    number = held.add(wanted(1)).id
    held.add(wanted(2))
    now = asyncio.get_running_loop().time
    for pause_s in (60.0, 120.0, 240.0):
        await turns()
        await gets.end(1, NoSources("nobody serves it"))
        if 2 in gets.under_way:
            await gets.end(2)  # the turn went to the other one
        (view,) = (one for one in held.view().downloads if one.id == number)
        assert (view.state, view.reason) == (DownloadState.WAITING, "nobody serves it")
        assert view.retry_s == pytest.approx(pause_s)
        tried_at = now()
        await until(lambda: 1 in gets.under_way, 300.0)
        assert now() - tried_at == pytest.approx(pause_s, abs=0.1)
    await gets.end(1, NoSources("nobody serves it"))
    held.resume(number)
    await turns()
    assert 1 in gets.under_way
    await held.close()


async def test_what_waits_to_be_tried_again_is_tried_once_the_network_is_another(
    tmp_path: Path,
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    rests = held.add(wanted(2)).id
    await held.pause(rests)
    held.add(wanted(1))
    await turns()
    await gets.end(1, Unreachable("this node has not joined the overlay"))
    await turns()
    assert gets.began == [1]
    held.try_again()
    await turns()
    assert gets.began == [1, 1]
    assert states(held) == {1: "active", 2: "paused"}
    await held.close()


async def test_what_a_person_has_to_mend_waits_for_a_person(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    number = held.add(wanted(1)).id
    await turns()
    await gets.end(1, TargetExists("/mods/1 exists"))
    await asyncio.sleep(2 * limits.DOWNLOAD_RETRY_MAX_S)
    (view,) = held.view().downloads
    assert (view.state, view.reason, gets.began) == (DownloadState.FAILED, "/mods/1 exists", [1])
    held.resume(number)
    await turns()
    assert gets.began == [1, 1]
    await held.close()


async def test_chunks_stay_until_a_download_is_done_or_cancelled(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)

    def kept() -> list[int]:
        return sorted(mod_id[0] for mod_id in gets.kept)

    for number in range(1, 6):
        held.add(wanted(number))
    await turns()
    await gets.end(1)
    await held.pause(2)
    assert kept() == [2, 3, 4, 5]
    await gets.end(3, TargetExists("/mods/3 exists"))
    await gets.end(4, Unreachable("nobody has it"))
    watching = asyncio.create_task(held.watch(wanted(6), lambda _: None))
    await turns()
    assert kept() == [2, 3, 4, 5, 6]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await held.cancel(5)
    await turns()
    assert kept() == [2, 3, 4]
    await held.close()
    gets.kept = frozenset()
    again = DownloadQueue(tmp_path / "downloads.json", gets.get, gets.keep, lambda: 1.7e9, 1)
    assert kept() == [2, 3, 4], "before anything goes on, so that nothing is evicted until then"
    await again.close()


async def test_failure_of_what_is_watched_is_told_and_forgotten(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    watching = asyncio.create_task(held.watch(wanted(1), lambda _: None))
    await turns()
    await gets.end(1, NoSources("nobody serves it"))
    with pytest.raises(NoSources):
        await watching
    assert held.view().downloads == ()
    await held.close()


async def test_defect_is_kept_and_the_queue_goes_on(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    held.add(wanted(1))
    held.add(wanted(2))
    await turns()
    await gets.end(1, RuntimeError("a defect"))
    assert states(held) == {1: "failed", 2: "active"}
    assert [str(defect) for defect in held.defects] == ["a defect"]
    await held.close()


# Over restarts ------------------------------------------------------------------------------


async def some(held: DownloadQueue, gets: Gets) -> "asyncio.Task[GetResult]":
    """Downloads in every state, and one that is watched."""
    held.add(DownloadRequest(link(1), into=Path("/mods"), bound=SizeBound(99, agreed=True)))
    held.add(DownloadRequest(link(2), into=Path("/mods"), wait_s=7.0))
    held.add(wanted(3, Priority.LOW))
    await held.pause(held.add(wanted(4)).id)
    watching = asyncio.create_task(held.watch(wanted(5), lambda _: None))
    await turns()
    await gets.end(1)
    return watching


async def end_in_order(held: DownloadQueue, watching: "asyncio.Task[GetResult]") -> None:
    held.keep_all()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await held.close()


async def be_killed(held: DownloadQueue, watching: "asyncio.Task[GetResult]") -> None:
    """What is on the disk now is all that is left."""
    path = held._file._path
    data = path.read_bytes()
    await end_in_order(held, watching)
    path.write_bytes(data)


@pytest.mark.parametrize("end", [end_in_order, be_killed])
async def test_downloads_go_on_after_a_restart(
    tmp_path: Path, end: Callable[[DownloadQueue, "asyncio.Task[GetResult]"], Awaitable[None]]
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    await end(held, await some(held, gets))
    path = tmp_path / "downloads.json"
    assert path.stat().st_mode & 0o777 == 0o600
    again = Gets()
    held = queue(tmp_path, again, at_once=3)
    await turns()
    assert states(held) == {2: "active", 5: "active", 3: "active", 4: "paused", 1: "done"}
    assert again.began == [2, 5, 3]
    asked = again.asked[0]
    assert (asked.target, asked.into) == (None, Path("/mods"))
    assert (asked.bound, asked.wait_s) == (SizeBound(), 7.0)
    assert [view.watched for view in held.view().downloads] == [False] * 5
    assert held.add(wanted(6, Priority.LOW)).id == 6  # no number is given twice
    # Who gives the command of a `get` again may end it as ever, but nothing that was detached.
    for number in (5, 3):
        watching = asyncio.create_task(held.watch(wanted(number), lambda _: None))
        await turns()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert again.cancelled == [5]
    assert json.loads(path.read_text())["downloads"][0]["link"] == str(ModLink(bytes([1]) * 32))
    await held.close()


async def test_loss_of_links_as_the_node_ends_is_no_failure(tmp_path: Path) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1))
    await turns()
    held.keep_all()
    await gets.end(1, LinkClosed("this node stops"))
    await held.close()
    held = queue(tmp_path, gets)
    await turns()
    assert states(held) == {1: "active"}
    await held.close()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff" * 100,
        b"[" * 100_000,
        b'{"format": 2, "downloads": []}',
        b'{"format": 1, "downloads": 5}',
        b'{"format": 1, "downloads": [{}]}',
        b'{"format": 1, "downloads": [[]]}',
    ],
)
async def test_damaged_file_is_named_and_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    path = tmp_path / "downloads.json"
    path.write_bytes(data)
    gets = Gets()
    held = queue(tmp_path, gets)
    assert held.view().downloads == ()
    assert f"{path} is damaged" in caplog.text
    assert (tmp_path / "downloads.json.damaged").read_bytes() == data
    held.add(wanted(1))
    await held.close()
    held = queue(tmp_path, gets)
    assert states(held) == {1: "waiting"} or states(held) == {1: "active"}
    await held.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("link", "modswarm:x"),
        ("link", 5),
        ("to", None),
        ("to", ["a"]),
        ("state", "lost"),
        ("priority", "urgent"),
        ("max_bytes", "many"),
        ("id", None),
    ],
)
async def test_damaged_download_is_not_guessed_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str, value: object
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets)
    held.add(wanted(1))
    await held.close()
    path = tmp_path / "downloads.json"
    told = json.loads(path.read_text())
    told["downloads"][0][field] = value
    path.write_text(json.dumps(told))
    held = queue(tmp_path, gets)
    assert held.view().downloads == ()
    assert "is damaged" in caplog.text
    await held.close()


async def test_thousands_are_refused_and_ended_ones_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelled = list[ModLink]()
    spell = ModLink.__str__

    def counted(link: ModLink) -> str:
        spelled.append(link)
        return spell(link)

    monkeypatch.setattr(ModLink, "__str__", counted)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # two a write, of a disk with other work
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)

    def numbered(number: int) -> DownloadRequest:
        mod_id = number.to_bytes(32)
        return DownloadRequest(ModLink(mod_id, KEY), target=Path(f"/mods/{number}"))

    for number in range(limits.DOWNLOADS_QUEUED):
        held.add(numbered(number))
    with pytest.raises(BadInput, match="no more are taken"):
        held.add(numbered(10_000))
    assert (tmp_path / "downloads.json").stat().st_size < 1_000_000
    await turns()
    for _ in range(limits.DOWNLOADS_REMEMBERED + 5):
        await gets.end(0)
    for number in range(3):
        held.add(numbered(20_000 + number))
    ended = [view for view in held.view().downloads if view.state is DownloadState.DONE]
    assert len(ended) == limits.DOWNLOADS_REMEMBERED
    assert len(spelled) < 2 * limits.DOWNLOADS_QUEUED, "each write costs the checksums of all links"
    await held.close()


async def test_disk_that_takes_nothing_ends_no_download(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gets = Gets()
    held = queue(tmp_path, gets, at_once=1)
    first, second = held.add(wanted(1)).id, held.add(wanted(2)).id
    await turns()
    (tmp_path / ".downloads.json.partial").mkdir()  # so that no one can be written
    before = held.view()
    with pytest.raises(DiskError, match="cannot write"):
        held.add(wanted(3))
    for told in (held.pause(first), held.cancel(first), held.cancel(second)):
        with pytest.raises(DiskError, match="cannot write"):
            await told
    with pytest.raises(DiskError, match="cannot write"):
        held.resume(second, Priority.HIGH)
    assert held.view() == before
    assert gets.cancelled == []
    watching = asyncio.create_task(held.watch(wanted(4), lambda _: None))
    await turns()
    await gets.end(4)
    assert (await watching).name == "mod 4"
    await gets.end(1)
    assert states(held) == {2: "active", 1: "done"}
    assert "go on as of an earlier moment" in caplog.text
    (tmp_path / ".downloads.json.partial").rmdir()
    await held.pause(second)
    await held.close()
    held = queue(tmp_path, gets)
    assert states(held) == {2: "paused", 1: "done"}
    await held.close()


async def test_file_does_not_say_what_was_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    gets = Gets()
    held = queue(tmp_path, gets)
    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_folder", full)
        with pytest.raises(DiskError, match="full"):
            held.add(wanted(1))
    assert not (tmp_path / "downloads.json").exists()
    held.add(wanted(2))
    before = (tmp_path / "downloads.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files, "flush_folder", full)
        with pytest.raises(DiskError, match="full"):
            held.add(wanted(3))
    assert (tmp_path / "downloads.json").read_bytes() == before
    await held.close()


async def test_file_that_cannot_be_read_is_not_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "downloads.json"
    path.write_bytes(b"what was wanted")
    real = Path.open

    def refuses(place: Path, *arguments: Any) -> Any:
        if place == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(place, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuses)
        held = queue(tmp_path, Gets())
    held.add(wanted(1))
    await held.close()
    assert (tmp_path / "downloads.json.damaged").read_bytes() == b"what was wanted"
    assert f"{path} cannot be read" in caplog.text
