"""The record store against a naive one: caps, sequences, expiry, and what it remembers."""

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol import limits, records
from protocol.codec import decode, encode
from protocol.errors import KeyFull, PublisherFull, SequenceTooLow, StoreFull
from protocol.overlay.store import RecordStore
from protocol.records import PEER, PROVIDER, PeerBody, ProviderBody, Record

repeatable = settings(deadline=None, derandomize=True)

MODS = [bytes((number,)) * 32 for number in range(3)]
PUBLISHERS = [bytes((number,)) * 32 for number in range(100, 104)]


def record_of(
    publisher: bytes = PUBLISHERS[0],
    mod_id: bytes | None = MODS[0],
    *,
    sequence: int = 1,
    issued: int = 0,
    expires: int = 1000,
    size: int = 100,
) -> Record:
    """A record as it comes out of `records.read`; without a mod id it is a peer record."""
    kind = PEER if mod_id is None else PROVIDER
    body = PeerBody((), 0, (1, 1), 0) if mod_id is None else ProviderBody(mod_id, complete=True)
    told = f"{sequence} {issued} {expires}".encode()
    return Record(kind, publisher, sequence, issued, expires, body, told.ljust(size))


def providers(store: RecordStore, mod_id: bytes, now: float) -> list[Record]:
    return store.get(records.provider_key(mod_id), PROVIDER, now)


def cost(sizes: list[int], keys: int) -> int:
    """What the store counts for records of these sizes under so many keys."""
    return sum(sizes) + limits.STORE_VALUE_BYTES * len(sizes) + limits.STORE_KEY_BYTES * keys


def test_many_publishers_have_a_value_each_under_one_key() -> None:
    store = RecordStore()
    first = record_of(PUBLISHERS[0], issued=5)
    second = record_of(PUBLISHERS[1], issued=9)
    third = record_of(PUBLISHERS[2], issued=5)
    for one in (third, first, second):
        store.put(one, 10.0)
    assert providers(store, MODS[0], 10.0) == [second, first, third]
    assert providers(store, MODS[1], 10.0) == []
    assert store.get(records.provider_key(MODS[0]), PEER, 10.0) == []
    assert sorted(store, key=lambda one: one.public_key) == [first, second, third]
    assert (len(store), store.used_bytes) == (3, cost([100] * 3, 1))


def test_only_a_higher_sequence_replaces() -> None:
    store = RecordStore()
    held = record_of(sequence=5)
    store.put(held, 0.0)
    store.put(held, 0.0)
    for sequence in (4, 5):
        with pytest.raises(SequenceTooLow):
            store.put(record_of(sequence=sequence, issued=1), 0.0)
    assert providers(store, MODS[0], 0.0) == [held]
    newer = record_of(sequence=6, size=150)
    store.put(newer, 0.0)
    assert providers(store, MODS[0], 0.0) == [newer]
    assert (len(store), store.used_bytes) == (1, cost([150], 1))


def test_a_record_is_gone_at_its_expiry_and_then_any_sequence_is_new() -> None:
    store = RecordStore()
    store.put(record_of(sequence=9, expires=1000), 0.0)
    assert len(providers(store, MODS[0], 999.9)) == 1
    store.expire(999.9)
    assert len(store) == 1
    assert providers(store, MODS[0], 1000.0) == []
    assert (len(store), store.used_bytes) == (0, 0)
    store.put(record_of(sequence=1, expires=2000), 1000.0)
    assert len(store) == 1


def test_a_refreshed_record_outlives_its_first_expiry() -> None:
    store = RecordStore()
    store.put(record_of(sequence=1, expires=1000), 0.0)
    store.put(record_of(sequence=2, expires=2000), 500.0)
    store.expire(1500.0)
    assert len(store) == 1
    store.expire(2000.0)
    assert len(store) == 0


def test_each_cap_says_that_it_refused() -> None:
    caps = {
        "max_bytes": cost([100, 100, 100, 700], 3),
        "max_values_per_key": 2,
        "max_values_per_publisher": 2,
    }
    store = RecordStore(**caps)
    a, b, c, _ = PUBLISHERS
    store.put(record_of(a), 0.0)
    store.put(record_of(b), 0.0)
    with pytest.raises(KeyFull, match="this key"):
        store.put(record_of(c), 0.0)
    store.put(record_of(a, MODS[1]), 0.0)
    with pytest.raises(PublisherFull, match="this publisher"):
        store.put(record_of(a, MODS[2]), 0.0)
    store.put(record_of(c, MODS[2], size=600), 0.0)
    with pytest.raises(StoreFull, match="the store") as raised:
        store.put(record_of(b, MODS[2], size=101), 0.0)
    assert not isinstance(raised.value, KeyFull | PublisherFull)
    # What is replaced makes room for its own successor, and a refusal leaves it where it is.
    store.put(record_of(c, MODS[2], sequence=2, size=700), 0.0)
    with pytest.raises(StoreFull):
        store.put(record_of(c, MODS[2], sequence=3, size=701), 0.0)
    assert [one.sequence for one in providers(store, MODS[2], 0.0)] == [2]
    assert (len(store), store.used_bytes) == (4, cost([100, 100, 100, 700], 3))


def test_the_full_caps_free_themselves_by_expiry() -> None:
    store = RecordStore(max_bytes=cost([100], 1), max_values_per_key=1, max_values_per_publisher=1)
    store.put(record_of(PUBLISHERS[0], expires=10), 0.0)
    with pytest.raises(StoreFull):
        store.put(record_of(PUBLISHERS[1]), 9.9)
    store.put(record_of(PUBLISHERS[1]), 10.0)
    store.put(record_of(PUBLISHERS[1], sequence=2), 10.0)
    assert [one.public_key for one in store] == [PUBLISHERS[1]]


def test_a_busy_publisher_does_not_grow_what_is_remembered() -> None:
    store = RecordStore()
    for number in range(5000):
        store.put(record_of(sequence=number, expires=10_000 + number), 0.0)
    assert len(store) == 1
    assert len(store._expiries) <= 2 * 1 + 64 + 1
    store.expire(20_000.0)
    assert (len(store), store._expiries, store._values, store._per_publisher) == (0, [], {}, {})


# Against a naive model ----------------------------------------------------------------------

MAX_BYTES, MAX_PER_KEY, MAX_PER_PUBLISHER = cost([100] * 6 + [400], 4), 3, 3
Place = tuple[bytes, bytes, int]


def _cost_of(held: list[Record]) -> int:
    return cost([len(one.raw) for one in held], len({one.key for one in held}))


class StoreMachine(RuleBasedStateMachine):
    """Puts, reads and time in any order; the model scans everything each time."""

    @initialize()
    def start(self) -> None:
        self.store = RecordStore(
            max_bytes=MAX_BYTES,
            max_values_per_key=MAX_PER_KEY,
            max_values_per_publisher=MAX_PER_PUBLISHER,
        )
        self.model: dict[Place, Record] = {}
        self.now = 0.0

    def expected(self, record: Record) -> str:
        """What the model says of a put: how it ends."""
        held = self.model.get((record.key, record.public_key, record.kind))
        if held is not None and held.raw == record.raw:
            return "same"
        if held is not None and held.sequence >= record.sequence:
            return "too low"
        others = [one for one in self.model.values() if one is not held]
        if _cost_of([*others, record]) > MAX_BYTES:
            return "full"
        if held is None and sum(one.key == record.key for one in others) >= MAX_PER_KEY:
            return "full"
        same_publisher = sum(one.public_key == record.public_key for one in others)
        if held is None and same_publisher >= MAX_PER_PUBLISHER:
            return "full"
        return "stored"

    @rule(
        publisher=st.sampled_from(PUBLISHERS),
        mod_id=st.sampled_from([*MODS, None]),
        sequence=st.integers(0, 4),
        lives_s=st.sampled_from((0, 1, 10, 100)),
        size=st.sampled_from((50, 100, 400)),
    )
    def a_record_comes(
        self, publisher: bytes, mod_id: bytes | None, sequence: int, lives_s: int, size: int
    ) -> None:
        issued = int(self.now)
        record = record_of(
            publisher,
            mod_id,
            sequence=sequence,
            issued=issued,
            expires=issued + lives_s,
            size=size,
        )
        self.forget_expired()
        expected = self.expected(record)
        try:
            self.store.put(record, self.now)
        except SequenceTooLow:
            assert expected == "too low"
        except StoreFull:
            assert expected == "full"
        else:
            assert expected in {"same", "stored"}
            self.model[record.key, record.public_key, record.kind] = record

    @rule(pause_s=st.sampled_from((0.0, 0.5, 1.0, 7.0, 60.0)))
    def time_passes(self, pause_s: float) -> None:
        self.now += pause_s

    @rule()
    def the_store_is_swept(self) -> None:
        self.store.expire(self.now)
        self.forget_expired()

    def forget_expired(self) -> None:
        self.model = {k: one for k, one in self.model.items() if one.expires > self.now}

    @invariant()
    def reads_agree(self) -> None:
        keys = {(records.provider_key(mod_id), PROVIDER) for mod_id in MODS}
        keys |= {(key, kind) for key, _, kind in self.model}
        for key, kind in keys:
            live = [
                one
                for one in self.model.values()
                if (one.key, one.kind) == (key, kind) and one.expires > self.now
            ]
            live.sort(key=lambda one: (-one.issued, one.public_key))
            assert self.store.get(key, kind, self.now) == live

    @invariant()
    def sums_agree_and_memory_is_bounded(self) -> None:
        held = list(self.store)
        assert len(held) == len(self.store) == self.store.count
        assert self.store.used_bytes == _cost_of(held) <= MAX_BYTES
        publishers = [one.public_key for one in held]
        assert self.store._per_publisher == {one: publishers.count(one) for one in set(publishers)}
        assert max(map(publishers.count, publishers), default=0) <= MAX_PER_PUBLISHER
        assert all(0 < len(values) <= MAX_PER_KEY for values in self.store._values.values())
        assert len(self.store._expiries) <= 2 * len(held) + 64 + 1


TestStore = StoreMachine.TestCase
TestStore.settings = settings(repeatable, max_examples=60, stateful_step_count=60)


# Memory -------------------------------------------------------------------------------------


def _a_record(publisher: int, mod: int) -> Record:
    """As a datagram brings it: nothing of it is shared with another record."""
    fields = [PROVIDER, publisher.to_bytes(32), mod, mod, mod + 1000]
    body = ProviderBody(mod.to_bytes(32), complete=True).encode()
    raw = encode([*fields, body, bytes(64)])
    kind, key, sequence, issued, expires, body, _ = decode(raw, max_bytes=1000, max_items=8)
    return Record(kind, key, sequence, issued, expires, ProviderBody.decode(body), raw)


@pytest.mark.parametrize(("publishers", "keys"), [(1, 4000), (4000, 4000), (400, 10)])
def test_what_is_counted_is_the_memory_that_is_held(publishers: int, keys: int) -> None:
    store = RecordStore(max_values_per_publisher=10_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(4000):
        publisher = 10**9 + (number if keys == 4000 else number // keys) % publishers
        store.put(_a_record(publisher, 10**9 + number % keys), 0.0)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(store) == 4000
    assert 0.9 * store.used_bytes < held < 1.1 * store.used_bytes
