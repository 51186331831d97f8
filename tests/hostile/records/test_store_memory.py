"""The memory of a node's store: 15 identities at one address fill it, and honest people come.

An attacker pays 2 s of CPU an identity, once. Honest people must be stored meanwhile, keep what was
stored before, and wait no longer for it.
"""

from node.overlay.records.publishing import Published
from protocol import limits, records
from protocol.overlay.messages import Code
from protocol.records import ProviderBody
from simulations.attacks.record_flooder import RecordFlooder
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from tests.hostile.told import RecordProperty

RTT_S = 0.05
IDENTITIES = 15
SMALL_STORE = limits.STORE_BYTES // 64
"""As small as the test can wait for; each identity stores accordingly fewer records."""

RECORDS_EACH = 4096 // 64


async def _victim(world: World) -> Resident:
    victim = world.add()
    await victim.start()
    victim.running.server.store._max_bytes = SMALL_STORE
    return victim


async def _publish(world: World, person: Resident, number: int) -> tuple[Published, float]:
    """What comes of sharing one mod, and the seconds it takes."""
    body = ProviderBody(number.to_bytes(32), complete=True)
    started = world.loop.time()
    with person.host.running():
        published = await person.running.server.publish(
            person.running.republisher.make(records.PROVIDER, body)
        )
    return published, world.loop.time() - started


async def _is_kept(person: Resident, victim: Resident, number: int) -> bool:
    key = records.provider_key(number.to_bytes(32))
    held = victim.running.server.store.get(key, records.PROVIDER, victim.world.loop.wall_time())
    return person.identity.public_key in {one.public_key for one in held}


async def test_identities_at_one_address_do_not_fill_a_store_against_others(
    record_property: RecordProperty,
) -> None:
    world = World(1, latency=UniformLatency(RTT_S))
    victim = await _victim(world)
    early, late = world.add(), world.add()
    await early.start()
    await early.running.joined.wait()
    for number in range(5):
        alone, alone_s = await _publish(world, early, number)
        assert alone.confirmed == 1
    record_property("alone_s", alone_s)
    record_property("attackers", IDENTITIES)
    flooder = await RecordFlooder.at(world.internet.add_host(), world.loop.wall_time, IDENTITIES)
    flood = flooder.of_many_mods(RECORDS_EACH)
    await flooder.store(flood, [victim.contact])
    assert victim.running.server.store.used_bytes > 0.95 * SMALL_STORE, "the flood came in"
    await late.start()
    await late.running.joined.wait()
    for number in range(50, 100):
        among, among_s = await _publish(world, late, number)
        assert among.confirmed == among.asked, among.refused
        record_property("attacked_s", among_s)
        assert among_s <= alone_s + RTT_S
    await flooder.store(flooder.of_many_mods(RECORDS_EACH), [victim.contact])
    for number in range(5):
        assert await _is_kept(early, victim, number)
    for number in range(50, 100):
        assert await _is_kept(late, victim, number)
    assert victim.running.server.store.used_bytes <= SMALL_STORE
    assert flooder.answers[Code.STORE_FULL.name.lower()] > 0
    await world.close()
