"""Records and registrations survive sybils around their key; quiet networks pay nothing for it."""

import asyncio

import pytest

from protocol import limits, records
from protocol.overlay.sybil_detection import NetworkSize
from protocol.records import ProviderBody
from simulations.attacks.attackers import ColludingNode, Collusion, sybils_near
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.seeds import derive_rng

MOD = bytes(range(32))
KEY = records.provider_key(MOD)
NODES = 60


async def _world() -> World:
    world = World(1, settings=simulated_settings(cipher=cipher_named("test")))
    await world.populate(NODES)
    await asyncio.sleep(30)
    return world


async def _attack(world: World, key: bytes) -> list[ColludingNode]:
    sybils = sybils_near(world, key, 24, derive_rng(1, "crowd"))
    collusion = Collusion()
    for one in sybils:
        await one.start()
    await asyncio.gather(*(one.running.joined.wait() for one in sybils))
    await asyncio.sleep(30)
    for one in sybils:
        one.collude(collusion)
    return sybils


async def test_what_sybils_hide_is_read_from_the_region_around_them() -> None:
    world = await _world()
    publishers, reader = world.residents[:2], world.residents[2].running.server
    made = [
        one.running.republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
        for one in publishers
    ]
    await publishers[0].running.server.publish(made[0])
    sybils = {one.identity.peer_id for one in await _attack(world, KEY)}
    closest = (await reader.lookup(KEY)).closest()
    assert {contact.peer_id for contact in closest} <= sybils, "the attack is one"
    assert await reader.sybil_regions.has_sybils(KEY, closest, certain=True)

    before = await reader.read(KEY, records.PROVIDER)
    assert set(before.records) == {made[0].public_key}
    published = await publishers[1].running.server.publish(made[1])
    assert published.asked > limits.K, "the region's contacts as well"
    after = await reader.read(KEY, records.PROVIDER)
    assert set(after.records) == {one.public_key for one in made}
    await world.close()


async def test_a_peer_among_sybils_registers_in_the_region_around_them() -> None:
    world = await _world()
    peer = world.add(unreachable=True)
    sybils = {one.identity.peer_id for one in await _attack(world, peer.identity.peer_id)}
    await peer.start()
    await peer.running.registrations.registered.wait()
    registrars = {one.peer_id for one in peer.running.registrations.registrars}
    assert len(registrars & sybils) >= limits.REGISTRARS
    assert len(registrars - sybils) >= limits.REGISTRARS
    await world.close()


async def test_without_sybils_no_contact_beyond_the_nearest_is_asked() -> None:
    world = await _world()
    server = world.residents[5].running.server
    before = server.sybil_regions.size.samples(without=0)
    closest = (await server.lookup(KEY)).closest()
    assert await server.sybil_regions.beyond(KEY, closest, certain=True) == []
    learned = server.sybil_regions.size.samples(without=int.from_bytes(KEY)) - before
    assert learned <= limits.SIZE_SAMPLES_SUSPICION
    assert await server.sybil_regions.beyond(KEY, closest[:-1], certain=True) == []
    await world.close()


async def test_a_node_that_knows_more_of_the_size_than_a_verdict_needs_looks_up_nothing() -> None:
    world = await _world()
    server = world.residents[5].running.server
    closest = (await server.lookup(KEY)).closest()
    for number in range(limits.SIZE_SAMPLES_VERDICT):
        await server.lookup(bytes([number << 3]) + bytes(19))
    known = server.sybil_regions.size.samples(without=0)
    assert known > limits.SIZE_SAMPLES_SUSPICION
    assert not await server.sybil_regions.has_sybils(KEY, closest, certain=True)
    assert server.sybil_regions.size.samples(without=0) == known
    await world.close()


async def test_a_node_that_has_seen_nothing_yet_suspects_no_contact() -> None:
    world = await _world()
    key = world.residents[5].identity.peer_id
    server = world.residents[5].running.server
    server.sybil_regions.size = type(server.sybil_regions.size)()
    closest = (await server.lookup(key)).closest()
    assert not await server.sybil_regions.has_sybils(key, closest)
    assert server.sybil_regions.size.samples(without=int.from_bytes(key)) == 0
    await world.close()


async def test_keys_that_are_judged_at_once_share_the_lookups_that_tell_the_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SIZE_VOICES", limits.SIZE_HINTS + 1)  # no contact's word counts
    world = await _world()
    server = world.residents[5].running.server
    found = {key: (await server.lookup(key)).closest() for key in (KEY, bytes(20), b"\xff" * 20)}
    server.sybil_regions.size = NetworkSize()
    judged = (
        server.sybil_regions.has_sybils(key, closest, certain=True)
        for key, closest in found.items()
    )
    assert not any(await asyncio.gather(*judged))
    # A sample near one key counts for the two others.
    assert server.sybil_regions.size.samples(without=0) < len(found) * limits.SIZE_SAMPLES_SUSPICION
    await world.close()
