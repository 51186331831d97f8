"""Many identities ask for dial-backs by contacts that are gone: a node's own requests go on."""

import asyncio

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from simulations.attacks.raw_peer import RawPeer, peers_at
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng

RANDOM = bytes(range(16))
ATTACKERS = 100
EACH = int(limits.DIALBACKS_BURST_PER_ASKER)


async def attackers_at_one_host(world: World, victim: Resident) -> list[RawPeer]:
    rng = derive_rng(1, "attackers")
    host = world.internet.add_host(v4=True, v6=False)
    peers = await peers_at(host, [Identity(rng.randbytes(32)) for _ in range(ATTACKERS)])
    for peer in peers:
        peer.send(Method.PING, [], victim.contact)
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    assert all(peer.token for peer in peers)
    return peers


async def test_dialbacks_for_many_identities_take_few_requests() -> None:
    world = World(1, latency=UniformLatency(0.05))
    await world.populate(8)
    victim = world.residents[3]
    attackers = await attackers_at_one_host(world, victim)
    honest = RawPeer(Identity(bytes(32)), {})
    await honest.move_in(world.internet)
    await honest.ask(Method.PING, [], victim.contact)
    for other in world.residents:
        if other is not victim:
            await other.end()
    wire = victim.running.server.wire
    before = wire.pending_count
    for _ in range(EACH):
        for peer in attackers:
            peer.send(Method.DIALBACK, [RANDOM, b""], victim.contact)
    await asyncio.sleep(0.3)
    by_attackers = wire.pending_count - before
    assert limits.DIALBACKS_UNDER_WAY <= by_attackers <= 2 * limits.DIALBACKS_UNDER_WAY
    answer = await honest.ask(Method.DIALBACK, [RANDOM, b""], victim.contact)
    assert answer is None or answer.code != Code.RATE_LIMITED
    await world.close()
