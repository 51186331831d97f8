"""Attacks on stored records, and on the nodes that store and read them."""

import asyncio
from typing import Any

from kademlia.crawling import ValueSpiderCrawl
from kademlia.node import Node as StockNode

from protocol import limits, records
from protocol.errors import BadInput
from protocol.overlay.messages import Code, Method
from protocol.records import Body, ProviderBody, Record
from simulations.residents.world import PORT
from tests.node.overlay.attacks.arena import (
    add_stock_contact,
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

MOD = bytes(32)
KEY = records.provider_key(MOD)

# 6: a store that no contact confirms -----------------------------------------------------------


async def _stock_publishes_without_contacts() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    for number in range(3):
        silent = await stock_mallory(world.internet, find_node=lambda *_: [])
        add_stock_contact(victim, stock_id(number), silent.address)
    return await victim.set("key", "value") is True


async def _ours_publishes_without_contacts() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    for number in range(3):
        silent = await our_mallory(
            world.internet, key_pair(number), ping=pong, find_node=no_contacts
        )
        victim.protocol.maintenance.answered(silent.contact)
    published = await victim.publish(_provider(resident.identity, world.loop.wall_time()))
    assert published.asked == 3
    return published.confirmed > 0


@both(_stock_publishes_without_contacts, _ours_publishes_without_contacts)
def test_06_a_publisher_believes_a_store_that_no_contact_confirmed(
    attack: Any, works: bool
) -> None:
    assert attack() is works


async def _stock_publishes_among_the_dead() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    for number in range(3):
        add_stock_contact(victim, stock_id(number), (f"1.2.3.{number + 1}", 5))
    try:
        await victim.set("key", "value")
    except ValueError:
        return True
    return False


async def _ours_publishes_among_the_dead() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    for number in range(3):
        dead = await our_mallory(world.internet, key_pair(number))
        victim.protocol.maintenance.answered(dead.contact)
    published = await victim.publish(_provider(resident.identity, world.loop.wall_time()))
    return published.confirmed > 0


@both(_stock_publishes_among_the_dead, _ours_publishes_among_the_dead)
def test_06_dead_neighbours_make_a_publisher_fail_with_a_defect(attack: Any, works: bool) -> None:
    assert attack() is works


def _provider(identity: Any, now: float, *, mod_id: bytes = MOD, sequence: int = 1) -> Record:
    body = ProviderBody(mod_id, complete=True)
    return records.make(identity, records.PROVIDER, body, now=now, sequence=sequence)


# 14: what is taken in -----------------------------------------------------------------------------


async def _stock_is_given_a_huge_value() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    mallory.send("store", stock_id(1), stock_id(2), bytes(50_000), to=(host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return len(victim.storage.get(stock_id(2)) or b"") == 50_000


async def _ours_is_given_a_huge_value() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    mallory = await our_mallory(world.internet)
    await mallory.ask(Method.PING, [], resident.contact)
    record = _provider(mallory.identity, world.loop.wall_time())
    for raw in (bytes(1000), record.raw + bytes(700), bytes(limits.RECORD_BYTES + 1)):
        response = await mallory.ask(Method.STORE, [KEY, raw], resident.contact)
        assert response is not None
        assert response.code == Code.MALFORMED
    mallory.transport.sendto(bytes((0xD0,)) + bytes(50_000), resident.contact.address)
    await asyncio.sleep(1.0)
    return len(victim.store) > 0


@both(_stock_is_given_a_huge_value, _ours_is_given_a_huge_value)
def test_14_a_value_of_any_size_is_taken(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_value_is_overwritten() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    victim.storage[stock_id(2)] = b"the publisher's"
    mallory = await stock_mallory(world.internet)
    mallory.send("store", stock_id(1), stock_id(2), b"forged", to=(host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return bool(victim.storage.get(stock_id(2)) == b"forged")


async def _ours_value_is_overwritten() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    now = world.loop.wall_time()
    honest = _provider(key_pair(1), now)
    victim.storage[KEY] = honest
    mallory = await our_mallory(world.internet)
    await mallory.ask(Method.PING, [], resident.contact)
    newer = _provider(key_pair(1), now, sequence=9).raw
    forged = newer[:-1] + bytes((newer[-1] ^ 1,))
    older = _provider(key_pair(1), now, sequence=0).raw
    own = _provider(mallory.identity, now, sequence=2**40).raw
    codes = []
    for raw in (forged, older, own):
        response = await mallory.ask(Method.STORE, [KEY, raw], resident.contact)
        codes.append(response and response.code)
    assert codes == [Code.NOT_AUTHENTIC, Code.SEQUENCE_TOO_LOW, Code.OK]
    return honest not in victim.storage[KEY, records.PROVIDER]


@both(_stock_value_is_overwritten, _ours_value_is_overwritten)
def test_14_any_peer_overwrites_the_value_of_another(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_takes_a_value_from_an_unproved_address() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    # One datagram, of a sender that hears nothing back.
    victim.protocol.datagram_received(
        b"\0" + bytes(20) + b"\x92\xa5store\x93\xc4\x01a\xc4\x01k\xc4\x01v", ("9.9.9.9", 9)
    )
    await asyncio.sleep(1.0)
    return bool(victim.storage.get(b"k") == b"v")


async def _ours_takes_a_value_from_an_unproved_address() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    mallory = await our_mallory(world.internet)
    record = _provider(mallory.identity, world.loop.wall_time())
    for _ in range(3):
        mallory.token = b""
        await mallory.ask(Method.STORE, [KEY, record.raw], resident.contact)
    assert {one.code for one in mallory.responses} == {Code.BAD_TOKEN}
    return len(victim.store) > 0


@both(_stock_takes_a_value_from_an_unproved_address, _ours_takes_a_value_from_an_unproved_address)
def test_14_a_spoofed_datagram_stores(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_is_filled_by_one_publisher() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    for number in range(200):
        mallory.send("store", stock_id(1), stock_id(number), b"v", to=(host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return sum(1 for _ in victim.storage) == 200


async def _ours_is_filled_by_one_publisher() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    victim.store._max_per_peer = 20
    mallory = await our_mallory(world.internet)
    await mallory.ask(Method.PING, [], resident.contact)
    for number in range(25):
        mod_id = number.to_bytes(32)
        record = _provider(mallory.identity, world.loop.wall_time(), mod_id=mod_id)
        where = records.provider_key(mod_id)
        response = await mallory.ask(Method.STORE, [where, record.raw], resident.contact)
    assert response is not None
    assert response.code == Code.STORER_FULL
    return len(victim.store) > 20


@both(_stock_is_filled_by_one_publisher, _ours_is_filled_by_one_publisher)
def test_14_one_publisher_fills_the_store(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_value_is_kept_alive_by_another_peer() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    victim.storage[stock_id(1)] = b"v"
    born = victim.storage.data[stock_id(1)][0]
    # As every hourly republishing of any holder does, whether its publisher lives or not.
    victim.protocol.rpc_store(("9.9.9.9", 9), stock_id(2), stock_id(1), b"v")
    return bool(victim.storage.data[stock_id(1)][0] > born)


async def _ours_value_is_kept_alive_by_another_peer() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    record = _provider(key_pair(1), world.loop.wall_time())
    mallory = await our_mallory(world.internet)
    for _ in range(13):
        await mallory.ask(Method.PING, [], resident.contact)
        await mallory.ask(Method.STORE, [KEY, record.raw], resident.contact)
        await asyncio.sleep(2 * 3600.0)
    return bool(victim.storage.get((KEY, records.PROVIDER))) or len(victim.store) > 0


@both(_stock_value_is_kept_alive_by_another_peer, _ours_value_is_kept_alive_by_another_peer)
def test_14_republishing_by_another_peer_keeps_a_value_alive(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_republishing_meets_an_exception() -> bool:
    world = stock_world()
    await world.populate(3)
    victim = world.servers[0][1]
    for number in range(3):
        victim.storage[stock_id(number)] = b"v"
    victim.storage.iter_older_than = lambda _: [(None, b"bad"), (stock_id(1), b"v")]
    stored = _stores(victim.protocol)
    refreshing = asyncio.ensure_future(victim._refresh_table())
    await asyncio.wait({refreshing}, timeout=60.0)
    return refreshing.exception() is not None and not stored


def _stores(protocol: Any) -> list[bytes]:
    stored: list[bytes] = []

    async def call_store(_node: Any, key: bytes, _value: Any) -> Any:
        stored.append(key)
        return (True, True)

    protocol.call_store = call_store
    return stored


async def _ours_republishing_meets_an_exception() -> bool:
    world = our_world()
    await world.populate(3)
    resident = world.residents[0]
    republisher = resident.running.republisher
    for _ in range(3):
        republisher.keep("bad", records.PROVIDER, _fails)
        republisher.keep("good", records.PROVIDER, lambda: ProviderBody(MOD, complete=True))
        await asyncio.sleep(12 * 3600.0)
    other = world.residents[1].running.server
    reading = await other.read(KEY, records.PROVIDER)
    return set(reading.records) != {resident.identity.public_key}


def _fails() -> Body:
    raise BadInput("no body today")


@both(_stock_republishing_meets_an_exception, _ours_republishing_meets_an_exception)
def test_14_one_exception_ends_the_republishing_of_all(attack: Any, works: bool) -> None:
    assert attack() is works


# 15: a slow cache store ---------------------------------------------------------------------------


async def _stock_reads_past_a_contact_that_never_stores() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    holder = await stock_mallory(world.internet, find_value=lambda *_: {"value": b"v"})
    guide = await stock_mallory(
        world.internet, find_value=lambda *_: [(stock_id(2), *holder.address)]
    )
    first = add_stock_contact(victim, stock_id(1), guide.address)
    started = world.loop.time()
    crawl = ValueSpiderCrawl(victim.protocol, StockNode(bytes(20)), [first], 20, 3)
    assert await crawl.find() == b"v"
    return world.loop.time() - started >= 5.0


async def _ours_reads_past_a_contact_that_never_stores() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    record = _provider(key_pair(8), world.loop.wall_time())
    holder = await our_mallory(
        world.internet,
        key_pair(1),
        ping=pong,
        find_value=lambda _: [b"", b"", [record.raw], 1, b""],
    )
    guide = await our_mallory(
        world.internet,
        key_pair(2),
        find_value=lambda _: [holder.contact.packed, b"", [], 0, b""],
    )
    victim.protocol.maintenance.answered(guide.contact)
    started = world.loop.time()
    reading = await victim.read(KEY, records.PROVIDER, enough=lambda one: bool(one.records))
    assert reading.records
    return world.loop.time() - started > 0.5


@both(_stock_reads_past_a_contact_that_never_stores, _ours_reads_past_a_contact_that_never_stores)
def test_15_a_read_waits_for_a_store_that_was_not_asked_for(attack: Any, works: bool) -> None:
    assert attack() is works
