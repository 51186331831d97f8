"""Whole nodes behind boxes of each kind link directly, as the table of kinds says."""

import asyncio
from pathlib import Path

import pytest

from protocol.punching.pairs import Way, expected_way
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import pair_world, until

DIRECT_S = 1.5
"""Call, ICE, DTLS and session at 100 ms of round trip, with one of them repeated."""


SEARCH_S = 6.0
"""What a search by many probes takes, witnesses included."""

SEARCHES = 4
MISSED_MAX = 1
"""One of 482 searches hits no mapping by chance, and a seed repeats that for ever: so no town has a
single search. Two of four miss by chance in one of 38 000 towns."""


def way_of(one: WholeResident, other: WholeResident) -> Way:
    """What is expected of what both have found out about their routers."""
    kinds = [who.running.own_network.view().of(4).nat for who in (one, other)]
    return expected_way(*kinds)


@pytest.mark.parametrize(
    ("caller", "callee", "way"),
    [
        ("port-restricted", "linux", Way.PUNCH),
        ("linux", "linux", Way.PUNCH),
        ("cgnat", "port-restricted", Way.PUNCH),
        ("port-restricted", "sequential", Way.PREDICTION),
        ("sequential", "linux", Way.PREDICTION),
        ("sequential", "sequential", Way.PREDICTION),
    ],
)
async def test_a_pair_links_directly(tmp_path: Path, caller: str, callee: str, way: Way) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(caller, callee)
        assert way_of(one, other) is way
        outcome = await town.tried(one, other)
        assert (outcome.way, outcome.failure) == ("direct", "")
        assert outcome.seconds < DIRECT_S
        for who in (one, other):
            assert not who.running_node.pool.defects
            endpoint = who.running.endpoint
            assert len(endpoint._users) <= 2, (
                "of a search no more than the socket of the link is left"
            )


@pytest.mark.parametrize(
    ("caller", "callee"),
    [
        ("port-restricted", "symmetric"),
        ("symmetric", "linux"),
    ],
)
async def test_searches_lead_from_relays_to_direct_paths(
    tmp_path: Path, caller: str, callee: str
) -> None:
    async with pair_world(tmp_path) as town:
        people = await town.settled(*(caller, callee) * SEARCHES)
        pairs = list(zip(people[::2], people[1::2], strict=True))
        assert all(way_of(one, other) is Way.BIRTHDAY for one, other in pairs)
        both = await asyncio.gather(*(town.linked(one, other) for one, other in pairs))
        links = [link for link, _ in both]

        def direct() -> int:
            return sum(link.path.way == "direct" for link in links)

        await until(lambda: direct() >= SEARCHES - MISSED_MAX, SEARCH_S)
