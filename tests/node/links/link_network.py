"""Pools on loopback that call each other without a DHT, and a loop whose clock can be moved."""

import asyncio
import contextlib
import gc
import itertools
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from node.counters import Counters
from node.environment import Environment, udp_socket
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.links.secure.certificate import Certificate, create
from node.links.settings import LinkSettings
from protocol.description import Description
from protocol.errors import CallFailed
from protocol.identity import Identity, PeerId
from protocol.signaling import CallResult, Offer

SETTINGS = LinkSettings(ice_addresses=("127.0.0.1",))

_HEAD = b"\x92\x00"
"""How a frame of type 0 begins; the rest of it is a test's."""

TAKEN_TYPES = range(64)
"""A node takes frames of these types; the others are left to tests."""

_seeds = itertools.count(1)


class MovableLoop(asyncio.SelectorEventLoop):
    """A loop whose timers can be made to fire now. Remembers its sockets and what went wrong."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_s = 0.0
        self.sockets: list[socket.socket] = []
        self.problems: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.problems.append(context))

    def time(self) -> float:
        return super().time() + self._ahead_s

    def move(self, seconds: float) -> None:
        """Let this much time have passed."""
        self._ahead_s += seconds


def remembered_socket(host: str, port: int) -> socket.socket:
    """A socket as a node opens it, that its loop will be asked about at the end."""
    made = udp_socket(host, port)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovableLoop)
    loop.sockets.append(made)
    return made


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test to its end; fail if it leaves a task, an open socket or a lost exception."""
    with asyncio.Runner(loop_factory=MovableLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, MovableLoop)
        runner.run(_leaving_nothing(scenario))
        gc.collect()
        assert loop.problems == []


async def _leaving_nothing(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovableLoop)
    await scenario()
    for _ in range(3):  # a closed transport lets go of its socket in the next turn
        await turn()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [one for one in loop.sockets if one.fileno() >= 0] == []


async def turn() -> None:
    """Let the loop handle what is ready."""
    await asyncio.sleep(0)


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """Let the loop run, in real time, until something is so."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await turn()


async def until_moved(
    condition: Callable[[], object], limit_s: float, step_s: float = 0.1
) -> float:
    """Move the clock until something is so; returns the seconds that this took."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, MovableLoop)
    started_at = loop.time()
    while not condition():
        assert loop.time() - started_at < limit_s, "not within the time limit"
        loop.move(step_s)
        for _ in range(4):
            await turn()
    return loop.time() - started_at


def frame_of(text: bytes) -> bytes:
    """A frame that a node receives as `text`."""
    return _HEAD + text


def largest_frame(link: Link) -> bytes:
    """As many bytes as fit into one frame."""
    return frame_of(bytes(link.max_frame_bytes - len(_HEAD)))


@dataclass(eq=False)
class Node:
    """A pool and what a test wants to know of it."""

    identity: Identity
    certificate: Certificate
    counters: Counters
    received: list[bytes] = field(default_factory=list)
    announced: list[Link] = field(default_factory=list)
    expected_defects: list[type[BaseException]] = field(default_factory=list)
    pool: LinkPool = field(init=False)

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    def on_link(self, link: Link) -> None:
        self.announced.append(link)
        link.register(TAKEN_TYPES, lambda frame: self.received.append(frame.removeprefix(_HEAD)))


Carry = Callable[[Node, Node, bytes, Description], Awaitable[CallResult]]


class Network:
    """Peers by id; `carry` is how a call travels, and a test may replace it."""

    def __init__(self) -> None:
        self.nodes: dict[PeerId, Node] = {}
        self.carry: Carry = call_directly

    def add(self, settings: LinkSettings = SETTINGS, **changes: Any) -> Node:
        """A fresh node; `changes` are settings that differ."""
        rng = random.Random(next(_seeds))
        environment = Environment(rng=rng, udp_socket=remembered_socket)
        node = Node(Identity(rng.randbytes(32)), create(environment), Counters())

        async def call(peer_id: PeerId, offer: Description) -> CallResult:
            if peer_id not in self.nodes:
                raise CallFailed("it is offline")
            return await self.carry(node, self.nodes[peer_id], rng.randbytes(16), offer)

        node.pool = LinkPool(
            node.identity,
            environment,
            node.certificate,
            replace(settings, **changes),
            call,
            node.counters,
        )
        node.pool.subscribe(node.on_link)
        self.nodes[node.peer_id] = node
        return node

    async def close(self) -> None:
        for node in self.nodes.values():
            await node.pool.close()
            assert [type(defect) for defect in node.pool.defects] == node.expected_defects


async def call_directly(
    caller: Node, callee: Node, offer_id: bytes, offer: Description
) -> CallResult:
    """A call that always arrives, as bytes."""
    received = Description.decode(offer.encode())
    answer = await callee.pool.answer(offer_of(caller.identity.public_key, offer_id, received))
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
