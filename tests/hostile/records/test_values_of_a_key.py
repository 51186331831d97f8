"""The values of one key: 512 identities at one address store theirs before honest holders come."""

from protocol import limits, records
from protocol.records import ProviderBody
from simulations.attacks.record_flooder import RecordFlooder
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World

RTT_S = 0.05
NODES = 6
MOD = bytes(range(32))
KEY = records.provider_key(MOD)


async def _share(world: World, person: Resident) -> float:
    """The seconds until the mod is announced."""
    started = world.loop.time()
    body = ProviderBody(MOD, complete=True)
    with person.host.running():
        published = await person.running.server.publish(
            person.running.republisher.make(records.PROVIDER, body)
        )
    assert not published.refused
    assert published.confirmed >= limits.PUBLISHED_SHARE * published.asked
    return world.loop.time() - started


async def _read(world: World, person: Resident, holder: Resident) -> tuple[bool, float]:
    """Whether a read finds the holder, and its seconds."""
    started = world.loop.time()
    with person.host.running():
        reading = await person.running.server.read(KEY, records.PROVIDER)
    return holder.identity.public_key in reading.records, world.loop.time() - started


async def test_identities_at_one_address_close_no_key_and_hide_no_holder() -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    await world.populate(NODES)
    holder, reader = world.residents[:2]
    count = limits.STORE_VALUES_PER_KEY
    host = world.internet.add_host()
    flooder = await RecordFlooder.at(host, world.loop.wall_time, count)
    await flooder.store(flooder.providers(MOD), [one.contact for one in world.residents])
    assert all(
        len(one.running.server.store.get(KEY, records.PROVIDER, world.loop.wall_time())) == count
        for one in world.residents
    ), "the flood came in"
    shared_s = await _share(world, holder)
    assert shared_s <= 10 * RTT_S
    found, read_s = await _read(world, reader, holder)
    assert found
    assert read_s <= 20 * RTT_S
    await flooder.store(flooder.providers(MOD), [one.contact for one in world.residents])
    found, _ = await _read(world, reader, holder)
    assert found, "what was stored stays"
    await world.close()
