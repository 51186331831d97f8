"""Silent peers that ask again and again hold the pings by which others enter a table."""

import asyncio
from collections.abc import Iterator
from itertools import islice

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.messages import Method
from simulations.attacks.raw_peer import RawPeer, peers_at
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng

SEED = 17
ATTACKERS = 64
HONEST = 12
EVERY_S = 0.25
LOOKED_AT_S = 1.0


def identities() -> Iterator[Identity]:
    rng = derive_rng(SEED, "identities")
    while True:
        yield Identity(rng.randbytes(32))


async def silent_peers(world: World, victim: Resident, made: Iterator[Identity]) -> list[RawPeer]:
    """Peers at one address that ask from proved addresses, and answer nothing."""
    host = world.internet.add_host(v4=True, v6=False)
    peers = await peers_at(host, islice(made, ATTACKERS))
    for peer in peers:
        peer.send(Method.PING, [], victim.contact)
    await asyncio.sleep(LOOKED_AT_S)
    assert all(peer.token for peer in peers)
    return peers


async def ask_for_ever(peers: list[RawPeer], victim: Resident) -> None:
    while True:
        for peer in peers:
            peer.send(Method.PING, [], victim.contact)
        await asyncio.sleep(EVERY_S)


async def newcomers_known(*, attacked: bool) -> int:
    """How many honest newcomers stand in the table a second after each asked once."""
    world, made = World(SEED, latency=UniformLatency(0.1)), identities()
    victim = world.add()
    await victim.start()
    attack = None
    if attacked:
        peers = await silent_peers(world, victim, made)
        attack = asyncio.create_task(ask_for_ever(peers, victim))
        await asyncio.sleep(5.0)
    known = 0
    for _ in range(HONEST):
        honest = RawPeer(next(made), {Method.PING: lambda _: []})
        await honest.move_in(world.internet)
        honest.send(Method.PING, [], victim.contact)
        await asyncio.sleep(LOOKED_AT_S)
        honest.send(Method.PING, [], victim.contact)  # the first may have had no room for a ping
        await asyncio.sleep(LOOKED_AT_S)
        tables = victim.running.server.tables
        known += tables.of(honest.contact).get(honest.contact.peer_id) is not None
    maintenance = victim.running.server.protocol.maintenance
    assert maintenance.verifying_count <= limits.VERIFYING
    if attack is not None:
        assert maintenance.verifying_count >= limits.VERIFYING_ASKERS - 1
        attack.cancel()
    await world.close()
    return known


async def test_silent_peers_keep_no_newcomer_out_of_a_table() -> None:
    undisturbed = await newcomers_known(attacked=False)
    assert undisturbed >= HONEST - 1
    assert await newcomers_known(attacked=True) == undisturbed
