"""A world of public nodes, in which a test lets two people behind boxes link.

async with pair_world(tmp_path) as town:
    caller, callee = await town.settled("linux", "symmetric")
    link, theirs = await town.linked(caller, callee)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from node.links.link import Link
from protocol import limits
from simulations.internet import Latency, Nat, UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import PairOutcome, move_in, populate_publics, settle, try_link
from simulations.residents.sites import SITES, Site
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings

PUBLICS = 12
ROUND_TRIP_S = 0.1
_TYPES = range(64, 96)
_HEAD = bytes((0x92, _TYPES[0]))
"""A list of two, the type and one more (MessagePack)."""


class Town:
    """The world of a test, and what people in it do."""

    def __init__(self, world: World, publics: list[WholeResident]) -> None:
        self.world = world
        self.publics = publics

    async def settled(
        self, *sites: str | Site, behind: Nat | None = None
    ) -> tuple[WholeResident, ...]:
        """A node at each of these sites, ready to call and to be called.

        They share the box `behind`, or have boxes of their own.
        """
        found = [SITES[site] if isinstance(site, str) else site for site in sites]
        people = tuple(move_in(self.world, site, behind=behind) for site in found)
        await asyncio.gather(*map(settle, people))
        return people

    async def tried(self, caller: WholeResident, callee: WholeResident) -> PairOutcome:
        """What comes of a call."""
        outcome, _ = await try_link(caller, callee)
        return outcome

    async def linked(self, caller: WholeResident, callee: WholeResident) -> tuple[Link, Link]:
        """A link, as caller and callee see it; the test fails with the reason if there is none."""
        outcome, link = await try_link(caller, callee)
        assert link is not None, outcome.failure
        await until(lambda: callee.running_node.pool.get(caller.identity.peer_id))
        theirs = callee.running_node.pool.get(caller.identity.peer_id)
        assert theirs is not None
        return link, theirs


@contextlib.asynccontextmanager
async def pair_world(
    folder: Path,
    *,
    publics: int = PUBLICS,
    v6: bool = False,
    seed: int = 1,
    latency: Latency | None = None,
    streams: bool = False,
    relay_rate: int = limits.RELAY_BYTES_PER_SECOND,
) -> AsyncIterator[Town]:
    """A settled overlay, every two of whose sites are 100 ms of round trip apart by default.

    With `streams` its nodes are gateways, and go by streams where UDP is silent. `relay_rate` is
    what each public node relays, in bytes a second.
    """
    world = World(
        seed,
        latency=latency or UniformLatency(ROUND_TRIP_S),
        settings=simulated_settings(streams=streams),
        folder=folder,
    )
    with virtual_libraries(world.internet):
        nodes = await populate_publics(world, publics, v6=v6, relay_rate=relay_rate)
        try:
            yield Town(world, nodes)
        finally:
            await world.close()


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> float:
    """Let time pass until something is so; returns the seconds that this took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not condition():
        assert loop.time() - started < limit_s, "not within the time limit"
        await asyncio.sleep(0.01)
    return loop.time() - started


class Talk:
    """Frames both ways over one link, of types that the product does not use."""

    def __init__(self, link: Link, theirs: Link) -> None:
        self._ends = link, theirs
        self._heard = 0
        self._said = 0
        for end in self._ends:
            end.register(_TYPES, self._count)

    def _count(self, _frame: bytes) -> None:
        self._heard += 1

    async def goes_on(self, limit_s: float = 5.0) -> float:
        """Send a frame each way; returns the seconds until both are there."""
        for end in self._ends:
            end.send(_HEAD + bytes([0]))
        self._said += len(self._ends)
        return await until(lambda: self._heard == self._said, limit_s)
