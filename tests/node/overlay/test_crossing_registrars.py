"""A peer of one address family registers with contacts of both: the other family calls it."""

import asyncio
from typing import Any

import pytest

from node.overlay.rpc.protocol import OverlayProtocol
from node.overlay.table.tables import OTHER_FAMILY
from protocol import limits
from protocol.overlay.contacts import Contact
from simulations.experiments.call import accept, describe
from simulations.internet.boxes.behaviour import NatBehaviour
from simulations.internet.boxes.nat import Nat
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World, cipher_named, simulated_settings

BOTH, ONE = 6, 20
CALLERS = 4
from_each_family = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[OverlayProtocol, Contact]]:
    """Who asked which contact for contacts of the family that it does not belong to."""
    made: list[tuple[OverlayProtocol, Contact]] = []
    call = OverlayProtocol.call_find_node

    async def noted(self: OverlayProtocol, contact: Contact, target: bytes, *families: int) -> Any:
        if families == (OTHER_FAMILY[contact.family],):
            made.append((self, contact))
        return await call(self, contact, target, *families)

    monkeypatch.setattr(OverlayProtocol, "call_find_node", noted)
    return made


def _world() -> World:
    settings = simulated_settings(cipher=cipher_named("test"))
    return World(1, latency=UniformLatency(0.05), settings=settings)


async def _registered(world: World, *, v4: bool, v6: bool, behind: Nat | None = None) -> Resident:
    host = world.internet.add_host(v4=v4, v6=v6, behind=behind)
    one = world.add(unreachable=True, host=host)
    await one.start()
    await one.running.registrations.registered.wait()
    one.running.callee.accept_calls(accept)
    return one


@from_each_family
async def test_callers_of_the_other_family_find_a_registrar(family: int) -> None:
    world = _world()
    await world.populate(BOTH, v4=True, v6=True)
    await world.populate(ONE, v4=True, v6=False)
    await world.populate(ONE, v4=False, v6=True)
    both = {one.identity.peer_id for one in world.residents[:BOTH]}
    callees = [await _registered(world, v4=family == 4, v6=family == 6) for _ in range(CALLERS)]
    callers = [await _registered(world, v4=family == 6, v6=family == 4) for _ in range(CALLERS)]
    await asyncio.sleep(60)
    for callee in callees:
        registrars = [one.peer_id for one in callee.running.registrations.registrars]
        assert len(both.intersection(registrars)) >= limits.REGISTRARS_CROSSING
        assert len(registrars) <= limits.REGISTRARS + limits.REGISTRARS_CROSSING
        for caller in callers:
            with caller.host.running():
                called = await caller.running.caller.call(callee.identity.peer_id, describe)
            assert set(called.signaled_via) <= both
    await world.close()


async def test_a_network_that_loses_ipv6_gives_no_second_family() -> None:
    world = _world()
    await world.populate(BOTH, v4=True, v6=True)
    await world.populate(ONE, v4=True, v6=False)
    await world.populate(ONE, v4=False, v6=True)
    both = {one.identity.peer_id for one in world.residents[:BOTH]}
    boxes = [world.internet.add_nat(NatBehaviour(loses_v6=True)) for _ in range(CALLERS)]
    callees = [await _registered(world, v4=True, v6=True, behind=box) for box in boxes]
    await asyncio.sleep(60)
    for callee in callees:
        registrars = [one.peer_id for one in callee.running.registrations.registrars]
        assert len(both.intersection(registrars)) >= limits.REGISTRARS_CROSSING
    await world.close()


async def test_where_there_is_one_family_each_is_asked_once(
    asked: list[tuple[OverlayProtocol, Contact]],
) -> None:
    world = _world()
    await world.populate(12)
    callee = await _registered(world, v4=True, v6=False)
    await asyncio.sleep(60)
    ours = [contact for asker, contact in asked if asker is callee.running.server.protocol]
    assert 0 < len(ours) <= 12
    await asyncio.sleep(2 * limits.REGISTRARS_RENEWED_S)
    later = [contact for asker, contact in asked if asker is callee.running.server.protocol]
    assert later == ours
    assert len(callee.running.registrations.registrars) == limits.REGISTRARS
    await world.close()


async def test_a_node_of_both_families_needs_none(
    asked: list[tuple[OverlayProtocol, Contact]],
) -> None:
    world = _world()
    await world.populate(12, v4=True, v6=True)
    callee = await _registered(world, v4=True, v6=True)
    await asyncio.sleep(60)
    assert not [one for one in asked if one[0] is callee.running.server.protocol]
    await world.close()
