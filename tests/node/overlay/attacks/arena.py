"""Where an attack is played twice: against the stock library, which it harms, and against our node.

A scenario is a coroutine that attacks and tells whether the victim was harmed. `both` runs it
against either, each on a simulated internet of its own in virtual time, and demands that the stock
library is harmed (or the attack is none) and our node is not. Attackers speak either protocol by
hand, byte for byte, so nothing of the victim's library keeps them from sending what they like.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import umsgpack
from kademlia.network import Server
from kademlia.node import Node as StockNode

from node.overlay.server import OverlayServer
from protocol.identity import Identity
from protocol.overlay.messages import (
    Code,
    Method,
    Request,
)
from simulations.attacks import raw_peer
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.internet.latency import UniformLatency
from simulations.residents.stock import StockWorld
from simulations.residents.world import PORT, Resident, World
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

Scenario = Callable[..., Awaitable[bool]]

RTT_S = 0.05
SEED = 7


def both(stock: Scenario, ours: Scenario, cases: list[Any] | None = None) -> pytest.MarkDecorator:
    """Run the test once for each victim, and for each case of the attack.

    The test takes `attack`, a call without arguments that plays and tells whether it did harm, and
    `works`, whether it must. A case is what both scenarios take, or a pair of what either takes.
    """
    params = []
    for number, case in enumerate(cases or [()]):
        pair = case if isinstance(case, tuple) and len(case) == 2 else (case, case)
        for name, scenario, given in (("stock", stock, pair[0]), ("ours", ours, pair[1])):
            arguments = given if isinstance(given, tuple) else (given,)
            label = f"{name}-{number}" if cases else name
            params.append(
                pytest.param(_played(name, scenario, arguments), name == "stock", id=label)
            )
    return pytest.mark.parametrize(("attack", "works"), params)


def _played(name: str, scenario: Scenario, arguments: tuple[Any, ...]) -> Callable[[], bool]:
    def play() -> bool:
        # An exception that is not caught ends a run of ours; the stock library raises many.
        loop = VirtualLoop(strict=name == "ours")

        async def main() -> bool:
            return await scenario(*arguments)

        return run_virtually(main(), loop)

    return play


def failures() -> list[str]:
    """The names of the exceptions that were not caught in this run so far."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return [type(one.exception).__name__ for one in loop.failures]


# The stock library --------------------------------------------------------------------------------


def stock_world() -> StockWorld:
    """An empty internet for the stock library."""
    return StockWorld(SEED, UniformLatency(RTT_S))


def stock_id(number: int) -> bytes:
    """A 20-byte id that cost no work."""
    return derive_rng(SEED, "stock id", number).randbytes(20)


async def stock_server(world: StockWorld) -> tuple[Host, Server]:
    """One more stock node, alone."""
    await world.populate(1)
    return world.servers[-1]


def add_stock_contact(server: Server, node_id: bytes, address: tuple[str, int]) -> StockNode:
    """Put a contact into a stock table, as one packet of any sender does."""
    node = StockNode(node_id, *address)
    server.protocol.router.add_contact(node)
    return node


class StockMallory(asyncio.DatagramProtocol):
    """Speaks rpcudp by hand. `answers` maps a method to what its arguments get; others get none."""

    def __init__(self, answers: dict[str, Callable[..., Any]]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, list[Any]]] = []
        self.responses: list[Any] = []
        self.sent_bytes = self.received_bytes = 0
        self._number = 0
        self.transport: asyncio.DatagramTransport
        self.host: Host

    @property
    def address(self) -> tuple[str, int]:
        """Where it is."""
        return cast("tuple[str, int]", self.transport.get_extra_info("sockname"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received_bytes += len(data)
        value = umsgpack.unpackb(data[21:])
        if data[:1] == b"\1":
            self.responses.append(value)
            return
        name, arguments = value
        self.requests.append((name, arguments))
        if name in self.answers:
            answer = self.answers[name](*arguments)
            self.transport.sendto(b"\1" + data[1:21] + umsgpack.packb(answer), addr)

    def send(self, name: str, *arguments: Any, to: tuple[str, int]) -> None:
        """One request, as bytes."""
        self._number += 1
        datagram = b"\0" + self._number.to_bytes(20) + umsgpack.packb([name, arguments])
        self.sent_bytes += len(datagram)
        self.transport.sendto(datagram, to)


async def stock_mallory(internet: Internet, **answers: Callable[..., Any]) -> StockMallory:
    """An attacker on a host of its own."""
    loop = asyncio.get_running_loop()
    mallory = StockMallory(answers)
    mallory.host = internet.add_host()
    with mallory.host.running():
        where = (mallory.host.address() or "", PORT)
        await loop.create_datagram_endpoint(lambda: mallory, local_addr=where)
    await asyncio.sleep(0)
    return mallory


# Ours ---------------------------------------------------------------------------------------------


def our_world() -> World:
    """An empty internet for our node, with the real cipher and a puzzle that costs nothing."""
    return World(SEED, latency=UniformLatency(RTT_S))


async def our_server(world: World) -> tuple[Resident, OverlayServer]:
    """One more node of ours, alone unless others run already."""
    resident = world.add()
    await resident.start()
    return resident, resident.running.server


def key_pair(number: int) -> Identity:
    """An identity of the attacker."""
    return Identity(derive_rng(SEED, "mallory", number).randbytes(32))


async def our_mallory(
    internet: Internet, identity: Identity | None = None, **answers: Responder
) -> RawPeer:
    """An attacker on a host of its own; `answers` by the methods' names in lower case."""
    by_method = {Method[name.upper()]: answer for name, answer in answers.items()}
    if "ping" in answers:
        by_method[Method.MEET] = answers["ping"]
    mallory = RawPeer(identity or key_pair(0), by_method)
    await mallory.move_in(internet)
    return mallory


async def answers_ping(resident: Resident) -> bool:
    """Whether a node still answers a peer that has done it no harm."""
    friend = await our_mallory(resident.world.internet, key_pair(999))
    response = await friend.ask(Method.PING, [], resident.contact)
    return response is not None and response.code == Code.OK


def pong(request: Request) -> list[Any]:
    """The honest answer to PING."""
    return raw_peer.pong(request)


def no_contacts(_request: Request) -> list[Any]:
    """The response to FIND_NODE of a node without contacts."""
    return [b"", b"", [], 0, b""]
