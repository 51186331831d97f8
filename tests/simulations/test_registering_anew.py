"""A peer whose registrars die registers anew in time, whichever die and at the worst moment."""

import asyncio

import pytest

from node.overlay.rpc.incoming import Incoming
from protocol import limits
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from simulations.seeds import derive_rng

NODES = 60
SEEDS = (1, 2, 4, 5, 6)
"""In world 3 the nodes nearest to the peer look like sybils by chance, and it has 26 registrars."""


async def _registered_peer(world: World) -> tuple[Resident, list[Resident]]:
    """A registered peer, and its registrars; all paths have been used since."""
    await world.populate(NODES)
    nodes = {node.contact: node for node in world.residents}
    peer = world.add(unreachable=True)
    await peer.start()
    await peer.running.registrations.registered.wait()
    await asyncio.sleep(limits.KEEPALIVE_S * derive_rng(world.seed, "settling").uniform(1, 2))
    keeping = [nodes[contact] for contact in peer.running.registrations.registrars]
    assert len(keeping) == limits.REGISTRARS
    return peer, keeping


async def _has_answered(registrar: Resident) -> None:
    """Wait until this registrar has just answered a keepalive, before anything else happens."""
    kept = registrar.running.server.registrar
    answered = asyncio.Event()
    keepalive = kept.keepalive

    def answer(incoming: Incoming, now: float) -> bool:
        answered.set()
        return keepalive(incoming, now)

    kept.keepalive = answer  # type: ignore[method-assign]
    await answered.wait()
    kept.keepalive = keepalive  # type: ignore[method-assign]


async def _back_after_s(peer: Resident, dead: list[Resident]) -> float:
    """Seconds until the peer has all its registrars again, none of them among the dead."""
    gone = {node.contact for node in dead}
    loop = asyncio.get_running_loop()
    started = loop.time()
    registrars = peer.running.registrations.registrars
    while len(registrars.keys() - gone) < limits.REGISTRARS:
        assert loop.time() < started + 4 * limits.REREGISTERED_S, "never registered anew"
        await asyncio.sleep(0.1)
    return loop.time() - started


async def _reregistering_s(seed: int, dying: int, others_dying: float) -> float:
    world = World(seed, settings=simulated_settings(cipher=cipher_named("test")))
    peer, keeping = await _registered_peer(world)
    others = [node for node in world.residents[:NODES] if node not in keeping]
    dead = derive_rng(seed, "others").sample(others, round(others_dying * len(others)))
    dead += keeping[:dying]
    await _has_answered(keeping[0])
    for node in dead:
        node.host.unplug()
    took_s = await _back_after_s(peer, dead)
    await world.close()
    return took_s


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("dying", "others_dying"), [(1, 0.0), (limits.REGISTRARS, 0.0), (limits.REGISTRARS, 0.3)]
)
async def test_registrars_that_died_just_after_answering_are_replaced_within_one_keepalive(
    seed: int, dying: int, others_dying: float
) -> None:
    took_s = await _reregistering_s(seed, dying, others_dying)
    assert took_s <= limits.REREGISTERED_S


async def test_a_peer_without_any_registrar_notices_at_the_next_turn() -> None:
    turn_s = limits.KEEPALIVE_S / limits.REGISTRARS
    took_s = await _reregistering_s(1, limits.REGISTRARS, 0.0)
    assert took_s <= turn_s + limits.REGISTRAR_SILENT_S + limits.REGISTRAR_REPLACED_S
