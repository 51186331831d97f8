"""The record store against a naive one: caps, sequences, expiry, and what it remembers."""

import tracemalloc
from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol import limits, records
from protocol.codec import decode, encode
from protocol.errors import KeyFull, PublisherFull, SequenceTooLow, StoreFull, StorerFull
from protocol.overlay.store.record_store import RecordStore
from protocol.overlay.store.storer import Storer
from protocol.overlay.store.values import value_of
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


SECRET = bytes(16)
OWN = Storer.itself(bytes(20))


def store_with(**caps: int) -> RecordStore:
    """A store that has to keep records of all keys."""
    return RecordStore(secret=SECRET, own_number=0, radius=lambda: (1 << 160) - 1, **caps)


def storer_of(record: Record) -> Storer:
    """The publisher itself, at one address with all others."""
    return Storer.at(record.peer_id, "10.0.0.1")


def put(store: RecordStore, record: Record, now: float) -> None:
    """As if its publisher had stored it."""
    store.put(record, storer_of(record), now)


def placed(held: list[Record]) -> list[Record]:
    """In the order in which values of one network are told."""
    return sorted(held, key=lambda one: value_of(one, OWN, SECRET).place)


def providers(store: RecordStore, mod_id: bytes, now: float) -> list[Record]:
    return store.get(records.provider_key(mod_id), PROVIDER, now)


def cost(sizes: list[int], keys: int, storers: int, networks: int = 1) -> int:
    """What the store counts for records of these sizes under so many keys, of so many storers."""
    of_values = sum(sizes) + limits.STORE_VALUE_BYTES * len(sizes) + limits.STORE_KEY_BYTES * keys
    of_networks = limits.STORE_NETWORK_BYTES * networks
    return of_values + limits.STORE_STORER_BYTES * storers + of_networks


def test_many_publishers_have_a_value_each_under_one_key() -> None:
    store = store_with()
    first = record_of(PUBLISHERS[0], issued=5)
    second = record_of(PUBLISHERS[1], issued=9)
    third = record_of(PUBLISHERS[2], issued=5)
    for one in (third, first, second):
        put(store, one, 10.0)
    assert providers(store, MODS[0], 10.0) == placed([first, second, third])
    assert providers(store, MODS[1], 10.0) == []
    assert store.get(records.provider_key(MODS[0]), PEER, 10.0) == []
    assert sorted(store, key=lambda one: one.public_key) == [first, second, third]
    assert (len(store), store.used_bytes) == (3, cost([100] * 3, 1, 3))


def test_only_a_higher_sequence_replaces() -> None:
    store = store_with()
    held = record_of(sequence=5)
    put(store, held, 0.0)
    put(store, held, 0.0)
    for sequence in (4, 5):
        with pytest.raises(SequenceTooLow):
            put(store, record_of(sequence=sequence, issued=1), 0.0)
    assert providers(store, MODS[0], 0.0) == [held]
    newer = record_of(sequence=6, size=150)
    put(store, newer, 0.0)
    assert providers(store, MODS[0], 0.0) == [newer]
    assert (len(store), store.used_bytes) == (1, cost([150], 1, 1))


def test_a_record_is_gone_at_its_expiry_and_then_any_sequence_is_new() -> None:
    store = store_with()
    put(store, record_of(sequence=9, expires=1000), 0.0)
    assert len(providers(store, MODS[0], 999.9)) == 1
    store.expire(999.9)
    assert len(store) == 1
    assert providers(store, MODS[0], 1000.0) == []
    assert (len(store), store.used_bytes) == (0, 0)
    put(store, record_of(sequence=1, expires=2000), 1000.0)
    assert len(store) == 1


def test_a_refreshed_record_outlives_its_first_expiry() -> None:
    store = store_with()
    put(store, record_of(sequence=1, expires=1000), 0.0)
    put(store, record_of(sequence=2, expires=2000), 500.0)
    store.expire(1500.0)
    assert len(store) == 1
    store.expire(2000.0)
    assert len(store) == 0


def test_each_cap_says_that_it_refused() -> None:
    store = store_with(
        max_bytes=cost([100, 100, 100, 700], 3, 4, 0), max_values_per_key=2, max_values_per_peer=2
    )
    held = placed([record_of(one) for one in PUBLISHERS])
    a, b, c, _ = (one.public_key for one in held)

    def put_by_others(record: Record) -> None:
        store.put(record, Storer.itself(record.public_key + record.key), 0.0)

    put_by_others(record_of(a))
    put_by_others(record_of(b))
    with pytest.raises(KeyFull, match="this key"):
        put_by_others(record_of(c))
    put_by_others(record_of(a, MODS[1]))
    with pytest.raises(PublisherFull, match="this publisher"):
        put_by_others(record_of(a, MODS[2]))
    put_by_others(record_of(c, MODS[2], size=600))
    with pytest.raises(StoreFull, match="the store") as raised:
        put_by_others(record_of(b, MODS[2], size=101))
    assert not isinstance(raised.value, KeyFull | PublisherFull | StorerFull)
    # What is replaced makes room for its own successor, and a refusal leaves it where it is.
    put_by_others(record_of(c, MODS[2], sequence=2, size=700))
    with pytest.raises(StoreFull):
        put_by_others(record_of(c, MODS[2], sequence=3, size=701))
    assert [one.sequence for one in providers(store, MODS[2], 0.0)] == [2]
    assert (len(store), store.used_bytes) == (4, cost([100, 100, 100, 700], 3, 4, 0))


def test_one_peer_stores_so_many_values_of_any_publishers() -> None:
    store = store_with(max_values_per_peer=2)
    for publisher in PUBLISHERS[:2]:
        store.put(record_of(publisher), OWN, 0.0)
    with pytest.raises(StorerFull, match="stored as many"):
        store.put(record_of(PUBLISHERS[2]), OWN, 0.0)
    store.put(record_of(PUBLISHERS[0], sequence=2), OWN, 0.0)
    put(store, record_of(PUBLISHERS[2]), 0.0)
    assert len(store) == 3


def test_the_full_caps_free_themselves_by_expiry() -> None:
    store = store_with(max_bytes=cost([100], 1, 1), max_values_per_key=1, max_values_per_peer=1)
    first, second = (one.public_key for one in placed([record_of(one) for one in PUBLISHERS[:2]]))
    put(store, record_of(first, expires=10), 0.0)
    with pytest.raises(StoreFull):
        put(store, record_of(second), 9.9)
    put(store, record_of(second), 10.0)
    put(store, record_of(second, sequence=2), 10.0)
    assert [one.public_key for one in store] == [second]


def test_a_busy_publisher_does_not_grow_what_is_remembered() -> None:
    store = store_with()
    for number in range(5000):
        put(store, record_of(sequence=number, expires=10_000 + number), 0.0)
    assert len(store) == 1
    assert len(store._expiries) <= 2 * 1 + 64 + 1
    store.expire(20_000.0)
    assert (len(store), store._expiries, store._values, store._per_publisher) == (0, [], {}, {})


# Against a naive model ----------------------------------------------------------------------

MAX_BYTES, MAX_PER_KEY, MAX_PER_PUBLISHER = cost([100] * 6 + [400], 4, 4), 3, 3
Place = tuple[bytes, bytes, int]


def _cost_of(held: list[Record]) -> int:
    sizes, keys = [len(one.raw) for one in held], {one.key for one in held}
    return cost(sizes, len(keys), len({one.public_key for one in held}), networks=bool(held))


class StoreMachine(RuleBasedStateMachine):
    """Puts, reads and time in any order; the model scans everything each time."""

    @initialize()
    def start(self) -> None:
        self.store = store_with(
            max_bytes=MAX_BYTES,
            max_values_per_key=MAX_PER_KEY,
            max_values_per_peer=MAX_PER_PUBLISHER,
        )
        self.model: dict[Place, Record] = {}
        self.now = 0.0

    def expected(self, record: Record) -> str:
        """What the model says of a put: how it ends, or that others may have to make room."""
        held = self.model.get((record.key, record.public_key, record.kind))
        if held is not None and held.raw == record.raw:
            return "same"
        if held is not None and held.sequence >= record.sequence:
            return "too low"
        others = [one for one in self.model.values() if one is not held]
        same_publisher = sum(one.public_key == record.public_key for one in others)
        if held is None and same_publisher >= MAX_PER_PUBLISHER:
            return "full"
        of_key = [one for one in others if one.key == record.key]
        if held is None and len(of_key) >= MAX_PER_KEY:
            last = placed([*of_key, record])[-1]
            if last is record:
                return "full"
            others.remove(last)
        return "crowded" if _cost_of([*others, record]) > MAX_BYTES else "stored"

    def learn_of_room_made(self, record: Record, *, stored: bool) -> None:
        """What was removed had to be: of a publisher with more by two, or one too many of a key."""
        left = {(one.key, one.public_key, one.kind) for one in self.store}
        counts = Counter(one.public_key for one in self.model.values())
        for place, gone in sorted(self.model.items()):
            if place in left:
                continue
            counts[gone.public_key] -= 1
            crowding = counts[gone.public_key] >= counts[record.public_key] + 1
            assert crowding or (stored and gone.key == record.key)
            del self.model[place]

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
            put(self.store, record, self.now)
        except SequenceTooLow:
            assert expected == "too low"
        except StoreFull:
            assert expected in {"full", "crowded"}
            self.learn_of_room_made(record, stored=False)
        else:
            assert expected in {"same", "stored", "crowded"}
            self.model.pop((record.key, record.public_key, record.kind), None)
            self.learn_of_room_made(record, stored=True)
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
            assert self.store.get(key, kind, self.now) == placed(live)

    @invariant()
    def sums_agree_and_memory_is_bounded(self) -> None:
        held = list(self.store)
        assert len(held) == len(self.store)
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


@pytest.mark.parametrize("form", ["10.0.0.1", "8.{}.{}.1", "2a00:{:x}:{:x}::1"])
@pytest.mark.parametrize(("publishers", "keys"), [(1, 4000), (4000, 4000), (400, 10)])
def test_what_is_counted_is_the_memory_that_is_held(publishers: int, keys: int, form: str) -> None:
    store = store_with(max_values_per_peer=10_000, max_bytes=1 << 40)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(4000):
        publisher = (number if keys == 4000 else number // keys) % publishers
        record = _a_record(10**9 + publisher, 10**9 + number % keys)
        host = form.format(publisher >> 8, publisher & 255)
        store.put(record, Storer.at(record.peer_id, host), 0.0)
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(store) == 4000
    assert 0.9 * store.used_bytes < held < 1.1 * store.used_bytes
