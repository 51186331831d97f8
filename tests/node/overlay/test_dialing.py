"""Dial-backs for others: no host gets what it did not ask for, or more than the limits allow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.net.endpoint import Endpoint
from protocol import datagrams, limits
from protocol.addresses import Address, pack_address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.reachability.host_filter import make_host_filter
from simulations.attacks.raw_peer import RawPeer
from simulations.internet import UniformLatency
from simulations.residents.world import Resident, World

RANDOM = bytes(range(16))


class Victim(asyncio.DatagramProtocol):
    """A machine that asked for nothing, and hears everything."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.sources: list[Address] = []

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.heard.append(data)
        self.sources.append(Address(*addr[:2]))


@asynccontextmanager
async def street(count: int = 8) -> AsyncIterator[tuple[World, Resident, RawPeer]]:
    """Some nodes, the one that is attacked, and the attacker with a token of it.

    Of four, each has three contacts, and asks for no dial-backs of its own.
    """
    world = World(1, latency=UniformLatency(0.05))
    await world.populate(count)
    attacker = RawPeer(Identity((0).to_bytes(32)), {})
    await attacker.move_in(world.internet)
    target = world.residents[3]
    await attacker.ask(Method.PING, [], target.contact)
    yield world, target, attacker
    await world.close()


async def victim_in(world: World) -> tuple[Victim, Address]:
    victim, host = Victim(), world.internet.add_host()
    address = Address(host.addresses[0], 4001)
    with host.running():
        await world.loop.create_datagram_endpoint(lambda: victim, local_addr=address)
    return victim, address


async def code_of(attacker: RawPeer, to: Resident, method: Method, arguments: list[Any]) -> int:
    response = await attacker.ask(method, arguments, to.contact)
    assert response is not None
    return response.code


async def test_a_dial_sends_one_short_datagram() -> None:
    async with street() as (world, target, attacker):
        victim, address = await victim_in(world)
        arguments = [RANDOM, pack_address(address)]
        assert await code_of(attacker, target, Method.DIAL, arguments) == Code.OK
        assert victim.heard == [datagrams.dialback(RANDOM)]
        assert len(victim.heard[0]) < 60, "shorter than any request"


async def test_dials_leave_from_one_port_that_is_for_nothing_else() -> None:
    async with street(4) as (world, target, attacker):
        victims = [await victim_in(world) for _ in range(2)]
        before = set(target.running.endpoint._ports)
        for _, address in victims:
            arguments = [RANDOM, pack_address(address)]
            attacker.send(Method.DIAL, arguments, target.contact)
            await asyncio.sleep(0.5)
        sources = {source for victim, _ in victims for source in victim.sources}
        assert {source.host for source in sources} == {target.contact.address.host}
        (port,) = {source.port for source in sources}
        assert port != target.contact.address.port
        (extra,) = set(target.running.endpoint._ports) - before
        assert extra.port == port
        counters = target.running.server.counters
        refused = counters.refused["deaf_port"]
        answered = len(attacker.responses)
        attacker.send(Method.PING, [], Contact.at(target.identity.public_key, sources.pop()))
        await asyncio.sleep(0.5)
        assert counters.refused["deaf_port"] == refused + 1
        assert len(attacker.responses) == answered


async def test_without_a_socket_a_dial_is_refused_and_the_next_one_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with street(4) as (world, target, attacker):
        victim, address = await victim_in(world)
        arguments = [RANDOM, pack_address(address)]

        async def fail(_endpoint: Endpoint, _family: int, *, deaf: bool) -> Address:
            raise OSError("too many open files")

        with monkeypatch.context() as patching:
            patching.setattr(Endpoint, "open_another", fail)
            assert await code_of(attacker, target, Method.DIAL, arguments) == Code.REFUSED
        await asyncio.sleep(1.5)
        assert victim.heard == []
        assert await code_of(attacker, target, Method.DIAL, arguments) == Code.OK
        await asyncio.sleep(0.5)
        assert victim.heard == [datagrams.dialback(RANDOM)]


async def test_one_asker_gets_eight_at_once_and_one_a_second() -> None:
    async with street() as (_, target, attacker):
        for number in range(40):
            where = pack_address(Address(f"5.6.{number}.7", 4001))
            attacker.send(Method.DIAL, [RANDOM, where], target.contact)
        await asyncio.sleep(0.5)
        codes = [one.code for one in attacker.responses[-40:]]
        assert codes.count(Code.OK) == limits.DIALS_BURST_PER_ASKER


@pytest.mark.parametrize(
    "host", ["192.168.1.1", "10.0.0.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "224.0.0.1"]
)
async def test_only_global_addresses_are_dialled(host: str) -> None:
    async with street() as (_, target, attacker):
        sent = target.running.endpoint.sent_hosts
        packed = bytes(map(int, host.split("."))) + (4001).to_bytes(2)
        assert await code_of(attacker, target, Method.DIAL, [RANDOM, packed]) == Code.MALFORMED
        assert host not in sent


@pytest.mark.parametrize("random", [b"", RANDOM[:-1], RANDOM + b"x"])
async def test_a_random_has_sixteen_bytes(random: bytes) -> None:
    async with street() as (world, target, attacker):
        victim, address = await victim_in(world)
        arguments = [random, pack_address(address)]
        assert await code_of(attacker, target, Method.DIAL, arguments) == Code.MALFORMED
        assert await code_of(attacker, target, Method.DIALBACK, [random, b""]) == Code.MALFORMED
        assert victim.heard == []


@pytest.mark.parametrize("method", [Method.DIAL, Method.DIALBACK])
async def test_without_proof_of_address_nothing_is_sent(method: Method) -> None:
    async with street() as (world, target, attacker):
        victim, address = await victim_in(world)
        attacker.token = b""
        arguments = [RANDOM, b""] if method == Method.DIALBACK else [RANDOM, pack_address(address)]
        attacker.send(method, arguments, target.contact)
        await asyncio.sleep(1)
        assert attacker.responses[-1].code == Code.BAD_TOKEN
        assert victim.heard == []


async def test_one_asker_gets_six_dialbacks_at_once_each_from_another_network() -> None:
    async with street() as (world, target, attacker):
        hosts = {one.host.addresses[0] for one in world.residents}
        for _ in range(20):
            attacker.send(Method.DIALBACK, [RANDOM, b""], target.contact)
        await asyncio.sleep(3)
        codes = [one.code for one in attacker.responses[-20:]]
        assert codes.count(Code.RATE_LIMITED) == 20 - limits.DIALBACKS_BURST_PER_ASKER
        dialled = [one for one in attacker.responses[-20:] if one.code == Code.OK]
        assert dialled
        for response in dialled:
            host = ".".join(map(str, response.result[0][:4]))
            assert host in hosts - {target.host.addresses[0]}


async def test_hosts_that_the_asker_has_sent_to_are_chosen_if_there_are_no_others() -> None:
    async with street() as (_, target, attacker):
        known = [entry.contact.address.host for entry in target.running.server.tables.entries()]
        spared = known[0]
        heard = make_host_filter([host for host in known if host != spared], RANDOM)
        response = await attacker.ask(Method.DIALBACK, [RANDOM, heard], target.contact)
        assert response is not None
        assert response.code == Code.OK
        assert ".".join(map(str, response.result[0][:4])) == spared
        all_known = make_host_filter(known, RANDOM)
        familiar = await attacker.ask(Method.DIALBACK, [RANDOM, all_known], target.contact)
        assert familiar is not None
        assert familiar.code == Code.OK
        odd = await attacker.ask(Method.DIALBACK, [RANDOM, all_known[1:]], target.contact)
        assert odd is not None
        assert odd.code == Code.MALFORMED
