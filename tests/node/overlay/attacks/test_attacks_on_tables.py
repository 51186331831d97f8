"""Attacks on the contacts in the tables, and faults of the tables that need no attacker."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

from kademlia.node import Node as StockNode
from kademlia.protocol import KademliaProtocol
from kademlia.routing import RoutingTable as StockTable
from kademlia.storage import ForgetfulStorage

from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import READ_ONLY, Method
from protocol.overlay.routing import RoutingTable
from simulations.residents.world import PORT
from simulations.seeds import derive_rng
from tests.node.overlay.attacks.arena import (
    SEED,
    answers_ping,
    both,
    key_pair,
    no_contacts,
    our_mallory,
    our_server,
    our_world,
    pong,
    stock_id,
    stock_mallory,
    stock_server,
    stock_world,
)

OWN_ID = bytes(20)

# 2: two ids of one number -------------------------------------------------------------------------


async def _stock_meets_ids_of_one_number() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    where = (host.address() or "", PORT)
    for node_id in (b"x", b"\0x"):
        mallory.send("ping", node_id, to=where)
    await asyncio.sleep(1.0)
    try:
        victim.protocol.router.find_neighbors(StockNode(bytes(20)))
    except TypeError:
        return True
    return False


async def _ours_meets_ids_of_one_number() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    identity = key_pair(1)  # an id is the hash of a key, so one number means one key
    for start in (0, 100):
        mallory = await our_mallory(world.internet, identity, ping=pong, find_node=no_contacts)
        mallory.counter = start
        await mallory.ask(Method.PING, [], resident.contact)
        await mallory.ask(Method.PING, [], resident.contact)
    for short_or_long in (b"x", b"\0x", bytes(21)):
        await mallory.ask(Method.FIND_NODE, [short_or_long, 3], resident.contact)
    nearest = victim.tables.nearest(0, 20)
    refused = victim.counters.refused["malformed"]
    return len(nearest) != 1 or refused != 3 or not await answers_ping(resident)


@both(_stock_meets_ids_of_one_number, _ours_meets_ids_of_one_number)
def test_02_two_ids_of_one_number_break_every_later_lookup(attack: Any, works: bool) -> None:
    assert attack() is works


# 9: the nearest that are not ----------------------------------------------------------------------


async def _stock_names_the_nearest() -> bool:
    table = _stock_table()
    nodes = [StockNode(stock_id(number), "1.2.3.4", 5) for number in range(200)]
    for node in nodes:
        table.add_contact(node)
    held = [node for bucket in table.buckets for node in bucket.get_nodes()]
    wrong = 0
    for target in _targets():
        found = [node.long_id for node in table.find_neighbors(StockNode(target))]
        number = int.from_bytes(target)
        true = sorted((node.long_id for node in held), key=lambda one: one ^ number)[:20]
        wrong += found != true
    return wrong > 0


async def _ours_names_the_nearest() -> bool:
    table = RoutingTable(OWN_ID)
    for number in range(200):
        table.answered(_contact(number), now=0.0)
    held = [entry.contact.number for entry in table]
    assert len(held) > 60
    return any(
        [contact.number for contact in table.nearest(int.from_bytes(target), 20)]
        != sorted(held, key=lambda one: one ^ int.from_bytes(target))[:20]
        for target in _targets()
    )


def _stock_table(own_id: bytes = OWN_ID) -> StockTable:
    protocol = KademliaProtocol(StockNode(own_id), ForgetfulStorage(), 20)
    protocol.call_ping = lambda _: asyncio.sleep(0)  # which contact is pinged does not matter here
    return protocol.router


def _contact(number: int) -> Contact:
    """A contact in a /24 of its own."""
    host = f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.1"
    return Contact.at(derive_rng(SEED, "key", number).randbytes(32), Address(host, PORT))


def _targets() -> list[bytes]:
    rng = derive_rng(SEED, "targets")
    return [rng.randbytes(20) for _ in range(100)]


@both(_stock_names_the_nearest, _ours_names_the_nearest)
def test_09_the_contacts_named_are_not_the_nearest(attack: Any, works: bool) -> None:
    assert attack() is works


# 10: a new id makes the victim walk all that it stores --------------------------------------------


async def _stock_welcomes_a_new_id() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    for number in range(500):
        victim.storage[stock_id(number)] = b"value"
    mallory = await stock_mallory(world.internet)
    with _counted(victim.protocol.router, "find_neighbors") as searches:
        mallory.send("ping", stock_id(1000), to=(host.address() or "", PORT))
        await asyncio.sleep(30.0)
    copied = sum(name == "store" for name, _ in mallory.requests)
    return len(searches) >= 500 and copied > 0


async def _ours_welcomes_a_new_id() -> bool:
    world = our_world()
    await world.populate(2)
    resident = world.residents[0]
    victim = resident.running.server
    for other in world.residents:
        await other.running.server.publish(other.running.presence.peer_record())
    assert len(victim.store) == 2
    mallory = await our_mallory(world.internet, ping=pong, find_node=no_contacts)
    with _counted(type(victim.store), "__iter__") as walks:
        for _ in range(2):
            await mallory.ask(Method.PING, [], resident.contact)
        await asyncio.sleep(30.0)
    entered = victim.tables.of(mallory.contact).get(mallory.identity.peer_id) is not None
    copied = sum(request.method == Method.STORE for request in mallory.requests)
    return not entered or copied > 0 or len(walks) > 0


@contextlib.contextmanager
def _counted(owner: Any, name: str) -> Iterator[list[None]]:
    """Grows by one at each call of a method inside the `with` block."""
    calls: list[None] = []
    original = getattr(owner, name)

    def counting(*args: Any, **options: Any) -> Any:
        calls.append(None)
        return original(*args, **options)

    with mock.patch.object(owner, name, counting):
        yield calls


@both(_stock_welcomes_a_new_id, _ours_welcomes_a_new_id)
def test_10_one_packet_of_a_new_id_walks_the_whole_store(attack: Any, works: bool) -> None:
    assert attack() is works


# 11: buckets --------------------------------------------------------------------------------------


async def _stock_is_filled_with_chosen_ids() -> bool:
    table = _stock_table()
    for depth in range(1, 160):
        for low in range(0, 84, 4):
            number = (2**160 - 1) ^ (2**160 - 1 >> depth) | low
            table.add_contact(StockNode(number.to_bytes(20), "1.2.3.4", 5))
    return len(table.buckets) > 160


async def _ours_is_filled_with_chosen_ids() -> bool:
    table = RoutingTable(OWN_ID, networks_of=lambda _: ())
    for depth in range(1, 160):
        for low in range(0, 84, 4):
            number = (2**160 - 1) ^ (2**160 - 1 >> depth) | low
            table.answered(_forged(number), now=0.0)
    kept = sum(len(one.live) + len(one.waiting) for one in table.buckets.values())
    return len(table.buckets) > 160 or kept > 160 * 2 * table.k


def _forged(number: int) -> Contact:
    """A contact under an id that in truth would cost 2**160 keys."""
    contact = Contact.at(number.to_bytes(32), Address("1.2.3.4", 5))
    contact.number = number
    return contact


@both(_stock_is_filled_with_chosen_ids, _ours_is_filled_with_chosen_ids)
def test_11_chosen_ids_split_buckets_without_bound(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_files_an_id_at_a_midpoint() -> bool:
    table = _stock_table()
    for number in range(40):
        table.add_contact(StockNode(stock_id(number), "1.2.3.4", 5))
    midpoints = [bucket.range[1] for bucket in table.buckets[:-1]]
    assert midpoints
    return any(
        not table.buckets[table.get_bucket_for(node)].has_in_range(node)
        for node in (StockNode(point.to_bytes(20)) for point in midpoints)
    )


async def _ours_files_an_id_at_a_midpoint() -> bool:
    table = RoutingTable(OWN_ID, networks_of=lambda _: ())
    edges = [number for bits in range(1, 160) for number in (2**bits - 1, 2**bits, 2**bits + 1)]
    for number in edges:
        table.answered(_forged(number), now=0.0)
    held = [entry.contact.number for entry in table]
    return any(
        table.get(number.to_bytes(20)) is None or table.nearest(number, 1)[0].number != number
        for number in held
    )


@both(_stock_files_an_id_at_a_midpoint, _ours_files_an_id_at_a_midpoint)
def test_11_an_id_at_a_midpoint_is_looked_up_in_the_wrong_bucket(attack: Any, works: bool) -> None:
    assert attack() is works


# 12: which contacts stay, leave and enter --------------------------------------------------------


async def _stock_contact_moves() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    for _ in range(2):
        mover = await stock_mallory(world.internet)
        mover.send("ping", stock_id(1), to=(host.address() or "", PORT))
        await asyncio.sleep(1.0)
    (node,) = victim.protocol.router.find_neighbors(StockNode(bytes(20)))
    return (node.ip, node.port) != mover.address


async def _ours_contact_moves() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    for start in (0, 100):
        mover = await our_mallory(world.internet, key_pair(1), ping=pong, find_node=no_contacts)
        mover.counter = start
        for _ in range(2):  # the second bears the token that proves the address
            await mover.ask(Method.PING, [], resident.contact)
    (contact,) = victim.tables.nearest(0, 20)
    return contact != mover.contact


@both(_stock_contact_moves, _ours_contact_moves)
def test_12_the_new_address_of_a_known_id_is_ignored(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_loses_one_packet() -> bool:
    world = stock_world()
    await world.populate(2)
    (_, victim), (other_host, other) = world.servers
    other_host.unplug()
    await victim.protocol.call_ping(StockNode(other.node.id, other_host.address(), PORT))
    other_host.plug()
    return bool(victim.protocol.router.is_new_node(other.node))


async def _ours_loses_one_packet() -> bool:
    world = our_world()
    await world.populate(2)
    victim, other = world.residents[0].running.server, world.residents[1]
    await asyncio.sleep(10.0)
    other.host.unplug()
    victim.protocol.maintenance.verify(other.contact)
    await asyncio.sleep(5.0)
    entry = victim.tables.of(other.contact).get(other.identity.peer_id)
    assert entry is None or entry.failures == 1, "the packet was not lost"
    return entry is None


@both(_stock_loses_one_packet, _ours_loses_one_packet)
def test_12_one_lost_packet_evicts_a_good_contact(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_promotes_a_replacement() -> bool:
    table = _stock_table()
    half = [(1 << 159 | number).to_bytes(20) for number in range(40)]
    for node_id in half:
        table.add_contact(StockNode(node_id, "1.2.3.4", 5))
    full = next(bucket for bucket in table.buckets if bucket.replacement_nodes)
    unverified = set(full.replacement_nodes)
    table.remove_contact(full.head())
    return bool(unverified & set(full.nodes))


async def _ours_promotes_a_replacement() -> bool:
    table = RoutingTable(OWN_ID, networks_of=lambda _: ())
    contacts = [_forged(1 << 159 | number) for number in range(20)]
    for contact in contacts:
        table.answered(contact, now=0.0)
    waiting = set(table.buckets[0].waiting)
    assert waiting
    to_verify = [table.failed(contacts[0]) for _ in range(3)]
    assert to_verify[-1] is not None
    return bool(waiting & set(table.buckets[0].live))


@both(_stock_promotes_a_replacement, _ours_promotes_a_replacement)
def test_12_a_replacement_is_promoted_unverified(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_meets_itself() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    mallory.send("ping", victim.node.id, to=(host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return not victim.protocol.router.is_new_node(victim.node)


async def _ours_meets_itself() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    own = resident.contact
    mallory = await our_mallory(
        world.internet, ping=pong, find_node=lambda _: [own.packed, b"", [], 0, b""]
    )
    await victim.bootstrap([mallory.contact])
    victim.protocol.maintenance.answered(own)
    await asyncio.sleep(5.0)
    return victim.identity.peer_id in {entry.contact.peer_id for entry in victim.tables.entries()}


@both(_stock_meets_itself, _ours_meets_itself)
def test_12_the_own_id_enters_the_table(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_meets_an_unreachable_node() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    hidden = await stock_mallory(world.internet)
    hidden.send("ping", stock_id(1), to=(host.address() or "", PORT))
    await asyncio.sleep(5.0)
    return bool(victim.protocol.router.find_neighbors(StockNode(bytes(20))))


async def _ours_meets_an_unreachable_node() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    honest = await our_mallory(world.internet, key_pair(1), ping=pong)
    honest.flags = READ_ONLY
    silent = await our_mallory(world.internet, key_pair(2))  # does not say so, and cannot answer
    for _ in range(3):
        await honest.ask(Method.PING, [], resident.contact)
        silent.send(Method.FIND_NODE, [bytes(20), 3], resident.contact)
        await asyncio.sleep(5.0)
    return len(victim.tables) > 0


@both(_stock_meets_an_unreachable_node, _ours_meets_an_unreachable_node)
def test_12_an_unreachable_node_enters_the_table(attack: Any, works: bool) -> None:
    assert attack() is works


# 13: what a join leaves empty ---------------------------------------------------------------------

NODES = 120


async def _stock_joins() -> bool:
    world = stock_world()
    await world.populate(NODES)
    _, newcomer = await stock_server(world)
    ids = [server.node.long_id for _, server in world.servers if server is not newcomer]
    known = [
        node.long_id for bucket in newcomer.protocol.router.buckets for node in bucket.get_nodes()
    ]
    return len(known) < 0.9 * _fillable(newcomer.node.long_id, ids, newcomer.ksize)


async def _ours_joins() -> bool:
    world = our_world()
    await world.populate(NODES)
    resident = world.add()
    await resident.start()
    await resident.running.joined.wait()
    server = resident.running.server
    ids = [one.contact.number for one in world.residents if one is not resident]
    reachable = _fillable(int.from_bytes(resident.identity.peer_id), ids, world.settings.k)
    return len(server.tables) < 0.9 * reachable


def _fillable(own: int, ids: list[int], k: int) -> int:
    """Contacts that an all-knowing filler puts into the buckets of one node."""
    loads: dict[int, int] = {}
    for number in ids:
        index = (own ^ number).bit_length()
        loads[index] = loads.get(index, 0) + 1
    return sum(min(load, k) for load in loads.values())


@both(_stock_joins, _ours_joins)
def test_13_a_join_leaves_most_buckets_empty(attack: Any, works: bool) -> None:
    assert attack() is works
