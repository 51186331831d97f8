"""Pools on one machine that call each other without a DHT."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.links.link import Link
from node.links.path.paths import LinkPaths
from node.links.pool.pool import LinkPool
from node.links.punching.punching import LinkPunching, WitnessExchange
from node.links.secure.certificate import Certificate, create
from node.links.settings import LinkSettings
from node.net.endpoint import Endpoint
from node.net.udp.port import Port
from protocol.addresses import Address
from protocol.description import Description
from protocol.errors import Busy, CalleeBusy, CallFailed
from protocol.identity import Identity, PeerId
from protocol.places.usefulness import Usefulness
from protocol.reachability.network_view import NetworkView
from protocol.signaling import CallResult, Describe, Offer
from simulations.residents.no_contacts import NoWitnesses, look_around
from simulations.runtime.loop import VirtualLoop

SETTINGS = LinkSettings()
LOOPBACK = Address("127.0.0.1", 0)

_HEAD = b"\x92\x00"
"""How a frame of type 0 begins; the rest of it is a test's."""

TAKEN_TYPES = range(34)
"""A node takes frames of these types; links take 34 and 35, the others are left to tests."""


async def turn() -> None:
    """Let the loop handle what is ready."""
    await asyncio.sleep(0)


async def until(
    condition: Callable[[], object], limit_s: float = 10.0, step_s: float = 0.001
) -> float:
    """Let time pass until something is so; returns the seconds that this took."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    while not condition():
        assert loop.time() - started_at < limit_s, "not within the time limit"
        await asyncio.sleep(step_s)
    return loop.time() - started_at


def environment(rng: random.Random) -> Environment:
    """Of the simulated machine where the loop is virtual, else of this one."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        return Environment(loop.wall_time, rng, lambda: ["127.0.0.1"], None)
    return Environment(rng=rng)


def frame_of(text: bytes) -> bytes:
    """A frame that a node receives as `text`."""
    return _HEAD + text


def largest_frame(link: Link) -> bytes:
    """As many bytes as fit into one frame."""
    return frame_of(bytes(link.max_frame_bytes - len(_HEAD)))


async def open_paths(
    here: Environment,
    settings: LinkSettings = SETTINGS,
    bound: tuple[Address, ...] = (LOOPBACK,),
    counters: Counters | None = None,
) -> LinkPaths:
    """Paths on ports of their own."""
    endpoint = Endpoint(counters or Counters(), here)
    for address in bound:
        await endpoint.open(address)
    return LinkPaths(endpoint, here, settings)


@dataclass(eq=False)
class Node:
    """A pool and what a test wants to know of it."""

    identity: Identity
    certificate: Certificate
    counters: Counters
    paths: LinkPaths
    received: list[bytes] = field(default_factory=list)
    announced: list[Link] = field(default_factory=list)
    expected_defects: list[type[BaseException]] = field(default_factory=list)
    pool: LinkPool = field(init=False)

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    @property
    def port(self) -> Port:
        """The one port of this node."""
        (bound,) = self.paths.endpoint.addresses.values()
        port = self.paths.endpoint.port_at(bound)
        assert port is not None
        return port

    def on_link(self, link: Link) -> None:
        self.announced.append(link)
        link.register(TAKEN_TYPES, lambda frame: self.received.append(frame.removeprefix(_HEAD)))


Carry = Callable[[Node, Node, bytes, Description], Awaitable[CallResult]]


NO_WITNESSES = NoWitnesses()


NOTHING_KNOWN = NetworkView()


class Network:
    """Peers by id; `carry` is how a call travels, and a test may replace it.

    What is random is drawn from 1 and the seeds after it, whichever tests ran before.
    """

    def __init__(self) -> None:
        self._seeds = itertools.count(1)
        self.nodes: dict[PeerId, Node] = {}
        self.carry: Carry = call_directly

    async def add(
        self,
        settings: LinkSettings = SETTINGS,
        bound: tuple[Address, ...] = (LOOPBACK,),
        identity: Identity | None = None,
        view: NetworkView = NOTHING_KNOWN,
        witnesses: WitnessExchange = NO_WITNESSES,
        **changes: Any,
    ) -> Node:
        """A fresh node; `changes` are settings that differ."""
        rng = random.Random(next(self._seeds))
        here = environment(rng)
        settings = replace(settings, **changes)
        counters = Counters()
        paths = await open_paths(here, settings, bound, counters)
        identity = identity or Identity(rng.randbytes(32))
        node = Node(identity, create(here), counters, paths)

        async def call(peer_id: PeerId, describe: Describe) -> CallResult:
            if peer_id not in self.nodes:
                raise CallFailed("it is offline")
            return await self.carry(node, self.nodes[peer_id], rng.randbytes(16), describe(()))

        node.pool = LinkPool(
            node.identity,
            here,
            node.certificate,
            settings,
            paths,
            LinkPunching(
                paths.endpoint, here, lambda: view, witnesses, Usefulness(), searches=True
            ),
            call,
            look_around,
            node.counters,
        )
        node.pool.subscribe(node.on_link)
        self.nodes[node.peer_id] = node
        return node

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.pool.close()
            await node.paths.endpoint.close()
            assert [type(defect) for defect in node.pool.defects] == node.expected_defects


async def call_directly(
    caller: Node, callee: Node, offer_id: bytes, offer: Description
) -> CallResult:
    """A call that always arrives, as bytes."""
    received = Description.decode(offer.encode())
    try:
        answer = await callee.pool.answer(offer_of(caller.identity.public_key, offer_id, received))
    except Busy as error:
        raise CalleeBusy(error.retry_s) from error
    return accepted(offer_id, callee.identity.public_key, Description.decode(answer.encode()))


def offer_of(caller_key: bytes, offer_id: bytes, description: Description) -> Offer:
    """An offer as the overlay hands it to a pool, once it is verified."""
    return Offer(caller_key, bytes(20), offer_id, 0, description, b"")


def accepted(offer_id: bytes, peer_key: bytes, description: Description) -> CallResult:
    """The result of a call that no registrar was needed for."""
    return CallResult(offer_id, peer_key, description, (), 0)


@contextlib.asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """A network that is closed at the end."""
    made = Network()
    try:
        yield made
    finally:
        await made.close()


async def linked(one: Node, other: Node) -> tuple[Link, Link]:
    """A link from `one` to `other`, as both see it."""
    ours = await one.pool.connect(other.peer_id)
    await until(lambda: other.pool.get(one.peer_id))
    theirs = other.pool.get(one.peer_id)
    assert theirs is not None
    return ours, theirs
