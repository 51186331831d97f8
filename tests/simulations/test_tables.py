"""Tables of real nodes: full after a join, true after contacts die, dawdle, move or come back."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import LookupRules
from simulations.attacks.attackers import DEAD_ADDRESS, ColludingNode, Collusion, DelayingNode
from simulations.experiments.parts.observer import contacts_possible, table_report
from simulations.residents.churn import CHURN_MODELS, Churn, ChurningResident
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from simulations.seeds import derive_rng


def world_of(seed: int) -> World:
    return World(seed, settings=simulated_settings(cipher=cipher_named("test")))


def known_to(resident: Resident) -> set[bytes]:
    return {entry.contact.peer_id for entry in resident.running.server.tables.entries()}


def ids_of(residents: Sequence[Resident]) -> set[bytes]:
    return {one.identity.peer_id for one in residents}


def test_what_a_table_can_hold_is_k_of_each_bucket() -> None:
    own = bytes(20)
    far = [bytes([0x80, n]) + bytes(18) for n in range(9)]
    near = [bytes(19) + bytes([n]) for n in (1, 2, 3)]
    assert contacts_possible(own, [own, *far, *near], 4) == 4 + 1 + 2
    assert contacts_possible(own, [own], 4) == 0


async def test_after_a_join_every_bucket_is_full_at_little_cost() -> None:
    world = world_of(11)
    await world.populate(120)
    await asyncio.sleep(10)
    packets = world.internet.carrier.delivered / 120
    report = table_report(world.residents, limits.K)
    assert report["possible"] > 50
    assert report["share"] >= 0.97
    # A contact each way costs four datagrams, and two more where a named one first has to show
    # itself, as most have. A dial-back costs one, and two requests and responses, of which one is
    # repeated with a token. The rest is lookups, and some contacts' word on the network's size.
    assert packets < 5.5 * report["mean"] + 7 * limits.DIALBACKS
    for resident in world.residents:
        own = resident.identity.peer_id
        others = ids_of(world.residents) - {own}
        nearest = sorted(others, key=lambda one: int.from_bytes(one) ^ int.from_bytes(own))
        assert set(nearest[:8]) <= known_to(resident)
    await world.close()


async def test_unreachable_nodes_are_in_no_table() -> None:
    world = world_of(12)
    await world.populate(20)
    hidden = [world.add(unreachable=True) for _ in range(6)]
    for one in hidden:
        await one.start()
        await one.running.joined.wait()
    await asyncio.sleep(60)
    for resident in world.residents:
        assert not known_to(resident) & ids_of(hidden)
    assert len(known_to(hidden[0])) == 20
    await world.close()


async def test_a_node_that_answers_after_every_limit_is_in_no_table() -> None:
    world = world_of(13)
    await world.populate(20, kind=prompt)
    slow = [world.add(DelayingNode) for _ in range(5)]
    for one in slow:
        await one.start()
    await asyncio.sleep(30)
    for resident in world.residents[:20]:
        await resident.running.server.lookup(slow[0].identity.peer_id)
        assert not known_to(resident) & ids_of(slow)
    await world.close()


def prompt(*args: Any) -> DelayingNode:
    resident = DelayingNode(*args)
    resident.delays = False
    return resident


@pytest.mark.parametrize("how", ["dies", "delays"])
async def test_a_contact_that_fails_once_is_gone_after_seconds(how: str) -> None:
    world = world_of(14)
    await world.populate(12, kind=prompt)
    victim, asker = world.residents[3], world.residents[8]
    assert isinstance(victim, DelayingNode)
    if how == "dies":
        victim.host.unplug()
    else:
        victim.delays = True
    peer_id = victim.identity.peer_id
    with asker.host.running():
        await asker.running.server.lookup(peer_id)
    assert peer_id in known_to(asker), "one failure is no proof"
    await asyncio.sleep(2 * (limits.RECHECK_S + limits.TIMEOUT_MAX_S) + 5.0)
    assert known_to(asker) == ids_of(world.residents) - {peer_id, asker.identity.peer_id}
    victim.host.plug()
    await world.close()


@pytest.mark.parametrize("how", ["dies", "delays"])
async def test_a_contact_that_no_lookup_asks_is_gone_after_a_quarter_of_an_hour(how: str) -> None:
    world = world_of(15)
    await world.populate(12, kind=prompt)
    victim = world.residents[3]
    assert isinstance(victim, DelayingNode)
    others = [one for one in world.residents if one is not victim]
    assert all(victim.identity.peer_id in known_to(one) for one in others)
    if how == "dies":
        victim.host.unplug()
    else:
        victim.delays = True
    for _ in range(15):
        await asyncio.sleep(60)
        with victim.host.running():  # it asks every node, which is no answer
            await victim.running.server.lookup(victim.rng.randbytes(20))
    for one in others:
        assert known_to(one) == ids_of(others) - {one.identity.peer_id}
    await world.close()


async def test_an_answer_after_the_time_limit_is_used_but_does_not_make_a_contact_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RECHECK_S", 1000.0)
    world = world_of(20)
    await world.populate(12, kind=prompt)
    victim, asker = world.residents[3], world.residents[8]
    assert isinstance(victim, DelayingNode)
    victim.delays = True
    with asker.host.running():
        await asker.running.server.lookup(victim.identity.peer_id)
    await asyncio.sleep(10)
    entry = asker.running.server.tables.of(victim.contact).get(victim.identity.peer_id)
    assert entry is not None
    assert entry.failures == 1
    await world.close()


async def test_a_contact_not_seen_for_long_is_pinged() -> None:
    """Lookups ask only contacts near their targets: others might stay in tables for ever."""
    # A lookup asks only a few of all contacts, as in a large network.
    few = simulated_settings(cipher=cipher_named("test"), lookup=LookupRules(k=3, spare=1))
    world = World(21, settings=few)
    await world.populate(40)
    victim = world.residents[7]
    assert any(victim.identity.peer_id in known_to(one) for one in world.residents)
    await victim.stop()
    await asyncio.sleep(2.5 * limits.REFRESH_S)
    assert not any(victim.identity.peer_id in known_to(one) for one in world.running())
    await world.close()


async def test_a_node_that_loses_its_own_network_keeps_its_contacts() -> None:
    world = world_of(15)
    await world.populate(12)
    asker = world.residents[8]
    before = known_to(asker)
    asker.host.unplug()
    target = world.residents[3].identity.peer_id
    for _ in range(6):
        with asker.host.running():
            await asker.running.server.lookup(target)
        await asyncio.sleep(15)
    assert known_to(asker) == before
    await asyncio.sleep(limits.OUTAGE_S)
    for _ in range(limits.FAILURES_MAX):
        with asker.host.running():
            await asker.running.server.lookup(target)
    assert not known_to(asker), "so that it joins again"
    asker.host.plug()
    await asyncio.sleep(limits.JOIN_RETRY_MAX_S + limits.JOIN_WAIT_S)
    assert known_to(asker) == before
    await world.close()


async def test_liars_cannot_hide_a_node_by_naming_it_at_a_dead_address() -> None:
    """A third of all nodes name the others at an address that no host has, and all say the same."""
    world = world_of(16)
    await world.populate(60, kind=ColludingNode)
    await asyncio.sleep(10)
    residents = [one for one in world.residents if isinstance(one, ColludingNode)]
    honest, liars = residents[20:], residents[:20]
    collusion = Collusion([one.contact for one in honest])
    for liar in liars:
        liar.collude(collusion)
    rng = derive_rng(16, "who looks for whom")
    for _ in range(40):
        asker, wanted = rng.sample(honest, 2)
        with asker.host.running():
            lookup = await asker.running.server.lookup(wanted.identity.peer_id)
        assert lookup.closest()[0] == wanted.contact
    misplaced = Contact.at(honest[0].identity.public_key, DEAD_ADDRESS)
    assert all(
        entry.contact.address != misplaced.address
        for one in honest
        for entry in one.running.server.tables.entries()
    )
    await world.close()


async def test_a_peer_that_moved_is_found_where_it_is() -> None:
    world = world_of(17)
    await world.populate(12)
    mover = world.residents[5]
    before = mover.contact
    await mover.stop()
    world.internet.move(mover.host)
    await mover.start()
    await mover.running.joined.wait()
    await asyncio.sleep(30)
    assert mover.contact != before
    for resident in world.residents:
        if resident is not mover:
            entry = resident.running.server.tables.of(before).get(before.peer_id)
            assert entry is not None
            assert entry.contact == mover.contact
    await world.close()


# Coming back --------------------------------------------------------------------------------


async def test_a_node_comes_back_after_a_day_of_churn_without_its_bootstrap() -> None:
    world = world_of(18)
    await world.populate(24, kind=ChurningResident)
    comers = [one for one in world.residents if isinstance(one, ChurningResident)]
    returner, others = comers[20], comers[:20] + comers[21:]
    await returner.stop()
    churn = Churn(CHURN_MODELS["ipfs"], crashes=0.5, seed=18)
    task = asyncio.create_task(churn.run(others))
    await asyncio.sleep(24 * 3600)
    task.cancel()
    await asyncio.wait([task])
    alive = {one.contact.packed for one in world.running()}
    assert sum(one.packed in alive for one in returner.saved) >= 0.05 * len(returner.saved)
    started = world.loop.time()
    await returner.start()
    await returner.running.joined.wait()
    assert world.loop.time() - started < 15
    assert known_to(returner)
    churn.check()
    await world.close()


@pytest.mark.parametrize("alive", [2, 10])
async def test_two_of_forty_saved_contacts_are_enough_to_come_back(
    alive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        limits, "JOIN_PINGS_AT_ONCE", 8
    )  # so that the live ones are not among the first
    world = world_of(19)
    await world.populate(40)
    returner = world.residents[39]
    await returner.stop()
    assert len(returner.saved) >= 30
    survivors = {one.peer_id for one in returner.saved[-alive:]}
    for resident in world.residents[:39]:
        if resident.identity.peer_id not in survivors:
            resident.crash()
    newcomers = [world.add() for _ in range(20)]
    for one in newcomers:
        await one.start()
        await one.running.joined.wait()
    await asyncio.sleep(2.5 * limits.REFRESH_S)  # no node knows it any more, so none pings it
    assert not any(returner.identity.peer_id in known_to(one) for one in world.running())
    await returner.start()
    await returner.running.joined.wait()
    await asyncio.sleep(10)
    ids = ids_of(world.running())
    assert known_to(returner) <= ids
    assert len(known_to(returner)) == contacts_possible(
        returner.identity.peer_id, sorted(ids), limits.K
    )
    await world.close()
