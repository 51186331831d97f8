"""Who gives way in a store that is full, and among the values of a key that is."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits, records
from protocol.errors import KeyFull, StoreFull
from protocol.overlay.store.record_store import RecordStore
from protocol.overlay.store.storer import NestedShares, Storer
from protocol.overlay.store.values import TurnOrder, Value, value_of
from protocol.records import PROVIDER, ProviderBody, Record

WHOLE_SPACE = (1 << 160) - 1
SIZE = 200
COST = SIZE + limits.STORE_VALUE_BYTES + limits.STORE_KEY_BYTES


@pytest.fixture(autouse=True)
def _storers_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a full store holds a number of records, whichever peers stored them."""
    monkeypatch.setattr(limits, "STORE_STORER_BYTES", 0)
    monkeypatch.setattr(limits, "STORE_NETWORK_BYTES", 0)


def record_of(publisher: int, mod: int, *, sequence: int = 1) -> Record:
    body = ProviderBody(mod.to_bytes(32), complete=True)
    key = publisher.to_bytes(32)
    raw = b"%d %d %d" % (publisher, mod, sequence)
    return Record(PROVIDER, key, sequence, 0, 1000, body, raw.ljust(SIZE))


def storer(number: int, host: str) -> Storer:
    return Storer.at(number.to_bytes(20), host)


def full_of(count: int, *, radius: int = WHOLE_SPACE, per_key: int = 512) -> RecordStore:
    """A store with room for so many records, each of a mod of its own."""
    return RecordStore(
        secret=bytes(16),
        own_number=0,
        radius=lambda: radius,
        max_bytes=count * COST,
        max_values_per_key=per_key,
    )


def publishers(store: RecordStore) -> list[int]:
    return sorted(int.from_bytes(one.public_key) for one in store)


@pytest.mark.parametrize("form", ["5.5.5.{}", "2a02:5::{:x}", "10.1.1.1"])
def test_many_identities_of_one_network_give_way_to_one_of_another(form: str) -> None:
    store = full_of(60)
    for number in range(60):
        store.put(record_of(number, number), storer(number, form.format(number % 15 + 1)), 0.0)
    for mod in range(25):
        store.put(record_of(1000, 1000 + mod), storer(1000, "8.8.8.8"), 0.0)
    for number in range(2000, 2060):
        with suppress(StoreFull):
            store.put(record_of(number, number), storer(number, form.format(1)), 0.0)
    assert publishers(store).count(1000) == 25


def test_inside_a_network_the_address_then_the_peer_with_most_gives_way() -> None:
    store = full_of(60)
    for number in range(50):
        store.put(record_of(number, number), storer(number, "5.5.5.5"), 0.0)
    for mod in range(10):
        store.put(record_of(100, 100 + mod), storer(100, "5.5.5.6"), 0.0)
    for mod in range(10):
        store.put(record_of(200, 200 + mod), storer(200, "5.5.5.7"), 0.0)
    assert [publishers(store).count(one) for one in (100, 200)] == [10, 10]
    for mod in range(8):
        store.put(record_of(300, 300 + mod), storer(300, "5.5.5.6"), 0.0)
    assert [publishers(store).count(one) for one in (100, 200, 300)] == [10, 10, 8]
    assert len(store) == 60


def test_the_farthest_go_first_and_those_within_the_radius_are_equally_near() -> None:
    mods = sorted(range(40), key=lambda mod: records.provider_key(mod.to_bytes(32)))
    radius = int.from_bytes(records.provider_key(mods[19].to_bytes(32)))
    store = full_of(40, radius=radius)
    for mod in reversed(mods):
        store.put(record_of(1, mod), storer(1, "5.5.5.5"), 0.0)

    def held_of_1() -> set[int]:
        mine = [one for one in store if one.public_key == (1).to_bytes(32)]
        return {
            int.from_bytes(one.body.mod_id) for one in mine if isinstance(one.body, ProviderBody)
        }

    for number in range(15):
        store.put(record_of(2, 1000 + number), storer(2, "6.6.6.6"), 0.0)
    assert held_of_1() == set(mods[:25]), "the farthest are gone"
    farther = mods[-1]
    with pytest.raises(StoreFull):
        store.put(record_of(1, farther), storer(1, "5.5.5.5"), 0.0)
    for number in range(5):
        store.put(record_of(3, 2000 + number), storer(3, "7.7.7.7"), 0.0)
    assert held_of_1() == set(mods[:20])
    # Now all are within: the oldest goes, which is the farthest of those, and nearness is no help.
    store.put(record_of(3, 2005), storer(3, "7.7.7.7"), 0.0)
    assert held_of_1() == set(mods[:19])
    with pytest.raises(StoreFull):
        store.put(record_of(1, mods[19]), storer(1, "5.5.5.5"), 0.0)


def test_who_stores_what_another_has_published_does_not_take_it_into_its_share() -> None:
    store = full_of(10)
    honest = record_of(1, 1)
    owner = Storer.at(honest.peer_id, "8.8.8.8")
    attacker = storer(9, "5.5.5.5")
    store.put(honest, attacker, 0.0)
    for number in range(9):
        store.put(record_of(100 + number, 100 + number), attacker, 0.0)
    store.put(honest, owner, 0.0)
    store.put(honest, attacker, 0.0)
    for number in range(4):
        store.put(record_of(200 + number, 200 + number), storer(7, "7.7.7.7"), 0.0)
    assert 1 in publishers(store)
    assert len(store) == 10


def test_within_a_full_key_one_network_closes_nothing() -> None:
    store = full_of(100, per_key=20)
    for number in range(20):
        store.put(record_of(number, 5), storer(number, "5.5.5.5"), 0.0)
    for number in range(8):
        host = f"8.8.{number}.8"
        store.put(record_of(1000 + number, 5), storer(1000 + number, host), 0.0)
    refused = 0
    for number in range(2000, 2020):
        try:
            store.put(record_of(number, 5), storer(number, "5.5.5.5"), 0.0)
        except KeyFull:
            refused += 1
    assert 0 < refused < 20
    told = store.get(records.provider_key((5).to_bytes(32)), PROVIDER, 0.0)
    first = {int.from_bytes(one.public_key) for one in told[:9]}
    assert first >= set(range(1000, 1008)), "each network has one before any has a second"
    assert len(told) == 20


def test_survivors_within_a_network_differ_from_node_to_node() -> None:
    def kept(secret: bytes) -> list[Value]:
        values = [value_of(record_of(one, 5), storer(one, "5.5.5.5"), secret) for one in range(100)]
        return list(TurnOrder(values))[:50]

    first, second = ({one.slot for one in kept(bytes((number,)) * 16)} for number in (1, 2))
    assert 10 < len(first & second) < 40
    later = [one._replace(record=record_of(7, 5, sequence=99)) for one in kept(bytes(16))]
    assert [one.slot for one in TurnOrder(later)] == [one.slot for one in kept(bytes(16))]


def in_turns(values: Iterable[Value]) -> list[Value]:
    """What a TurnOrder says, sorted anew."""
    turns: Counter[bytes] = Counter()
    placed = []
    for value in sorted(values, key=lambda one: (one.place, one.slot)):
        placed.append((turns[value.storer.network], value.place, value.slot, value))
        turns[value.storer.network] += 1
    return [value for *_, value in sorted(placed, key=lambda one: one[:3])]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=60))
def test_an_order_that_changes_is_that_of_sorting_anew(changes: list[tuple[int, int]]) -> None:
    """A number that is there goes, another one comes; each names a publisher and its network."""
    order, held = TurnOrder(()), dict[int, Value]()
    for number, network in changes:
        gone = held.pop(number, None)
        if gone is not None:
            order.remove(gone)
        else:
            value = value_of(record_of(number, 5), storer(number, f"5.5.{network}.5"), b"secret")
            assert order.last_with(value) is in_turns([*held.values(), value])[-1]
            held[number] = value
            order.add(value)
        assert list(order) == in_turns(held.values()) == list(TurnOrder(held.values()))


def test_shares_forget_what_is_gone() -> None:
    paths = [storer(number, f"5.5.{number % 3}.5").path for number in range(9)]
    shares = NestedShares(lambda key: paths[key[0]])
    for number, path in enumerate(paths):
        shares.add(path, bytes((number,)))
    assert (shares.count(paths[0]), shares.of_peer(paths[1])) == (1, (b"\1",))
    for number, path in enumerate(paths):
        shares.remove(path, bytes((number,)))
    assert (shares._inside, shares.yields(paths[0]), shares.count(paths[0])) == ({}, None, 0)
