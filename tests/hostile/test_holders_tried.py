"""The holders that a download tries: fakes with the latest dates stand before the one that is true.

A fake is an identity (2 s of CPU, once) that stores what holders publish, and answers no call.
"""

from pathlib import Path

import pytest

from node.answers.mods import GetResult
from protocol.content.link import parse
from protocol.overlay.contacts import Contact
from simulations.attacks.record_flooder import RecordFlooder
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Town, pair_world

MOD_BYTES = 200_000


async def _get(person: WholeResident, link: str, target: Path) -> tuple[GetResult, float]:
    """What a download tells, and its seconds."""
    loop = person.world.loop
    started = loop.time()
    with person.host.running():
        getting = person.host.create_task(person.running_node.sharing.get(parse(link), target))
    return await getting, loop.time() - started


async def _share(folder: Path, holder: WholeResident) -> str:
    mod = folder / "mod"
    mod.mkdir()
    (mod / "content.bin").write_bytes(b"abcdefgh" * (MOD_BYTES // 8))
    with holder.host.running():
        shared = await holder.running_node.sharing.share(mod)
    return str(shared.link)


async def _pretend(town: Town, link: str, count: int, *, all_records: bool) -> RecordFlooder:
    """So many fakes say that they hold the mod of a link, at every node."""
    mod_id = parse(link).mod_id
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
        link = await _share(folder, holder)
        if fakes:
            await _pretend(town, link, fakes, all_records=all_records)
        if linked:
            await town.linked(getter, holder)
        result, seconds = await _get(getter, link, folder / "got")
        assert result.bytes == MOD_BYTES
        return seconds


@pytest.mark.parametrize("all_records", [False, True], ids=["providers", "all-records"])
@pytest.mark.parametrize("linked", [True, False], ids=["linked", "not-linked"])
async def test_64_fakes_hide_no_holder(tmp_path: Path, linked: bool, all_records: bool) -> None:
    for name in ("alone", "among"):
        (tmp_path / name).mkdir()
    alone_s = await _time_of_get(tmp_path / "alone", 0, linked=linked, all_records=all_records)
    among_s = await _time_of_get(tmp_path / "among", 64, linked=linked, all_records=all_records)
    assert among_s <= 2.0 + 1.1 * alone_s
