"""Records of lineages in a store: all may store them, none is replaced by an older one."""

import contextlib

import pytest

from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.body import LineageBody
from protocol.errors import SequenceTooLow, StoreFull
from protocol.identity import Identity
from protocol.overlay.store.gone import GoneLineages
from protocol.overlay.store.record_store import RecordStore
from protocol.overlay.store.storer import Storer
from protocol.overlay.store.values import Value, value_of
from protocol.records import LINEAGE, Record
from tests.protocol.content.lineage.signed import signed

SECRET = bytes(16)
MUCH, LITTLE = Storer.at(bytes(20), "198.41.0.4"), Storer.at(b"\1" * 20, "192.33.4.12")
LIFETIME_S = limits.RECORD_LIFETIME_S["lineage"]


def record_of(lineage: int = 0, sequence: int = 1, variant: int = 0, issued: int = 0) -> Record:
    """A record as it comes out of `records.read`."""
    body = LineageBody(bytes(32), 1, bytes(48))
    raw = f"{lineage} {sequence} {variant} {issued}".encode().ljust(400)
    key = lineage.to_bytes(32)
    return Record(LINEAGE, key, sequence, issued, issued + LIFETIME_S, body, raw)


def store_with(**caps: int) -> RecordStore:
    """A store that has to keep records of all keys."""
    return RecordStore(secret=SECRET, own_number=0, radius=lambda: (1 << 160) - 1, **caps)


def held(store: RecordStore, record: Record, now: float = 0.0) -> list[Record]:
    return store.get(record.key, LINEAGE, now)


def test_of_all_that_are_stored_only_what_is_newer_takes_its_place() -> None:
    store, newer = store_with(), record_of(sequence=2)
    store.put(record_of(), LITTLE, 0.0)
    store.put(newer, MUCH, 0.0)
    for storer in (LITTLE, MUCH):
        with pytest.raises(SequenceTooLow):
            store.put(record_of(), storer, 0.0)
    assert held(store, newer) == [newer]


def test_of_two_with_one_sequence_all_stores_come_to_hold_the_same() -> None:
    one, other = sorted((record_of(variant=n) for n in range(2)), key=history.hash_of)
    for order in ((one, other), (other, one)):
        store = store_with()
        store.put(order[0], LITTLE, 0.0)
        if order[1] is one:
            store.put(one, MUCH, 0.0)
        else:
            with pytest.raises(SequenceTooLow):
                store.put(other, MUCH, 0.0)
        assert held(store, one) == [one]


def test_what_was_here_is_not_replaced_by_an_older_one_after_it_has_expired() -> None:
    store, newest = store_with(), record_of(sequence=2)
    store.put(newest, MUCH, 0.0)
    later = LIFETIME_S + 1.0
    assert held(store, newest, later) == []
    late_but_old = record_of(sequence=1, issued=int(later))
    with pytest.raises(SequenceTooLow, match="was stored before"):
        store.put(late_but_old, LITTLE, later)
    renewed = record_of(sequence=3, issued=int(later))
    store.put(renewed, LITTLE, later)
    assert held(store, renewed, later) == [renewed]


def filled(storer: Storer) -> tuple[RecordStore, Record]:
    """A store that is full of one peer's records; the first is a victim's lineage."""
    store, victim = store_with(max_bytes=60_000), record_of(10_000, sequence=7)
    store.put(victim, storer, 0.0)
    for lineage in range(100):
        try:
            store.put(record_of(lineage), storer, 0.0)
        except StoreFull:
            break
    return store, victim


def test_what_was_evicted_is_not_replaced_by_an_older_one() -> None:
    store, victim = filled(MUCH)
    for lineage in range(200, 300):
        if not held(store, victim):
            break
        store.put(record_of(lineage), LITTLE, 0.0)
    assert held(store, victim) == [], "it has gone"
    with pytest.raises(SequenceTooLow):
        store.put(record_of(10_000, sequence=6), LITTLE, 0.0)
    store.put(victim, LITTLE, 0.0)
    assert held(store, victim) == [victim]


def test_a_record_counts_for_the_one_of_its_storers_that_has_less() -> None:
    """Or who stores much could store a victim's record first, to let it go with the rest."""
    store, victim = filled(MUCH)
    store.put(victim, LITTLE, 0.0)
    assert len(store._shares.of_peer(LITTLE.path)) == 1
    store.put(victim, MUCH, 0.0)
    assert len(store._shares.of_peer(LITTLE.path)) == 1, "it is not given back"
    for number in range(50):
        other = Storer.at(bytes((number + 2,)) * 20, f"199.7.{number}.13")
        with contextlib.suppress(StoreFull):
            store.put(record_of(300 + number), other, 0.0)
    assert len(store._shares.of_peer(MUCH.path)) < 3, "the one with most lost most"
    assert held(store, victim) == [victim]


def test_a_peer_at_its_cap_takes_nothing_over_and_is_told_that_it_is_kept() -> None:
    store = store_with(max_values_per_peer=1)
    store.put(record_of(1), LITTLE, 0.0)
    for number in range(3):
        store.put(record_of(number + 2), Storer.at(bytes((number + 9,)) * 20, "198.41.0.4"), 0.0)
    store.put(record_of(2), LITTLE, 0.0)
    assert len(store._shares.of_peer(LITTLE.path)) == 1


def test_who_makes_many_lineages_makes_a_store_forget_only_its_own() -> None:
    gone = GoneLineages(max_entries=10)

    def value(lineage: int, sequence: int, storer: Storer) -> Value:
        return value_of(record_of(lineage, sequence), storer, SECRET)

    gone.add(value(1, 5, LITTLE))
    for lineage in range(100, 200):
        gone.add(value(lineage, 5, MUCH))
    assert len(gone) == 10
    with pytest.raises(SequenceTooLow):
        gone.check(value(1, 4, MUCH))
    gone.check(value(100, 4, MUCH))
    gone.check(value(1, 5, MUCH))


def test_a_lineages_key_is_closed_to_all_others() -> None:
    identity = Identity(bytes(32))
    own = signed(lineage=identity)
    others = {record_of(number).key for number in range(100)}
    assert own.key not in others
    assert own.key != identity.peer_id
