"""Contacts that lie about the time: sybils of one network, a minority, and what a majority gains.

Whatever most networks say, nothing that grants access is good for longer than by both clocks.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.relay.settings import RelaySettings
from protocol import records
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.messages import OVERLAY_VERSION, Method
from protocol.reachability.clock_signs import ClockVerdict
from protocol.records import ProviderBody
from simulations.attacks.raw_peer import RawPeer
from simulations.residents.world import PORT, Resident, World, simulated_settings
from simulations.seeds import derive_rng

SEED = 1
HONEST = 8
HOUR_S = 3600
MAJORITY = 4 * HONEST


@dataclass(slots=True)
class Liars:
    """Peers that tell a time of their own choice when they are pinged."""

    world: World
    ahead_s: int = 0
    peers: list[RawPeer] = field(default_factory=list)

    def make(self) -> RawPeer:
        rng = derive_rng(SEED, "liar", len(self.peers))
        answers: dict[Method, Any] = {Method.PING: self._pong, Method.MEET: self._pong}
        self.peers.append(RawPeer(Identity(rng.randbytes(32)), answers))
        return self.peers[-1]

    def _pong(self, _request: object) -> list[Any]:
        return [OVERLAY_VERSION, int(self.world.loop.wall_time()) + self.ahead_s]

    async def pinged_by(self, victim: Resident) -> None:
        wire = victim.running.server.wire
        for peer in self.peers:
            await victim.host.create_task(wire.ask(peer.contact, Method.PING, []))


async def of_networks(world: World, count: int) -> Liars:
    """So many, each in a network of its own."""
    liars = Liars(world)
    for _ in range(count):
        await liars.make().move_in(world.internet)
    return liars


async def populated(count: int = HONEST) -> tuple[World, Resident]:
    world = World(SEED, settings=simulated_settings(relay=RelaySettings(secret="secret")))
    await world.populate(count)
    return world, world.residents[0]


async def test_sybils_of_one_network_shift_nothing() -> None:
    world, victim = await populated(3)
    host = world.internet.add_host(addresses=[f"81.2.69.{number}" for number in range(1, 65)])
    sybils = Liars(world, HOUR_S)
    for address in host.addresses:
        await sybils.make().listen(host, PORT, address)
    await sybils.pinged_by(victim)
    own = victim.running.own_clock
    assert own.view().verdict is ClockVerdict.NO_SIGN
    assert own.now() == world.loop.wall_time()
    await world.close()


@pytest.mark.parametrize("step_s", [5, 9, HOUR_S])
async def test_a_minority_of_networks_shifts_nothing_by_small_steps_or_large(step_s: int) -> None:
    world, victim = await populated()
    own = victim.running.own_clock
    sybils = await of_networks(world, HONEST - 3)
    for _ in range(20):
        sybils.ahead_s += step_s
        await sybils.pinged_by(victim)
        assert own.view().verdict is ClockVerdict.NO_SIGN
        assert own.now() == world.loop.wall_time()
    await world.close()


async def test_a_majority_deletes_nothing_that_is_kept_for_others() -> None:
    """Who owns most networks makes a node date wrongly, and no more."""
    world, victim = await populated()
    publisher = world.residents[1]
    record = publisher.running.republisher.make(records.PROVIDER, ProviderBody(bytes(32), True))
    await publisher.host.create_task(publisher.running.server.publish(record))
    await asyncio.sleep(5.0)
    own, store = victim.running.own_clock, victim.running.server.storage
    assert store.get((record.key, records.PROVIDER))
    sybils = await of_networks(world, MAJORITY)
    sybils.ahead_s = 3 * 24 * HOUR_S
    await sybils.pinged_by(victim)
    assert own.view().corrected
    assert own.now() == pytest.approx(world.loop.wall_time() + sybils.ahead_s, abs=2.0)
    assert store.get((record.key, records.PROVIDER)), "it is in time by this machine's clock"
    await world.close()


@pytest.mark.parametrize("shift_s", [-2 * HOUR_S, 2 * HOUR_S])
async def test_credentials_of_foreign_clients_are_over_by_the_first_clock_that_says_so(
    shift_s: int,
) -> None:
    world, victim = await populated()
    relay, client = victim.running.relay, Address("81.2.69.1", PORT)
    expires = int(world.loop.wall_time()) + HOUR_S

    def is_good() -> bool:
        wall = relay._environment.wall()
        return relay._credentials.account(f"{expires}:guest", client, wall) is not None

    assert is_good()
    sybils = await of_networks(world, MAJORITY)
    sybils.ahead_s = shift_s
    await sybils.pinged_by(victim)
    assert victim.running.own_clock.view().corrected
    assert is_good() is (shift_s < 0)
    await asyncio.sleep(HOUR_S)
    assert not is_good(), "by this machine's clock it is over, whatever others say"
    await world.close()


async def test_who_shifts_a_clock_by_a_majority_loses_it_with_the_majority() -> None:
    """Their word counts for two hours; nothing of it lasts."""
    world, victim = await populated()
    own = victim.running.own_clock
    sybils = await of_networks(world, MAJORITY)
    sybils.ahead_s = HOUR_S
    await sybils.pinged_by(victim)
    assert own.view().corrected
    await asyncio.sleep(2 * HOUR_S + 60)
    assert own.now() == world.loop.wall_time()
    await world.close()
