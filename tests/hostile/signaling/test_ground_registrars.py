"""Identities ground near a peer's id that it registers with, and that keep calls from it.

Six of them cost about three minutes of a core where 30 nodes are honest, once. They register the
peer, answer its keepalives, prove to callers that they keep it registered, and deliver no call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocol import limits
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request, encode_found
from protocol.signaling import CallResult
from simulations.attacks.near_key import Behaviour, GroundIds
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.experiments.call import accept, describe
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng
from tests.hostile.lookups.test_ground_ids import hosts_in
from tests.hostile.told import RecordProperty

HONEST = 30
CALLERS = 5
SETTLE_S = 30.0
ROUND_TRIP_S = 0.1
ALONE_S = 4 * ROUND_TRIP_S
FOUND_BYTES = 900

LIES: dict[str, Responder | None] = {
    "silent": None,
    "offline": lambda _: (Code.OFFLINE, []),
    "busy": lambda _: (Code.BUSY, [limits.BUSY_RETRY_MAX_S]),
    "refused": lambda _: (Code.REFUSED, []),
    "junk": lambda _: [bytes(limits.SIGNAL_BYTES)],
}


def _lie(registrar: RawPeer, honest: Callable[[bytes], list[Contact]], lie: str) -> None:
    """Take registrations, prove them to callers, name honest nodes besides, and deliver nothing."""
    proofs: list[bytes] = [b""]

    def register(request: Request) -> list[Any]:
        proofs.append(request.arguments[1])
        return []

    def find(request: Request) -> list[Any]:
        nearest = honest(request.arguments[0])
        proof = proofs[-1] if request.method == Method.FIND_VALUE else b""
        return encode_found(nearest, [], skip=0, registration_proof=proof, max_bytes=FOUND_BYTES)

    answers: dict[Method, Responder] = {
        Method.REGISTER: register,
        Method.KEEPALIVE: lambda _: [True],
    }
    answers |= {Method.FIND_NODE: find, Method.FIND_VALUE: find}
    if (signal := LIES[lie]) is not None:
        answers[Method.SIGNAL] = signal
    registrar.answers = {**registrar.answers, **answers}


async def _attacked(world: World, peer: Resident, count: int, lie: str) -> set[bytes]:
    """That many liars nearer to the peer than all others, each in a network of its own."""
    attack = GroundIds(world, peer.identity.peer_id, Behaviour.DENYING, bytes(32))
    identities = attack.grind(count, derive_rng(world.seed, "ground"))
    await attack.move_in(identities, hosts_in(world, count))
    for one in attack.peers:
        _lie(one, attack.honest.nearest, lie)
    return {one.peer_id for one in identities}


async def _call_s(caller: Resident, callee: Resident) -> float:
    """The seconds that a call takes until the peer's answer; infinite if it fails."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    calling: Awaitable[CallResult] = caller.host.create_task(
        caller.running.caller.call(callee.identity.peer_id, describe)
    )
    try:
        await calling
    except ModswarmError:
        return float("inf")
    return loop.time() - started


async def _calls_s(seed: int, count: int, lie: str) -> tuple[list[float], int, int]:
    """Seconds of first calls to one peer, how many registrars it has, and how many lie."""
    world = World(seed, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    callers = list(world.residents)[:CALLERS]
    peer = world.add(unreachable=True)
    liars = await _attacked(world, peer, count, lie) if count else set()
    await peer.start()
    peer.running.callee.accept_calls(accept)
    registrations = peer.running.registrations
    await registrations.registered.wait()
    await asyncio.sleep(2 * limits.KEEPALIVE_S)
    lying = sum(one.peer_id in liars for one in registrations.registrars)
    keeping = len(registrations.registrars)
    seconds = [await _call_s(caller, peer) for caller in callers]
    await world.close()
    return seconds, keeping, lying


@pytest.mark.parametrize(
    ("count", "lie"), [*((6, lie) for lie in LIES), (8, "offline"), (12, "offline")]
)
async def test_a_peer_is_called_past_the_liars_nearest_to_its_id(
    count: int, lie: str, record_property: RecordProperty
) -> None:
    """Silence costs a call the time until it is asked past, other lies some round trips."""
    record_property("alone_s", ALONE_S)
    attacked_s, keeping, lying = await _calls_s(1, count, lie)
    record_property("attacked_s", max(attacked_s))
    record_property("attackers", count)
    assert keeping >= (limits.K if count == 12 else limits.REGISTRARS)
    assert lying >= limits.REGISTRARS_NEAREST, "the attack is one"
    past_s = limits.CALL_REPEAT_S if lie == "silent" else 4 * ROUND_TRIP_S
    assert max(attacked_s) <= ALONE_S + past_s, attacked_s


async def test_without_liars_a_call_takes_as_long_as_they_are_compared_with() -> None:
    alone_s, keeping, lying = await _calls_s(1, 0, "")
    assert (keeping, lying) == (limits.REGISTRARS, 0)
    assert max(alone_s) <= ALONE_S, alone_s


async def test_the_drawn_registrar_that_was_kept_longest_is_replaced() -> None:
    """One that only takes places is left, and is proved to callers no more soon after."""
    world = World(2, latency=UniformLatency(ROUND_TRIP_S))
    await world.populate(HONEST)
    nodes = {node.contact: node for node in world.residents}
    peer = world.add(unreachable=True)
    await peer.start()
    registrations = peer.running.registrations
    await registrations.registered.wait()
    number = int.from_bytes(peer.identity.peer_id)
    nearest = sorted(nodes, key=lambda one: one.number ^ number)[: limits.REGISTRARS_NEAREST]
    kept: set[Contact] = set()
    await asyncio.sleep(SETTLE_S)
    was = set(registrations.registrars)
    for _ in range(limits.REGISTRARS):
        await asyncio.sleep(limits.REGISTRARS_RENEWED_S)
        now = set(registrations.registrars)
        assert len(now) == limits.REGISTRARS
        assert now >= set(nearest)
        assert len(was - now) == 1
        kept |= was
        was = now
    await asyncio.sleep(limits.REGISTERED_ALIVE_S)
    proving = {
        contact
        for contact, node in nodes.items()
        if node.running.server.registrar.registration_proof_for(peer.identity.peer_id)
    }
    assert proving == set(registrations.registrars)
    assert len(kept) > limits.REGISTRARS
    await world.close()
