"""A registrar whose places for calls are held by callers that stall: honest calls go through."""

import asyncio
from typing import Any

import pytest

from protocol import limits, records
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method, Request, Response
from protocol.overlay.registration_proof import make_registration_proof
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.internet.latency import UniformLatency
from simulations.residents.world import Resident, World
from simulations.seeds import derive_rng

SEED = 13
ROUND_TRIP_S = 0.1
ATTACKERS = limits.CALLS_PENDING // limits.CALLS_PER_CALLER
ACCOMPLICES = limits.CALLS_PENDING // limits.CALLS_PER_CALLEE
ANSWER = bytes(limits.SIGNAL_BYTES)


class Exchange:
    """A registrar, and those who call and are called through it."""

    def __init__(self) -> None:
        self.world = World(SEED, latency=UniformLatency(ROUND_TRIP_S))
        self.registrar: Resident
        self._made = 0
        self._offers = 0

    async def open(self) -> None:
        self.registrar = self.world.add()
        await self.registrar.start()

    async def peer(self, **answers: Responder) -> RawPeer:
        """A peer with a token of the registrar, on a machine of its own."""
        self._made += 1
        identity = Identity(derive_rng(SEED, "peer", self._made).randbytes(32))
        peer = RawPeer(identity, {Method[name.upper()]: does for name, does in answers.items()})
        await peer.move_in(self.world.internet)
        peer.send(Method.PING, [], self.contact)
        return peer

    @property
    def contact(self) -> Contact:
        return self.registrar.contact

    async def register(self, peer: RawPeer) -> None:
        now = self.world.loop.wall_time()
        body = records.PeerBody((), 0, (1, 1), 0)
        record = records.make(peer.identity, records.PEER, body, now=now, sequence=1).raw
        proof = make_registration_proof(peer.identity, self.contact.peer_id, now)
        response = await peer.ask(Method.REGISTER, [record, proof], self.contact)
        assert response is not None
        assert response.code == Code.OK

    def call(self, caller: RawPeer, callee: RawPeer, round_trip_ms: int) -> None:
        self._offers += 1
        sealed = self._offers.to_bytes(limits.SIGNAL_BYTES)
        arguments: list[Any] = [callee.identity.peer_id, sealed, round_trip_ms]
        caller.send(Method.SIGNAL, arguments, self.contact)

    async def outcome(self, caller: RawPeer, callee: RawPeer) -> tuple[Response, float]:
        """What an honest call gets, and after how many seconds."""
        loop, before = asyncio.get_running_loop(), len(caller.responses)
        started = loop.time()
        self.call(caller, callee, round(1000 * ROUND_TRIP_S))
        while len(caller.responses) == before:
            assert loop.time() - started < limits.CALL_S
            await asyncio.sleep(0.01)
        return caller.responses[-1], loop.time() - started


def answers(_: Request) -> list[Any]:
    return [ANSWER]


@pytest.mark.parametrize("told_ms", [0, limits.ROUND_TRIP_MS_MAX])
async def test_256_stalling_callers_keep_no_honest_call_out(told_ms: int) -> None:
    """They say that they are far, so that they may be slow; their callees answer nothing."""
    exchange = Exchange()
    await exchange.open()
    silent = [await exchange.peer() for _ in range(ACCOMPLICES)]
    honest = await exchange.peer(deliver=answers)
    callers = [await exchange.peer() for _ in range(20)]
    await asyncio.sleep(1.0)
    for one in (*silent, honest):
        await exchange.register(one)
    response, alone_s = await exchange.outcome(callers[0], honest)
    assert (response.code, response.result) == (Code.OK, [ANSWER])
    attackers = [await exchange.peer() for _ in range(ATTACKERS)]
    await asyncio.sleep(1.0)

    def call_all() -> None:
        for number, attacker in enumerate(attackers):
            for _ in range(limits.CALLS_PER_CALLER):
                exchange.call(attacker, silent[number % len(silent)], told_ms)

    for caller in callers:
        call_all()
        await asyncio.sleep(0.5)
        response, seconds = await exchange.outcome(caller, honest)
        assert (response.code, response.result) == (Code.OK, [ANSWER])
        assert seconds <= alone_s + 0.1
    await exchange.world.close()
