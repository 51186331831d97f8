"""A download whose link is lost midway waits, and goes on soon after a way is there again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from node.content.progress import Progress
from node.links.link import Link
from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import CallFailed
from protocol.identity import PeerId
from simulations.internet.lines import Access
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import FILE, share
from tests.simulations.pair_world import Town, pair_world, until

SIZE = 4_000_000
BYTES_S = 400_000.0
SLEEP_S = 120.0
"""Longer than a link stays without consent, and than the pauses of a search for sources take."""

Event = Callable[[Town, WholeResident, WholeResident], Awaitable[None]]


async def sharer_sleeps(_town: Town, sharer: WholeResident, _getter: WholeResident) -> None:
    await sleeps(sharer)


async def getter_sleeps(_town: Town, _sharer: WholeResident, getter: WholeResident) -> None:
    await sleeps(getter)


async def sleeps(person: WholeResident, seconds: float = SLEEP_S) -> None:
    person.host.sleep()
    await asyncio.sleep(seconds)
    assert person.host.behind is not None
    person.host.behind.reboot()
    person.host.wake()


async def relays_die(town: Town, _sharer: WholeResident, _getter: WholeResident) -> None:
    """That in use, and the one that is kept ready."""
    used = [one for one in town.publics if one.running.relay.allocations]
    assert used
    for one in used:
        one.host.unplug()


class Getting:
    """A `get` that goes on; `most` is how many bytes it has had."""

    def __init__(self, getter: WholeResident, link: ModLink, target: Path) -> None:
        self.most = 0
        with getter.host.running():
            get = getter.running_node.sharing.get(link, target, progress=self._look)
            self.task = getter.host.create_task(get)

    def _look(self, progress: Progress) -> None:
        self.most = max(self.most, progress.bytes_done)


@pytest.mark.parametrize(
    ("site", "event"),
    [
        ("port-restricted", sharer_sleeps),
        ("port-restricted", getter_sleeps),
        ("symmetric", relays_die),
    ],
)
async def test_a_get_goes_on_within_seconds(tmp_path: Path, site: str, event: Event) -> None:
    data = derive_rng(1, "content").randbytes(SIZE)
    async with pair_world(tmp_path) as town:
        sharer, getter = await town.settled(site, site)
        for one in (sharer, getter):
            town.world.internet.set_access(one.host, Access(up_bytes_s=BYTES_S))
        link = await share(sharer, tmp_path / "shared", data)
        getting = Getting(getter, link, tmp_path / "got")
        await until(lambda: getting.most > SIZE / 4)
        await event(town, sharer, getter)
        before = getting.most
        assert await until(lambda: getting.most > before) < 3.0
        await getting.task
        assert (tmp_path / "got" / FILE).read_bytes() == data
        assert not [*sharer.running_node.defects, *getter.running_node.defects]


@pytest.mark.parametrize("seconds", [15.0, 40.0, SLEEP_S])
@pytest.mark.parametrize("who", ["sharer", "getter"])
async def test_a_get_that_asks_little_goes_on_within_seconds_after_either_side_slept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str, seconds: float
) -> None:
    """Nothing waits to leave: the sharer knows by the open stream alone that it is waited for.

    Who slept calls, as the other side may just have begun to pause for 15 s.
    """
    async with pair_world(tmp_path) as town:
        sharer, getter = await town.settled("port-restricted", "port-restricted")
        getter.running_node.transfers.command(down="100k")
        link = await share(sharer, tmp_path / "shared", derive_rng(1, "content").randbytes(SIZE))
        getting = Getting(getter, link, tmp_path / "got")
        await until(lambda: getting.most > SIZE / 4, 60.0)
        awake, sleeper = (getter, sharer) if who == "sharer" else (sharer, getter)
        pool = awake.running_node.pool

        async def pauses(peer_id: PeerId, **_: float) -> Link:
            if (link := pool.get(peer_id)) is None:
                raise CallFailed("it pauses before its next call")
            return link

        monkeypatch.setattr(pool, "connect", pauses)
        await sleeps(sleeper, seconds)
        before = getting.most
        assert await until(lambda: getting.most > before, 60.0) < 3.0
        await getting.task
        assert not [*sharer.running_node.defects, *getter.running_node.defects]


def test_the_sleep_is_longer_than_consent_lasts() -> None:
    assert limits.ICE_CONSENT_S < SLEEP_S < limits.GET_WAIT_S
