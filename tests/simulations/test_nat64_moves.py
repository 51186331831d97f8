"""A machine that moves into a network with a NAT64, and out of it, reaches IPv4 in both."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.net.nat64_use import use_nat64
from protocol import limits
from protocol.addresses import Address
from simulations.internet import NatBehaviour
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.residents.world import World
from tests.simulations.pair_world import pair_world, until

PORT = 4001
WHOLE = [Address("0.0.0.0", PORT), Address("::", PORT)]


class Echo(asyncio.DatagramProtocol):
    """Sends back what it hears, and keeps its source."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        self.sources.append(source[0])
        self._transport.sendto(data, source)


class Traveller:
    """A machine with an endpoint, and what it hears."""

    def __init__(self, internet: Internet, host: Host) -> None:
        self.heard: list[Address] = []
        self.host = host
        self._internet = internet
        with host.running():
            self.endpoint = Endpoint(Counters(), Environment(udp_socket=None))
        self.endpoint.demux.register_reader(0xD0, lambda _, source: self.heard.append(source))

    async def open(self, addresses: list[Address]) -> None:
        with self.host.running():
            for address in addresses:
                await self.endpoint.open(address)

    async def look(self) -> None:
        with self.host.running():
            await use_nat64(self.endpoint, self.host.addresses)

    async def talks_to(self, echo: Address) -> bool:
        """Whether a datagram goes there, and its echo comes back from there."""
        self.heard.clear()
        self.endpoint.sendto(b"\xd0", echo)
        await asyncio.sleep(1.0)
        return self.heard == [echo]


@pytest.mark.parametrize("bound", [WHOLE, WHOLE[1:]], ids=["with a socket of IPv4", "without"])
async def test_a_machine_moves_into_a_nat64_and_out_of_it(bound: list[Address]) -> None:
    world = World(1)
    internet = world.internet
    first, second = (internet.add_nat(NatBehaviour(nat64=True)) for _ in range(2))
    far, echo = internet.add_host(), Echo()
    with far.running():
        await world.loop.create_datagram_endpoint(lambda: echo, local_addr=(far.addresses[0], 7))
    there = Address(far.addresses[0], 7)
    host = internet.add_host(v6=True)
    traveller, outside = Traveller(internet, host), list(host.addresses)
    await traveller.open(bound)
    await traveller.look()
    assert await traveller.talks_to(there) is (bound == WHOLE)
    for number, box in enumerate((first, second)):
        internet.move(host, [f"2a00:1:{number}::7"], behind=box)
        await traveller.look()
        assert traveller.endpoint.is_translated
        assert await traveller.talks_to(there), "by the network's NAT64"
        assert echo.sources[-1] == box.address()
        with pytest.raises(OSError, match="no socket of IPv4"):
            await traveller.endpoint.open_another(4)
    internet.move(host, outside)
    await traveller.look()
    assert not traveller.endpoint.is_translated
    assert await traveller.talks_to(there)
    assert echo.sources[-1] in outside
    assert traveller.endpoint.addresses[4] == Address("0.0.0.0", PORT)
    await traveller.endpoint.close()
    await world.close()


async def test_a_node_that_moves_into_a_nat64_calls_peers_of_ipv4_alone(tmp_path: Path) -> None:
    async with pair_world(tmp_path, v6=True) as town:
        here, there = await town.settled("dual-stack", "port-restricted")
        internet = town.world.internet
        box = internet.add_nat(NatBehaviour(nat64=True))
        internet.move(here.host, ["2a00:1:9::7"], behind=box)
        await until(lambda: here.running.endpoint.is_translated, limits.HOST_CHECKED_S + 1.0)
        await asyncio.sleep(5.0)
        link, _ = await town.linked(here, there)
        assert link.path.way == "direct"
        assert there.host.behind is not None
        assert link.path.remote.host == there.host.behind.address()
