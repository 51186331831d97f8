"""The holders that a download tries: fakes with the latest dates stand before the one that is true.

A fake is an identity (2 s of CPU, once) that stores what holders publish, and answers no call.
"""

from pathlib import Path

import pytest

from protocol.overlay.contacts import Contact
from simulations.attacks.record_flooder import RecordFlooder
from tests.hostile.told import RecordProperty
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world

MOD_BYTES = 200_000


async def _pretend(town: Town, mod_id: bytes, count: int, *, all_records: bool) -> RecordFlooder:
    """So many fakes say that they hold a mod, at every node."""
    world = town.world
    flooder = await RecordFlooder.at(world.internet.add_host(), world.loop.wall_time, count)
    kept = flooder.providers(mod_id)
    if all_records:
        kept += flooder.presences(mod_id)
    at: list[Contact] = [one.contact for one in world.running()]
    await flooder.store(kept, at)
    assert flooder.answers["ok"] >= count * len(at) * 0.9
    return flooder


async def _time_of_get(folder: Path, fakes: int, *, linked: bool, all_records: bool) -> float:
    async with pair_world(folder) as town:
        holder, getter = await town.settled("public", "public")
        link = await share(holder, folder, b"abcdefgh" * (MOD_BYTES // 8))
        if fakes:
            await _pretend(town, link.mod_id, fakes, all_records=all_records)
        if linked:
            await town.linked(getter, holder)
        result, seconds = await get(getter, link, folder / "got")
        assert result.bytes == MOD_BYTES
        return seconds


@pytest.mark.parametrize("all_records", [False, True], ids=["providers", "all-records"])
@pytest.mark.parametrize("linked", [True, False], ids=["linked", "not-linked"])
async def test_64_fakes_hide_no_holder(
    tmp_path: Path, linked: bool, all_records: bool, record_property: RecordProperty
) -> None:
    alone_s = await _time_of_get(tmp_path / "alone", 0, linked=linked, all_records=all_records)
    record_property("alone_s", alone_s)
    among_s = await _time_of_get(tmp_path / "among", 64, linked=linked, all_records=all_records)
    record_property("attacked_s", among_s)
    record_property("attackers", 64)
    assert among_s <= 2.0 + 1.1 * alone_s
