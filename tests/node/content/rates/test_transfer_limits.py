"""Content goes no faster than a person lets it, and downloads live with that."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.answers.rates import LimitFrom, LimitView
from node.content.download.patience import Patience
from node.content.progress import Progress
from node.content.publish.publisher import PublishedMod
from node.content.rates.settings import DirectionSettings, RateSettings
from node.content.rates.transfers import Direction, TransferLimits
from protocol.errors import BadInput
from protocol.rates.day_schedule import DaySchedule
from tests.node.content.content_nodes import ContentNode, Unwatched, links_to, until
from tests.node.content.downloads import swarm

BYTES = 5_070_101
MARGIN = 0.12
"""Of the time, for what a bucket holds at first and the last piece."""


async def fetch(shared: PublishedMod, *pairs: tuple[ContentNode, ContentNode]) -> list[float]:
    """Let each second node fetch the mod from the first at once; the seconds that each took."""
    now = asyncio.get_running_loop().time
    began = now()

    async def one(giver: ContentNode, taker: ContentNode) -> float:
        _, theirs = giver.connect(taker)
        done = await taker.download(shared.link, links_to(theirs))
        assert done.bytes_fetched > BYTES * 0.9
        return now() - began

    return await asyncio.gather(*(one(*pair) for pair in pairs))


async def test_upload_takes_as_long_as_the_limit_says(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((giver, one, other), shared):
        giver.up.command("500k", None)
        took = await fetch(shared, (giver, one), (giver, other))
        assert max(took) == pytest.approx(2 * BYTES / 500_000, rel=MARGIN)
        assert min(took) == pytest.approx(max(took), rel=MARGIN)


async def test_each_peer_has_its_limit_and_more_of_them_get_more(tmp_path: Path) -> None:
    """More than have turns of the line: one that is held back by its own limit holds none."""
    async with swarm(tmp_path, 9) as ((giver, *takers), shared):
        giver.up.command(None, "100k")
        took = await fetch(shared, *((giver, taker) for taker in takers))
        assert took == [pytest.approx(BYTES / 100_000, rel=MARGIN)] * len(takers)


async def test_download_takes_as_long_as_the_limit_says(tmp_path: Path) -> None:
    """Nothing that a limit holds back counts as lost, though a source owes nothing for seconds."""
    async with swarm(tmp_path, 2) as ((giver, taker), shared):
        taker.down.command("10k", None)
        (took,) = await fetch(shared, (giver, taker))
        # What is asked last comes at once, though it is paid for only afterwards.
        assert 0.8 * BYTES / 10_000 < took < 1.05 * BYTES / 10_000
        assert taker.downloader.refusals == {}


async def test_held_back_is_not_waiting(tmp_path: Path) -> None:
    """A source that was lost is not waited for while another one is there, held back as it is."""
    async with swarm(tmp_path, 3) as ((giver, second, taker), shared):
        await fetch(shared, (giver, second))
        taker.down.command("10k", None)
        reports: list[Progress] = []
        _, one = giver.connect(taker)
        _, other = second.connect(taker)
        sources = links_to(one, other)
        getting = asyncio.create_task(
            taker.downloader.download(
                shared.link,
                lambda mod_id: taker.exchanges.sources(sources(mod_id), Unwatched()),
                reports.append,
                patience=Patience(300.0),
            )
        )
        await until(lambda: any(report.bytes_done > 500_000 for report in reports))
        one.cut("gone")
        taken = await getting
        assert len(taken.bytes_from) == 2
        assert {report.stage for report in reports} == {"finding", "manifest", "chunks"}


async def test_newcomer_waits_for_none_that_its_limit_holds_back(tmp_path: Path) -> None:
    async with swarm(tmp_path, 6) as ((giver, *takers), shared):
        giver.up.command(None, "10k")
        now = asyncio.get_running_loop().time
        getting: list[asyncio.Task[Any]] = [
            asyncio.create_task(fetch(shared, (giver, taker))) for taker in takers[:4]
        ]
        await asyncio.sleep(100.0)
        _, theirs = giver.connect(takers[4])
        came: list[float] = []
        began = now()

        def report(progress: Progress) -> None:
            if progress.stage != "finding":
                came.append(now() - began)

        getting.append(
            asyncio.create_task(takers[4].download(shared.link, links_to(theirs), report))
        )
        await until(lambda: came)
        assert came[0] < 0.05
        for task in getting:
            task.cancel()
        await asyncio.gather(*getting, return_exceptions=True)


async def test_download_limit_of_each_source(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((giver, second, taker), shared):
        await fetch(shared, (giver, second))
        taker.down.command(None, "100k")
        _, one = giver.connect(taker)
        _, other = second.connect(taker)
        began = asyncio.get_running_loop().time()
        done = await taker.download(shared.link, links_to(one, other))
        took = asyncio.get_running_loop().time() - began
        assert 0.7 * BYTES / 200_000 < took < 1.1 * BYTES / 200_000
        assert len(done.bytes_from) == 2


@pytest.mark.parametrize("side", ["up", "down"])
async def test_new_limit_holds_at_once(tmp_path: Path, side: str) -> None:
    async with swarm(tmp_path, 2) as ((giver, taker), shared):
        limited = giver.up if side == "up" else taker.down
        limited.command("10k", "10k")
        getting = asyncio.create_task(fetch(shared, (giver, taker)))
        await asyncio.sleep(20.0)
        limited.command("off", "off")
        (took,) = await getting
        assert 20.0 <= took < 21.0


async def test_command_is_taken_whole_or_not_at_all() -> None:
    up = Direction(DirectionSettings(1_000_000, 50_000, DaySchedule("00:00-01:00 2M")), lambda: 0)
    told = "00:00-01:00 2M"
    by_hour, by_config, by_command = LimitFrom.SCHEDULE, LimitFrom.CONFIG, LimitFrom.COMMAND
    assert up.view() == LimitView(2_000_000, 50_000, by_hour, by_config, told)
    with pytest.raises(BadInput, match="fast"):
        up.command("3M", "fast")
    assert up.view().all_peers == 2_000_000
    up.command("off", None)
    assert up.view() == LimitView(None, 50_000, by_command, by_config, told)
    up.command("Config", "off")
    assert up.view() == LimitView(2_000_000, None, by_hour, by_command, told)


# Hours --------------------------------------------------------------------------------------


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[ZoneInfo]:
    """This machine stands in Berlin."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system takes its time zone from elsewhere")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield ZoneInfo("Europe/Berlin")
    monkeypatch.undo()
    time.tzset()


class Clock:
    """A clock on the wall that goes with the loop, and can be set."""

    def __init__(self, told: datetime) -> None:
        self._loop = asyncio.get_running_loop()
        self.set(told)

    def set(self, told: datetime) -> None:
        self._ahead_s = told.timestamp() - self._loop.time()

    def wall(self) -> float:
        return self._loop.time() + self._ahead_s


async def hourly(held: TransferLimits, hours: int) -> list[int | None]:
    """The upload limits that hold half an hour into each of the next hours."""
    following = asyncio.create_task(held.follow_hours())
    found = []
    await asyncio.sleep(1800.0)
    for _ in range(hours):
        found.append(held.view().up.all_peers)
        await asyncio.sleep(3600.0)
    following.cancel()
    return found


def scheduled(clock: Clock, text: str) -> TransferLimits:
    up = DirectionSettings(None, None, DaySchedule(text))
    return TransferLimits(RateSettings(up=up), clock.wall)


NIGHT = "23:00-02:00 1M, 02:00-03:00 2M, 03:00-04:00 3M"


@pytest.mark.parametrize(
    ("month", "day", "found"),
    [
        (7, 1, [None, 1, 1, 1, 2, 3, None]),
        (3, 27, [None, 1, 1, 1, 3, None, None]),  # 2:00 is 3:00
        (10, 30, [None, 1, 1, 1, 2, 2, 3]),  # 3:00 is 2:00 once more
    ],
)
async def test_hours_are_those_of_this_machine(
    berlin: ZoneInfo, month: int, day: int, found: list[int | None]
) -> None:
    clock = Clock(datetime(2027, month, day, 22, tzinfo=berlin))
    wanted = [None if rate is None else rate * 1_000_000 for rate in found]
    assert await hourly(scheduled(clock, NIGHT), len(found)) == wanted


async def test_clock_that_is_set_is_followed_within_seconds(berlin: ZoneInfo) -> None:
    clock = Clock(datetime(2027, 7, 1, 12, tzinfo=berlin))
    held = scheduled(clock, NIGHT)
    following = asyncio.create_task(held.follow_hours())
    await asyncio.sleep(60.0)
    assert held.view().up.all_peers is None
    clock.set(datetime(2027, 7, 1, 23, 30, tzinfo=berlin))
    await asyncio.sleep(11.0)
    assert held.view().up.all_peers == 1_000_000
    following.cancel()
