"""Requests answered a second of processor time: `python answering.py ours|stock`."""

import asyncio
import gc
import json
import random
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from node.counters import Counters
from node.environment import Environment
from node.net.endpoint import Endpoint
from node.net.udp.port import Arrival
from node.overlay.reachability.own_clock import OwnClock
from node.overlay.reachability.own_network import OwnNetwork
from node.overlay.rpc.pending import Reply
from node.overlay.rpc.wire import Wire
from node.overlay.server import OverlayServer
from node.overlay.settings import OverlaySettings
from node.tasks import TaskOwner
from protocol.addresses import Address
from protocol.errors import NotAuthentic
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method
from protocol.overlay.networks import public_networks
from protocol.turn.grant import RelayGrant
from simulations.residents.stock import StockAnswerer, stock_request

_ASKERS = 50
_REQUESTS = 200
_CONTACTS = 400
_BURST = 50
_ANSWERER = Address("198.51.100.1", 4001)
_rng = random.Random("answering")

Datagrams = list[tuple[bytes, Address]]


class Sink(Endpoint):
    """An endpoint without sockets, which counts what is sent."""

    def __init__(self, counters: Counters) -> None:
        super().__init__(counters, Environment())
        self.sent = 0
        self.last = b""

    def sendto(
        self,
        datagram: bytes,
        _address: Address,
        _local: Address | None = None,
        _ttl: int | None = None,
    ) -> None:
        """Count a datagram."""
        self.sent += 1
        self.last = datagram

    def receive(self, datagrams: Datagrams) -> None:
        """Take a burst."""
        burst: list[Arrival] = [(datagram, len(datagram), source) for datagram, source in datagrams]
        self.demux.burst_received(burst, _ANSWERER)


class Asker(NamedTuple):
    """A peer that asks, and where it is."""

    wire: Wire
    outbox: Sink
    address: Address


def _address(number: int) -> Address:
    """A global address in a /24 of its own."""
    return Address(f"{11 + number // 256}.{number % 256}.1.1", 4001)


def _own_network(environment: Environment) -> OwnNetwork:
    return OwnNetwork(environment, unreachable=False, networks_of=public_networks)


def _make_asker(number: int) -> Asker:
    settings = OverlaySettings(puzzle_bits=0)
    counters = Counters()
    outbox = Sink(counters)
    environment = Environment()
    wire = Wire(
        Identity(_rng.randbytes(32)),
        environment,
        counters,
        outbox,
        settings,
        _own_network(environment),
        OwnClock(public_networks, environment.wall),
    )
    wire.serve(lambda _: None)
    wire.listen()
    return Asker(wire, outbox, _address(1000 + number))


def _request(asker: Asker, target: Contact, method: Method) -> bytes:
    arguments: list[Any] = [] if method == Method.PING else [_rng.randbytes(20), 1]
    asker.wire.request(target, method, arguments, _ignore)
    return asker.outbox.last


async def _no_calls(_sealed: bytes, _answer_takes_s: float) -> bytes:
    raise NotAuthentic("this node takes no calls")


def _no_relaying(_peer_id: bytes, _address: Address) -> RelayGrant:
    raise NotAuthentic("this node does not relay")


def _ignore(_reply: Reply) -> None:
    return


async def ours() -> dict[str, float]:
    """Fill a node's tables, let askers prove their addresses, then flood it."""
    counters = Counters()
    sink, tasks = Sink(counters), TaskOwner("bench")
    environment = Environment(rng=secrets.SystemRandom())
    server = OverlayServer(
        Identity(_rng.randbytes(32)),
        environment,
        sink,
        settings=OverlaySettings(puzzle_bits=0),
        tasks=tasks,
        counters=counters,
        answer_offer=_no_calls,
        own_network=_own_network(environment),
        own_clock=OwnClock(public_networks, environment.wall),
        grant_relaying=_no_relaying,
    )
    server.wire.listen()
    for number in range(_CONTACTS):
        server.tables.of(contact := Contact.at(_rng.randbytes(32), _address(number))).answered(
            contact, 0.0
        )
    target = Contact.at(server.identity.public_key, _ANSWERER)
    askers = [_make_asker(number) for number in range(_ASKERS)]
    for asker in askers:
        sink.receive([(_request(asker, target, Method.PING), asker.address)])
        asker.outbox.receive([(sink.last, _ANSWERER)])
        if server.wire.pending_count:  # it pings the unknown asker: let that be answered
            sink.receive([(asker.outbox.last, asker.address)])
    figures = {}
    for name, method in (("pings", Method.PING), ("find_node", Method.FIND_NODE)):
        requests = [
            (_request(asker, target, method), asker.address)
            for _ in range(_REQUESTS)
            for asker in askers
        ]
        figures[f"{name}_per_s"] = await _flood(sink.receive, requests, sink, _nothing)
    for asker in askers:
        asker.wire.close()
    server.stop()
    return figures


async def stock() -> dict[str, float]:
    """The same for the unmodified library."""
    sink = Sink(Counters())
    contacts = [(_rng.randbytes(20), *_address(number)) for number in range(_CONTACTS)]
    answerer = StockAnswerer(_rng.randbytes(20), contacts, sink)

    def receive(datagrams: Datagrams) -> None:
        for datagram, source in datagrams:
            answerer.receive(datagram, source)

    askers = answerer.known()[:_ASKERS]
    figures = {}
    for name in ("ping", "find_node"):
        requests: Datagrams = []
        for _ in range(_REQUESTS):
            for peer_id, address in askers:
                arguments = [peer_id] if name == "ping" else [peer_id, _rng.randbytes(20)]
                request = stock_request(_rng.randbytes(20), name, arguments)
                requests.append((request, Address(*address)))
        kind = "pings" if name == "ping" else name
        figures[f"{kind}_per_s"] = await _flood(receive, requests, sink, _all_tasks)
    return figures


async def _flood(
    receive: Callable[[Datagrams], None],
    requests: Datagrams,
    sink: Sink,
    settle: Callable[[], Awaitable[None]],
) -> float:
    """Hand over all requests in bursts as a busy socket would; every one must be answered."""
    before = sink.sent
    gc.collect()
    started = time.process_time()
    for start in range(0, len(requests), _BURST):
        receive(requests[start : start + _BURST])
        await settle()
    seconds = time.process_time() - started
    if sink.sent - before < len(requests):
        raise RuntimeError(f"{sink.sent - before} answers to {len(requests)} requests")
    return len(requests) / seconds


async def _nothing() -> None:
    return


async def _all_tasks() -> None:
    """Let the tasks run that the library started for each datagram, one after the other."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


if __name__ == "__main__":
    json.dump(asyncio.run({"ours": ours, "stock": stock}[sys.argv[1]]()), sys.stdout)
