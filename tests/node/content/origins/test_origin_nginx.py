"""Mods from nginx, as Debian has it: what a real server does with ranges and connections."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.content.exporting.exporter import Exporter
from node.content.homes import HomeGuard
from protocol.content.origins.urls import file_names
from scripts.benchmarks.content.places import LOOPBACK, Place
from scripts.benchmarks.content.rivals import web
from tests.node.content.origins.origin_worlds import OriginWorld, closing, origin_world

pytestmark = [
    pytest.mark.real_loop,
    pytest.mark.skipif(web.why_not() is not None, reason=str(web.why_not())),
]


async def exported(world: OriginWorld) -> Path:
    folder = world.folder / "www" / "mods"
    guard = HomeGuard(world.holder.vault.folder)
    await Exporter(world.holder.vault, guard).export(world.shared.mod_id, folder)
    return folder


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[str]:
    with web.server(Place(LOOPBACK), folder, folder.parent / "nginx") as server:
        yield server.url


async def test_a_mod_comes_from_nginx_alone(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        folder = await exported(world)
        with nginx(folder.parent) as url:
            async with closing(world.origins(f"{url}/mods")) as origins:
                done = await world.get(origins)
        assert done.bytes_from == {f"{url}/mods": sum(map(len, world.files.values()))}


async def test_a_mod_comes_from_nginx_and_a_peer_together(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        ours, theirs = world.holder.connect(world.getter)
        ours.bytes_per_second = 20_000_000.0
        exchange = world.getter.exchanges.attach(theirs)
        with nginx(await exported(world)) as url:
            async with closing(world.origins(url)) as origins:
                done = await world.get(origins, exchange)
        assert set(done.bytes_from) == {url, exchange.name}


async def test_a_file_that_was_uploaded_in_part_is_named_and_a_peer_serves(tmp_path: Path) -> None:
    async with origin_world(tmp_path) as world:
        folder = await exported(world)
        chunks = folder / file_names(world.shared.mod_id)[1]
        chunks.write_bytes(chunks.read_bytes()[:100_000])
        _, theirs = world.holder.connect(world.getter)
        exchange = world.getter.exchanges.attach(theirs)
        with nginx(folder) as url:
            async with closing(world.origins(url)) as origins:
                done = await world.get(origins, exchange)
        assert exchange.name in done.bytes_from
        assert done.banned == {}
