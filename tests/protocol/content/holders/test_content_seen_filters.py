"""Filters that came by: whom they name, for how long, and who keeps a place where all are taken."""

from collections.abc import Callable
from random import Random

from protocol import limits, records
from protocol.availability import build_shard
from protocol.content.holders.seen_filters import SeenFilters
from protocol.identity import PeerId, peer_id_of
from protocol.records import ProviderBody, Record

MOD, OTHER = bytes(32), bytes([1]) * 32
OWN_KEY = bytes([255]) * 32
EXPIRES = 1000


def key(number: int) -> bytes:
    return number.to_bytes(32)


def peer(number: int) -> PeerId:
    return peer_id_of(key(number))


def filter_of(public_key: bytes, *mods: bytes, sequence: int = 1, expires: int = EXPIRES) -> Record:
    body = build_shard((0, 0), mods)
    return Record(records.AVAILABILITY, public_key, sequence, 0, expires, body, b"raw")


def seen(worth: Callable[[PeerId], float] = lambda _: 0.0, seed: int = 1) -> SeenFilters:
    return SeenFilters(peer_id_of(OWN_KEY), worth, Random(seed))


def test_a_filter_names_its_peer_until_it_expires() -> None:
    filters = seen()
    filters.take(filter_of(key(1), MOD))
    filters.take(filter_of(key(2), OTHER))
    filters.take(filter_of(OWN_KEY, MOD))
    assert filters.who_have(MOD, EXPIRES - 1) == [peer(1)]
    assert filters.who_have(OTHER, EXPIRES - 1) == [peer(2)]
    assert filters.who_have(MOD, EXPIRES) == []
    assert len(filters) == 0


def test_the_newest_filter_of_a_peer_counts() -> None:
    filters = seen()
    filters.take(filter_of(key(1), MOD, sequence=5))
    filters.take(filter_of(key(1), OTHER, sequence=4))
    assert filters.who_have(MOD, 0) == [peer(1)]
    filters.take(filter_of(key(1), sequence=6))
    assert filters.who_have(MOD, 0) == []


def test_a_record_of_another_kind_is_no_filter() -> None:
    filters = seen()
    body = ProviderBody(MOD, complete=True)
    filters.take(Record(records.PROVIDER, key(1), 1, 0, EXPIRES, body, b"raw"))
    assert len(filters) == 0


def test_a_flood_of_filters_displaces_none_of_a_peer_that_was_of_use() -> None:
    useful = range(1, 11)
    worth = {peer(number): float(number) for number in useful}
    filters = seen(lambda peer_id: worth.get(peer_id, 0.0))
    for number in useful:
        filters.take(filter_of(key(number), MOD, expires=EXPIRES - 500))
    for number in range(1000, 1000 + 3 * limits.FILTERS_KEPT):
        filters.take(filter_of(key(number), MOD))
    assert len(filters) == limits.FILTERS_KEPT
    most = [peer(number) for number in range(10, 10 - limits.FILTERS_CALLED, -1)]
    assert filters.who_have(MOD, 0) == most


def test_between_equals_what_counts_longest_is_kept_and_chance_says_who_is_called() -> None:
    called = set()
    for seed in range(10):
        filters = seen(seed=seed)
        for number in range(limits.FILTERS_KEPT + 50):
            filters.take(filter_of(key(number), MOD, expires=EXPIRES + number))
        named = filters.who_have(MOD, EXPIRES + 49)
        assert len(filters) == limits.FILTERS_KEPT, "those that expired first had gone"
        assert len(named) == limits.FILTERS_CALLED
        called.update(named)
    assert len(called) > 5 * limits.FILTERS_CALLED
