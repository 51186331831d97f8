"""One real node in virtual time, and an attacker that does what the fuzzer's bytes say.

The first byte of an input chooses the attack, the second one of its variants, the rest is what is
sent: as a datagram, as a sealed body, as the arguments of a request, as the answer to each request
of the node, or as an offer whose signature fits. After each input the node must work as before: no
error but those that it counts, no task lost, everything that it holds within its bounds.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from protocol import codec, limits, records
from protocol.errors import ModswarmError
from protocol.identity import Identity
from protocol.overlay.messages import Code, Method
from protocol.records import ProviderBody
from simulations.attacks.raw_peer import RawPeer
from simulations.fuzzing.call_forms import signed_to
from simulations.internet.latency import UniformLatency
from simulations.residents.world import World, simulated_settings
from simulations.runtime.loop import VirtualLoop

_RTT_S = 0.02
_PEERS = 16
_INPUT_BYTES = 4096
_WORK_S = 30.0
_TASKS_EXTRA_MAX = 16


class NodeBroken(Exception):
    """The node is not what it was before the input; the message says how."""


class FuzzedNode:
    """`feed` inputs one after another to the same node. Made and used outside of any loop."""

    def __init__(self) -> None:
        self.loop = VirtualLoop(strict=True)
        self.loop.run_until_complete(self._settle())
        self._tasks = len(asyncio.all_tasks(self.loop))

    async def _settle(self) -> None:
        # Few peers are remembered, so that forgetting them is fuzzed, too.
        settings = simulated_settings(peers_remembered=_PEERS)
        self.world = World(1, latency=UniformLatency(_RTT_S), settings=settings)
        await self.world.populate(3)
        self.resident = self.world.residents[0]
        self.node = self.resident.running
        self.answer: Any = []
        answers: dict[Method, Any] = {method: lambda _: self.answer for method in Method}
        self.attacker = RawPeer(Identity(bytes(range(3, 35))), answers)
        await self.attacker.move_in(self.world.internet)
        await self._prove()

    async def _prove(self) -> None:
        """Get a token, and so a place in the node's table."""
        self.answer = [1]
        for _ in range(2):
            await self.attacker.ask(Method.PING, [], self.resident.contact)

    def feed(self, data: bytes) -> None:
        """Let the attacker do it. Raises what the node raises, or NodeBroken."""
        if len(data) < 2:
            return
        attack = _ATTACKS[data[0] % len(_ATTACKS)]
        self.loop.run_until_complete(self._play(attack, data[1], data[2:_INPUT_BYTES]))
        self._check()

    async def _play(self, attack: "Attack", variant: int, rest: bytes) -> None:
        self.attacker.requests.clear()
        self.attacker.responses.clear()
        work = attack(self, variant, rest)
        if work is not None:
            try:
                async with asyncio.timeout(_WORK_S):
                    await self.resident.host.create_task(work)
            except ModswarmError:
                pass  # an error that the verb may end with
        await asyncio.sleep(2 * _RTT_S)

    def _check(self) -> None:
        defects = self.node.tasks.defects
        if defects:
            raise NodeBroken("a task of the node failed") from defects[0]
        tasks = len(asyncio.all_tasks(self.loop))
        if tasks > self._tasks + _TASKS_EXTRA_MAX:
            raise NodeBroken(f"{tasks} tasks where {self._tasks} were")
        for name, (held, bound) in self.holdings().items():
            if held > bound:
                raise NodeBroken(f"{held} {name}, which may be {bound}")

    def holdings(self) -> dict[str, tuple[int, int]]:
        """What the node keeps on behalf of its peers, and the bound of each."""
        server = self.node.server
        settings = self.world.settings
        registrar, wire = server.registrar, server.wire
        return {
            "sessions": (wire.session_count, settings.peers_remembered),
            "requests": (wire.pending_count, limits.REQUESTS_OUTSTANDING),
            "rate-limited hosts": (wire.rate_limited_hosts, limits.HOSTS_RATE_LIMITED),
            "verifications": (server.protocol.maintenance.verifying_count, limits.VERIFYING),
            "registrations": (len(registrar), limits.REGISTRATIONS),
            "calls": (registrar.call_count, limits.CALLS_PENDING),
            "stored bytes": (server.store.used_bytes, limits.STORE_BYTES),
            "contacts": (len(server.tables), 64),
        }

    def answers(self) -> bool:
        """Whether the node still does its work: a read through it finds a fresh record."""
        return self.loop.run_until_complete(self._work())

    async def _work(self) -> bool:
        self.answer = None
        other = self.world.residents[1].running
        record = other.republisher.make(records.PROVIDER, ProviderBody(bytes(32), complete=True))
        await other.server.publish(record)
        with self.resident.host.running():
            reading = await self.node.server.read(record.key, records.PROVIDER)
        return record.public_key in reading.records

    def close(self) -> None:
        """Stop the world; raises for a task that had a defect."""
        self.loop.run_until_complete(self.world.close())
        self.loop.close()


# What an input can do -----------------------------------------------------------------------------


def _send_datagram(fire: FuzzedNode, variant: int, rest: bytes) -> None:
    first = (b"", b"\xd0", b"\xd1", b"\xd2")[variant % 4]
    fire.attacker.transport.sendto(first + rest, fire.resident.contact.address)


def _send_body(fire: FuzzedNode, variant: int, rest: bytes) -> None:
    body = rest[:1100]
    datagram = fire.attacker.sealed(body, fire.resident.identity.public_key)
    fire.attacker.transport.sendto(datagram, fire.resident.contact.address)


def _send_request(fire: FuzzedNode, variant: int, rest: bytes) -> None:
    try:
        fire.attacker.send(variant % 12, _values(rest), fire.resident.contact)
    except ModswarmError:
        return  # more than a datagram holds


def _answer_requests(fire: FuzzedNode, variant: int, rest: bytes) -> Any:
    """The node reads, publishes, joins or looks up, and the attacker answers with `rest`."""
    fire.answer = (Code(variant // 8 % len(Code)), _values(rest))
    server = fire.node.server
    fire.node.server.protocol.maintenance.answered(fire.attacker.contact)
    key = records.provider_key(bytes(31) + bytes((variant,)))
    verbs: list[Callable[[], Any]] = [
        lambda: server.lookup(key),
        lambda: server.read(key, records.PROVIDER),
        lambda: server.read(fire.attacker.identity.peer_id, records.PEER),
        lambda: server.bootstrap([fire.attacker.contact]),
    ]
    return verbs[variant % len(verbs)]()


def _offer(fire: FuzzedNode, variant: int, rest: bytes) -> None:
    own = fire.resident.identity
    sealed = signed_to(own.public_key, fire.attacker.identity, "offer", rest[:800])
    method = Method.SIGNAL if variant % 2 else Method.DELIVER
    whom = [own.peer_id] if variant % 2 else []
    try:
        fire.attacker.send(method, [*whom, sealed, 20], fire.resident.contact)
    except ModswarmError:
        return  # more than a datagram holds


def _values(data: bytes) -> list[Any]:
    """The list that the bytes spell; else the bytes themselves, as the only value."""
    try:
        value = codec.decode(data, max_bytes=_INPUT_BYTES, max_items=_INPUT_BYTES)
        codec.encode(value)
    except (ModswarmError, TypeError, ValueError, OverflowError):
        return [data[:1000]]
    return value if type(value) is list else [value]


Attack = Callable[[FuzzedNode, int, bytes], Any]

_ATTACKS: tuple[Attack, ...] = (
    _send_datagram,
    _send_body,
    _send_request,
    _answer_requests,
    _offer,
)

SEEDS: tuple[bytes, ...] = (
    b"\0\0" + b"\xd0" + bytes(100),
    b"\1\0" + codec.encode([0, bytes(8), 1, bytes(8), 1, b"", 0, [], bytes(60)]),
    b"\1\0" + codec.encode([1, bytes(8), 0, b"", b"\1\2\3\4\0\1", [1]]),
    b"\2\1" + codec.encode([]),
    b"\2\2" + codec.encode([bytes(20), 3]),
    b"\2\3" + codec.encode([bytes(20), 2, 0, 3]),
    b"\2\4" + codec.encode([bytes(20), bytes(200)]),
    b"\2\5" + codec.encode([bytes(200)]),
    b"\2\7" + codec.encode([bytes(20), bytes(100)]),
    b"\3\0" + codec.encode([bytes(38), bytes(50), [], 0, b""]),
    b"\3\1" + codec.encode([b"", b"", [bytes(100)], 1, bytes(104)]),
    b"\3\1" + codec.encode([b"", b"", [5], 1, bytes(104)]),
    b"\4\0" + codec.encode([1, bytes(32), bytes(20), bytes(16), 1_790_000_000, bytes(90)]),
)
"""Inputs that reach into each attack."""
