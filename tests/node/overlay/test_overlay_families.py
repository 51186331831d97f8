"""The overlay on IPv4, on IPv6 and on both: the same scenarios, and bridges between families."""

import asyncio
from typing import Any

import pytest

from protocol import limits, records
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.records import ProviderBody, Record
from protocol.signaling import Offer
from simulations.attacks.raw_peer import RawPeer
from simulations.internet.latency import UniformLatency
from simulations.residents.world import (
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from tests.node.overlay.attacks.arena import key_pair
from tests.node.overlay.network import describing, description, open_peer

MOD = bytes(range(32))
KEY = records.provider_key(MOD)
FAMILIES = {"v4": (True, False), "v6": (False, True), "both": (True, True)}
each_family = pytest.mark.parametrize(("v4", "v6"), FAMILIES.values(), ids=FAMILIES)


def _world() -> World:
    settings = simulated_settings(cipher=cipher_named("test"))
    return World(1, latency=UniformLatency(0.05), settings=settings)


async def _publish(publisher: Resident) -> Record:
    running = publisher.running
    record = running.republisher.make(records.PROVIDER, ProviderBody(MOD, complete=True))
    published = await publisher.host.create_task(running.server.publish(record))
    assert published.confirmed >= limits.PUBLISHED_SHARE * published.asked > 0
    await asyncio.sleep(5)
    return record


async def _read(reader: Resident) -> set[bytes]:
    reading = await reader.host.create_task(reader.running.server.read(KEY, records.PROVIDER))
    return set(reading.records)


def _known(resident: Resident, family: int) -> set[bytes]:
    entries = resident.running.server.tables.entries()
    return {one.contact.peer_id for one in entries if one.contact.family == family}


def _ids(residents: list[Resident]) -> set[bytes]:
    return {one.identity.peer_id for one in residents}


@each_family
async def test_every_node_is_known_by_every_address(v4: bool, v6: bool) -> None:
    world = _world()
    await world.populate(12, v4=v4, v6=v6)
    await asyncio.sleep(30)
    for one in world.residents:
        others = _ids(world.residents) - {one.identity.peer_id}
        assert _known(one, 4) == (others if v4 else set())
        assert _known(one, 6) == (others if v6 else set())
    await world.close()


@each_family
async def test_records_are_found_with_dead_contacts(v4: bool, v6: bool) -> None:
    world = _world()
    await world.populate(24, v4=v4, v6=v6)
    record = await _publish(world.residents[0])
    for one in world.residents[2:9]:
        one.host.unplug()
    for reader in world.residents[9:14]:
        assert await _read(reader) == {record.public_key}
    await world.close()


@each_family
async def test_a_registered_peer_is_called(v4: bool, v6: bool) -> None:
    world = _world()
    await world.populate(12, v4=v4, v6=v6)
    callee, caller = (
        world.add(unreachable=True, host=world.internet.add_host(v4=v4, v6=v6)) for _ in range(2)
    )
    for one in (callee, caller):
        await one.start()
        await one.running.registrations.registered.wait()
    callee.running.callee.accept_calls(_accept)
    calling = caller.running.caller.call(callee.identity.peer_id, describing())
    result = await caller.host.create_task(calling)
    assert result.description == description(2)
    assert set(result.signaled_via) <= _ids(world.residents[:12])
    assert result.signaled_via
    await world.close()


async def _accept(_: Offer) -> Any:
    return description(2)


async def test_dual_stack_nodes_bridge_the_families() -> None:
    world = _world()
    await world.populate(8, v4=True, v6=True)
    await world.populate(12, v4=True, v6=False)
    await world.populate(12, v4=False, v6=True)
    await asyncio.sleep(30)
    dual, old, new = world.residents[:8], world.residents[8:20], world.residents[20:]
    assert all(not _known(one, 6) for one in old)
    assert all(not _known(one, 4) for one in new)
    for one in dual:
        assert _known(one, 4).intersection(_ids(old))
        assert _known(one, 6).intersection(_ids(new))
    published = {(await _publish(one)).public_key for one in (old[0], new[0], dual[0])}
    for reader in (*old[1:5], *new[1:5], *dual[1:5]):
        assert await _read(reader) == published
    await world.close()


async def test_without_a_bridge_the_families_are_apart() -> None:
    world = _world()
    await world.populate(6, v4=True, v6=False)
    await world.populate(6, v4=False, v6=True)
    await _publish(world.residents[0])
    assert await _read(world.residents[11]) == set()
    await world.close()


ARGUMENTS: dict[Method, list[Any]] = {
    Method.PING: [],
    Method.MEET: [],
    Method.FIND_NODE: [bytes(20), 3],
    Method.FIND_VALUE: [KEY, records.PROVIDER, 0, 3],
    Method.STORE: [bytes(20), b""],
    Method.REGISTER: [b""],
    Method.KEEPALIVE: [],
    Method.SIGNAL: [bytes(20), b"sealed", 0],
    Method.DELIVER: [bytes(100), 0],
    Method.DIALBACK: [bytes(16), b""],
    Method.DIAL: [bytes(16), bytes.fromhex("2a00000000010000000000000000000100010fa1")[:18]],
    Method.WITNESS: [bytes(16)],
    Method.WITNESSED: [bytes(16)],
    Method.CREDENTIALS: [],
    Method.LEAVE: [],
}


@pytest.mark.parametrize("method", Method)
async def test_no_request_from_an_ipv6_address_is_amplified(method: Method) -> None:
    world = World(1, latency=UniformLatency(0.05))
    victim = world.add(host=world.internet.add_host(v4=False, v6=True))
    await victim.start()
    for number in range(30):
        where = Address(f"2a00:{number:x}::1", 5)
        contact = Contact.at(key_pair(100 + number).public_key, where)
        victim.running.server.protocol.maintenance.answered(contact)
    unknown = RawPeer(key_pair(0), {})
    await unknown.move_in(world.internet, v6=True)
    for _ in range(3):
        unknown.token = b""
        await unknown.ask(method, ARGUMENTS[method], victim.contact)
    await asyncio.sleep(10)
    assert unknown.responses
    assert 0 < unknown.received_bytes <= unknown.sent_bytes
    await world.close()


@pytest.mark.usefixtures("machine")
async def test_calls_and_registrations_on_ipv6_loopback() -> None:
    bind = Address("::1", 0)
    peers = [await open_peer(seed, unreachable=seed > 3, bind=bind) for seed in range(6)]
    for peer in peers[1:]:
        await peer.join(peers[0].address)
    callee, caller = peers[4:]
    registrations = await callee.register()
    callee.callee.accept_calls(_accept)
    result = await caller.caller.call(callee.server.identity.peer_id, describing())
    assert result.description == description(2)
    registrars = {contact.peer_id for contact in registrations.registrars}
    assert set(result.signaled_via) <= registrars
    assert all(contact.family == 6 for contact in registrations.registrars)
    for peer in peers:
        await peer.close()
