"""A node that ends says so to those that know it, and nobody waits for one that is gone."""

import asyncio
from pathlib import Path

import pytest

from node.net.names import NameLookups
from node.overlay.membership import Membership
from node.overlay.table.joining import Joining
from protocol import limits
from protocol.overlay.bootstrap import Bootstrap
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from simulations.internet.latency import UniformLatency
from simulations.residents.whole import WholeResident
from simulations.residents.world import Resident, World, cipher_named, simulated_settings
from tests.node.overlay.village import village

ROUND_TRIP_S = 0.002


async def _town(count: int, seed: int = 1, round_trip_s: float = ROUND_TRIP_S) -> World:
    settings = simulated_settings(cipher=cipher_named("test"))
    world = World(seed, latency=UniformLatency(round_trip_s), settings=settings)
    await world.populate(count)
    return world


def _known_to(one: Resident) -> set[bytes]:
    return {entry.contact.peer_id for entry in one.running.server.tables.entries()}


async def _join_s(world: World, newcomer: Resident) -> float:
    began_at = world.loop.time()
    await newcomer.start()
    await newcomer.running.joined.wait()
    return world.loop.time() - began_at


async def _lookup_s(world: World, asker: Resident, target: int) -> float:
    began_at = world.loop.time()
    await asker.running.server.lookup(bytes([target]) * 20)
    return world.loop.time() - began_at


@pytest.mark.parametrize(
    ("orderly", "join_s", "lookup_s"), [(True, 0.02, 0.02), (False, 0.45, 0.45)]
)
@pytest.mark.parametrize("seed", range(1, 4))
async def test_joining_and_lookups_where_clients_come_and_go(
    seed: int, orderly: bool, join_s: float, lookup_s: float
) -> None:
    """Before: 1 to 2.5 s a join and 0.2 s a lookup, of both kinds."""
    world = await _town(6, seed)
    joins_s, lookups_s = [], []
    for turn in range(8):
        client = world.add()
        joins_s.append(await _join_s(world, client))
        await asyncio.sleep(2)
        await (client.stop() if orderly else _crash(client))
        await asyncio.sleep(0.2)
        lookups_s.append(await _lookup_s(world, world.residents[turn % 6], turn))
    assert max(joins_s) < join_s
    assert max(lookups_s) < lookup_s
    await world.close()


async def _crash(resident: Resident) -> None:
    resident.crash()


async def test_who_is_told_forgets_the_node_wherever_it_stands() -> None:
    async with village() as town:
        server = town.node.running.server
        leaver = await town.contact("30.0.0.1")
        table = server.tables.of(leaver.contact)
        full = [await town.contact(f"50.{number}.0.1") for number in range(1, 60)]
        bucket = next(one for one in table.buckets.values() if len(one.waiting) > 1)
        waiting = next(iter(bucket.waiting.values()))
        waits = next(one for one in full if one.contact == waiting)
        town.node.running.caller.ways.note(b"p" * 20, b"k" * 32, [leaver.contact], 0.0)
        for one in (leaver, waits):
            await one.ask(Method.LEAVE, [], town.node.contact)
        assert table.get(leaver.contact.peer_id) is None
        assert waiting.number not in bucket.waiting
        assert leaver.contact not in server.bootstrappable_neighbors()
        told = server.tables.nearest_sound(leaver.contact.number, 20, 3)
        assert leaver.contact not in told
        way = town.node.running.caller.ways.way_to(b"p" * 20, 1.0)
        assert way is not None
        assert way.relays == ()
        assert not server.wire.has_answered(leaver.contact)


async def test_a_full_bucket_takes_in_who_waits_for_the_place() -> None:
    async with village() as town:
        answers = {"ping": lambda _: [1], "meet": lambda _: [1]}
        peers = [await town.contact(f"50.{number}.0.1", **answers) for number in range(1, 60)]
        table = town.node.running.server.tables.of(peers[0].contact)
        bucket = next(one for one in table.buckets.values() if one.waiting)
        assert len(bucket.live) == limits.K
        gone = next(one for one in peers if one.contact.number in bucket.live)
        gone.answers.clear()
        await gone.ask(Method.LEAVE, [], town.node.contact)
        await asyncio.sleep(1)
        assert gone.contact.number not in bucket.live
        assert len(bucket.live) == limits.K


async def test_a_stale_token_costs_one_more_datagram_and_no_third() -> None:
    async with village() as town:
        node = town.node.running
        stale = await town.contact("30.0.0.1", leave=lambda _: (Code.BAD_TOKEN, []))
        stale.gives_token = b"a token!"
        fresh = await town.contact("30.0.0.2", leave=lambda _: [])
        fresh.gives_token = b"a token!"
        for one in (stale, fresh):
            one.answers[Method.PING] = lambda _: [1]
            node.server.protocol.maintenance.verify(one.contact)
        await asyncio.sleep(1)
        await node.leave()
        for one, count in ((stale, 2), (fresh, 1)):
            leaves = [request for request in one.requests if request.method == Method.LEAVE]
            assert len(leaves) == count
            assert all(leave.token == b"a token!" for leave in leaves)


async def test_a_node_whose_contacts_are_all_silent_ends_in_time_and_answers_nobody() -> None:
    async with village() as town:
        peers = [await town.contact(f"30.0.{number}.1") for number in range(8)]
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        leaving = asyncio.ensure_future(town.node.running.leave())
        await asyncio.sleep(0.1)
        heard = len(peers[0].responses)
        peers[0].send(Method.PING, [], town.node.contact)
        await leaving
        assert loop.time() - began_at <= limits.LEAVE_S
        await asyncio.sleep(1)
        assert len(peers[0].responses) == heard


async def test_a_node_that_comes_back_at_once_is_let_in_at_once() -> None:
    world = await _town(6)
    comer = world.residents[4]
    for _ in range(3):
        await comer.stop()
        assert all(comer.identity.peer_id not in _known_to(one) for one in world.running())
        assert await _join_s(world, comer) < 0.05
        await asyncio.sleep(0.1)
        assert all(
            comer.identity.peer_id in _known_to(one) for one in world.running() if one is not comer
        )
    await world.close()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_mass_leave_empties_no_tables(seed: int) -> None:
    world = await _town(60, seed, 0.05)
    leaving = world.residents[::3] + world.residents[1::3]
    await asyncio.gather(*(one.stop() for one in leaving))
    await asyncio.sleep(120)
    left = world.running()
    assert len(left) == 20
    for one in left:
        assert len(_known_to(one)) >= 10
        target = one.identity.peer_id
        found = await left[0].running.server.lookup(target)
        expected = world.true_closest(target, [other for other in left if other is not left[0]], 16)
        assert [contact.peer_id for contact in found.closest()] == expected
    await world.close()


@pytest.mark.parametrize("orderly", [True, False])
async def test_who_joins_after_half_of_a_network_has_gone_waits_for_none_of_them(
    orderly: bool,
) -> None:
    """Before: up to 8 s, as each bucket was filled by pings of contacts that others still name."""
    world = await _town(48, 1, 0.05)
    leaving = world.residents[::2]
    await asyncio.gather(*(one.stop() if orderly else _crash(one) for one in leaving))
    assert [one for one in range(4) if await _join_s(world, world.add()) > 2.5] == []
    await world.close()


async def test_who_has_lost_all_contacts_joins_by_those_that_left_and_came_back() -> None:
    world = await _town(5)
    lone, others = world.residents[0], world.residents[1:]
    assert not lone.running.joining.known_nodes, "the first node of a network knows none before"
    for one in others:
        await one.stop()
    assert not _known_to(lone)
    for one in others:  # as strangers that wait for somebody to join through them
        one.saved = [Contact.at(one.identity.public_key, one.contact.address)]
        await one.start()
    await asyncio.sleep(130)
    assert len(_known_to(lone)) == 4
    await world.close()


async def test_a_registrar_that_leaves_is_replaced_at_once_and_a_peer_that_leaves_is_offline() -> (
    None
):
    world = await _town(10, 1, 0.05)
    hidden = world.add(unreachable=True)
    await hidden.start()
    registrations = hidden.running.registrations
    await registrations.registered.wait()
    await asyncio.sleep(5)
    registrars = {contact.peer_id for contact in registrations.registrars}
    assert len(registrars) == limits.REGISTRARS
    by_id = {one.identity.peer_id: one for one in world.residents}
    gone = by_id[next(iter(registrars))]
    await gone.stop()
    await asyncio.sleep(2)  # before: up to 25 s
    now = {contact.peer_id for contact in registrations.registrars}
    assert gone.identity.peer_id not in now
    assert len(now) == limits.REGISTRARS
    await hidden.stop()
    for peer_id in now:
        assert not by_id[peer_id].running.server.registrar.registration_proof_for(
            hidden.identity.peer_id
        )
    await world.close()


async def test_dead_saved_contacts_and_bootstraps_cost_no_seconds() -> None:
    world = await _town(6)
    dead = [world.add() for _ in range(40)]
    comer = world.add()
    comer.saved = [*(one.contact for one in dead), world.residents[2].contact]
    # The living one is among the last of two batches; before, each batch had its whole time.
    assert await _join_s(world, comer) < limits.JOIN_PINGS_S + 0.1
    await comer.stop()
    said: list[str] = []
    with comer.host.running():
        again = comer.membership = _by_bootstraps(comer, [dead[0], world.residents[1]], said)
        await again.endpoint.open(comer.contact.address)
        began_at = world.loop.time()
        again.start()
    await again.joined.wait()
    assert world.loop.time() - began_at < 0.1  # before: the 4 s of a hello
    await asyncio.sleep(5)
    assert len(said) == 1, "the silent bootstrap is named all the same"
    await world.close()


def _by_bootstraps(comer: Resident, nodes: list[Resident], said: list[str]) -> Membership:
    membership = comer.make_membership()
    wheres = [Bootstrap(*one.contact.address, None) for one in nodes]
    membership.joining = Joining(
        membership.server, wheres, [], NameLookups(membership.tasks), say=said.append
    )
    return membership


async def test_a_whole_node_leaves_and_saves_nobody_that_left(tmp_path: Path) -> None:
    world = World(1, latency=UniformLatency(ROUND_TRIP_S), folder=tmp_path)
    await world.populate(4, kind=WholeResident)
    stopped, stays = world.residents[3], world.residents[1]
    began_at = world.loop.time()
    await stopped.stop()
    assert world.loop.time() - began_at < 1.7
    assert stopped.identity.peer_id not in _known_to(stays)
    assert isinstance(stays, WholeResident)
    home = stays.running_node.home
    await asyncio.sleep(limits.SAVE_CONTACTS_S + 1)
    assert stopped.identity.peer_id not in {one.peer_id for one in home.saved_contacts()}
    assert home.saved_contacts()
    await world.close()
