"""Attacks that cost the victim time, memory or bandwidth."""

import asyncio
from typing import Any

import pytest

from protocol import datagrams, limits, records
from protocol.addresses import Address
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.errors import Oversized
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.records import ProviderBody
from simulations.residents.world import PORT
from simulations.seeds import derive_rng
from tests.node.overlay.attacks.arena import (
    SEED,
    add_stock_contact,
    both,
    failures,
    key_pair,
    our_mallory,
    our_server,
    our_world,
    stock_id,
    stock_mallory,
    stock_server,
    stock_world,
)

# 7: dead contacts ---------------------------------------------------------------------------------

NODES = 60
DEAD = 20


async def _stock_looks_among_the_dead() -> bool:
    world = stock_world()
    await world.populate(NODES)
    for host, _ in derive_rng(SEED, "dead").sample(world.servers[1:], DEAD):
        host.unplug()
    host, victim = world.servers[0]
    started = world.loop.time()
    with host.running():
        await world.closest(victim, stock_id(1))
    return world.loop.time() - started >= 5.0


async def _ours_looks_among_the_dead() -> bool:
    world = our_world()
    await world.populate(NODES)
    await asyncio.sleep(30.0)
    for resident in derive_rng(SEED, "dead").sample(world.residents[1:], DEAD):
        resident.host.unplug()
    victim = world.residents[0]
    started = world.loop.time()
    with victim.host.running():
        lookup = await victim.running.server.lookup(stock_id(1))
    assert len(lookup.closest()) >= limits.K // 2
    return world.loop.time() - started > 1.5


@both(_stock_looks_among_the_dead, _ours_looks_among_the_dead)
def test_07_dead_contacts_cost_five_seconds_a_round(attack: Any, works: bool) -> None:
    assert attack() is works


# 16: many requests --------------------------------------------------------------------------------


async def _stock_is_pinged_often() -> bool:
    world = stock_world()
    host, _ = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    await asyncio.sleep(1.0)
    tasks = _count_tasks()
    for _ in range(3000):
        mallory.send("ping", stock_id(1), to=(host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return len(tasks) >= 2 * 3000 and len(mallory.responses) == 3000


async def _ours_is_pinged_often() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    mallory = await our_mallory(world.internet)
    await mallory.ask(Method.PING, [], resident.contact)
    tasks = _count_tasks()
    for _ in range(3000):
        mallory.send(Method.KEEPALIVE, [], resident.contact)
    await asyncio.sleep(0.5)
    assert victim.counters.refused["rate_limited"] > 0
    served = limits.REQUEST_BURST_PER_HOST + limits.REQUESTS_PER_SECOND_PER_HOST
    return len(tasks) > 0 or len(mallory.responses) > served


def _count_tasks() -> list[None]:
    """Grows by one for each task that is made from now on."""
    made: list[None] = []
    loop = asyncio.get_running_loop()
    original = loop.create_task

    def create_task(*args: Any, **options: Any) -> Any:
        made.append(None)
        return original(*args, **options)

    loop.create_task = create_task  # type: ignore[method-assign]
    return made


@both(_stock_is_pinged_often, _ours_is_pinged_often)
def test_16_each_datagram_costs_tasks_and_nothing_limits_them(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_is_sent_garbage() -> bool:
    world = stock_world()
    host, _ = await stock_server(world)
    mallory = await stock_mallory(world.internet)
    mallory.transport.sendto(b"\0" + bytes(20) + b"\xc1", (host.address() or "", PORT))
    await asyncio.sleep(1.0)
    return bool(failures())


async def _ours_is_sent_garbage() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    mallory = await our_mallory(world.internet)
    for body in (b"\xc1", b"", b"\x90", bytes(44)):
        datagram = mallory.sealed(body, resident.identity.public_key)
        mallory.transport.sendto(datagram, resident.contact.address)
    await asyncio.sleep(1.0)
    return bool(failures()) or victim.counters.refused["malformed"] != 4


@both(_stock_is_sent_garbage, _ours_is_sent_garbage)
def test_16_exceptions_of_garbage_are_lost_in_tasks(attack: Any, works: bool) -> None:
    assert attack() is works


# 17: cancelled calls, names that spring into being, replies that vanish ---------------------------


async def _stock_cancels_a_call() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    mallory = await stock_mallory(world.internet, ping=lambda _: stock_id(1))
    asking = victim.protocol.ping(mallory.address, victim.node.id)
    asking.cancel()
    await asyncio.sleep(10.0)
    return "InvalidStateError" in failures()


async def _ours_cancels_a_call() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    mallory = await our_mallory(world.internet, ping=lambda _: [1])
    asking = asyncio.ensure_future(victim.wire.ask(mallory.contact, Method.PING, []))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(10.0)
    assert mallory.requests
    return bool(failures()) or victim.wire.pending_count > 0


@both(_stock_cancels_a_call, _ours_cancels_a_call)
def test_17_a_cancelled_call_leaves_an_error_behind(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_has_any_attribute() -> bool:
    world = stock_world()
    _, victim = await stock_server(world)
    return hasattr(victim.protocol, "no_such_thing")


async def _ours_has_any_attribute() -> bool:
    world = our_world()
    _, victim = await our_server(world)
    return hasattr(victim.protocol, "no_such_thing")


@both(_stock_has_any_attribute, _ours_has_any_attribute)
def test_17_a_mistyped_name_becomes_a_remote_call(attack: Any, works: bool) -> None:
    assert attack() is works


async def _stock_answers_more_than_a_datagram() -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    victim.storage[stock_id(2)] = bytes(70_000)
    mallory = await stock_mallory(world.internet)
    mallory.send("find_value", stock_id(1), stock_id(2), to=(host.address() or "", PORT))
    await asyncio.sleep(10.0)
    return not mallory.responses


async def _ours_answers_more_than_a_datagram() -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    key = records.provider_key(bytes(32))
    for number in range(100):
        body = ProviderBody(bytes(32), complete=True)
        victim.storage[key] = records.make(
            key_pair(number), records.PROVIDER, body, now=world.loop.wall_time(), sequence=1
        )
    mallory = await our_mallory(world.internet)
    await mallory.ask(Method.PING, [], resident.contact)
    sent: list[int] = []
    seen = 0
    while seen < 100:
        arguments = [key, records.PROVIDER, seen, 3]
        response = await mallory.ask(Method.FIND_VALUE, arguments, resident.contact)
        if response is None or not response.result[2]:
            return True
        sent.append(len(response.result[2]))
        seen += sent[-1]
    with pytest.raises(Oversized):
        mallory.sealed(bytes(DATAGRAM_BODY_BYTES + 1), resident.identity.public_key)
    return seen != 100


@both(_stock_answers_more_than_a_datagram, _ours_answers_more_than_a_datagram)
def test_17_a_reply_beyond_a_datagram_vanishes(attack: Any, works: bool) -> None:
    assert attack() is works


# 21: amplification --------------------------------------------------------------------------------


async def _stock_amplifies(method: str) -> bool:
    world = stock_world()
    host, victim = await stock_server(world)
    victim.storage[stock_id(2)] = bytes(8000)
    for number in range(30):
        add_stock_contact(victim, stock_id(number), (f"1.2.3.{number + 1}", 40_000))
    mallory = await stock_mallory(world.internet)
    mallory.send(method, stock_id(99), stock_id(2), to=(host.address() or "", PORT))
    await asyncio.sleep(10.0)
    return mallory.received_bytes > 5 * mallory.sent_bytes


async def _ours_amplifies(method: Method, arguments: list[Any]) -> bool:
    world = our_world()
    resident, victim = await our_server(world)
    key = records.provider_key(bytes(32))
    body = ProviderBody(bytes(32), complete=True)
    now = world.loop.wall_time()
    victim.storage[key] = records.make(key_pair(8), records.PROVIDER, body, now=now, sequence=1)
    for number in range(30):
        where = Address(f"{30 + number}.2.3.4", 5)
        victim.protocol.maintenance.answered(Contact.at(key_pair(100 + number).public_key, where))
    mallory = await our_mallory(world.internet)
    for _ in range(3):
        mallory.token = b""
        await mallory.ask(method, arguments, resident.contact)
    await asyncio.sleep(10.0)
    assert mallory.responses
    return mallory.received_bytes > mallory.sent_bytes


@both(
    _stock_amplifies,
    _ours_amplifies,
    [
        (("find_node",), (Method.FIND_NODE, [bytes(20), 3])),
        (
            ("find_value",),
            (Method.FIND_VALUE, [records.provider_key(bytes(32)), records.PROVIDER, 0, 3]),
        ),
        (("find_node",), (Method.PING, [])),
        (("find_node",), (Method.MEET, [])),
        (("find_value",), (Method.STORE, [bytes(20), b""])),
        (("find_value",), (Method.REGISTER, [b""])),
        (("find_value",), (Method.KEEPALIVE, [])),
        (("find_value",), (Method.SIGNAL, [bytes(20), b"sealed", 0])),
        (("find_value",), (Method.DELIVER, [bytes(100), 0])),
        (("find_node",), (Method.DIALBACK, [bytes(16), b""])),
        (("find_node",), (Method.DIAL, [bytes(16), bytes.fromhex("1e0203040fa1")])),
        (("find_node",), (Method.WITNESS, [bytes(16)])),
        (("find_node",), (Method.WITNESSED, [bytes(16)])),
        (("find_node",), (Method.CREDENTIALS, [])),
        (("find_node",), (Method.LEAVE, [])),
    ],
)
def test_21_a_spoofed_request_is_amplified(attack: Any, works: bool) -> None:
    assert attack() is works


def test_21_every_method_is_among_the_attacks() -> None:
    marks = test_21_a_spoofed_request_is_amplified.pytestmark
    labels = [param.id for param in marks[0].args[1] if param.id.startswith("ours")]
    assert len(labels) == len(Method)


async def _ours_amplifies_a_hello() -> bool:
    world = our_world()
    resident, _ = await our_server(world)
    mallory = await our_mallory(world.internet)
    heard: list[bytes] = []
    mallory.datagram_received = lambda data, addr: heard.append(data)  # type: ignore[method-assign]
    mallory.transport.set_protocol(mallory)
    question = datagrams.hello(bytes(16))
    mallory.transport.sendto(question, resident.contact.address)
    mallory.transport.sendto(question[:20], resident.contact.address)
    await asyncio.sleep(10.0)
    return sum(map(len, heard)) != len(question)


@both(lambda: _stock_amplifies("find_value"), _ours_amplifies_a_hello)
def test_21_a_spoofed_hello_is_amplified(attack: Any, works: bool) -> None:
    assert attack() is works
