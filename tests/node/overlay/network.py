"""Several real overlay nodes on loopback, in one process, with an easy identity puzzle."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from node.counters import Counters
from node.endpoint import Endpoint
from node.environment import Environment
from node.overlay.caller import Caller
from node.overlay.joining import Bootstrap, Joining
from node.overlay.registration import Registrations
from node.overlay.server import OverlayServer
from node.overlay.settings import OverlaySettings
from node.overlay.upkeep import Upkeep
from node.tasks import TaskOwner
from protocol import records
from protocol.addresses import Address
from protocol.description import Candidate, CandidateKind, Description, DtlsRole
from protocol.identity import Identity, find_seed
from protocol.overlay.contacts import Contact
from protocol.records import PeerBody, Record

PUZZLE_BITS = 2
LOOPBACK = Address("127.0.0.1", 0)


@dataclass(eq=False)
class OverlayPeer:
    """One node's overlay with what stands around it in a real node."""

    server: OverlayServer
    endpoint: Endpoint
    counters: Counters
    tasks: TaskOwner
    upkeep: Upkeep
    caller: Caller
    said: list[str] = field(default_factory=list)

    @property
    def address(self) -> Address:
        return next(iter(self.endpoint.addresses.values()))

    @property
    def contact(self) -> Contact:
        return Contact.at(self.server.identity.public_key, self.address)

    def peer_record(self) -> Record:
        return self.upkeep.make(records.PEER, PeerBody((), 0, (1, 1), 0))

    async def join(self, bootstrap: Address, saved: Sequence[Contact] = ()) -> Joining:
        joining = Joining(
            self.server,
            [Bootstrap(bootstrap.host, bootstrap.port, None)],
            saved,
            say=self.said.append,
        )
        self.tasks.start(joining.run(), name="join")
        await joining.joined.wait()
        return joining

    async def register(self) -> Registrations:
        registrations = Registrations(self.server, self.peer_record)
        self.tasks.start(registrations.run(), name="register")
        await registrations.registered.wait()
        return registrations

    async def close(self) -> None:
        self.server.stop()
        await self.tasks.close()
        await self.endpoint.close()
        assert not self.tasks.defects, self.tasks.defects


def identity(seed: int) -> Identity:
    return Identity(find_seed(random.Random(seed).randbytes, PUZZLE_BITS))


async def open_peer(
    seed: int, *, unreachable: bool = False, bind: Address = LOOPBACK
) -> OverlayPeer:
    counters, tasks = Counters(), TaskOwner(f"peer {seed}")
    endpoint = Endpoint(counters)
    await endpoint.open(bind)
    environment = Environment()
    server = OverlayServer(
        identity(seed),
        environment,
        settings=OverlaySettings(unreachable=unreachable, puzzle_bits=PUZZLE_BITS),
        tasks=tasks,
        counters=counters,
    )
    server.listen(endpoint)
    return OverlayPeer(
        server, endpoint, counters, tasks, Upkeep(server, environment), Caller(server, environment)
    )


@contextlib.asynccontextmanager
async def network(reachable: int, unreachable: int = 0) -> AsyncIterator[list[OverlayPeer]]:
    """That many peers, all joined through the first; the unreachable ones come last."""
    peers = [
        await open_peer(seed, unreachable=seed >= reachable)
        for seed in range(reachable + unreachable)
    ]
    try:
        for peer in peers[1:]:
            await peer.join(peers[0].address)
        yield peers
    finally:
        await asyncio.gather(*(peer.close() for peer in peers))


def description(port: int = 9) -> Description:
    """A description that leads nowhere."""
    where = Candidate(CandidateKind.HOST, Address("127.0.0.1", port))
    return Description("ufrag", "p" * 22, bytes(32), DtlsRole.ACTPASS, (where,))
