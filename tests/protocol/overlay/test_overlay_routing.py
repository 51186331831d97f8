"""The routing table: exact nearest contacts, and its bounds in any order of events."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.networks import public_networks
from protocol.overlay.routing import ID_BITS, Entry, RoutingTable

repeatable = settings(deadline=None, derandomize=True)

HERE = Address("10.0.0.1", 4001)
IDS = st.integers(0, 2**ID_BITS - 1)


def contact_with(number: int, address: Address = HERE) -> Contact:
    """A contact of any id. Real ids are hashes, which would leave most buckets empty."""
    contact = Contact.at(number.to_bytes(32), address)
    contact.number = number
    return contact


def table_of(own: int, k: int = limits.K) -> RoutingTable:
    return RoutingTable(own.to_bytes(limits.ID_BYTES), k=k)


def by_distance(table: RoutingTable, target: int) -> list[Contact]:
    return sorted((entry.contact for entry in table), key=lambda one: one.number ^ target)


# The nearest ---------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn) -> tuple[RoutingTable, int]:
    """A table with buckets of many shapes, and a target of every interesting kind."""
    own = draw(IDS)
    table = table_of(own, draw(st.sampled_from((1, 2, 3, 16))))
    depths = st.integers(0, 12) | st.integers(0, ID_BITS - 1)
    for depth in draw(st.lists(depths, max_size=40)):
        low_bits = ID_BITS - depth - 1
        low = draw(st.sampled_from((0, 1, (1 << low_bits) - 1)) | IDS) & ((1 << low_bits) - 1)
        table.answered(contact_with(((own >> low_bits ^ 1) << low_bits) | low), 0.0)
    held = [entry.contact.number for entry in table]
    targets = IDS | st.just(own)
    if held:
        targets |= st.sampled_from(held)
        targets |= st.builds(lambda one, bit: one ^ 1 << bit, st.sampled_from(held), DEPTHS)
    targets |= st.builds(lambda bit: own ^ 1 << bit, DEPTHS)
    return table, draw(targets)


DEPTHS = st.integers(0, ID_BITS - 1)


@settings(repeatable, max_examples=150)
@given(tables(), st.integers(0, 50))
def test_the_nearest_are_exactly_those_of_brute_force(
    table_and_target: tuple[RoutingTable, int], count: int
) -> None:
    table, target = table_and_target
    assert table.nearest(target, count) == by_distance(table, target)[:count]


def test_the_nearest_among_random_ids_are_exact() -> None:
    rng = random.Random(1)
    table = table_of(rng.getrandbits(ID_BITS))
    for _ in range(3000):
        table.answered(contact_with(rng.getrandbits(ID_BITS)), 0.0)
    assert len(table) > 100
    for _ in range(100):
        target = rng.getrandbits(ID_BITS)
        ordered = by_distance(table, target)
        assert table.nearest(target, 20) == ordered[:20]
        for asker in ordered[:21]:  # the one that is left out takes no place
            others = [contact for contact in ordered if contact != asker]
            assert table.nearest(target, 20, but=asker.number) == others[:20]


@repeatable
@given(IDS, st.integers(0, ID_BITS - 1), st.integers(0, 2**32))
def test_a_random_id_falls_into_its_bucket(own: int, index: int, seed: int) -> None:
    table = table_of(own)
    made = table.id_in_bucket(index, random.Random(seed))
    assert len(made) == limits.ID_BYTES
    assert table.index_of(int.from_bytes(made)) == index


def test_the_own_id_never_enters() -> None:
    table = table_of(7)
    own = contact_with(7)
    assert not table.wants(own)
    assert table.answered(own, 0.0) is None
    assert table.failed(own) is None
    assert list(table) == []
    assert table.get(own.peer_id) is None
    assert table.nearest(7, 5) == []


def test_buckets_need_a_lookup_once_an_hour() -> None:
    table = table_of(0)
    assert table.stale(1e6, limits.REFRESH_S) == []
    table.answered(contact_with(1 << ID_BITS - 4), 0.0)
    # Down to the deepest bucket that holds a contact, empty ones included.
    assert table.stale(1e6, limits.REFRESH_S) == [0, 1, 2, 3]
    table.looked_up(1 << ID_BITS - 4, 1e6)
    assert table.stale(1e6, limits.REFRESH_S) == [0, 1, 2]
    assert table.stale(1e6 + limits.REFRESH_S - 1, limits.REFRESH_S) == [0, 1, 2]
    assert table.stale(1e6 + limits.REFRESH_S, limits.REFRESH_S) == [0, 1, 2, 3]


def test_networks_are_a_24_or_a_64_a_48_and_a_32_and_private_ones_do_not_count() -> None:
    def networks(host: str) -> tuple[bytes, ...]:
        return public_networks(Contact.at(bytes(32), Address(host, 1)))

    assert networks("8.8.8.1") == networks("8.8.8.254") == (b"\x08\x08\x08",)
    assert networks("8.8.8.1") != networks("8.8.9.1")
    assert networks("2600::1") == networks("2600::ffff:1:2:3")
    near, far = networks("2600::1"), networks("2600:0:0:1::1")
    assert near[0] != far[0]
    assert near[1:] == far[1:]
    assert [len(network) for network in near] == [8, 6, 4]
    for private in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "::1", "fe80::1"):
        assert networks(private) == ()


@pytest.mark.parametrize(
    ("host", "next_door", "prefix_bytes"),
    [
        ("8.8.8.{}", "8.8.9.1", 3),
        ("2600:1:2:3::{}", "2600:1:2:4::1", 8),
        ("2600:1:2:{}::1", "2600:1:3::1", 6),
        ("2600:1:{}::1", "2600:2::1", 4),
    ],
)
def test_one_network_cannot_fill_a_table(host: str, next_door: str, prefix_bytes: int) -> None:
    table = table_of(0)
    for number in range(1, 600):
        address = Address(host.format(number % 250 + 1), number)
        table.answered(contact_with(1 << 159 - number // 15 | number, address), 0.0)
    assert len(table) == limits.NETWORK_IN_TABLE[prefix_bytes]
    indices = [table.index_of(entry.contact.number) for entry in table]
    assert max(map(indices.count, indices)) == limits.NETWORK_IN_BUCKET[prefix_bytes]
    table.answered(contact_with(1 << 159 | 9999, Address(next_door, 1)), 0.0)
    assert len(table) == limits.NETWORK_IN_TABLE[prefix_bytes] + 1


def test_a_network_gives_its_places_back() -> None:
    table = table_of(0)
    contacts = [contact_with(1 << 159 | n, Address(f"8.8.8.{n + 1}", 1)) for n in range(3)]
    for contact in contacts:
        table.answered(contact, 0.0)
    assert table.get(contacts[2].peer_id) is None
    for _ in range(limits.FAILURES_MAX):
        table.failed(contacts[0])
    table.answered(contacts[2], 0.0)
    assert [entry.contact for entry in table] == contacts[1:]


def test_a_peer_moves_by_proof_or_once_it_fails_where_it_was() -> None:
    table = table_of(0)
    here, there = (contact_with(5 << 150, Address(f"10.0.0.{n}", 1)) for n in (1, 2))
    table.answered(here, 0.0)
    assert not table.wants(there)
    assert table.wants(there, proved=True)
    assert not table.wants(here, proved=True)
    table.failed(there)  # a liar named it there
    assert not table.wants(there)
    table.failed(here)
    assert table.wants(there)
    table.answered(there, 1.0)
    assert [entry.contact for entry in table] == [there]


def test_being_heard_of_is_not_answering() -> None:
    table = table_of(0)
    contact, elsewhere = (contact_with(5 << 150, Address(f"10.0.0.{n}", 1)) for n in (1, 2))
    assert table.asked_by(contact, 0.0, proved=True)
    assert len(table) == 0
    table.answered(contact, 0.0)
    table.failed(contact)
    assert not table.asked_by(contact, 2.0, proved=False)
    assert not table.asked_by(contact, 3.0, proved=True)
    assert table.asked_by(elsewhere, 4.0, proved=True)
    entry = table.get(contact.peer_id)
    assert entry is not None
    assert (entry.last_seen, entry.answered_at, entry.failures) == (3.0, 0.0, 1)
    assert table.oldest_answer(4.0) == 0.0
    assert (table.silent_since(0.0), table.silent_since(0.1)) == ([], [contact])
    table.answered(contact, 5.0)
    entry = table.get(contact.peer_id)
    assert entry is not None
    assert (entry.last_seen, entry.answered_at, entry.failures) == (5.0, 5.0, 0)
    assert (table.oldest_answer(6.0), table_of(0).oldest_answer(6.0)) == (5.0, 6.0)


def test_room_is_what_a_bucket_lacks() -> None:
    table = table_of(0, k=2)
    assert (table.room(0), table.room(7)) == (2, 2)
    table.answered(contact_with(1 << 159), 0.0)
    assert (table.room(0), table.room(1)) == (1, 2)
    table.answered(contact_with(1 << 159 | 1), 0.0)
    assert table.room(0) == 0
    # A full bucket is not worth a ping: a contact that answers anyway waits for a place.
    assert not table.wants(contact_with(1 << 159 | 2))


def test_a_free_place_goes_to_a_waiting_contact_that_answers() -> None:
    table = table_of(0, k=2)
    first, second, *waiting = (contact_with(1 << 159 | number) for number in range(4))
    for contact in (first, second, *waiting):
        table.answered(contact, 0.0)
    assert [table.failed(first) for _ in range(limits.FAILURES_MAX)] == [None, None, waiting[1]]
    # The one that is asked first does not answer either: the other has its turn.
    assert table.failed(waiting[1]) == waiting[0]
    table.answered(waiting[0], 1.0)
    assert [entry.contact for entry in table] == [second, waiting[0]]
    assert table.failed(second) is None


def test_the_longest_unseen_is_asked_before_a_newcomer_takes_its_place() -> None:
    table = table_of(0, k=2)
    old, young, newcomer = (contact_with(1 << 159 | number) for number in range(3))
    table.answered(old, 0.0)
    table.answered(young, 50.0)
    assert table.answered(newcomer, limits.FRESH_S) is None
    assert table.answered(newcomer, limits.FRESH_S + 0.1) == old
    table.answered(old, limits.FRESH_S + 0.2)
    assert table.answered(newcomer, 50.0 + limits.FRESH_S + 0.1) == young
    assert [entry.contact for entry in table] == [old, young]


# Whatever happens ---------------------------------------------------------------------------

OWN = 0b1010 << 156
_NUMBERS = [OWN ^ (1 << 159 - bucket) ^ low for bucket in range(2) for low in range(6)] + [OWN]
_ADDRESSES = [HERE, *(Address(host, 4001) for host in ("8.8.0.1", "8.8.0.2", "8.8.1.1"))]
CONTACTS = st.builds(contact_with, st.sampled_from(_NUMBERS), st.sampled_from(_ADDRESSES))


class TableMachine(RuleBasedStateMachine):
    """Answers, failures and new contacts in any order, against what each may change."""

    @initialize(k=st.sampled_from((1, 2, 4)))
    def start(self, k: int) -> None:
        self.table = table_of(OWN, k)
        self.now = 0.0
        self.failures: dict[bytes, int] = {}

    def live(self) -> dict[bytes, Contact]:
        return {entry.contact.peer_id: entry.contact for entry in self.table}

    def bucket_of(self, contact: Contact) -> list[Entry]:
        index = self.table.index_of(contact.number)
        return [one for one in self.table if self.table.index_of(one.contact.number) == index]

    def waiting(self, contact: Contact) -> list[Contact]:
        bucket = self.table.buckets.get(self.table.index_of(contact.number))
        return list(bucket.waiting.values()) if bucket else []

    def others(self, contact: Contact) -> dict[bytes, Contact]:
        return {key: one for key, one in self.live().items() if key != contact.peer_id}

    @rule(pause_s=st.sampled_from((0.0, 1.0, limits.FRESH_S, limits.FRESH_S + 1)))
    def time_passes(self, pause_s: float) -> None:
        self.now += pause_s

    @rule(contact=CONTACTS)
    def a_contact_answers(self, contact: Contact) -> None:
        others, known = self.others(contact), self.live().get(contact.peer_id)
        bucket = self.bucket_of(contact)
        displaced = self.table.answered(contact, self.now)
        assert self.others(contact) == others
        after = self.live().get(contact.peer_id)
        assert after in {None, contact}
        if known == contact:
            assert after == contact
        if after is not None:
            self.failures[contact.peer_id] = 0
            entry = self.table.get(contact.peer_id)
            assert entry is not None
            assert (entry.last_seen, entry.failures) == (self.now, 0)
        if displaced is not None:
            assert known is None
            assert after is None
            assert self.waiting(contact)[-1] == contact
            assert len(bucket) == self.table.k
            oldest = min(entry.last_seen for entry in bucket)
            (entry,) = (one for one in bucket if one.contact == displaced)
            assert entry.last_seen == oldest < self.now - limits.FRESH_S

    @rule(contact=CONTACTS)
    def a_contact_fails(self, contact: Contact) -> None:
        before, others = self.live(), self.others(contact)
        candidate = self.table.failed(contact)
        after = self.live()
        assert self.others(contact) == others
        assert contact not in self.waiting(contact)
        if before.get(contact.peer_id) == contact:
            self.failures[contact.peer_id] += 1
            gone = self.failures[contact.peer_id] >= limits.FAILURES_MAX
            assert (contact.peer_id not in after) == gone
        else:
            # Only a contact that fails at its own address can lose its place.
            assert after == before
        if candidate is not None:
            assert candidate in self.waiting(contact)
            assert len(self.bucket_of(contact)) < self.table.k

    @rule(data=st.data(), times=st.integers(1, limits.FAILURES_MAX))
    @precondition(lambda self: len(self.table) > 0)
    def a_contact_in_the_table_fails(self, data: st.DataObject, times: int) -> None:
        contact = data.draw(st.sampled_from(list(self.live().values())))
        for _ in range(times):
            self.a_contact_fails(contact)

    @rule(data=st.data())
    def a_waiting_contact_answers(self, data: st.DataObject) -> None:
        waiting = [
            contact for bucket in self.table.buckets.values() for contact in bucket.waiting.values()
        ]
        if waiting:
            self.a_contact_answers(data.draw(st.sampled_from(waiting)))

    @rule(contact=CONTACTS, proved=st.booleans())
    def an_unknown_contact_asks(self, contact: Contact, proved: bool) -> None:
        before = self.live()
        wanted = self.table.wants(contact, proved=proved)
        assert self.table.asked_by(contact, self.now, proved=proved) == wanted
        assert self.live() == before
        known = before.get(contact.peer_id)
        if contact.number == OWN or known == contact:
            assert not wanted
        elif known is not None:
            # No contact takes a place that another still holds.
            assert wanted == (proved or self.failures[contact.peer_id] > 0)
        else:
            assert wanted == (len(self.bucket_of(contact)) < self.table.k)

    @invariant()
    def the_rules_hold(self) -> None:
        entries = list(self.table)
        assert len(entries) == len(self.table) == len(self.live())
        assert OWN not in {entry.contact.number for entry in entries}
        networks: dict[bytes, int] = {}
        for index, bucket in self.table.buckets.items():
            assert len(bucket.live) <= self.table.k
            assert len(bucket.waiting) <= self.table.k
            assert not bucket.live.keys() & bucket.waiting.keys()
            in_bucket = [
                network for one in bucket.live.values() for network in public_networks(one)
            ]
            assert max(map(in_bucket.count, in_bucket), default=0) <= limits.NETWORK_IN_BUCKET[3]
            for network in in_bucket:
                networks[network] = networks.get(network, 0) + 1
            for held in (*bucket.live.values(), *bucket.waiting.values()):
                assert self.table.index_of(held.number) == index
        assert self.table._networks == networks
        assert max(networks.values(), default=0) <= limits.NETWORK_IN_TABLE[3]
        for entry in entries:
            assert entry.failures == self.failures[entry.contact.peer_id] < limits.FAILURES_MAX
            assert self.table.get(entry.contact.peer_id) == entry

    @invariant()
    def the_nearest_are_exact(self) -> None:
        for target in (OWN, _NUMBERS[0], _NUMBERS[9]):
            assert self.table.nearest(target, 7) == by_distance(self.table, target)[:7]


TestTable = TableMachine.TestCase
TestTable.settings = settings(repeatable, max_examples=70, stateful_step_count=50)
