"""Attacks by what a contact replies: each reply is of a contact that the victim asked."""

import asyncio
from typing import Any

import pytest
from kademlia.node import Node as StockNode

from protocol import records
from protocol.addresses import Address, pack_address
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.messages import Method
from protocol.records import ProviderBody
from simulations.residents.world import PORT
from tests.node.overlay.attacks.arena import (
    add_stock_contact,
    answers_ping,
    both,
    failures,
    key_pair,
    our_mallory,
    our_server,
    our_world,
    pong,
    stock_id,
    stock_mallory,
    stock_server,
    stock_world,
)

# 1: an address that cannot be sent to -------------------------------------------------------------


async def _stock_is_sent_to_a_bad_address(host: Any, port: Any) -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    named = [(stock_id(1), host, port)]
    mallory = await stock_mallory(
        world.internet, ping=lambda _: stock_id(0), find_node=lambda *_: named
    )
    bootstrapping = asyncio.ensure_future(victim.bootstrap([mallory.address]))
    await asyncio.wait({bootstrapping}, timeout=30.0)
    return bool(victim.transport.is_closing())


async def _ours_is_sent_to_a_bad_address(packed_address: bytes) -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    named = [key_pair(number).public_key + packed_address for number in range(1, 4)]
    of_v4 = b"".join(one for one in named if len(one) == 38)
    of_v6 = b"".join(one for one in named if len(one) == 50)
    mallory = await our_mallory(
        world.internet, ping=pong, find_node=lambda _: [of_v4, of_v6, [], 0, b""]
    )
    await victim.bootstrap([mallory.contact])
    assert any(request.method == Method.FIND_NODE for request in mallory.requests)
    await asyncio.sleep(10.0)
    return not await answers_ping(resident) or len(victim.tables) != 1


@both(
    _stock_is_sent_to_a_bad_address,
    _ours_is_sent_to_a_bad_address,
    [
        ((None, PORT), (pack_address(Address("1.2.3.4", 1))[:4] + b"\0\0",)),
        (("1.2.3.4", 70000), (bytes(4) + b"\0\1",)),
        (("1.2.3.4", -1), (b"\xe0\0\0\1\0\1",)),
        (("1.2.3.4\0", PORT), (b"\xff\xff\xff\xff\0\1",)),
        ((5, PORT), (bytes(10) + b"\xff\xff\1\2\3\4\0\1",)),
    ],
)
def test_01_a_named_address_that_cannot_be_sent_to_closes_the_socket(
    attack: Any, works: bool
) -> None:
    assert attack() is works


# 3: a reply that is no reply ----------------------------------------------------------------------


async def _stock_gets_a_malformed_reply(answer: Any, doing: str) -> bool:
    world = stock_world()
    await world.populate(4)
    victim = world.servers[0][1]
    near = bytes(19) + b"\1"
    mallory = await stock_mallory(
        world.internet,
        ping=lambda _: near,
        find_node=lambda *_: answer,
        find_value=lambda *_: answer,
        store=lambda *_: True,
    )
    add_stock_contact(victim, near, mallory.address)
    try:
        await {"set": lambda: victim.set("key", "value"), "get": lambda: victim.get("key")}[doing]()
    except (TypeError, ValueError, AttributeError, KeyError):
        return True
    return False


async def _ours_gets_a_malformed_reply(result: list[Any], doing: str) -> bool:
    world = our_world()
    await world.populate(4)
    victim = world.residents[0].running
    mallory = await our_mallory(
        world.internet,
        ping=pong,
        find_node=lambda _: result,
        find_value=lambda _: result,
        store=lambda _: result,
    )
    victim.server.protocol.maintenance.answered(mallory.contact)
    record = victim.republisher.make(records.PROVIDER, ProviderBody(bytes(32), complete=True))
    if doing == "set":
        published = await victim.server.publish(record)
        return published.confirmed < 3
    await world.residents[1].running.server.publish(record)
    reading = await victim.server.read(record.key, records.PROVIDER)
    assert mallory.requests
    return set(reading.records) != {record.public_key}


@both(
    _stock_gets_a_malformed_reply,
    _ours_gets_a_malformed_reply,
    [
        (([(stock_id(1), "1.2.3.4", 1, 2)], "set"), ([b"", b"", []], "set")),
        ((5, "set"), ([5], "set")),
        (([("text", "1.2.3.4", 1)], "set"), (["", b"", [], 0, b""], "set")),
        (([5], "get"), ([b"x" * 39, b"", [], 0, b""], "get")),
        (({"value": [1]}, "get"), ([b"", b"", [[1]], 1, b""], "get")),
        (({"no value": 1}, "get"), ([b"", b"", [b"no record"], 1, b""], "get")),
        (([(b"\xff" * 21, "1.2.3.4", 1)], "get"), ([b"", b"", [b""] * 99, 99, b""], "get")),
    ],
)
def test_03_a_malformed_reply_aborts_a_whole_set_or_get(attack: Any, works: bool) -> None:
    assert attack() is works


# 4: a good contact's id at a dead port ------------------------------------------------------------


async def _stock_hears_a_lie_about_a_good_contact() -> bool:
    world = stock_world()
    await world.populate(3)
    victim, (good_host, good) = world.servers[0][1], world.servers[1]
    lie = [(good.node.id, good_host.address(), 9)]
    mallory = await stock_mallory(
        world.internet, ping=lambda _: stock_id(0), find_node=lambda *_: lie
    )
    victim.protocol.router.remove_contact(good.node)
    add_stock_contact(victim, stock_id(0), mallory.address)
    good_node = add_stock_contact(victim, good.node.id, (good_host.address() or "", PORT))
    # The victim asks only Mallory, which names the dead port.
    await _stock_lookup(victim, good.node.id, [StockNode(stock_id(0), *mallory.address)])
    return bool(victim.protocol.router.is_new_node(good_node))


async def _stock_lookup(server: Any, target: bytes, peers: list[StockNode]) -> Any:
    from kademlia.crawling import NodeSpiderCrawl

    crawl = NodeSpiderCrawl(server.protocol, StockNode(target), peers, server.ksize, server.alpha)
    return await crawl.find()


async def _ours_hears_a_lie_about_a_good_contact() -> bool:
    world = our_world()
    await world.populate(3)
    victim, good = world.residents[0].running.server, world.residents[1]
    lie = Contact.at(good.identity.public_key, Address(good.contact.address.host, 9))
    mallory = await our_mallory(
        world.internet, ping=pong, find_node=lambda _: [lie.packed, b"", [], 0, b""]
    )
    victim.protocol.maintenance.answered(mallory.contact)
    for _ in range(4):
        victim.protocol.maintenance.verify(lie)
        await victim.lookup(good.identity.peer_id)
        await asyncio.sleep(10.0)
    entry = victim.tables.of(good.contact).get(good.identity.peer_id)
    return entry is None or entry.contact != good.contact or entry.failures > 0


@both(_stock_hears_a_lie_about_a_good_contact, _ours_hears_a_lie_about_a_good_contact)
def test_04_a_good_id_named_at_a_dead_port_evicts_the_good_contact(
    attack: Any, works: bool
) -> None:
    assert attack() is works


async def _stock_meets_a_claimed_id() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    claimed = bytes(a ^ b for a, b in zip(victim.node.id, bytes(19) + b"\1", strict=True))
    mallory = await stock_mallory(world.internet)
    mallory.send("ping", claimed, to=(world.servers[0][0].address() or "", PORT))
    await asyncio.sleep(1.0)
    return not victim.protocol.router.is_new_node(StockNode(claimed))


async def _ours_meets_a_claimed_id() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    # The key of another, and a seal that only its owner could make: all that is left to claim.
    mallory = await our_mallory(world.internet)
    honest = key_pair(5)
    datagram = bytearray(mallory.send(Method.PING, [], resident.contact))
    datagram[1:33] = honest.public_key
    before = len(mallory.responses)
    mallory.transport.sendto(bytes(datagram), resident.contact.address)
    await asyncio.sleep(1.0)
    claimed = victim.tables.of(mallory.contact).get(honest.peer_id)
    refused = resident.running.server.counters.refused["not_authentic"]
    return claimed is not None or refused != 1 or len(mallory.responses) - before > 1


@both(_stock_meets_a_claimed_id, _ours_meets_a_claimed_id)
def test_04_any_peer_enters_the_table_under_any_id(attack: Any, works: bool) -> None:
    assert attack() is works


# 5: a reply from elsewhere ------------------------------------------------------------------------


async def _stock_is_answered_from_elsewhere() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    asked = await stock_mallory(world.internet)
    elsewhere = await stock_mallory(world.internet)
    received: list[tuple[bytes, Any]] = []
    asked.datagram_received = lambda data, addr: received.append((data, addr))  # type: ignore[method-assign]
    _rebind(asked)
    asking = asyncio.ensure_future(victim.protocol.ping(asked.address, victim.node.id))
    await asyncio.sleep(1.0)
    ((data, victim_address),) = received
    elsewhere.transport.sendto(b"\1" + data[1:21] + b"\xa6forged", victim_address)
    return bool(await asking == (True, "forged"))


async def _ours_is_answered_from_elsewhere() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    asked = await our_mallory(world.internet)
    elsewhere = await our_mallory(world.internet)  # the same identity, at another address
    asking = asyncio.ensure_future(victim.wire.ask(asked.contact, Method.PING, [], tries=1))
    await asyncio.sleep(0.5)
    (request,) = asked.requests
    victim_key = resident.identity.public_key
    elsewhere.answer(request, [1], victim_key, resident.contact.address)
    outcomes = await asyncio.gather(asking, return_exceptions=True)
    assert victim.counters.refused["unexpected_reply"] == 1
    return not isinstance(outcomes[0], ModswarmError)


def _rebind(mallory: Any) -> None:
    """Let the transport see a `datagram_received` that was replaced."""
    mallory.transport.set_protocol(mallory)


@both(_stock_is_answered_from_elsewhere, _ours_is_answered_from_elsewhere)
def test_05_a_reply_from_another_address_is_believed(attack: Any, works: bool) -> None:
    assert attack() is works


# 8: ever closer -----------------------------------------------------------------------------------


async def _stock_is_led_ever_closer() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    target = bytes(20)
    steps = iter(range(1, 100_000))

    def closer(*_: Any) -> list[Any]:
        return [((2**159 - next(steps)).to_bytes(20), *mallory.address)]

    mallory = await stock_mallory(world.internet, ping=lambda _: stock_id(0), find_node=closer)
    first = StockNode(b"\xff" * 20, *mallory.address)
    try:
        await _stock_lookup(victim, target, [first])
    except RecursionError:
        return True
    return len(mallory.requests) > 500


async def _ours_is_led_ever_closer() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    target = bytes(20)
    many = [await our_mallory(world.internet, key_pair(number)) for number in range(400)]
    many.sort(key=lambda one: -one.contact.number)
    for place, one in enumerate(many):
        named = b"".join(other.contact.packed for other in many[place + 1 : place + 3])
        one.answers = {
            Method.PING: pong,
            Method.FIND_NODE: lambda _, named=named: [named, b"", [], 0, b""],  # type: ignore[misc]
        }
    victim.protocol.maintenance.answered(many[0].contact)
    lookup = await victim.lookup(target)
    assert isinstance(lookup, Lookup)
    return lookup.requests > 120 or len(lookup._candidates) > 200


@both(_stock_is_led_ever_closer, _ours_is_led_ever_closer)
def test_08_ever_closer_contacts_lead_a_lookup_on_without_end(attack: Any, works: bool) -> None:
    assert attack() is works


# 18: host names ----------------------------------------------------------------------------------


async def _stock_is_made_to_resolve_a_name() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    resolved = _watch_names(world.internet)
    named = [(stock_id(1), "tracking.example", PORT)]
    mallory = await stock_mallory(
        world.internet, ping=lambda _: stock_id(0), find_node=lambda *_: named
    )
    bootstrapping = asyncio.ensure_future(victim.bootstrap([mallory.address]))
    await asyncio.wait({bootstrapping}, timeout=30.0)
    return "tracking.example" in resolved


async def _ours_is_made_to_resolve_a_name() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    resolved = _watch_names(world.internet)
    name = key_pair(1).public_key + b"tracking.example\0\1"
    mallory = await our_mallory(
        world.internet, ping=pong, find_node=lambda _: [b"", name, [], 0, b""]
    )
    await victim.bootstrap([mallory.contact])
    await asyncio.sleep(10.0)
    assert any(request.method == Method.FIND_NODE for request in mallory.requests)
    return any("example" in one for one in resolved)


def _watch_names(internet: Any) -> list[str]:
    """The names that are looked up from now on."""
    names, seen = internet.names, []
    original = names.resolve

    def resolve(name: str, family: int) -> Any:
        seen.append(name)
        return original(name, family)

    names.resolve = resolve
    return seen


@both(_stock_is_made_to_resolve_a_name, _ours_is_made_to_resolve_a_name)
def test_18_a_host_name_in_a_reply_reaches_the_resolver(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_is_called_from_a_mapped_address() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    # A `::` socket of a real machine shows IPv4 senders so, and the stock library passes it on.
    victim.protocol.rpc_ping(("::ffff:1.2.3.4", 5, 0, 0), stock_id(3))
    named = victim.protocol.rpc_find_node(("1.2.3.5", 6), stock_id(4), stock_id(3))
    return any("::ffff:" in str(host) for _, host, _ in [tuple(one) for one in named]) or any(
        "::ffff:" in node.ip for node in victim.protocol.router.find_neighbors(StockNode(bytes(20)))
    )


async def _ours_is_called_from_a_mapped_address() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    mallory = await our_mallory(world.internet)
    datagram = mallory.send(Method.PING, [], resident.contact)
    demux = resident.running.endpoint.demux
    heard: list[Address] = []
    demux.register_reader(0xDF, lambda _, address: heard.append(address))
    mapped = ("::ffff:1.2.3.4", 5, 0, 0)
    burst = [(one, len(one), mapped) for one in (datagram, b"\xdf")]
    demux.burst_received(burst, resident.contact.address)
    return heard != [Address("1.2.3.4", 5)] or len(victim.tables) > 0


@both(_stock_is_called_from_a_mapped_address, _ours_is_called_from_a_mapped_address)
def test_18_mapped_addresses_are_handed_out(attack: Any, works: bool) -> None:
    assert attack() is works


def test_the_arena_notices_exceptions_that_are_not_caught() -> None:
    async def scenario() -> bool:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1.0)
        return failures() == ["ZeroDivisionError"]

    from tests.node.overlay.attacks.arena import _played

    assert _played("stock", scenario, ())()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        _played("ours", scenario, ())()
