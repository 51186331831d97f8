"""Two nodes that know only one another start again: one joins by the other, and a `get` goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.content.progress import Progress
from protocol import limits, records
from protocol.content.link import ModLink
from protocol.errors import NotFound
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from tests.simulations.mods_shared import share
from tests.simulations.pair_world import until

KNOWN_S = 60.0
"""So long a pair knows one another before it stops."""


class Pair:
    """A sharer and a getter, both stopped. `link` is that of the sharer's mod."""

    def __init__(
        self, world: World, sharer: WholeResident, getter: WholeResident, link: ModLink
    ) -> None:
        self.world, self.sharer, self.getter, self.link = world, sharer, getter, link

    def is_published(self) -> bool:
        """Whether the getter stores the provider record of the sharer."""
        now = self.world.loop.wall_time()
        key = records.provider_key(self.link.mod_id)
        return bool(self.getter.running.server.store.get(key, records.PROVIDER, now))

    async def get(self, link: ModLink, told: list[Progress], target: Path) -> None:
        with self.getter.host.running():
            getting = self.getter.running_node.sharing.get(link, target, progress=told.append)
            task = self.getter.host.create_task(getting)
        await task


@asynccontextmanager
async def _pair(tmp_path: Path) -> AsyncIterator[Pair]:
    world = World(1, folder=tmp_path)
    with virtual_libraries(world.internet):
        sharer, getter = move_in(world, SITES["public"]), move_in(world, SITES["public"])
        for one in (sharer, getter):
            await one.start()
        await getter.running.joined.wait()
        link = await share(sharer, tmp_path / "shared", b"abc" * 1000)
        await asyncio.sleep(KNOWN_S)
        await getter.stop()
        await sharer.stop()
        yield Pair(world, sharer, getter, link)
        await world.close()


@pytest.mark.parametrize("before_s", [0.5, 3.0, 6.5, 15.0])
async def test_who_started_first_joins_as_soon_as_the_other_is_there(
    tmp_path: Path, before_s: float
) -> None:
    """Before: once its pings of what is silent had ended, and the pause after them."""
    async with _pair(tmp_path) as pair:
        await pair.sharer.start()
        await asyncio.sleep(before_s)
        await pair.getter.start()
        assert await until(pair.sharer.running.joined.is_set) < 1.0
        assert await until(pair.is_published) < 1.0


@pytest.mark.parametrize("before_s", [-4.0, 0.0, 4.0])
async def test_a_get_right_after_the_start_waits_for_who_starts_as_well(
    tmp_path: Path, before_s: float
) -> None:
    """`before_s`: by so much the sharer starts before the getter, or after it."""
    async with _pair(tmp_path) as pair:
        order = [pair.sharer, pair.getter]
        first, second = order if before_s > 0 else reversed(order)
        await first.start()
        if before_s > 0:
            await asyncio.sleep(before_s)
            await second.start()
        told: list[Progress] = []
        getting = asyncio.ensure_future(pair.get(pair.link, told, tmp_path / "got"))
        if before_s <= 0:
            await asyncio.sleep(-before_s)
            await second.start()
        await asyncio.wait_for(getting, 5.0)


async def test_a_get_that_finds_nothing_after_the_start_says_so_and_ends(tmp_path: Path) -> None:
    async with _pair(tmp_path) as pair:
        await pair.sharer.start()
        await pair.getter.start()
        await pair.getter.running.joined.wait()
        started, told = pair.world.loop.time(), list[Progress]()
        unknown = ModLink(bytes(32), bytes(32))
        with pytest.raises(NotFound):
            await pair.get(unknown, told, tmp_path / "none")
        assert 0.0 < limits.GET_SETTLES_S - (pair.world.loop.time() - started) + 1.0 < 2.0
        assert any(one.stage == "finding" and one.wait_left_s for one in told)
        started = pair.world.loop.time()
        with pytest.raises(NotFound):
            await pair.get(unknown, told, tmp_path / "none")
        assert pair.world.loop.time() - started < 2.0, "it has been there for long now"
