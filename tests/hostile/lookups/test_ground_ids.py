"""Identities ground near a provider key: what honest nodes publish there is found all the same.

Each is nearer to the key than every honest node and costs as many tries of the identity puzzle (2 s
of a core each) as there are honest nodes: 64 cost 43 minutes of a core where 20 nodes are honest.
"""

import asyncio
import ipaddress
from pathlib import Path

import pytest

from protocol import records
from protocol.records import ProviderBody, Record
from simulations.attacks.near_key import Behaviour, GroundIds
from simulations.internet.host import Host
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng
from tests.hostile.told import RecordProperty
from tests.simulations.mods_shared import get, share
from tests.simulations.pair_world import Town, pair_world

HONEST = 20
MANY = 64
READERS = 6
ROUND_TRIP_S = 0.1
SETTLE_S = 30.0
CONTENT = derive_rng(1, "content").randbytes(200_000)


def hosts_in(world: World, networks: int) -> list[Host]:
    """A host for each of so many /24, with all addresses of it."""
    found = [ipaddress.ip_network(f"81.{number + 2}.69.0/24") for number in range(networks)]
    return [world.internet.add_host(addresses=[*map(str, one.hosts())]) for one in found]


async def ground(
    world: World, mod_id: bytes, behaviour: Behaviour, count: int, networks: int
) -> GroundIds:
    """That many identities near the mod's provider key, known to all."""
    attack = GroundIds(world, records.provider_key(mod_id), behaviour, mod_id)
    identities = attack.grind(count, derive_rng(1, "ground"))
    await attack.move_in(identities, hosts_in(world, networks))
    return attack


def record_of(publisher: Resident, mod_id: bytes) -> Record:
    body = ProviderBody(mod_id, complete=True)
    return publisher.running.republisher.make(records.PROVIDER, body)


async def publish(publisher: Resident, record: Record) -> None:
    await publisher.host.create_task(publisher.running.server.publish(record))


async def finds(reader: Resident, record: Record) -> tuple[bool, float]:
    """Whether a read finds a record, and what it took in seconds."""
    started = reader.world.loop.time()
    server = reader.running.server
    reading = await reader.host.create_task(server.read(record.key, records.PROVIDER))
    return record.public_key in reading.records, reader.world.loop.time() - started


@pytest.mark.parametrize(
    ("behaviour", "count", "networks"),
    [
        *((behaviour, MANY, MANY) for behaviour in Behaviour),
        (Behaviour.DENYING, 256, 1),
        (Behaviour.CROWDING, 256, 8),
    ],
)
async def test_what_is_published_before_and_during_the_attack_is_found(
    behaviour: Behaviour, count: int, networks: int
) -> None:
    """Also what the first nodes of the network publish, which never had to judge its size."""
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    honest = list(world.residents)
    mod_id = derive_rng(1, "mod").randbytes(32)
    old = record_of(honest[-1], mod_id)
    await publish(honest[-1], old)
    await asyncio.sleep(SETTLE_S)
    await ground(world, mod_id, behaviour, count, networks)
    published = [old]
    for publisher in (*honest[:3], honest[HONEST // 2]):
        published.append(record_of(publisher, mod_id))
        await publish(publisher, published[-1])
    await asyncio.sleep(SETTLE_S)
    readers = honest[:: HONEST // READERS]
    outcomes = [await finds(reader, one) for one in published for reader in readers]
    assert all(found for found, _ in outcomes)
    assert max(seconds for _, seconds in outcomes) <= 3.0
    await world.close()


@pytest.mark.parametrize("behaviour", list(Behaviour))
async def test_what_is_published_during_the_attack_is_found_as_soon_as_it_is_said_to_be_stored(
    behaviour: Behaviour, record_property: RecordProperty
) -> None:
    """A person who was given the link does not wait: before, one read in six found nothing."""
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    honest = list(world.residents)
    mod_id = derive_rng(1, "mod").randbytes(32)
    await asyncio.sleep(SETTLE_S)
    await ground(world, mod_id, behaviour, MANY, MANY)
    seconds = []
    for publisher in honest[:4]:
        record, started = record_of(publisher, mod_id), world.loop.time()
        await publish(publisher, record)
        seconds.append(world.loop.time() - started)
        readers = [one for one in honest[:: HONEST // READERS] if one is not publisher]
        at_once = [(await finds(reader, record))[0] for reader in readers]
        await asyncio.sleep(SETTLE_S)
        later = [(await finds(reader, record))[0] for reader in readers]
        missed = [now < late for now, late in zip(at_once, later, strict=True)]
        assert not any(missed), "what is found at all is found at once"
        assert any(at_once)
    record_property("published_s", max(seconds))
    assert max(seconds) <= 3.0, seconds
    await world.close()


async def test_identities_that_are_all_that_a_node_knows_near_a_key_are_asked_past() -> None:
    """64 silent ones beside 5 nodes: whole buckets are theirs, and all that a lookup began with."""
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(5)
    honest = list(world.residents)
    mod_id = derive_rng(1, "mod").randbytes(32)
    await ground(world, mod_id, Behaviour.SILENT, MANY, MANY)
    for publisher in honest:
        record = record_of(publisher, mod_id)
        await publish(publisher, record)
        assert all([(await finds(reader, record))[0] for reader in honest])
    await world.close()


async def _newcomer_gets(town: Town, folder: Path, behaviour: Behaviour | None) -> float:
    """One shares, ids are ground, one more shares what it got while the first leaves: a get."""
    first, second = await town.settled("public", "port-restricted")
    link = await share(first, folder, CONTENT)
    if behaviour is not None:
        await ground(town.world, link.mod_id, behaviour, MANY, MANY)
    await get(second, link, folder / "second")
    await first.stop()
    await asyncio.sleep(SETTLE_S)
    (person,) = await town.settled("port-restricted")
    _, seconds = await get(person, link, folder / "person")
    return seconds


@pytest.mark.parametrize("behaviour", list(Behaviour))
async def test_a_mod_is_shared_and_fetched_under_a_key_that_ids_were_ground_for(
    tmp_path: Path, behaviour: Behaviour, record_property: RecordProperty
) -> None:
    """Whole nodes, 12 of them public; the person is a newcomer behind a router."""
    seconds = []
    for attack in (None, behaviour):
        async with pair_world(tmp_path / str(attack)) as town:
            seconds.append(await _newcomer_gets(town, tmp_path / str(attack), attack))
        record_property("attacked_s" if attack else "alone_s", seconds[-1])
    alone_s, attacked_s = seconds
    assert attacked_s <= alone_s + 1.5, seconds
