"""One node of ours, among peers that are the test's own and speak the protocol byte for byte."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from protocol.addresses import Address
from protocol.identity import Identity
from protocol.overlay.messages import Method
from simulations.attacks.raw_peer import RawPeer, Responder
from simulations.internet import UniformLatency
from simulations.residents.world import PORT, Resident, World


@dataclass(slots=True)
class Village:
    """`node` answers, and does nothing of its own accord."""

    world: World
    node: Resident
    peers: list[RawPeer] = field(default_factory=list)

    async def peer(self, host: str = "", **answers: Responder) -> RawPeer:
        """One more peer, which has proved its address; `answers` by the methods' names."""
        by_method = {Method[name.upper()]: answer for name, answer in answers.items()}
        made = RawPeer(Identity((len(self.peers) + 1).to_bytes(32)), by_method)
        self.peers.append(made)
        machine = self.world.internet.add_host(addresses=[host] if host else None)
        await made.listen(machine, PORT)
        await made.ask(Method.PING, [], self.node.contact)
        return made

    async def contact(self, host: str = "", **answers: Responder) -> RawPeer:
        """The same, as a contact of the node."""
        made = await self.peer(host, **answers)
        self.node.running.server.protocol.maintenance.answered(made.contact)
        return made


@asynccontextmanager
async def village() -> AsyncIterator[Village]:
    world = World(1, latency=UniformLatency(0.05))
    node = world.add()
    with node.host.running():
        node.membership = node.make_membership()
        await node.running.endpoint.open(Address(node.host.addresses[0], PORT))
        node.running.listen()
    yield Village(world, node)
    await world.close()
