"""Searches by many probes of one node follow one another, and none is made in vain."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.links.link import Link
from protocol import limits
from protocol.addresses import Address
from protocol.punching.puncher import Puncher
from tests.simulations.pair_world import Town, pair_world, until

SEARCH_S = 6.0
"""What one takes, witnesses included."""


class Seen:
    """When pairs of nodes began to probe, and when sockets were open for these probes."""

    def __init__(self) -> None:
        self.probes: list[float] = []
        self.sockets: list[float] = []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found = Seen()
    probe_many, sockets_open = Puncher.probe_many, Puncher.sockets_open

    def probe(puncher: Puncher, now: float) -> None:
        found.probes.append(now)
        probe_many(puncher, now)

    def opened(puncher: Puncher, bases: Sequence[Address], now: float) -> None:
        found.sockets.append(now)
        sockets_open(puncher, bases, now)

    monkeypatch.setattr(Puncher, "probe_many", probe)
    monkeypatch.setattr(Puncher, "sockets_open", opened)
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
        assert second - first >= limits.BIRTHDAY_PAUSE_S - 1.0
        await until(lambda: _most_sockets(town) <= 1 + len(links))


def _most_sockets(town: Town) -> int:
    """How many sockets the node has that has most."""
    return max(len(one.running.endpoint._users) for one in town.world.residents)
