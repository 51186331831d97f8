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
from protocol import datagrams
from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    Code,
    Method,
    Request,
    Response,
    decode_body,
    encode_request,
    encode_response,
)
from simulations.ciphers import RememberedAgreements
from simulations.internet.host import Host
from simulations.internet.internet import Internet
from simulations.internet.latency import UniformLatency
from simulations.loop import VirtualLoop, run
from simulations.seeds import derive_rng
from simulations.stock import StockWorld
from simulations.world import PORT, Resident, World

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
        # What nobody caught ends a run of ours, and is the daily bread of the stock library.
        loop = VirtualLoop(strict=name == "ours")

        async def main() -> bool:
            return await scenario(*arguments)

        return run(loop, main())

    return play


def failures() -> list[str]:
    """What nobody caught in this run so far, by the names of the exceptions."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return [type(one.exception).__name__ for one in loop.failures]


# The stock library --------------------------------------------------------------------------------


def stock_world() -> StockWorld:
    """An empty internet for the stock library."""
    return StockWorld(SEED, UniformLatency(RTT_S))


def stock_id(number: int) -> bytes:
    """A 20-byte id that nobody had to earn."""
    return derive_rng(SEED, "stock id", number).randbytes(20)


async def stock_server(world: StockWorld) -> tuple[Host, Server]:
    """One more stock node, alone."""
    await world.populate(1)
    return world.servers[-1]


def add_stock_contact(server: Server, node_id: bytes, address: tuple[str, int]) -> StockNode:
    """Put a contact into a stock table, as one packet of anybody does."""
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
        """One request, of which nobody is to know more than its bytes."""
        self._number += 1
        datagram = b"\0" + self._number.to_bytes(20) + umsgpack.packb([name, arguments])
        self.sent_bytes += len(datagram)
        self.transport.sendto(datagram, to)


async def stock_mallory(internet: Internet, **answers: Callable[..., Any]) -> StockMallory:
    """An attacker on a host of its own."""
    mallory = StockMallory(answers)
    await _place(internet, mallory)
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


OurAnswer = Callable[[Request], tuple[Code, list[Any]] | list[Any] | None]


class OurMallory(asyncio.DatagramProtocol):
    """Speaks our protocol by hand. `answers` maps a method to a result, or (code, result)."""

    def __init__(self, identity: Identity, answers: dict[Method, OurAnswer]) -> None:
        self.identity = identity
        self.answers = answers
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self.token = b""
        self.sent_bytes = self.received_bytes = 0
        self.flags = 0
        self.counter = 0
        self._cipher = RememberedAgreements()
        self.transport: asyncio.DatagramTransport
        self.host: Host

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address(*self.transport.get_extra_info("sockname"))

    @property
    def contact(self) -> Contact:
        """The contact under which a node knows it."""
        return Contact.at(self.identity.public_key, self.address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.received_bytes += len(data)
        public_key = datagrams.sender_of(data)
        keys = self._cipher.keys(self.identity, public_key)
        message = decode_body(datagrams.unseal(self._cipher, keys.incoming, data))
        if isinstance(message, Response):
            self.responses.append(message)
            self.token = message.token or self.token
            return
        self.requests.append(message)
        make_answer = self.answers.get(Method(message.method))
        answer = make_answer(message) if make_answer is not None else None
        if answer is not None:
            self.answer(message, answer, public_key, addr)

    def answer(
        self,
        request: Request,
        answer: tuple[Code, list[Any]] | list[Any],
        public_key: bytes,
        addr: tuple[Any, ...],
    ) -> None:
        """Answer a request with anything."""
        code, result = answer if isinstance(answer, tuple) else (Code.OK, answer)
        body = encode_response(
            request.transaction, code, token=b"", observed=Address(*addr), result=result
        )
        self.transport.sendto(self.sealed(body, public_key), addr)

    def send(
        self,
        method: int,
        arguments: list[Any],
        to: Contact,
        *,
        epoch: bytes = b"epoch..1",
        counter: int | None = None,
    ) -> bytes:
        """One request; returns its datagram."""
        self.counter += 1
        body = encode_request(
            self.counter.to_bytes(8),
            cast("Method", method),
            epoch=epoch,
            counter=self.counter if counter is None else counter,
            token=self.token,
            flags=self.flags,
            arguments=arguments,
        )
        datagram = self.sealed(body, to.public_key)
        self.sent_bytes += len(datagram)
        self.transport.sendto(datagram, to.address)
        return datagram

    async def ask(self, method: int, arguments: list[Any], to: Contact) -> Response | None:
        """One request and what came back within a second."""
        before = len(self.responses)
        self.send(method, arguments, to)
        await asyncio.sleep(1.0)
        return self.responses[-1] if len(self.responses) > before else None

    def sealed(self, body: bytes, public_key: bytes) -> bytes:
        """A body in the envelope of the protocol."""
        keys = self._cipher.keys(self.identity, public_key)
        own_key = self.identity.public_key
        return datagrams.seal(self._cipher, own_key, keys.outgoing, bytes(24), body)


async def our_mallory(
    internet: Internet, identity: Identity | None = None, **answers: OurAnswer
) -> OurMallory:
    """An attacker on a host of its own; `answers` by the methods' names in lower case."""
    by_method = {Method[name.upper()]: answer for name, answer in answers.items()}
    if "ping" in answers:
        by_method[Method.MEET] = answers["ping"]
    mallory = OurMallory(identity or key_pair(0), by_method)
    await _place(internet, mallory)
    return mallory


async def answers_ping(resident: Resident) -> bool:
    """Whether a node still answers somebody who has done it no harm."""
    friend = await our_mallory(resident.world.internet, key_pair(999))
    response = await friend.ask(Method.PING, [], resident.contact)
    return response is not None and response.code == Code.OK


def pong(_request: Request) -> list[Any]:
    """The honest answer to PING."""
    return [1]


def nobody(_request: Request) -> list[Any]:
    """The answer to FIND_NODE of somebody who knows nobody."""
    return [b"", b"", [], 0, False]


async def _place(internet: Internet, mallory: StockMallory | OurMallory) -> None:
    loop = asyncio.get_running_loop()
    host = internet.add_host()
    address = host.address()
    assert address is not None
    with host.running():
        await loop.create_datagram_endpoint(lambda: mallory, local_addr=(address, PORT))
    mallory.host = host
    await asyncio.sleep(0)
