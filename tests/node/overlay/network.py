"""Several real overlay nodes on one simulated machine, with an easy identity puzzle."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from node.counters import Counters
from node.environment import Environment
from node.net.names import NameLookups
from node.overlay.membership import Membership
from node.overlay.settings import OverlaySettings
from node.overlay.signaling.registration import Registrations
from node.overlay.table.joining import Joining
from protocol.addresses import Address
from protocol.description import Description, DtlsRole, IceCandidate
from protocol.ice.candidates import CandidateKind
from protocol.identity import Identity, find_seed
from protocol.overlay.bootstrap import Bootstrap
from protocol.overlay.contacts import Contact
from protocol.signaling import Describe
from simulations.runtime.loop import VirtualLoop

PUZZLE_BITS = 2
LOOPBACK = Address("127.0.0.1", 0)


class OverlayPeer:
    """One membership, with short names for what tests look at."""

    def __init__(self, membership: Membership, counters: Counters, said: list[str]) -> None:
        self.membership = membership
        self.server = membership.server
        self.republisher = membership.republisher
        self.caller = membership.caller
        self.callee = membership.callee
        self.tasks = membership.tasks
        self.counters = counters
        self.said = said

    @property
    def address(self) -> Address:
        return next(iter(self.membership.endpoint.addresses.values()))

    @property
    def contact(self) -> Contact:
        return Contact.at(self.server.identity.public_key, self.address)

    async def join(self, bootstrap: Address, saved: Sequence[Contact] = ()) -> None:
        where = Bootstrap(bootstrap.host, bootstrap.port, None)
        joining = Joining(
            self.server, [where], saved, NameLookups(self.tasks), say=self.said.append
        )
        self.tasks.start(joining.run(), name="join")
        await joining.joined.wait()

    async def register(self) -> Registrations:
        registrations = self.membership.registrations
        self.tasks.start(registrations.run(), name="register")
        await registrations.registered.wait()
        return registrations

    async def close(self) -> None:
        await self.membership.stop()
        assert not self.tasks.defects, self.tasks.defects


def environment(seed: int, clock_ahead_s: float = 0.0) -> Environment:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    wall = loop.wall_time
    return Environment(
        lambda: wall() + clock_ahead_s, random.Random(seed), lambda: ["127.0.0.1"], None
    )


def identity(seed: int) -> Identity:
    return Identity(find_seed(random.Random(seed), PUZZLE_BITS))


async def open_peer(
    seed: int,
    *,
    unreachable: bool = False,
    bind: Address = LOOPBACK,
    listens: bool = True,
    clock_ahead_s: float = 0.0,
) -> OverlayPeer:
    counters = Counters()
    said: list[str] = []
    membership = Membership(
        identity(seed),
        environment(seed, clock_ahead_s),
        settings=OverlaySettings(unreachable=unreachable, puzzle_bits=PUZZLE_BITS),
        counters=counters,
        bootstraps=[],
        saved=[],
        say=said.append,
    )
    await membership.endpoint.open(bind)
    if listens:
        membership.listen()
    return OverlayPeer(membership, counters, said)


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


def describing(port: int = 9) -> Describe:
    """What describes a caller by `description`, whichever registrars are known."""
    return lambda _registrars: description(port)


def description(port: int = 9) -> Description:
    """A description that leads nowhere."""
    where = IceCandidate(CandidateKind.HOST, Address("127.0.0.1", port))
    return Description("ufrag", "p" * 22, bytes(32), DtlsRole.ACTPASS, (where,))
