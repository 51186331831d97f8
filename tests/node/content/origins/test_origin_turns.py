"""Many downloads from one server: none keeps its connections, whatever the server does."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.content.download.downloader import DownloadResult
from node.content.origins.client import OriginClient
from node.content.origins.connections import Connection
from node.content.origins.consent import OriginConsent
from node.content.origins.origins import Origins
from node.content.publish.publisher import PublishedMod
from protocol import limits
from protocol.content.origins.urls import file_names
from tests.node.content.content_nodes import ContentNode, content_node, until, write_files
from tests.node.content.origins.origin_worlds import closing, finding
from tests.node.content.origins.web_server import Request, web_server

pytestmark = pytest.mark.real_loop

LARGE_BYTES = 1_200_000
DOWNLOADS = limits.ORIGIN_CONNECTIONS + 2


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORIGIN_TURN_S", 0.02)


@dataclass
class Busy:
    """A getter of large mods and of a small one, and the files of all of them."""

    getter: ContentNode
    large: list[PublishedMod]
    small: PublishedMod
    files: dict[str, bytes] = field(default_factory=dict)
    tasks: list["asyncio.Task[DownloadResult]"] = field(default_factory=list)

    def is_small(self, request: Request) -> bool:
        return request.path.rpartition("/")[2] in file_names(self.small.mod_id)

    async def get_small(self, origins: Origins) -> None:
        """Fetch the small mod beside all large ones."""
        self.begin(origins)
        await self.getter.downloader.download(self.small.link, finding(origins))
        assert not any(task.done() for task in self.tasks)

    def begin(self, origins: Origins) -> None:
        self.tasks = [
            asyncio.ensure_future(self.getter.downloader.download(mod.link, finding(origins)))
            for mod in self.large
        ]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def busy_world(folder: Path) -> AsyncIterator[Busy]:
    async with content_node(folder / "a") as holder, content_node(folder / "b", 2) as getter:
        files: dict[str, bytes] = {}

        async def shared(name: str, size: int) -> PublishedMod:
            data = random.Random(name).randbytes(size)
            mod = await holder.publisher.publish(write_files(folder / name, {"a": data}), name)
            manifest = await holder.vault.get(mod.mod_id)
            chunks = await holder.vault.get_chunks(mod.mod_id, range(mod.chunks))
            assert manifest is not None
            assert chunks is not None
            parts = manifest, b"".join(filter(None, chunks))
            files.update(zip(file_names(mod.mod_id), parts, strict=True))
            return mod

        large = [await shared(f"large {number}", LARGE_BYTES) for number in range(DOWNLOADS)]
        world = Busy(getter, large, await shared("small", 1000), files)
        try:
            yield world
        finally:
            await world.end()


def origins_of(folder: Path, *urls: str) -> Origins:
    client, consent = OriginClient(find_proxy=lambda *_: None), OriginConsent(folder / "o.json")
    return Origins(client, consent, random.Random(1), urls)


class Holding:
    """A manner that sends half of what `holds` names, and the rest when it is let go."""

    def __init__(self, world: Busy, holds: Callable[[Request], bool], *, ranges: bool = True):
        self._world = world
        self._holds = holds
        self._ranges = ranges
        self.free = asyncio.Event()
        self.cut: set[tuple[str, int]] = set()
        """The ends of what was sent, as offsets in files."""

    async def __call__(self, request: Request) -> None:
        if request.data is None or self._world.is_small(request) or not self._holds(request):
            await self._all_of(request)
            return
        first, last = self._span(request)
        half = (first + last) // 2
        fields = self._fields(request)
        status = "206 Partial Content" if self._ranges and request.wanted else "200 OK"
        size = last - first + 1
        await request.send(status, request.data[first:half], *fields, length=size)
        self.cut.add((request.path, half))
        await self.free.wait()
        request.writer.write(request.data[half : last + 1])
        await request.writer.drain()

    async def _all_of(self, request: Request) -> None:
        if self._ranges:
            await request.send_well()
        else:
            await request.send("200 OK", request.data or b"")

    def _span(self, request: Request) -> tuple[int, int]:
        assert request.data is not None
        if self._ranges and request.wanted:
            return request.wanted
        return 0, len(request.data) - 1

    def _fields(self, request: Request) -> list[str]:
        assert request.data is not None
        if not self._ranges:
            return []
        if request.wanted is None:
            return ["Accept-Ranges: bytes"]
        first, last = request.wanted
        return [f"Content-Range: bytes {first}-{last}/{len(request.data)}"]


def resumed(manner: Holding, requests: list[Request]) -> list[Request]:
    """Those for what lacked when a request was ended."""
    return [one for one in requests if one.wanted and (one.path, one.wanted[0]) in manner.cut]


def is_chunks(request: Request) -> bool:
    return request.path.endswith(".chunks")


def is_manifest(request: Request) -> bool:
    return request.path.endswith(".manifest")


@pytest.mark.parametrize("holds", [is_chunks, is_manifest])
async def test_a_small_mod_comes_beside_large_ones_and_these_go_on_where_they_were(
    holds: Callable[[Request], bool], tmp_path: Path
) -> None:
    async with busy_world(tmp_path) as world:
        manner = Holding(world, holds)
        async with (
            web_server(world.files, manner) as server,
            closing(origins_of(tmp_path, server.url)) as origins,
        ):
            await world.get_small(origins)
            many = DOWNLOADS if holds is is_chunks else 1
            await until(lambda: len(resumed(manner, server.requests)) >= many)
            if holds is is_chunks:
                sizes = [one.size for one in resumed(manner, server.requests)]
                assert max(sizes) <= limits.SEALED_CHUNK_BYTES, "others wait, and it is long"
            manner.free.set()
            done = await asyncio.gather(*world.tasks)
            assert all(one.banned == {} for one in done)


async def test_servers_without_ranges_keep_a_connection_for_small_mods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their long answers are not ended, which would be in vain, and are read one after another."""
    kept: list[bool] = []
    keep = Connection.keep

    def spy(connection: Connection, *, is_long: bool) -> None:
        keep(connection, is_long=is_long)
        kept.append(is_long)

    monkeypatch.setattr(Connection, "keep", spy)
    async with busy_world(tmp_path) as world:
        manner = Holding(world, is_chunks, ranges=False)
        async with (
            web_server(world.files, manner) as server,
            closing(origins_of(tmp_path, server.url)) as origins,
        ):
            await world.get_small(origins)
            manner.free.set()
            done = await asyncio.gather(*world.tasks)
            assert all(one.banned == {} for one in done)
            assert kept.count(True) >= DOWNLOADS, "a long answer may be ended"
            assert False in kept


async def test_a_server_that_others_redirect_to_is_shared_all_the_same(tmp_path: Path) -> None:
    async with busy_world(tmp_path) as world:
        manner = Holding(world, is_chunks)
        async with web_server(world.files, manner) as server, contextlib.AsyncExitStack() as stack:

            async def redirect(request: Request) -> None:
                await request.send("302 Found", b"", f"Location: {server.url}{request.path}")

            fronts = [await stack.enter_async_context(web_server({}, redirect)) for _ in range(3)]
            urls = [one.url for one in fronts]
            origins = await stack.enter_async_context(closing(origins_of(tmp_path, *urls)))
            await world.get_small(origins)
            await world.end()


async def test_servers_that_answer_nothing_keep_no_other_from_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a bound for all servers together as well, which those of one link could fill."""
    monkeypatch.setattr(limits, "ORIGIN_CONNECTIONS_ALL", 2)

    async def silent(_: Request) -> None:
        await asyncio.get_running_loop().create_future()

    async with busy_world(tmp_path) as world, contextlib.AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(web_server({}, silent)) for _ in range(3)]
        good = await stack.enter_async_context(web_server(world.files))
        urls = [one.url for one in dead]
        origins = await stack.enter_async_context(closing(origins_of(tmp_path, *urls, good.url)))
        del world.large[1:]
        world.begin(origins)
        await until(lambda: all(one.connections for one in dead))
        await world.getter.downloader.download(world.small.link, finding(origins))
        await world.end()
