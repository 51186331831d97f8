"""Searches by many probes of one node follow one another, and none is made in vain."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from node.links.link import Link
from protocol import limits
from protocol.addresses import Address
from protocol.ice.agent import IceAgent
from protocol.punching import puncher
from protocol.punching.birthday import ports_to_probe
from protocol.punching.puncher import Puncher
from protocol.randomness import Random
from tests.simulations.pair_world import Town, pair_world, until

SEARCH_S = 6.0
"""What one takes, witnesses included."""

PROBING = "port-restricted1"
"""Its pause is as long a part of the whole one as its probes were of all."""


class Seen:
    """When pairs of nodes began to probe, and when sockets were open for these probes."""

    def __init__(self) -> None:
        self.probes: list[float] = []
        self.sockets: list[float] = []
        self.openers: list[int] = []
        self.sent: list[int] = []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found = Seen()
    probe_many, sockets_open = Puncher.probe_many, Puncher.sockets_open

    def probe(puncher: Puncher, now: float) -> None:
        found.probes.append(now)
        probe_many(puncher, now)

    def opened(puncher: Puncher, bases: Sequence[Address], now: float) -> None:
        found.sockets.append(now)
        found.openers.append(0)
        sockets_open(puncher, bases, now)

    open_firewall, probe_no_more = IceAgent.open_firewall, Puncher.probe_no_more

    def probe_none(puncher: Puncher) -> int:
        found.sent.append(probe_no_more(puncher))
        return found.sent[-1]

    def opens(agent: IceAgent, remote: Address, base: Address, ttl: int, now: float) -> bool:
        sent = open_firewall(agent, remote, base, ttl, now)
        if found.openers:
            found.openers[-1] += sent
        return sent

    monkeypatch.setattr(IceAgent, "open_firewall", opens)
    monkeypatch.setattr(Puncher, "probe_many", probe)
    monkeypatch.setattr(Puncher, "probe_no_more", probe_none)
    monkeypatch.setattr(Puncher, "sockets_open", opened)
    return found


class Misses:
    """How many of the next searches probe ports that no router gives."""

    def __init__(self) -> None:
        self.left = 0


@pytest.fixture
def misses(monkeypatch: pytest.MonkeyPatch) -> Misses:
    found = Misses()

    def ports(rng: Random, near: int = 0) -> list[int]:
        found.left -= 1
        return list(range(1, 1024)) if found.left >= 0 else ports_to_probe(rng, near)

    monkeypatch.setattr(puncher, "ports_to_probe", ports)
    return found


async def linked_at_once(town: Town, *pairs: tuple[str, str]) -> list[Link]:
    """Links of pairs of people that are called at the same time."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    people = dict(zip(names, await town.settled(*(_site(name) for name in names)), strict=True))
    both = await asyncio.gather(*(town.linked(people[a], people[b]) for a, b in pairs))
    return [link for link, _ in both]


def _site(name: str) -> str:
    return name.rstrip("123")


@pytest.mark.parametrize(
    "pairs",
    [
        [("port-restricted1", "symmetric1"), ("port-restricted1", "symmetric2")],
        [("port-restricted1", "symmetric1"), ("port-restricted2", "symmetric1")],
        [("symmetric1", "port-restricted1"), ("symmetric1", "port-restricted2")],
    ],
    ids=["of one that probes", "of one with sockets", "of one with sockets that calls"],
)
async def test_a_second_search_waits_for_the_first_and_its_pause(
    tmp_path: Path, seen: Seen, pairs: list[tuple[str, str]]
) -> None:
    async with pair_world(tmp_path, seed=2) as town:
        links = await linked_at_once(town, *pairs)
        limit_s = limits.BIRTHDAY_PAUSE_S + 2 * SEARCH_S
        await until(lambda: all(link.path.way == "direct" for link in links), limit_s)
        assert len(seen.sockets) == len(seen.probes) == len(links)
        assert all(map(float.__lt__, seen.sockets, seen.probes)), "probes came before sockets"
        first, second = seen.probes
        made = seen.sent[0] / limits.BIRTHDAY_PROBES if pairs[0][0] == pairs[1][0] == PROBING else 1
        assert second - first >= made * limits.BIRTHDAY_PAUSE_S - 1.0
        await until(lambda: _most_sockets(town) <= 1 + len(links))


@pytest.mark.parametrize("at", [("port-restricted", "symmetric"), ("symmetric", "port-restricted")])
async def test_a_search_that_missed_is_repeated(
    tmp_path: Path, seen: Seen, misses: Misses, at: tuple[str, str]
) -> None:
    misses.left = 1
    async with pair_world(tmp_path, seed=2) as town:
        (link,) = await linked_at_once(town, at)
        await until(lambda: len(seen.probes) == 1)
        limit_s = limits.BIRTHDAY_REPEAT_S + 3 * SEARCH_S
        await until(lambda: link.path.way == "direct", limit_s)
        first, second = seen.probes
        assert second - first >= limits.BIRTHDAY_REPEAT_S
        assert len(seen.sockets) == 2


async def test_a_search_that_always_misses_is_given_up_and_leaves_no_socket(
    tmp_path: Path, seen: Seen, misses: Misses
) -> None:
    misses.left = 100
    async with pair_world(tmp_path, seed=2) as town:
        (link,) = await linked_at_once(town, ("port-restricted", "symmetric"))
        limit_s = 2**limits.BIRTHDAY_REPEATS * (limits.BIRTHDAY_REPEAT_S + 2 * SEARCH_S)
        await until(lambda: len(seen.probes) == 1 + limits.BIRTHDAY_REPEATS, limit_s)
        await asyncio.sleep(2 * SEARCH_S)
        assert _most_sockets(town) <= 2, "but for one of dial-backs"
        await asyncio.sleep(20 * limits.BIRTHDAY_REPEAT_S)
        assert link.path.way == "relayed"
        assert len(seen.probes) == len(seen.sockets) == 1 + limits.BIRTHDAY_REPEATS
        pauses = [after - before for before, after in pairwise(seen.probes)]
        assert all(after >= 1.5 * before for before, after in pairwise(pauses))
        assert seen.openers == [limits.BIRTHDAY_SOCKETS] * len(seen.sockets)


def _most_sockets(town: Town) -> int:
    """How many sockets the node has that has most."""
    return max(len(one.running.endpoint._users) for one in town.world.residents)
