"""Holders are searched again while a download runs, and one that was lost is waited for."""

import asyncio
from pathlib import Path

import pytest

from protocol import limits
from protocol.content.link import ModLink
from protocol.errors import ModswarmError, NoSources, NotFound
from protocol.identity import peer_id_text
from simulations.internet import NatBehaviour
from simulations.residents.whole import WholeResident
from tests.found.changing.conftest import (
    MIDWAY_S,
    MOD_BYTES,
    UP_BYTES_S,
    Getting,
    set_line,
    shared_mod,
)
from tests.found.crashes import crash
from tests.simulations.mods_shared import FILE, get
from tests.simulations.pair_world import Town

WHOLE_S = MOD_BYTES / UP_BYTES_S
SLEEP_S = 60.0


async def kill(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    await crash(holder)
    await holder.start()


async def end(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    await holder.stop()
    await holder.start()


async def kill_and_move(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    await crash(holder)
    town.world.internet.move(holder.host)
    await holder.start()


async def suspend(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    holder.host.sleep()
    await asyncio.sleep(SLEEP_S)
    holder.host.wake()


async def getter_sleeps(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    await suspend(town, holder, getter)


async def getter_moves(town: Town, getter: WholeResident, holder: WholeResident) -> None:
    internet = town.world.internet
    internet.move(getter.host, behind=internet.add_nat(NatBehaviour()))


@pytest.mark.parametrize(
    ("change", "more_s"),
    [
        (kill, 10.0),
        (end, 10.0),
        (kill_and_move, 20.0),
        (suspend, SLEEP_S + 20.0),
        (getter_sleeps, SLEEP_S + 20.0),
        (getter_moves, 10.0),
    ],
)
@pytest.mark.parametrize(("site", "seed"), [("public", 1), ("port-restricted", 2)])
async def test_a_download_goes_on_once_its_only_holder_is_reached_again(
    tmp_path: Path, change: object, more_s: float, site: str, seed: int
) -> None:
    async with shared_mod(tmp_path, site, site, seed=seed) as (town, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(MIDWAY_S)
        await change(town, getter, holder)  # type: ignore[operator]
        got, seconds = await getting.result()
        assert (tmp_path / "got" / FILE).stat().st_size == MOD_BYTES
        assert seconds < WHOLE_S + more_s
        assert got.bytes_fetched < 1.6 * MOD_BYTES, "what had come was kept"


async def test_a_lost_source_is_waited_for_and_this_is_told(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(MIDWAY_S)
        kept = getting.bytes_done
        await holder.stop()
        with pytest.raises(NoSources, match=r"any more .*MB are kept.* same command goes on") as no:
            await getting.result()
        waits = getting.waits
        assert waits[0].waiting_for == (peer_id_text(holder.identity.peer_id),)
        assert (waits[0].lost, waits[0].wait_left_s) == (1, limits.GET_WAIT_S)
        assert waits[0].bytes_done >= kept > 0
        seconds = [told.wait_left_s for told in waits]
        assert seconds == sorted(seconds, reverse=True)
        assert len(seconds) >= limits.GET_WAIT_S - 2, "it tells the time each second"
        assert limits.GET_WAIT_S < getting.told[-1][0] + 2 < limits.GET_WAIT_S + 30
        assert no.value.cause is not None
        await holder.start()
        await asyncio.sleep(5.0)
        got, _ = await get(getter, link, tmp_path / "got")
        assert got.bytes_fetched < MOD_BYTES - kept / 2, "it went on from there"


async def test_who_does_not_want_to_wait_does_not(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (town, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got", wait_s=0.0)
        await asyncio.sleep(MIDWAY_S)
        await holder.stop()
        stopped = town.world.loop.time()
        with pytest.raises(NoSources):
            await getting.result()
        assert town.world.loop.time() - stopped < 2.0
        assert not getting.waits


async def test_who_does_not_serve_the_mod_any_more_is_not_waited_for(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        with holder.host.running():
            await holder.running_node.sharing.remove(link.mod_id)
        getting = Getting(getter, link, tmp_path / "got")
        with pytest.raises(NoSources, match="does not serve this mod"):
            await getting.result()
        assert getting.told[-1][0] < 5.0


async def test_no_holder_at_the_start_fails_early(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (town, (getter, holder), link):
        await crash(holder)
        for wanted, kind in ((link, NoSources), (ModLink(bytes(32), bytes(32)), NotFound)):
            started = town.world.loop.time()
            getting = Getting(getter, wanted, tmp_path / "got")
            with pytest.raises(kind):
                await getting.result()
            assert town.world.loop.time() - started < 5.0
            assert not getting.waits


async def test_a_holder_that_comes_midway_is_used(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public", "public") as (
        town,
        (getter, second, first),
        link,
    ):
        await get(second, link, tmp_path / "second")
        await second.stop()
        set_line(town, first, MOD_BYTES / 40)
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(1.0)
        await second.start()
        got, seconds = await getting.result()
        assert peer_id_text(second.identity.peer_id) in got.sources
        assert seconds < limits.SEARCH_SERVED_S[0] + 10.0, "alone the first takes 40 s"


async def test_holders_that_come_and_go_serve_in_turn(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public", "public") as (
        town,
        (getter, second, first),
        link,
    ):
        await get(second, link, tmp_path / "second")
        set_line(town, second)
        await second.stop()
        getting = Getting(getter, link, tmp_path / "got")
        for here, gone in ((first, second), (second, first), (first, second)):
            await asyncio.sleep(2.0)
            await here.stop()
            await asyncio.sleep(20.0)
            await gone.start()
            await asyncio.sleep(3.0)
        got, _ = await getting.result()
        assert len(got.sources) == 2
        assert got.bytes_fetched < 1.3 * MOD_BYTES


async def test_a_get_that_is_stopped_while_it_waits_keeps_what_came(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (_, (getter, holder), link):
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(MIDWAY_S)
        await holder.stop()
        await asyncio.sleep(5.0)
        kept = getting.waits[-1].bytes_done
        getting.task.cancel()
        await asyncio.gather(getting.task, return_exceptions=True)
        await holder.start()
        await asyncio.sleep(5.0)
        got, _ = await get(getter, link, tmp_path / "got")
        assert 0 < got.bytes_fetched <= MOD_BYTES * 1.01 - kept


async def test_a_node_that_stops_waits_for_nobody(tmp_path: Path) -> None:
    async with shared_mod(tmp_path, "public", "public") as (town, (getter, _), link):
        getting = Getting(getter, link, tmp_path / "got")
        await asyncio.sleep(MIDWAY_S)
        stopped = town.world.loop.time()
        await getter.stop()
        with pytest.raises(ModswarmError):
            await getting.result()
        assert town.world.loop.time() - stopped < 5.0
