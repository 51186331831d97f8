"""How a download begins with its sources: what it asks along with Open, and how long it waits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.content.download.patience import Patience
from node.content.progress import Progress
from protocol import limits
from protocol.content import frames
from protocol.content.frames import GetManifest, Open
from protocol.errors import NoSources
from tests.node.content.content_nodes import Unwatched, links_to, until
from tests.node.content.downloads import copy_mod, swarm
from tests.node.content.memory_links import MemoryLink


class Seen:
    """Notes the kinds of the frames that an end sends."""

    def __init__(self, end: MemoryLink) -> None:
        self.kinds: list[type[Any]] = []
        end.meddler = self._see

    def _see(self, data: bytes) -> bytes:
        self.kinds.append(type(frames.decode_frame(data)))
        return data


async def test_the_manifest_is_asked_for_along_with_open(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        back, ours = holder.connect(getter)
        back.hold()
        asked = Seen(ours)
        getting = asyncio.ensure_future(getter.download(shared.link, links_to(ours)))
        await until(lambda: len(asked.kinds) == 2)
        assert asked.kinds == [Open, GetManifest]
        back.release()
        done = await getting
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)
        assert asked.kinds.count(Open) == asked.kinds.count(GetManifest) == 1


async def test_no_more_sources_are_asked_ahead_than_race(tmp_path: Path) -> None:
    """One that says that it does not have the mod makes room for the next."""
    async with swarm(tmp_path, limits.MANIFESTS_RACED + 3) as ((holder, getter, *others), shared):
        ends = [other.connect(getter) for other in others]
        for back, _ in ends:
            back.hold()
        asked = [Seen(ours) for _, ours in ends]
        go_on = asyncio.Event()
        back, ours = holder.connect(getter)
        back.hold()
        asked_of_holder = Seen(ours)

        async def find(_: bytes) -> AsyncIterator[MemoryLink]:
            for end in ends:
                yield end[1]
            await go_on.wait()
            yield ours

        getting = asyncio.ensure_future(getter.download(shared.link, find))
        await asyncio.sleep(0.1)
        ahead = [[Open, GetManifest]] * limits.MANIFESTS_RACED
        assert [seen.kinds for seen in asked] == [*ahead, [Open]]
        ends[0][0].release()
        await asyncio.sleep(0.1)
        go_on.set()
        await asyncio.sleep(0.1)
        assert asked_of_holder.kinds == [Open, GetManifest]
        back.release()
        assert (await getting).bytes_fetched > shared.new_bytes


@pytest.mark.parametrize("length", [1, limits.MANIFEST_SHORT_BYTES + 1])
async def test_a_manifest_that_was_asked_ahead_and_comes_too_late_harms_nobody(
    tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source serves chunks all the same; of a long one nothing is sent in vain."""
    monkeypatch.setattr(limits, "MANIFEST_SHORT_BYTES", limits.MANIFEST_SHORT_BYTES // length)
    async with swarm(tmp_path, 3) as ((first, second, getter), shared):
        await copy_mod(shared, first, second)
        ends = [node.connect(getter) for node in (first, second)]
        for back, _ in ends:
            back.bytes_per_second = 1e6
        slow = ends[1][0]
        slow.hold()
        told: list[Progress] = []
        asked = Seen(ends[1][1])
        find = links_to(*(ours for _, ours in ends))
        getting = asyncio.ensure_future(getter.download(shared.link, find, told.append))
        await until(lambda: told and told[-1].stage == "chunks")
        assert asked.kinds == [Open, GetManifest]
        slow.release()
        done = await getting
        assert not done.banned
        assert done.bytes_from[second.name] > 1_000_000
        assert asked.kinds.count(Open) == (1 if length == 1 else 2)


async def test_an_answer_to_open_may_take_what_a_slow_line_takes(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        back, ours = holder.connect(getter)
        ours.round_trip_s = 2.0
        back.hold()
        getting = asyncio.ensure_future(getter.download(shared.link, links_to(ours)))
        await asyncio.sleep(limits.OPEN_ANSWER_S + limits.OPEN_ANSWER_TRIPS * 2.0 - 1.0)
        assert not getting.done()
        back.release()
        done = await getting
        assert done.bytes_fetched == shared.new_bytes + len(done.manifest.data)


@pytest.mark.parametrize(
    ("round_trip_s", "least_s"),
    [
        (0.02, limits.OPEN_ANSWER_S + limits.OPEN_ANSWER_TRIPS * 0.02),
        (None, limits.STALL_S),
        (1000.0, limits.SILENT_S),
    ],
)
async def test_a_source_that_does_not_answer_open_is_left_by_its_round_trip(
    tmp_path: Path, round_trip_s: float | None, least_s: float
) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        back, ours = holder.connect(getter)
        ours.round_trip_s = round_trip_s
        back.hold()
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoSources, match="it did not answer"):
            await getter.download(shared.link, links_to(ours))
        waited_s = asyncio.get_running_loop().time() - started
        assert least_s <= waited_s < least_s + 1.5


async def test_how_many_do_not_answer_is_told_only_while_none_has(tmp_path: Path) -> None:
    async with swarm(tmp_path, 4) as ((holder, getter, *others), shared):
        ends = [node.connect(getter) for node in (holder, *others)]
        for back, _ in ends:
            back.hold()
        ends[0][0].bytes_per_second = 1e6
        told: list[Progress] = []
        late = asyncio.Event()

        async def find(_: bytes) -> AsyncIterator[MemoryLink]:
            for end in ends[:2]:
                yield end[1]
            await late.wait()
            yield ends[2][1]

        getting = asyncio.ensure_future(getter.download(shared.link, find, told.append))
        await asyncio.sleep(1.1)
        assert [one.unanswered for one in told if one.stage == "finding"][-1] == 2
        ends[0][0].release()
        await asyncio.sleep(0.1)
        late.set()
        done = await getting
        assert done.bytes_fetched > shared.new_bytes
        assert [one.unanswered for one in told if one.unanswered] == [2]


async def test_who_is_waited_for_and_how_long_still_is_told_once_a_second(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        back, ours = holder.connect(getter)
        back.bytes_per_second = 1e6
        told: list[Progress] = []
        getting = asyncio.ensure_future(
            getter.downloader.download(
                shared.link,
                lambda mod_id: getter.exchanges.sources(links_to(ours)(mod_id), Unwatched()),
                told.append,
                patience=Patience(wait_s=20.0),
            )
        )
        await until(lambda: told and told[-1].chunks_done)
        back.cut("the line is cut")
        with pytest.raises(NoSources, match="20 s were waited for one"):
            await getting
    waits = [one for one in told if one.stage == "waiting"]
    assert [int(one.wait_left_s) for one in waits] == list(range(20, -1, -1))
    assert {(one.waiting_for, one.lost) for one in waits} == {((holder.name,), 1)}
    assert 0 < waits[0].bytes_done == waits[-1].bytes_done < waits[0].bytes_total
