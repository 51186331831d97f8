"""Whole nodes: one keeps a popular mod for others, and no fake askers make it keep junk."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol import limits
from protocol.content.link import ModLink
from protocol.identity import peer_id_text
from simulations.residents.pairs import settle
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import FILE, get, share
from tests.simulations.pair_world import Town, pair_world

BUDGET = 1_000_000
CHECK_S = 20.0


@dataclass(slots=True)
class Cacher(WholeResident):
    """One whose person gave others room."""

    cache_bytes: int = BUDGET


async def at(town: Town, address: str, kind: type[WholeResident] = WholeResident) -> WholeResident:
    made = town.world.add(kind, host=town.world.internet.add_host(addresses=[address]))
    assert isinstance(made, WholeResident)
    await settle(made)
    return made


async def ask(town: Town, asker: WholeResident, cacher: WholeResident, link: ModLink) -> None:
    """An asker that is linked with the cache looks at a mod, which it asks all its links for."""
    await town.linked(asker, cacher)
    with asker.host.running():
        await asker.host.create_task(asker.running_node.sharing.look(link))


def yesterday(cacher: WholeResident, link: ModLink, network: bytes) -> None:
    """A network asked the day before: a mod is popular after two days."""
    caching = cacher.running_node.sharing.caching
    caching._popularity.asked(network, link.mod_id, caching._day - 1)


async def test_a_popular_mod_is_kept_and_served_and_junk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_CHECK_S", CHECK_S)
    monkeypatch.setattr(limits, "CACHE_AGAIN_S", CHECK_S)
    rng = derive_rng(1, "content")
    async with pair_world(tmp_path, publics=8) as town:
        sharer, cacher = await at(town, "81.2.3.4"), await at(town, "82.2.3.4", Cacher)
        content = rng.randbytes(60_000)
        wanted = await share(sharer, tmp_path / "wanted", content)
        junk = await share(sharer, tmp_path / "junk", rng.randbytes(50_000))
        huge = await share(sharer, tmp_path / "huge", rng.randbytes(BUDGET // 10 + 1))
        askers = [await at(town, f"{number}.7.8.9") for number in range(91, 95)]
        crowd = [await at(town, f"95.7.8.{number}") for number in range(1, 4)]
        for asker in askers:
            await ask(town, asker, cacher, wanted)
            await ask(town, asker, cacher, huge)
        for asker in (*askers[:2], *crowd, *crowd):
            await ask(town, asker, cacher, junk)
        for link in (wanted, junk, huge):
            yesterday(cacher, link, bytes((91, 7, 8)))
        caching, vault = cacher.running_node.sharing.caching, cacher.running_node._vault
        counted = {link: caching._askers(link.mod_id) for link in (wanted, huge, junk)}
        assert counted == {wanted: 4, huge: 4, junk: 3}, "of three ids of one /24 one counts"
        await asyncio.sleep(3 * CHECK_S)
        (mod,) = await vault.mods()
        assert (mod.mod_id, mod.content_key, mod.name) == (wanted.mod_id, None, "")
        (kept,) = (await caching.state()).mods
        assert kept.complete
        assert kept.mod.bytes <= BUDGET // limits.CACHE_MOD_PART
        await sharer.end()
        getter = await at(town, "96.7.8.9")
        result, _ = await get(getter, wanted, tmp_path / "got")
        assert result.sources == (peer_id_text(cacher.identity.peer_id),)
        assert (tmp_path / "got" / FILE).read_bytes() == content
        await asyncio.sleep(limits.SERVED_LATELY_S)
        with cacher.host.running():
            assert await caching.refuse(wanted.mod_id)
        assert await vault.mods() == []
        served = cacher.running.presence._served
        assert wanted.mod_id not in served
        yesterday(cacher, wanted, bytes((91, 7, 8)))
        for number in range(91, 95):
            caching.asked(bytes((number, 7, 8)), wanted.mod_id)
        await asyncio.sleep(2 * CHECK_S)
        assert await vault.mods() == [], "the getter has it, and it is as popular as before"
        assert caching.defects == []
