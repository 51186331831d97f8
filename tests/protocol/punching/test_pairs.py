"""The table of kinds: every pair stands in it, and it says what two routers allow."""

from itertools import combinations_with_replacement

import pytest

from protocol.punching.pairs import EXPECTED, PunchKind, Way, expected_way, punch_kind
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind

FULL_CONE = NatKind(MappingKind.ENDPOINT_INDEPENDENT, FilteringKind.ENDPOINT_INDEPENDENT)
RESTRICTED = NatKind(MappingKind.ENDPOINT_INDEPENDENT, FilteringKind.DEPENDENT)
FIREWALL = NatKind(MappingKind.NONE, FilteringKind.DEPENDENT)
SYMMETRIC = NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT)
COUNTING = NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, port_step=1)
PUBLIC = NatKind(MappingKind.NONE, FilteringKind.ENDPOINT_INDEPENDENT)
UNKNOWN = NatKind()


def test_every_pair_of_kinds_stands_in_the_table() -> None:
    pairs = {frozenset(pair) for pair in combinations_with_replacement(PunchKind, 2)}
    assert set(EXPECTED) == pairs


@pytest.mark.parametrize(
    ("nat", "kind"),
    [
        (PUBLIC, PunchKind.OPEN),
        (FULL_CONE, PunchKind.OPEN),
        (NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.ENDPOINT_INDEPENDENT), "open"),
        (RESTRICTED, PunchKind.PREDICTABLE),
        (FIREWALL, PunchKind.PREDICTABLE),
        (UNKNOWN, PunchKind.PREDICTABLE),
        (COUNTING, PunchKind.SEQUENTIAL),
        (SYMMETRIC, PunchKind.RANDOM),
    ],
)
def test_a_routers_kind(nat: NatKind, kind: PunchKind | str) -> None:
    assert punch_kind(nat) is PunchKind(kind)


@pytest.mark.parametrize(
    ("one", "other", "way"),
    [
        (PUBLIC, SYMMETRIC, Way.OPEN),
        (FULL_CONE, COUNTING, Way.OPEN),
        (RESTRICTED, RESTRICTED, Way.PUNCH),
        (FIREWALL, UNKNOWN, Way.PUNCH),
        (RESTRICTED, COUNTING, Way.PREDICTION),
        (COUNTING, COUNTING, Way.PREDICTION),
        (RESTRICTED, SYMMETRIC, Way.BIRTHDAY),
        (COUNTING, SYMMETRIC, Way.RELAY),
        (SYMMETRIC, SYMMETRIC, Way.RELAY),
    ],
)
def test_what_is_expected_of_a_pair(one: NatKind, other: NatKind, way: Way) -> None:
    assert expected_way(one, other) is expected_way(other, one) is way
