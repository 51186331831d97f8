"""Callers that never do their part of a port search: an honest pair has its turn all the same."""

import asyncio
from pathlib import Path

import pytest

from node.links.punching.search import PortSearch
from protocol import limits
from protocol.identity import PeerId
from simulations.residents.sites import SITES, build_boxes
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import Town, pair_world, until

HOSTILE = 6
SEARCH_S = 8.0
"""What the honest pair takes at most once it has its turn: call, meeting and all probes."""

HALF_PAUSE_S = limits.BIRTHDAY_PAUSE_S * limits.BIRTHDAY_PROBES_ENOUGH / limits.BIRTHDAY_PROBES
"""The pause after a search that ended early, as others waited."""

NEVER_S = limits.BIRTHDAY_PATIENCE_S


class Hostile:
    """Peers that show themselves to witnesses, or are `silent`, and never see the other's token;
    those that `pretend` see it, and leave theirs as if their sockets were open.
    """

    def __init__(self) -> None:
        self.peers: set[PeerId] = set()
        self.silent = False
        self.pretend = False


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Hostile:
    found = Hostile()
    seen, keep_ready = PortSearch._seen, PortSearch._keep_ready

    async def see(search: PortSearch, limit_s: float) -> frozenset[str]:
        if search._call.own_id in found.peers and not found.pretend:
            await asyncio.sleep(limit_s)
            return frozenset()
        return await seen(search, limit_s)

    async def stay_ready(search: PortSearch) -> None:
        if not found.silent or search._call.own_id not in found.peers:
            await keep_ready(search)

    open_sockets = PortSearch._open_sockets

    async def open_none(search: PortSearch) -> None:
        if search._call.own_id not in found.peers:
            await open_sockets(search)

    monkeypatch.setattr(PortSearch, "_open_sockets", open_none)
    monkeypatch.setattr(PortSearch, "_seen", see)
    monkeypatch.setattr(PortSearch, "_keep_ready", stay_ready)
    return found


async def attacked(
    town: Town, hostile: Hostile, victim_at: str, others_at: str, *, networks: int
) -> tuple[WholeResident, WholeResident]:
    """A victim whose searches are all asked for by hostile callers, and an honest peer."""
    victim, honest = await town.settled(victim_at, others_at)
    boxes = [build_boxes(town.world.internet, SITES[others_at]) for _ in range(networks)]
    each = [others_at] * (HOSTILE // networks)
    callers = [one for box in boxes for one in await town.settled(*each, behind=box)]
    hostile.peers.update(one.identity.peer_id for one in callers)
    await asyncio.gather(*(town.linked(one, victim) for one in callers))
    await asyncio.sleep(1.0)
    return victim, honest


async def direct_s(town: Town, caller: WholeResident, callee: WholeResident) -> float:
    """How long after its call a pair has a direct path."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    link, _ = await town.linked(caller, callee)
    await until(lambda: link.path.way == "direct", NEVER_S)
    return loop.time() - began


@pytest.mark.parametrize("at", [("port-restricted", "symmetric"), ("symmetric", "port-restricted")])
async def test_an_honest_pair_alone_searches_at_once(tmp_path: Path, at: tuple[str, str]) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        victim, honest = await town.settled(*at)
        assert await direct_s(town, honest, victim) <= SEARCH_S


async def test_silent_callers_hold_the_turn_of_one_that_probes_for_one_meeting(
    tmp_path: Path, hostile: Hostile
) -> None:
    hostile.silent = True
    async with pair_world(tmp_path, seed=2) as town:
        pair = await attacked(town, hostile, "port-restricted", "symmetric", networks=HOSTILE)
        took_s = await direct_s(town, *reversed(pair))
        assert took_s <= limits.BIRTHDAY_MEETING_S + SEARCH_S


@pytest.mark.parametrize("networks", [1, HOSTILE])
async def test_callers_that_are_seen_hold_it_for_a_meeting_of_each_network(
    tmp_path: Path, hostile: Hostile, networks: int
) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        pair = await attacked(town, hostile, "port-restricted", "symmetric", networks=networks)
        took_s = await direct_s(town, *reversed(pair))
        # The first had a turn that was free, so that its network was not asked for.
        assert took_s <= (1 + networks) * limits.BIRTHDAY_MEETING_S + SEARCH_S


@pytest.mark.parametrize("networks", [1, 3])
async def test_callers_that_never_probe_have_the_sockets_once_for_each_network(
    tmp_path: Path, hostile: Hostile, networks: int
) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        pair = await attacked(town, hostile, "symmetric", "port-restricted", networks=networks)
        took_s = await direct_s(town, *reversed(pair))
        assert took_s <= networks * limits.BIRTHDAY_PAUSE_S + SEARCH_S


@pytest.mark.parametrize("networks", [1, 3])
async def test_callers_that_pretend_to_have_sockets_get_half_of_the_probes_for_each_network(
    tmp_path: Path, hostile: Hostile, networks: int
) -> None:
    hostile.pretend = True
    async with pair_world(tmp_path, seed=2) as town:
        pair = await attacked(town, hostile, "port-restricted", "symmetric", networks=networks)
        took_s = await direct_s(town, *reversed(pair))
        assert took_s <= networks * HALF_PAUSE_S + SEARCH_S


@pytest.mark.parametrize("at", [("port-restricted", "symmetric"), ("symmetric", "port-restricted")])
async def test_calls_of_our_own_wait_for_no_second_turn_of_callers(
    tmp_path: Path, hostile: Hostile, at: tuple[str, str]
) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        pair = await attacked(town, hostile, *at, networks=HOSTILE)
        took_s = await direct_s(town, *pair)
        assert took_s <= limits.BIRTHDAY_PAUSE_S + SEARCH_S
