"""What a person is told of how fast a download goes, and how long it takes still."""

import asyncio
from pathlib import Path

import pytest

from node.content.progress import Progress
from tests.node.content.content_nodes import links_to
from tests.node.content.downloads import copy_mod, swarm


async def test_rate_of_each_source_and_time_left(tmp_path: Path) -> None:
    async with swarm(tmp_path, 3) as ((giver, second, taker), shared):
        await copy_mod(shared, giver, second)
        giver.up.command("300k", None)
        second.up.command("100k", None)
        _, one = giver.connect(taker)
        _, other = second.connect(taker)
        now = asyncio.get_running_loop().time
        reports: list[tuple[float, Progress]] = []
        await taker.download(
            shared.link, links_to(one, other), lambda told: reports.append((now(), told))
        )
        ended = now()
        halfway = [
            (at, told) for at, told in reports if 2e6 < told.bytes_done < 3.5e6 and told.left_s
        ]
        assert len(halfway) > 10
        for at, told in halfway:
            assert told.bytes_per_second == pytest.approx(400_000, rel=0.25)
            assert told.left_s == pytest.approx(ended - at, rel=0.3)
            assert [rate.source for rate in told.rates] == [giver.name, second.name]
            assert told.rates[0].bytes_per_second == pytest.approx(300_000, rel=0.35)
            assert told.rates[1].bytes_per_second == pytest.approx(100_000, rel=0.5)
        _, last = reports[-1]
        assert (last.left_s, last.bytes_done) == (None, last.bytes_total)


async def test_nothing_is_told_of_a_rate_while_nothing_comes(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((giver, taker), shared):
        giver.up.command("300k", None)
        ours, theirs = giver.connect(taker)
        reports: list[Progress] = []
        getting = asyncio.create_task(taker.download(shared.link, links_to(theirs), reports.append))
        await asyncio.sleep(5.0)
        assert reports[-1].bytes_per_second
        assert reports[-1].left_s
        assert reports[-1].silent_s == 0
        ours.hold()
        await asyncio.sleep(3.0)
        silent = reports[-1]
        assert (silent.bytes_per_second, silent.left_s) == (0, None)
        assert silent.silent_s in {2, 3}
        assert silent.bytes_done > 0
        ours.release()
        await getting
