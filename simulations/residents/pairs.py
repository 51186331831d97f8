"""Two whole nodes that try to link: how they move in, when they are ready, what came of it.

world = World(seed, folder=folder)
with virtual_libraries(world.internet):
    await populate_publics(world, 12)
    caller, callee = (move_in(world, SITES[name]) for name in ("linux", "symmetric"))
    outcome = await try_pair(caller, callee)
"""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace

from node.links.link import Link
from node.links.stages import Stage
from protocol import limits
from protocol.errors import ModswarmError
from protocol.reachability.network_view import Verdict
from simulations.internet.boxes.nat import Nat
from simulations.residents.sites import Site, build_host
from simulations.residents.whole import WholeResident
from simulations.residents.world import JOIN_SPACING_S, World

SETTLE_S = 60.0
"""Within this a node joins, learns its network and registers, or it never will."""
VERDICT_S = 30.0
"""A node in a young network, or where no contact can dial back, goes on without a verdict."""
LINK_S = 60.0
DIRECT_S = 10.0
"""So long a relayed path is watched: a search by many probes takes 5 s."""
_LOOKED_EACH_S = 0.02
PAUSE_S = 1.0
"""Between the end of a link and the next call."""


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """What came of one call; `seconds` counts from the call to the open link.

    `way` is `direct`, `relayed`, `stream` where the caller reaches the relay by one, or `none` with
    the `failure` in words. `direct_s` counts from the call to the direct path, which may replace a
    relayed one; None if there was none.
    """

    way: str
    seconds: float
    failure: str = ""
    stages: dict[Stage, float] = field(default_factory=dict)
    direct_s: float | None = None

    @property
    def linked(self) -> bool:
        """Whether a link was opened."""
        return self.way != "none"


async def populate_publics(
    world: World,
    count: int,
    *,
    v6: bool = False,
    relay_rate: int = limits.RELAY_BYTES_PER_SECOND,
) -> list[WholeResident]:
    """Whole nodes on public hosts, joined: contacts of the others, and their relays."""
    publics = [_whole(world, Site(v6=v6)) for _ in range(count)]
    for one in publics:
        one.relay_rate = relay_rate
        await one.start()
        await asyncio.sleep(JOIN_SPACING_S)
    for one in publics:
        await one.running.joined.wait()
    return publics


def move_in(world: World, site: Site, *, behind: Nat | None = None) -> WholeResident:
    """A node at a site, not started yet; with `behind`, in a home that others live in too."""
    return _whole(world, site, behind)


async def settle(resident: WholeResident) -> None:
    """Start a node, and wait until it knows its network and peers can call it.

    TimeoutError if they never can.
    """
    async with asyncio.timeout(SETTLE_S):
        await resident.start()
        membership = resident.running
        await membership.joined.wait()
        network = membership.own_network
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VERDICT_S):
                await network.until(lambda: network.view().verdict is not Verdict.UNKNOWN)
        if network.needs_registrars:
            await membership.registrations.registered.wait()


async def try_link(caller: WholeResident, callee: WholeResident) -> tuple[PairOutcome, Link | None]:
    """One call between two nodes that have settled."""
    loop = caller.world.loop
    started = loop.time()
    try:
        async with asyncio.timeout(LINK_S):
            with caller.host.running():
                link = await caller.running_node.pool.connect(callee.identity.peer_id)
    except (ModswarmError, TimeoutError) as error:
        failure = str(error) or f"nothing came of it within {LINK_S:g} s"
        return PairOutcome("none", loop.time() - started, failure), None
    seconds = loop.time() - started
    way = link.path.way
    direct_s = seconds if way == "direct" else None
    return PairOutcome(way, seconds, stages=link.stage_seconds, direct_s=direct_s), link


async def watch(outcome: PairOutcome, link: Link) -> PairOutcome:
    """The outcome with what becomes of a relayed path within DIRECT_S."""
    loop = asyncio.get_running_loop()
    opened_at = loop.time()
    while loop.time() < opened_at + DIRECT_S and not link.closed.done():
        if link.path.way == "direct":
            direct_s = outcome.seconds + loop.time() - opened_at
            return outcome if outcome.direct_s else replace(outcome, direct_s=direct_s)
        await asyncio.sleep(_LOOKED_EACH_S)
    return outcome


async def close_link(link: Link, caller: WholeResident, callee: WholeResident) -> None:
    """Close a link, and return once neither node has it."""
    theirs = callee.running_node.pool.get(caller.identity.peer_id)
    with caller.host.running():
        await link.close("the next call is to open another")
    if theirs is not None:
        await asyncio.wait([theirs.closed])
    await asyncio.sleep(PAUSE_S)


def _whole(world: World, site: Site, behind: Nat | None = None) -> WholeResident:
    resident = world.add(WholeResident, host=build_host(world.internet, site, behind))
    assert isinstance(resident, WholeResident)
    return resident
