"""Whole nodes on public addresses: a `get` of a mod whose only holder is attacked.

Attackers take all links that the holder has, idle or fetching one chunk again and again; or their
provider records hide the holder's; or the network denies that there is any record of it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.links.pool.places import link_rule
from protocol import limits, records
from protocol.content import frames
from protocol.errors import KeyFull, LinkClosed, ModswarmError
from protocol.identity import peer_id_text
from protocol.places.tenure import RELAYED
from protocol.records import Record
from simulations.attacks.record_flooder import RecordFlooder
from simulations.residents.pairs import settle
from simulations.residents.whole import WholeResident
from simulations.seeds import derive_rng
from tests.hostile.serving.link_attackers import hider, only_by, raw_link
from tests.hostile.told import RecordProperty
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world, until

CONTENT = derive_rng(1, "content").randbytes(200_000)
LINKS = 8
ATTACKERS = 9
PART_OF_A_NETWORK = 2
FAKES = 192
TENURE_S = 8.0
AGAIN_S = 2.0
LATER_S = 1.5
FOUND_S = 12.0


async def hold(attacker: WholeResident, holder: WholeResident, mod_id: bytes | None) -> None:
    """Keep a link to the holder, and open it again when it is closed.

    Something is sent every second: a meaningless frame, or the wish for one chunk of a mod.
    """
    while True:
        with contextlib.suppress(ModswarmError, LinkClosed):
            link = await raw_link(attacker, holder)
            if mod_id is not None:
                link.send(frames.encode_frame(frames.Open(7, mod_id)))
            while not link.closed.done():
                wish = frames.GetChunks(7, (0,)) if mod_id is not None else frames.Close(9)
                link.send(frames.encode_frame(wish))
                await asyncio.sleep(1.0)
        await asyncio.sleep(AGAIN_S)


async def public(town: Town, addresses: list[str] | None) -> WholeResident:
    host = town.world.internet.add_host(addresses=addresses)
    made = town.world.add(WholeResident, host=host)
    assert isinstance(made, WholeResident)
    await settle(made)
    return made


async def hold_all(
    town: Town, holder: WholeResident, mod_id: bytes, *, one_network: bool, hidden: bool = False
) -> list[asyncio.Task[None]]:
    """Attackers of one /24, or each of its own; every second one downloads without an end.

    `hidden`: they come by relays alone, each by another, and no more than get a link: one that came
    twice would give way.
    """
    tasks = []
    for number in range(LINKS - LINKS // 4 if hidden else ATTACKERS):
        address = f"81.2.69.{number + 1}"
        if hidden:
            attacker = await hider(town, address)
            only_by(attacker, town.publics[number])
        else:
            attacker = await public(town, [address] if one_network else None)
        wanted = mod_id if number % 2 else None
        tasks.append(attacker.host.create_task(hold(attacker, holder, wanted)))
    return tasks


@pytest.mark.parametrize("one_network", [False, True])
@pytest.mark.parametrize("site", ["public", "port-restricted"])
async def test_a_get_reaches_a_holder_all_of_whose_links_are_held(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    site: str,
    one_network: bool,
    record_property: RecordProperty,
) -> None:
    monkeypatch.setattr(limits, "LINKS_PER_NETWORK", PART_OF_A_NETWORK)
    async with pair_world(tmp_path) as town:
        (holder,) = await town.settled(site)
        pool = holder.running_node.pool
        pool._keeper._rule = link_rule(LINKS)
        # What a network has beyond its part goes before.
        pool._book._tenure_s = 3600.0 if one_network else TENURE_S
        link = await share(holder, tmp_path, CONTENT)
        first, *people = await town.settled("public", "public", "port-restricted")
        _, alone_s = await get(first, link, tmp_path / "alone")
        record_property("alone_s", alone_s)
        await first.stop()  # it would serve the others
        sieges = await hold_all(town, holder, link.mod_id, one_network=one_network)
        record_property("attackers", len(sieges))
        await asyncio.sleep(2 * TENURE_S)
        held = PART_OF_A_NETWORK if one_network else LINKS - LINKS // 4
        await until(lambda: len(pool.links()) >= held)
        for number, person in enumerate(people):
            _, seconds = await get(person, link, tmp_path / f"got {number}")
            record_property("attacked_s", seconds)
            assert seconds <= alone_s + LATER_S
            await person.stop()
        for siege in sieges:
            siege.cancel()
        await asyncio.gather(*sieges, return_exceptions=True)


async def test_a_get_reaches_a_holder_whose_links_are_held_from_behind_relays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: RecordProperty
) -> None:
    """They are one party, by however many relays; a get failed as long as each relay's users were
    one.
    """
    monkeypatch.setattr(limits, "LINKS_PER_NETWORK", PART_OF_A_NETWORK)
    monkeypatch.setattr(limits, "RELAYED_NETWORKS", 1)
    answering: set[bytes | None] = set()
    async with pair_world(tmp_path) as town:
        (holder,) = await town.settled("port-restricted")
        pool = holder.running_node.pool
        pool._keeper._rule = link_rule(LINKS)
        pool._book._tenure_s = 3600.0
        link = await share(holder, tmp_path, CONTENT)
        first, *people = await town.settled("public", "public", "port-restricted")
        _, alone_s = await get(first, link, tmp_path / "alone")
        record_property("alone_s", alone_s)
        await first.stop()
        sieges = await hold_all(town, holder, link.mod_id, one_network=True, hidden=True)
        record_property("attackers", len(sieges))

        def all_held() -> bool:
            answering.update(call.proved_network for call in pool.answering)
            return len(pool.links()) >= LINKS - LINKS // 4

        await until(all_held, 60.0)
        assert answering == {None, RELAYED}
        for number, person in enumerate(people):
            _, seconds = await get(person, link, tmp_path / f"got {number}")
            record_property("attacked_s", seconds)
            assert seconds <= alone_s + LATER_S
            assert pool.get(person.identity.peer_id) is not None
            await person.stop()
        for siege in sieges:
            siege.cancel()
        await asyncio.gather(*sieges, return_exceptions=True)


async def fakes(town: Town, mod_id: bytes) -> None:
    """Identities, each in a network of its own, say that they hold a mod, and that they are peers.

    They are stored by every public node, whose answers hold fewer values than these.
    """
    contacts = [one.contact for one in town.publics]
    clock = town.world.loop.wall_time
    for number in range(FAKES):
        host = town.world.internet.add_host()
        flooder = await RecordFlooder.at(host, clock, 1, f"fake {number}")
        await flooder.store([*flooder.providers(mod_id), *flooder.presences(mod_id)], contacts)
    key = records.provider_key(mod_id)
    stores = [one.running.server.store for one in town.publics]
    assert min(len(one.get(key, records.PROVIDER, clock())) for one in stores) >= FAKES


async def test_a_holder_that_publishes_after_192_fakes_is_found_over_pages(tmp_path: Path) -> None:
    """The first holder is found while it is the only one, then the second, which published last."""
    async with pair_world(tmp_path) as town:
        first, second = await town.settled("public", "port-restricted")
        link = await share(first, tmp_path, CONTENT)
        await fakes(town, link.mod_id)
        _, by_first_s = await get(second, link, tmp_path / "second")
        await first.stop()
        await asyncio.sleep(10.0)
        (person,) = await town.settled("port-restricted")
        _, by_second_s = await get(person, link, tmp_path / "person")
        assert max(by_first_s, by_second_s) <= FOUND_S


def refusing(put: Callable[..., None], key: bytes) -> Callable[..., None]:
    """A store's `put` that takes nothing under one key."""

    def put_others(record: Record, *rest: Any) -> None:
        if record.key == key:
            raise KeyFull
        put(record, *rest)

    return put_others


async def test_a_hint_alone_leads_to_a_holder_whose_records_are_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair_world(tmp_path) as town:
        (holder,) = await town.settled("port-restricted")
        link = await share(holder, tmp_path, CONTENT)
        (person,) = await town.settled("port-restricted")
        key = records.provider_key(link.mod_id)
        for one in town.world.running():
            store = one.running.server.store
            monkeypatch.setattr(store, "put", refusing(store.put, key))
            for value in list(store._values.get(key, {}).values()):
                store._remove(value)
        with pytest.raises(ModswarmError):
            await get(person, link, tmp_path / "denied")
        hinted = replace(link, hints=(peer_id_text(holder.identity.peer_id),))
        _, seconds = await get(person, hinted, tmp_path / "hinted")
        assert seconds <= LATER_S
