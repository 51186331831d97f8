"""Downloads that share a limit get their parts of it, however many sources each has."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from node.content.progress import Progress
from node.content.publish.publisher import PublishedMod
from protocol.rates.rate_shares import alike
from tests.node.content.content_nodes import (
    ContentNode,
    Unwatched,
    content_nodes,
    links_to,
    some_files,
    write_files,
)
from tests.node.content.downloads import copy_mod

LIMIT = 100_000
SOURCES = 10
BYTES = 2_000_000


class Download:
    """One download under way, from some givers over lines of this rate."""

    def __init__(
        self,
        taker: ContentNode,
        shared: PublishedMod,
        givers: Sequence[ContentNode],
        weight: Callable[[], int] = alike,
        line: float | None = None,
    ) -> None:
        self._now = asyncio.get_running_loop().time
        self._told: list[tuple[float, Progress]] = [(self._now(), Progress("finding"))]
        ends = [giver.connect(taker) for giver in givers]
        for ours, _ in ends:
            ours.bytes_per_second = line
        links = links_to(*(theirs for _, theirs in ends), forever=True)
        self.task = asyncio.create_task(
            taker.downloader.download(
                shared.link,
                lambda mod_id: taker.exchanges.sources(links(mod_id), Unwatched()),
                lambda told: self._told.append((self._now(), told)),
                weight=weight,
            )
        )

    def came(self, began: float, ended: float) -> int:
        """The bytes that came between two times."""
        return self._until(ended) - self._until(began)

    def _until(self, then: float) -> int:
        return [told.bytes_done for at, told in self._told if at <= then][-1]


@contextlib.asynccontextmanager
async def mods(
    folder: Path,
) -> AsyncIterator[tuple[ContentNode, list[ContentNode], list[PublishedMod]]]:
    """One that takes under a limit, those that give, and two mods: all have the first one."""
    async with content_nodes(folder, SOURCES + 1) as (taker, *givers):
        taker.down.command(str(LIMIT), None)
        shared = []
        for number in range(2):
            source = folder / f"source{number}"
            write_files(source, some_files(seed=number, sizes=(BYTES // 2, BYTES // 2)))
            shared.append(await givers[0].publisher.publish(source, f"mod{number}"))
        for giver in givers[1:]:
            await copy_mod(shared[0], givers[0], giver)
        yield taker, givers, shared


async def ended(*downloads: Download) -> None:
    for download in downloads:
        download.task.cancel()
    await asyncio.gather(*(download.task for download in downloads), return_exceptions=True)


@pytest.mark.parametrize("weights", [(1, 1), (1, 4), (16, 4), (4, 16)])
async def test_ten_sources_get_no_more_than_one(tmp_path: Path, weights: tuple[int, int]) -> None:
    async with mods(tmp_path) as (taker, givers, shared):
        many = Download(taker, shared[0], givers, lambda: weights[0])
        one = Download(taker, shared[1], givers[:1], lambda: weights[1])
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(20.0)
        came = many.came(now + 2.0, now + 20.0), one.came(now + 2.0, now + 20.0)
        assert sum(came) == pytest.approx(18 * LIMIT, rel=0.12)
        part = weights[0] / sum(weights)
        assert came[0] / sum(came) == pytest.approx(part, abs=0.1)
        await ended(many, one)


async def test_what_one_cannot_use_goes_to_the_other(tmp_path: Path) -> None:
    """Its only source has a slow line: it gets all of that, and claims nothing of what is left."""
    async with mods(tmp_path) as (taker, givers, shared):
        many = Download(taker, shared[0], givers)
        slow = Download(taker, shared[1], givers[:1], line=LIMIT / 5)
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(15.0)
        assert slow.came(now + 3.0, now + 15.0) > 0.7 * 12 * LIMIT / 5
        assert many.came(now + 3.0, now + 15.0) > 0.9 * 12 * LIMIT * 4 / 5
        await ended(many, slow)


async def test_one_that_ends_or_comes_later_has_no_claim_and_no_debt(tmp_path: Path) -> None:
    async with mods(tmp_path) as (taker, givers, shared):
        many = Download(taker, shared[0], givers)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(5.0)
        one = Download(taker, shared[1], givers[:1])
        await asyncio.sleep(14.0)
        later = many.came(began + 5.0, began + 19.0), one.came(began + 5.0, began + 19.0)
        assert later[0] / sum(later) == pytest.approx(0.5, abs=0.12)
        await ended(many)
        await asyncio.sleep(5.0)
        assert one.came(began + 19.0, began + 24.0) == pytest.approx(5 * LIMIT, rel=0.3)
        await ended(one)
