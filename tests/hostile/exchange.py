"""A registrar of a simulated world, and raw peers that register, call and are called there."""

import asyncio
from typing import Any

from protocol import limits
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, Response
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.internet.latency import UniformLatency
from simulations.residents.world import PORT, Resident, World
from simulations.seeds import derive_rng

SEED = 13
ROUND_TRIP_S = 0.1


class Exchange:
    """A registrar, and those who call and are called through it."""

    def __init__(self) -> None:
        self.world = World(SEED, latency=UniformLatency(ROUND_TRIP_S))
        self.registrar: Resident
        self._made = 0
        self._offers = 0
        self._registered = 0

    async def open(self) -> None:
        self.registrar = self.world.add()
        await self.registrar.start()

    async def peer(self, at: str = "", **answers: Responder) -> RawPeer:
        """A peer with a token of the registrar, on a machine of its own, whose address is `at`."""
        self._made += 1
        identity = Identity(derive_rng(SEED, "peer", self._made).randbytes(32))
        peer = RawPeer(identity, {Method[name.upper()]: does for name, does in answers.items()})
        host = self.world.internet.add_host(addresses=[at] if at else None)
        await peer.listen(host, PORT)
        peer.send(Method.PING, [], self.contact)
        return peer

    @property
    def contact(self) -> Contact:
        return self.registrar.contact

    async def register(self, peer: RawPeer) -> int:
        """The code of the answer."""
        self._registered += 1
        code = await peer.register(self.contact, sequence=self._registered)
        assert code is not None
        return code

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
