"""Whole nodes behind boxes of each kind link directly, as the table of kinds says."""

from pathlib import Path

import pytest

from protocol.punching.pairs import Way, expected_way
from simulations.residents.whole import WholeResident
from tests.simulations.pair_world import pair_world, until

DIRECT_S = 1.5
"""Call, ICE, DTLS and session at 100 ms of round trip, with one of them repeated."""


SEARCH_S = 6.0
"""What a search by many probes takes, witnesses included."""


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
async def test_a_search_leads_from_a_relay_to_a_direct_path(
    tmp_path: Path, caller: str, callee: str
) -> None:
    async with pair_world(tmp_path) as town:
        one, other = await town.settled(caller, callee)
        assert way_of(one, other) is Way.BIRTHDAY
        link, _ = await town.linked(one, other)
        await until(lambda: link.path.way == "direct", SEARCH_S)
