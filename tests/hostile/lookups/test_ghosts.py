"""Ground identities without a host, which a few liars name: no lookup waits for each of them.

A name may hold: a place in the lookup until its peer is slow; its namers then lose by it. How it is
won back: those that named too many silent ones are asked past.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from protocol import limits, records
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, Request
from simulations.attacks import near_key
from simulations.attacks.near_key import Behaviour, GroundIds
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.internet.carrier import Carrier
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng
from tests.hostile.lookups.test_ground_ids import SETTLE_S, finds, hosts_in, publish, record_of

HONEST = 20
READERS = 5
GROUND = 64
LIARS = 8
ROUND_TRIP_S = 0.1
VICTIM = "93.184.216.34"

Place = Callable[[list[Resident], int, int], str]
"""The host at which a liar names a ghost; both are given by their numbers."""


def _beside_honest(honest: list[Resident], ghost: int, liar: int) -> str:
    neighbour = honest[(ghost + 7 * liar) % len(honest)].host.addresses[0]
    return neighbour.rsplit(".", 1)[0] + ".250"


def _in_networks_of_their_own(_: list[Resident], ghost: int, liar: int) -> str:
    return f"91.{ghost % 200 + 1}.{liar + 1}.250"


def _at_one_host(_honest: list[Resident], _ghost: int, _liar: int) -> str:
    return VICTIM


def _at_honest_hosts(honest: list[Resident], ghost: int, liar: int) -> str:
    return honest[(ghost + 7 * liar) % len(honest)].host.addresses[0]


PLACES = [_beside_honest, _in_networks_of_their_own, _at_one_host, _at_honest_hosts]


def _answers(
    ghosts: list[Identity], place: Place, honest: list[Resident], liar: int
) -> dict[Method, Responder]:
    rng = derive_rng(liar, "ghosts named")

    def find(_: Request) -> list[Any]:
        named = rng.sample(list(enumerate(ghosts)), limits.CONTACTS_PER_REPLY)
        return near_key._found(
            [
                Contact.at(ghost.public_key, Address(place(honest, number, liar), 4001))
                for number, ghost in named
            ],
            [],
        )

    return {Method.FIND_NODE: find, Method.FIND_VALUE: find, Method.STORE: lambda _: []}


async def _haunt(
    world: World, mod_id: bytes, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farthest of the ground ids move in and name the others."""
    honest = list(world.residents)
    attack = GroundIds(world, records.provider_key(mod_id), Behaviour.MISLEADING, mod_id)
    target = int.from_bytes(attack.key)
    ground = attack.grind(GROUND, derive_rng(1, "ground"))
    ground.sort(key=lambda one: int.from_bytes(one.peer_id) ^ target)
    ghosts, liars = ground[:-LIARS], ground[-LIARS:]
    numbers = iter(range(LIARS))

    def liar(identity: Identity, answers: dict[Method, Responder]) -> RawPeer:
        return RawPeer(identity, answers | _answers(ghosts, place, honest, next(numbers)))

    monkeypatch.setattr(near_key, "RawPeer", liar)
    await attack.move_in(liars, hosts_in(world, LIARS))


def _count_to(host: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each datagram that is sent to a host, from now on."""
    sent: list[int] = []
    original = Carrier.send

    def send(carrier: Carrier, sender: Any, data: bytes, to: Any, ttl: Any = None) -> None:
        if to[0] == host:
            sent.append(len(data))
        original(carrier, sender, data, to, ttl)

    monkeypatch.setattr(Carrier, "send", send)
    return sent


@pytest.mark.parametrize("place", PLACES)
async def test_ghosts_near_a_key_hide_no_record_and_cost_few_seconds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(1, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    honest = list(world.residents)
    mod_id = derive_rng(1, "mod").randbytes(32)
    published = [record_of(honest[-1], mod_id)]
    await publish(honest[-1], published[0])
    await asyncio.sleep(SETTLE_S)
    await _haunt(world, mod_id, place, monkeypatch)
    for publisher in (*honest[:3], honest[HONEST // 2]):
        started = world.loop.time()
        published.append(record_of(publisher, mod_id))
        await publish(publisher, published[-1])
        # Until the region around has it as well.
        assert world.loop.time() - started <= 2.5
    await asyncio.sleep(SETTLE_S)
    to_victim = _count_to(VICTIM, monkeypatch)
    outcomes = [await finds(reader, one) for one in published for reader in honest[:READERS]]
    assert all(found for found, _ in outcomes)
    # The lookup, and what a node does once: lookups for the network's size, and of the region.
    assert max(seconds for _, seconds in outcomes) <= 3.5
    assert len(to_victim) <= 40 * len(outcomes)
    await world.close()
