"""A node whose memory was set back sends requests that its peers take for replays, and recovers."""

import asyncio

from simulations.residents.world import World, cipher_named, simulated_settings


async def test_a_node_whose_peers_take_all_it_sends_for_replays_joins_again() -> None:
    world = World(1, settings=simulated_settings(cipher=cipher_named("test")))
    await world.populate(6)
    set_back = world.residents[5]
    wire = set_back.running.server.wire
    await asyncio.sleep(10)
    for one in world.residents[:5]:
        with set_back.host.running():
            wire._counter += 1000
            await set_back.running.server.lookup(one.identity.peer_id)
    wire._counter = 0
    for _ in range(4):
        with set_back.host.running():
            await set_back.running.server.lookup(bytes(20))
    await asyncio.sleep(60)
    before = [dict(one.running.server.counters.refused) for one in world.residents[:5]]
    assert all(refused["replayed"] > 0 for refused in before)
    await asyncio.sleep(120)
    assert len(set_back.running.server.tables) == 5
    await world.close()
