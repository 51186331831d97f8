"""A person with more mods than one contact keeps announcements of: those are refused, by name.

Every contact's cap is a sixteenth of the real one, and so is what the person has: 2000 mods where
1024 are kept. The last of them are refused by all contacts of a small network; the first stay.
"""

import asyncio
from collections.abc import Sequence

from protocol import limits, records
from protocol.overlay.messages import Code
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World

ROUND_TRIP_S = 0.1
SCALE = 16
CAP = limits.STORE_VALUES_PER_PEER // SCALE
MODS = 2000 // SCALE
PEOPLE = 8
TRIES_AN_HOUR = 7
"""After 20 s, and each time twice as late."""
REQUESTS_A_TRY = 4 * PEOPLE
REFUSED = Code.PUBLISHER_FULL.name.lower(), Code.STORER_FULL.name.lower()


async def _world() -> World:
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(PEOPLE)
    for one in world.residents:
        one.running.server.store._max_per_peer = CAP
    return world


async def _finds(reader: Resident, mod_ids: Sequence[bytes]) -> int:
    """How many of these a node finds a holder of."""
    found = 0
    for mod_id in mod_ids:
        key = records.provider_key(mod_id)
        server = reader.running.server
        reading = await reader.host.create_task(server.read(key, records.PROVIDER))
        found += bool(reading.records)
    return found


async def test_mods_beyond_the_cap_are_refused_by_name_and_tried_again_ever_more_seldom() -> None:
    world = await _world()
    person, reader, other = world.residents[3], world.residents[5], world.residents[6]
    mod_ids = [number.to_bytes(32) for number in range(MODS)]
    person.running.presence.serve([(mod_id, True) for mod_id in mod_ids])
    await asyncio.sleep(120.0)
    refused = person.running.republisher.refused()
    assert set(refused) <= set(REFUSED)
    assert sum(refused.values()) >= MODS - CAP
    assert await _finds(reader, mod_ids) >= CAP - 2, "its peer and availability records count too"

    sent = person.running.server.wire._counter
    await asyncio.sleep(3600.0)
    an_hour = person.running.server.wire._counter - sent
    assert an_hour <= TRIES_AN_HOUR * REQUESTS_A_TRY * (MODS - CAP + 2)
    last = mod_ids[-1]
    other.running.presence.serve([(last, True)])
    await asyncio.sleep(10.0)
    assert await _finds(reader, [last]) == 1, "another person is served"
    await world.close()
