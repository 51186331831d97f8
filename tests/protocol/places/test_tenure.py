"""Whose place a peer that asks gets: worth, tenure, network, and what is kept for whom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Busy
from protocol.places.tenure import RELAYED, Place, PlaceRule, network_of

RULE = PlaceRule(places=8, for_newcomers=2, for_own=2, per_network=2)
NEW = Place(b"new", b"", 0.0)
OURS = Place(b"new", b"", 0.0, ours=True)


def newcomer(name: str, *, network: bytes = b"", until: float = 0.0) -> Place:
    return Place(name.encode(), network, 0.0, until, until)


def useful(name: str, worth: float, *, ours: bool = False) -> Place:
    return Place(name.encode(), b"", worth, ours=ours)


def test_others_do_not_take_what_is_kept_for_our_own() -> None:
    taken = [newcomer(str(number), until=5.0) for number in range(6)]
    with pytest.raises(Busy) as refused:
        RULE.giving_way(taken, NEW, 1.0)
    assert refused.value.retry_after_s == 4.0
    assert RULE.giving_way(taken, OURS, 1.0) is None
    assert RULE.giving_way(taken[:5], NEW, 1.0) is None


def test_a_newcomer_takes_a_newcomers_place_and_never_that_of_who_was_of_use() -> None:
    old, young = newcomer("old", until=5.0), newcomer("young", until=9.0)
    taken = [*(useful(str(worth), worth) for worth in range(1, 5)), old, young]
    with pytest.raises(Busy):
        RULE.giving_way(taken, NEW, 4.9)
    assert RULE.giving_way(taken, NEW, 9.0) is old
    friend = Place(b"friend", b"", 2.5)
    assert RULE.giving_way([*taken[:4], useful("5", 5), young], friend, 6.0) is taken[0]


def test_where_newcomers_are_few_the_least_useful_gives_way() -> None:
    taken = [useful(str(worth), worth) for worth in (3, 1, 2, 5, 4)]
    assert RULE.giving_way([*taken, newcomer("one", until=5.0)], NEW, 1.0) is taken[1]


def test_our_own_take_no_place_kept_for_newcomers_but_their_own() -> None:
    taken = [useful(str(worth), worth, ours=True) for worth in (3, 1, 2, 5, 4, 6)]
    assert RULE.giving_way(taken, OURS, 1.0) is taken[1]
    assert RULE.giving_way(taken, NEW, 1.0) is None


def test_a_network_that_has_its_part_takes_only_of_its_own() -> None:
    theirs = [newcomer("a", network=b"net", until=9.0), newcomer("b", network=b"net", until=3.0)]
    taken = [*theirs, *(newcomer(str(number)) for number in range(4))]
    asking = Place(b"new", b"net", 0.0)
    with pytest.raises(Busy):
        RULE.giving_way(taken, asking, 2.0)
    assert RULE.giving_way(taken, asking, 4.0) is theirs[1]


def test_those_behind_relays_are_one_party_with_the_part_of_two_networks() -> None:
    """A relay's network says nothing of where its users are, and one in ten people needs one."""
    many = [newcomer(str(number), network=RELAYED, until=9.0 + number) for number in range(5)]
    taken = [*many, newcomer("a", until=20.0)]
    assert RULE.giving_way(taken, NEW, 1.0) is many[0]
    with pytest.raises(Busy):
        RULE.giving_way([*taken[1:], newcomer("b", until=20.0)], NEW, 1.0)
    asking = Place(b"new", RELAYED, 0.0)
    with pytest.raises(Busy):
        RULE.giving_way(taken, asking, 8.0)
    assert RULE.giving_way(taken, asking, 9.5) is many[0]


def test_what_a_network_has_beyond_its_part_has_no_tenure() -> None:
    many = [newcomer(str(number), network=b"net", until=9.0 + number) for number in range(3)]
    taken = [*(newcomer(name) for name in "abc"), *many]
    assert RULE.giving_way(taken, NEW, 1.0) is many[0]


def test_overdue_ones_go_before_those_whose_word_is_believed_less() -> None:
    far = Place(b"far", b"", 0.0, 2.0, 8.0)
    near = Place(b"near", b"", 0.0, 3.0, 3.0)
    taken = [far, near, *(useful(str(worth), worth) for worth in range(1, 5))]
    assert RULE.giving_way(taken, NEW, 4.0) is near
    assert RULE.giving_way([far, *taken[2:], newcomer("late", until=9.0)], NEW, 4.0) is far


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("5.6.7.8", bytes((5, 6, 7))),
        ("2a02:1:2:3::4", bytes.fromhex("2a0200010002")),
        ("127.0.0.1", b""),
        ("192.168.1.1", b""),
        ("10.0.0.1", b""),
        ("fd00::1", b""),
    ],
)
def test_only_public_networks_are_counted(host: str, network: bytes) -> None:
    assert network_of(host) == network


places = st.builds(
    Place,
    st.binary(min_size=1, max_size=2),
    st.sampled_from([b"", b"a", b"b"]),
    st.sampled_from([0.0, 0.0, 1.0, 2.0]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
)


@settings(deadline=None, derandomize=True)
@given(st.lists(places, max_size=8), places, st.integers(0, 9))
def test_who_was_of_use_loses_only_to_our_own_to_more_or_to_the_part_of_newcomers(
    taken: list[Place], asking: Place, now: int
) -> None:
    try:
        lost = RULE.giving_way(taken, asking, now)
    except Busy:
        return
    others = [one for one in taken if not one.ours]
    if lost is None:
        assert len(taken) < RULE.places
        return
    assert lost in taken
    crowd = sum(one.network == lost.network for one in others)
    crowded = bool(lost.network) and crowd > RULE.per_network
    assert now >= lost.safe_until or crowded
    few = sum(not one.worth for one in others) < RULE.for_newcomers
    assert asking.ours or not lost.ours
    assert asking.ours or few or crowded or lost.worth <= max(asking.worth, 0.0)


def test_who_is_wanted_gives_way_to_none_and_counts_as_our_own() -> None:
    """Also of a network that has more than its part, and whose holder came more often."""
    kept = [Place(bytes([number]) * 2, b"net", 0.0, visits=9, wanted=True) for number in range(6)]
    others = [newcomer(str(number), until=5.0) for number in range(2)]
    friend = Place(b"friend", b"", 100.0)
    assert RULE.giving_way([*kept, *others], friend, 6.0) in others
    with pytest.raises(Busy):
        RULE.giving_way([*kept, *others], OURS, 6.0)
    with pytest.raises(Busy) as refused:
        RULE.giving_way([*kept, *others], Place(b"new", b"net", 0.0, visits=1), 4.0)
    assert refused.value.retry_after_s == 1.0
