"""A download that looks nothing up yet waits for linked peers, and is given up only after that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.content.download.chunk_source import ChunkSource, FindSources
from node.content.download.downloader import DownloadResult
from node.content.download.patience import LookUpTime, Patience
from node.content.publish.publisher import PublishedMod
from protocol.errors import NotFound
from tests.node.content.content_nodes import ContentNode, Unwatched, links_to, until
from tests.node.content.downloads import swarm

LATER_S = 30.0


def now() -> float:
    return asyncio.get_running_loop().time()


class Search:
    """Finds one source, from the moment on at which there is one."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.find: FindSources | None = None

    async def __call__(self, mod_id: bytes) -> AsyncIterator[ChunkSource]:
        self.began.append(now())
        if self.find is not None:
            async for source in self.find(mod_id):
                yield source
        else:
            raise NotFound("no linked peer has it")


def source(holder: ContentNode, getter: ContentNode) -> FindSources:
    _, ours = holder.connect(getter)
    return lambda mod_id: getter.exchanges.sources(links_to(ours)(mod_id), Unwatched())


def getting(
    getter: ContentNode, shared: PublishedMod, search: Search, *, later_s: float
) -> "asyncio.Task[DownloadResult]":
    patience = Patience(look_up=LookUpTime(now() + later_s))
    work = getter.downloader.download(shared.link, search, patience=patience)
    return asyncio.ensure_future(work)


async def test_it_is_given_up_after_it_was_looked_up(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((_, getter), shared):
        began, search = now(), Search()
        with pytest.raises(NotFound):
            await getting(getter, shared, search, later_s=LATER_S)
        assert LATER_S <= now() - began <= LATER_S + 1.5
        assert search.began[-1] - began >= LATER_S
        assert 4 <= len(search.began) <= 8, "linked peers are asked over and over, and not always"


async def test_a_linked_peer_that_has_it_by_then_serves_it(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        began, search = now(), Search()
        task = getting(getter, shared, search, later_s=LATER_S)
        await asyncio.sleep(2.0)
        search.find = source(holder, getter)
        await task
        assert now() - began < 6.0


async def test_one_who_may_look_it_up_now_waits_for_none_who_may_not(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((holder, getter), shared):
        search = Search()
        first = getting(getter, shared, search, later_s=LATER_S)
        await until(lambda: search.began)
        await asyncio.sleep(7.5)  # the pauses between its searches have grown
        search.find, began = source(holder, getter), now()
        await getting(getter, shared, Search(), later_s=-1.0)
        assert now() - began < 3.0
        await first


async def test_two_that_lack_it_and_ask_one_another_do_so_ever_more_seldom(tmp_path: Path) -> None:
    async with swarm(tmp_path, 2) as ((_, getter), shared):
        search = Search()

        async def named() -> None:
            await asyncio.sleep(0.01)

        patience = Patience(until_named=named, look_up=LookUpTime(now() + LATER_S))
        with pytest.raises(NotFound):
            await getter.downloader.download(shared.link, search, patience=patience)
        assert len(search.began) <= 12
