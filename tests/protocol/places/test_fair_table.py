"""A full table: who holds most makes room, then what has had its time; else the wait is told."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Busy, RateLimited
from protocol.places.calls import CallParties, CallPlaces, believed_safe_s, safe_s
from protocol.places.fair_table import FairTable

OWN, CALLEE = bytes(20), b"callee" + bytes(14)


def key(number: int) -> bytes:
    return number.to_bytes(32)


def test_networks_come_before_callers_and_both_before_age() -> None:
    table = FairTable(4)
    for number, holders in enumerate([("net 1", "a"), ("net 2", "b"), ("net 1", "c"), ("x", "b")]):
        table.add(key(number), holders, 10.0)
    assert table.yields(("net 3", "d"), 0.0) == key(0), "the oldest of the network with most"
    assert table.yields(("net 1", "d"), 0.0) == key(1), "the oldest of the caller with most"
    with pytest.raises(Busy) as refused:
        table.yields(("net 1", "a"), 8.5)
    assert refused.value.retry_after_s == 1.5
    assert refused.value.retry_s == 2
    assert table.yields(("net 1", "a"), 10.0) == key(0), "whose time is over"
    table.remove(key(2))
    assert table.yields(("net 1", "a"), 0.0) is None


def test_who_has_none_takes_the_first_place_of_those_that_came_most_often() -> None:
    table = FairTable(4)
    for number, visits in enumerate([1, 3, 3, 0]):
        table.add(key(number), (f"net {number}", f"caller {number}"), 10.0, visits)
    for visits in (0, 3, 4):
        with pytest.raises(Busy):
            table.yields(("net 9", "caller 9"), 0.0, visits)
    for holders in (("net 0", "caller 9"), ("net 9", "caller 0")):
        with pytest.raises(Busy):
            table.yields(holders, 0.0, 1)
    for first in (key(1), key(2)):
        assert table.yields(("net 9", "caller 9"), 0.0, 2) == first
        table.remove(first)
        table.add(first, (f"net {first!r}", f"caller {first!r}"), 10.0, 1)
    with pytest.raises(Busy):
        table.yields(("net 9", "caller 9"), 0.0, 1)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.floats(0.0, 3.0)), max_size=80),
    st.integers(1, 8),
)
def test_the_bound_holds_and_who_has_little_loses_nothing_in_its_time(
    steps: list[tuple[int, int, float]], capacity: int
) -> None:
    table, keys, now = FairTable(capacity), count(), 0.0
    entries: dict[bytes, tuple[tuple[str, str], float]] = {}
    waits: list[float] = []
    for network, caller, pause_s in steps:
        now += pause_s
        holders = f"net {network}", f"caller {caller}"
        try:
            yielding = table.yields(holders, now)
        except Busy as error:
            waits.append(error.retry_after_s)
            continue
        if yielding is not None:
            lost, safe_until = entries.pop(yielding)
            held = [other for other, _ in entries.values()]
            more = [
                sum(other[level] == lost[level] for other in held) + 1
                >= sum(other[level] == holders[level] for other in held) + 2
                for level in (0, 1)
            ]
            assert now >= safe_until or any(more)
            table.remove(yielding)
        made = key(next(keys))
        entries[made] = (holders, now + 5.0)
        table.add(made, holders, now + 5.0)
        assert len(table) == len(entries) <= capacity
    assert all(0 < wait_s <= 5.0 + 1e-9 for wait_s in waits)  # sums of floats are not exact


def taken(places: CallPlaces, number: int, parties: CallParties, now: float) -> list[bytes]:
    """Begin a call; the calls that made room."""
    ended = []
    for displaced in places.giving_way(parties, now):
        places.remove(displaced)
        ended.append(displaced)
    places.add(key(number), parties, now, safe_s(0.1))
    return ended


def test_who_calls_one_callee_most_makes_room_there() -> None:
    places = CallPlaces(OWN)
    per_caller = limits.CALLS_PER_CALLER
    for number in range(limits.CALLS_PER_CALLEE):
        caller = (number // per_caller + 1).to_bytes(20)
        taken(places, number, CallParties(caller, "10.0.0.1", CALLEE), 0.0)
    honest = CallParties(b"honest" + bytes(14), "10.0.0.1", CALLEE)
    assert taken(places, 999, honest, 0.1) == [key(0)]
    assert len(places) == limits.CALLS_PER_CALLEE
    with pytest.raises(RateLimited):
        taken(places, 1000, CallParties((2).to_bytes(20), "10.0.0.1", OWN[:-1] + b"\1"), 0.1)


@pytest.mark.parametrize("callee", [CALLEE, OWN])
def test_who_called_others_less_lately_comes_first_but_to_this_node(callee: bytes) -> None:
    places = CallPlaces(OWN)
    for began_at in (0.0, 1.0):
        for number in range(limits.CALLS_PER_CALLEE):
            caller = CallParties(number.to_bytes(20), f"10.0.0.{number}", callee)
            assert taken(places, number, caller, began_at) == []
            if not began_at:
                places.remove(key(number))
    person = CallParties((999).to_bytes(20), "10.0.1.1", callee)
    if callee == OWN:
        with pytest.raises(Busy):
            taken(places, 999, person, 1.1)
        return
    assert taken(places, 999, person, 1.1) == [key(0)]
    with pytest.raises(Busy):
        taken(places, 1000, CallParties(bytes(20), "10.0.0.0", callee), 1.1)


def test_calls_that_one_registrar_brings_us_have_no_bound_of_one_caller() -> None:
    places = CallPlaces(OWN)
    registrar = CallParties(b"registrar" + bytes(11), "5.6.7.8", OWN)
    for number in range(limits.CALLS_PER_CALLEE):
        assert taken(places, number, registrar, 0.0) == []
    with pytest.raises(Busy):
        taken(places, 999, registrar, 0.1)
    other = CallParties(b"another" + bytes(13), "9.9.9.9", OWN)
    assert taken(places, 1000, other, 0.1) == [key(0)]


def test_a_call_has_four_round_trips_and_where_places_are_short_a_liar_has_two_seconds() -> None:
    for of in (safe_s, believed_safe_s):
        assert of(0.0) == limits.LINK_PROOF_S
        assert of(0.4) == pytest.approx(1.6)
    assert safe_s(1.5) == pytest.approx(6.0)
    assert believed_safe_s(1.5) == pytest.approx(2.0)
