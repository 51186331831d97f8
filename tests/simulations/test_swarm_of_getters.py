"""Whole nodes that fetch one mod at the same time: they are announced early, and share the load."""

import asyncio
import contextlib
from pathlib import Path

from protocol import records
from protocol.identity import PeerId
from protocol.records import ProviderBody
from simulations.internet.lines import Access
from simulations.residents.pairs import settle
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world, until

MB = 1_000_000
LINE = Access(up_bytes_s=625_000, down_bytes_s=625_000)
CONTENT = derive_rng(1, "content").randbytes(4 * MB)


async def resident(town: Town, access: Access = LINE) -> WholeResident:
    made = town.world.add(WholeResident, host=town.world.internet.add_host(access=access))
    assert isinstance(made, WholeResident)
    await settle(made)
    return made


async def providers(asker: WholeResident, mod_id: bytes) -> dict[PeerId, bool]:
    """Whom the DHT names, and who of them has all of the mod."""
    with asker.host.running():
        reading = await asker.running.server.read(records.provider_key(mod_id), records.PROVIDER)
    bodies = {one.peer_id: one.body for one in reading.records.values()}
    return {who: body.complete for who, body in bodies.items() if isinstance(body, ProviderBody)}


async def test_a_getter_is_a_provider_while_it_fetches_and_once_it_has_left(
    tmp_path: Path,
) -> None:
    async with pair_world(tmp_path, publics=8) as town:
        sharer, getter = await resident(town), await resident(town)
        link = await share(sharer, tmp_path, CONTENT)
        ours = getter.identity.peer_id
        asker = town.publics[0]
        fetching = asyncio.ensure_future(get(getter, link, tmp_path / "got"))
        await asyncio.sleep(4.5)
        assert not fetching.done()
        assert await providers(asker, link.mod_id) == {sharer.identity.peer_id: True, ours: False}
        await fetching
        await asyncio.sleep(1.0)
        assert (await providers(asker, link.mod_id))[ours] is True
        with getter.host.running():
            await getter.running_node.sharing.remove(link.mod_id)
        served = getter.running.presence._served
        assert link.mod_id not in served


async def test_what_is_left_of_a_cancelled_get_stays_announced(tmp_path: Path) -> None:
    async with pair_world(tmp_path, publics=8) as town:
        sharer, getter = await resident(town), await resident(town)
        link = await share(sharer, tmp_path, CONTENT)
        fetching = asyncio.ensure_future(get(getter, link, tmp_path / "got"))
        await asyncio.sleep(4.0)
        fetching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await fetching
        await asyncio.sleep(4.0)
        assert getter.running.presence._served == {link.mod_id: False}


async def test_getters_that_begin_together_take_from_one_another(tmp_path: Path) -> None:
    """One sharer, five getters: alone it would take five times as long as its line needs."""
    async with pair_world(tmp_path, publics=8) as town:
        sharer = await resident(town)
        link = await share(sharer, tmp_path, CONTENT)
        getters = [await resident(town) for _ in range(5)]
        results = await asyncio.gather(
            *(get(one, link, tmp_path / f"got{place}") for place, one in enumerate(getters))
        )
        ideal_s = len(CONTENT) / 625_000
        assert max(seconds for _, seconds in results) < 2.5 * ideal_s + 2.0
        assert all(len(result.sources) >= 3 for result, _ in results)
        sent = sum(one.bytes_sent for one in sharer.running_node.pool.links())
        assert sent < 2.5 * len(CONTENT)
        await until(lambda: not any(one.running_node.defects for one in (sharer, *getters)))
