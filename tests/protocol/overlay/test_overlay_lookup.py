"""Lookups: they end within their caps, ask nobody twice, and find the true nearest."""

import heapq
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import LookupRules
from protocol.overlay.networks import public_networks, smallest_network

repeatable = settings(deadline=None, derandomize=True)

ID_BITS = 160
HERE = Address("10.0.0.1", 4001)
TARGET = bytes(20)
OWN = b"\xff" * 20


def contact_with(number: int, address: Address = HERE) -> Contact:
    """A contact of any id, so that its distance to a target of zeros is its number."""
    contact = Contact.at(number.to_bytes(32), address)
    contact.number = number
    return contact


def lookup_of(
    seeds: list[Contact],
    *,
    target: bytes = TARGET,
    own_id: bytes = OWN,
    now: float = 0.0,
    timeout_s: Callable[[Contact], float] = lambda _: 1.0,
    rules: LookupRules | None = None,
) -> Lookup:
    return Lookup(
        target, seeds, own_id=own_id, now=now, timeout_s=timeout_s, rules=rules or LookupRules()
    )


# One step at a time -------------------------------------------------------------------------


def test_nobody_to_ask_is_nobody_found() -> None:
    lookup = lookup_of([])
    assert lookup.next(0.0) == ((), (), limits.LOOKUP_S, True)
    assert lookup.closest() == []


def test_the_nearest_are_asked_first_alpha_at_a_time() -> None:
    seeds = [contact_with(number) for number in (50, 10, 40, 20, 30, 60)]
    lookup = lookup_of(seeds, rules=LookupRules(alpha=4))
    assert [one.number for one in lookup.next(0.0).ask] == [10, 20, 30, 40]
    assert not lookup.next(0.0).ask
    lookup.answered(contact_with(20), [contact_with(5)])
    assert [one.number for one in lookup.next(0.1).ask] == [5]
    assert lookup.hops_to(contact_with(20)) == 1
    assert lookup.hops_to(contact_with(5)) == 2
    assert lookup.hops_to(contact_with(99)) == 0


def test_a_slow_contact_frees_its_slot_and_still_counts() -> None:
    seeds = [contact_with(number) for number in range(1, 7)]
    lookup = lookup_of(seeds, rules=LookupRules(alpha=1, k=6, slow_s=0.45))
    step = lookup.next(0.0)
    assert [one.number for one in step.ask] == [1]
    assert step.wake_at == 0.45
    assert not lookup.next(0.44).ask
    assert [one.number for one in lookup.next(0.45).ask] == [2]
    lookup.answered(contact_with(1), [])
    for number in (2, 3, 4, 5, 6):
        assert not lookup.next(0.5).given_up
        lookup.answered(contact_with(number), [])
    assert lookup.next(0.6).done
    assert [one.number for one in lookup.closest()] == [1, 2, 3, 4, 5, 6]


def test_an_answer_after_the_time_limit_still_counts_while_the_lookup_runs() -> None:
    lookup = lookup_of([contact_with(1), contact_with(2)], rules=LookupRules(alpha=1))
    lookup.next(0.0)
    assert [one.number for one in lookup.next(1.0).given_up] == [1]
    assert not lookup.next(1.0).given_up
    lookup.answered(contact_with(1), [contact_with(3)])
    lookup.answered(contact_with(2), [])
    assert [one.number for one in lookup.next(1.1).ask] == [3]
    lookup.answered(contact_with(3), [])
    assert lookup.next(1.2).done
    assert [one.number for one in lookup.closest()] == [1, 2, 3]


def test_an_answer_after_the_end_changes_nothing() -> None:
    lookup = lookup_of([contact_with(1), contact_with(2)])
    lookup.next(0.0)
    lookup.answered(contact_with(1), [])
    lookup.stop()
    lookup.answered(contact_with(2), [contact_with(3)])
    step = lookup.next(0.1)
    assert step.done
    assert not step.ask
    assert lookup.closest() == [contact_with(1)]


def test_who_fails_is_replaced_and_not_found() -> None:
    lookup = lookup_of([contact_with(n) for n in range(1, 5)], rules=LookupRules(k=2, alpha=2))
    assert [one.number for one in lookup.next(0.0).ask] == [1, 2]
    lookup.failed(contact_with(1))
    lookup.failed(contact_with(99))
    assert [one.number for one in lookup.next(0.0).ask] == [3]
    for number in (2, 3):
        lookup.answered(contact_with(number), [])
    lookup.failed(contact_with(2))  # it answered: what breaks later does not undo that
    assert lookup.next(0.1).done
    assert [one.number for one in lookup.closest()] == [2, 3]


def test_an_answer_by_the_same_id_at_another_address_is_not_its_answer() -> None:
    lookup = lookup_of([contact_with(1)])
    lookup.next(0.0)
    lookup.answered(contact_with(1, Address("10.0.0.2", 1)), [contact_with(2)])
    assert not lookup.next(0.1).ask
    assert lookup.closest() == []


# A peer named at several addresses ------------------------------------------------------------

DEAD = Address("10.9.9.9", 1)


def test_a_liar_who_names_a_neighbour_at_a_dead_address_does_not_hide_it() -> None:
    liar, honest, hidden = contact_with(100), contact_with(101), contact_with(1)
    lookup = lookup_of([liar, honest])
    lookup.next(0.0)
    lookup.answered(liar, [contact_with(1, DEAD)])
    assert lookup.next(0.1).ask == [contact_with(1, DEAD)]
    lookup.answered(honest, [hidden])
    assert not lookup.next(0.2).ask, "one address at a time"
    assert lookup.next(0.1 + 0.45).ask == [hidden], "the next one as soon as the first is slow"
    lookup.answered(hidden, [])
    assert lookup.next(0.6).done, "nobody waits for the dead address of a peer that has answered"
    assert lookup.closest() == [hidden, liar, honest]
    assert lookup.hops_to(hidden) == 2


def test_the_address_that_most_contacts_name_is_asked_first() -> None:
    seeds = [contact_with(number) for number in (101, 102, 103)]
    lookup = lookup_of(seeds, rules=LookupRules(alpha=3, beta=3, k=4))
    lookup.next(0.0)
    lookup.answered(seeds[0], [contact_with(1, DEAD)])
    lookup.answered(seeds[1], [contact_with(1)])
    lookup.answered(seeds[2], [contact_with(1)])
    assert lookup.next(0.1).ask == [contact_with(1)]


def test_one_answer_gives_a_peer_one_address() -> None:
    liar = contact_with(100)
    lookup = lookup_of([liar])
    lookup.next(0.0)
    places = [contact_with(1, Address("10.9.9.9", port)) for port in range(1, 20)]
    lookup.answered(liar, places)
    asked = lookup.next(0.1).ask
    lookup.failed(asked[0])
    assert asked == places[:1]
    step = lookup.next(0.2)
    assert not step.ask
    assert step.done


def test_the_addresses_of_one_peer_are_bounded_and_the_true_one_stays() -> None:
    liars = [contact_with(number) for number in range(100, 120)]
    honest = [contact_with(number) for number in range(120, 123)]
    rules = LookupRules(k=32, alpha=32, beta=32, alpha_last=32)
    lookup = lookup_of([*liars, *honest], rules=rules)
    lookup.next(0.0)
    for one in honest:
        lookup.answered(one, [contact_with(1)])
    for port, liar in enumerate(liars, 1):
        lookup.answered(liar, [contact_with(1, Address("10.9.9.9", port))])
    assert lookup.next(0.1).ask == [contact_with(1)]
    lookup.failed(contact_with(1))
    tried = 0
    while lookup.next(0.2).ask:
        tried += 1
        lookup.failed(contact_with(1, Address("10.9.9.9", 20)))
        for port in range(1, 21):
            lookup.failed(contact_with(1, Address("10.9.9.9", port)))
    assert tried == limits.LOOKUP_VARIANTS - 1


def test_a_late_answer_from_one_address_ends_the_wait_for_another() -> None:
    liar, honest = contact_with(100), contact_with(101)
    lookup = lookup_of([liar, honest], rules=LookupRules(k=3))
    lookup.next(0.0)
    lookup.answered(liar, [contact_with(1, DEAD)])
    lookup.next(0.0)
    lookup.answered(honest, [contact_with(1)])
    lookup.next(0.5)
    lookup.answered(contact_with(1, DEAD), [])  # it was only slow
    assert lookup.next(0.6).done
    assert lookup.closest()[0] == contact_with(1, DEAD)


# One of a network -----------------------------------------------------------------------------


def network_of(contact: Contact) -> bytes:
    return smallest_network(public_networks, contact)


def test_of_one_network_only_the_nearest_is_found() -> None:
    same_network = [contact_with(number, Address(f"8.8.8.{number}", 1)) for number in range(1, 20)]
    others = [contact_with(100 + n, Address(f"9.9.{n}.1", 1)) for n in range(15)]
    lookup = Lookup(
        TARGET,
        [*same_network, *others],
        own_id=OWN,
        now=0.0,
        timeout_s=lambda _: 1.0,
        network_of=network_of,
    )
    asked: list[Contact] = []
    while not (step := lookup.next(0.0)).done:
        for contact in step.ask:
            asked.append(contact)
            if contact == same_network[0]:
                lookup.failed(contact)
            else:
                lookup.answered(contact, [])
    assert lookup.closest() == [same_network[1], *others]
    assert asked.count(same_network[0]) == asked.count(same_network[1]) == 1
    assert same_network[2] not in asked


def test_private_networks_have_no_limit() -> None:
    near = [contact_with(number, Address(f"10.0.0.{number}", 1)) for number in range(1, 17)]
    lookup = Lookup(
        TARGET, near, own_id=OWN, now=0.0, timeout_s=lambda _: 1.0, network_of=network_of
    )
    while not (step := lookup.next(0.0)).done:
        for contact in step.ask:
            lookup.answered(contact, [])
    assert lookup.closest() == near


# One step at a time, continued ----------------------------------------------------------------


def test_once_a_few_have_answered_spares_are_asked_with_the_nearest() -> None:
    seeds = [contact_with(number) for number in range(1, 12)]
    rules = LookupRules(k=4, alpha=2, alpha_last=20, beta=2, spare=3)
    lookup = lookup_of(seeds, rules=rules)
    assert lookup.next(0.0).ask == seeds[:2]
    lookup.answered(seeds[0], [])
    assert lookup.next(0.1).ask == seeds[2:3]
    lookup.answered(seeds[2], [])
    assert lookup.next(0.1).ask == seeds[3:7]
    lookup.answered(seeds[3], [])
    lookup.answered(seeds[4], [])
    step = lookup.next(0.2)
    assert not step.ask, "there are four of seven, but the second is still awaited"
    assert not step.done
    lookup.failed(seeds[1])
    assert lookup.next(0.3).done
    assert lookup.closest() == [seeds[0], *seeds[2:5]]


def test_we_do_not_ask_ourselves() -> None:
    own = contact_with(int.from_bytes(OWN))
    lookup = lookup_of([own, contact_with(1)])
    assert lookup.next(0.0).ask == [contact_with(1)]
    lookup.answered(contact_with(1), [own])
    step = lookup.next(0.1)
    assert not step.ask
    assert step.done


@pytest.mark.parametrize("started_at", [26.634890386569726, 0.1, 12.3, 1e-9, 1e6 / 3])
def test_the_time_limit_is_over_when_it_is_reached(started_at: float) -> None:
    # started_at + LOOKUP_S - started_at may round to less than LOOKUP_S.
    lookup = lookup_of([contact_with(1)], now=started_at, timeout_s=lambda _: 100.0)
    woken = 0
    now = started_at
    while not (step := lookup.next(now)).done:
        assert step.wake_at > now
        now = step.wake_at
        woken += 1
    assert woken == 2
    assert now == pytest.approx(started_at + limits.LOOKUP_S)


def test_nearer_contacts_are_taken_though_the_memory_is_full_of_others() -> None:
    far = contact_with(1 << 159)
    lookup = lookup_of([far])
    lookup.next(0.0)
    farther = [contact_with((1 << 100) + number) for number in range(limits.LOOKUP_CANDIDATES + 50)]
    lookup.answered(far, farther)
    near = [contact_with(number) for number in range(1, 17)]
    first, *_ = lookup.next(0.1).ask
    lookup.answered(first, near)
    while not (step := lookup.next(0.2)).done:
        for contact in step.ask:
            lookup.answered(contact, near)
    assert lookup.closest() == near


def test_sybils_at_the_target_cannot_make_a_lookup_ask_without_end() -> None:
    # Each answer names twenty that are nearer still, as no honest one would.
    lookup = lookup_of([contact_with(1 << 150)])
    numbers = iter(range((1 << 140) - 1, 0, -1))
    asked = 0
    while not (step := lookup.next(0.0)).done:
        for contact in step.ask:
            asked += 1
            lookup.answered(contact, [contact_with(next(numbers)) for _ in range(20)])
    assert asked == lookup.requests == limits.LOOKUP_REQUESTS


# A network in virtual time ------------------------------------------------------------------


class Network:
    """Nodes with exact tables: up to k contacts in each bucket, as in a healthy overlay."""

    def __init__(self, size: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.contacts = sorted(
            (contact_with(self.rng.getrandbits(ID_BITS)) for _ in range(size)),
            key=lambda one: one.number,
        )
        self.tables: dict[int, list[Contact]] = {}

    def table_of(self, own: int) -> list[Contact]:
        if own not in self.tables:
            buckets: dict[int, list[Contact]] = {}
            for contact in self.contacts:
                buckets.setdefault((contact.number ^ own).bit_length(), []).append(contact)
            buckets.pop(0, None)
            self.tables[own] = [
                contact
                for bucket in buckets.values()
                for contact in (bucket if len(bucket) <= 16 else self.rng.sample(bucket, 16))
            ]
        return self.tables[own]

    def named_by(self, own: int, target: int) -> list[Contact]:
        return nearest(self.table_of(own), target, limits.CONTACTS_PER_REPLY)


def nearest(contacts: list[Contact], target: int, count: int) -> list[Contact]:
    return heapq.nsmallest(count, contacts, key=lambda one: one.number ^ target)


def drive(
    lookup: Lookup,
    answer: Callable[[Contact], tuple[float, list[Contact]] | None],
    *,
    now: float = 0.0,
    fails_at_once: Callable[[Contact], bool] = lambda _: False,
) -> float:
    """Run a lookup to its end; `answer` gives a contact's delay and what it names, or silence.

    Checks on the way what must hold at each step. Returns when it ended.
    """
    replies: list[tuple[float, int, Contact, list[Contact]]] = []
    asked: dict[bytes, float] = {}
    answered: set[bytes] = set()
    while True:
        step = lookup.next(now)
        for contact in step.ask:
            assert contact.packed not in asked
            asked[contact.packed] = now
            if fails_at_once(contact):
                lookup.failed(contact)
                continue
            reply = answer(contact)
            if reply is not None:
                delay_s, named = reply
                heapq.heappush(replies, (now + delay_s, len(asked), contact, named))
        assert lookup.requests == len(asked) <= limits.LOOKUP_REQUESTS
        found = [one.number ^ lookup.target for one in lookup.closest()]
        assert found == sorted(found)
        assert len(found) <= lookup.rules.k
        assert {one.packed for one in lookup.closest()} <= answered
        if step.done:
            return now
        assert step.wake_at > now
        if any(map(fails_at_once, step.ask)):
            continue  # as Search does: it advances after each failure
        if replies and replies[0][0] <= step.wake_at:
            now, _, contact, named = heapq.heappop(replies)
            lookup.answered(contact, named)
            answered.add(contact.packed)
        else:
            now = step.wake_at


@pytest.mark.parametrize(("size", "seed"), [(1, 1), (5, 2), (16, 3), (17, 4), (200, 5), (1500, 6)])
def test_in_an_honest_network_the_true_nearest_are_found(size: int, seed: int) -> None:
    network = Network(size, seed)
    rng = network.rng
    for _ in range(12):
        own, target = rng.getrandbits(ID_BITS), rng.getrandbits(ID_BITS)
        lookup = lookup_of(
            network.named_by(own, target), target=target.to_bytes(20), own_id=own.to_bytes(20)
        )

        def answer(one: Contact, target: int = target) -> tuple[float, list[Contact]]:
            return rng.uniform(0.01, 0.3), network.named_by(one.number, target)

        drive(lookup, answer)
        assert lookup.closest() == nearest(network.contacts, target, 16)
        assert lookup.requests <= 40


def test_a_contact_in_the_table_is_found_by_its_own_id() -> None:
    network = Network(300, 7)
    for sought in network.contacts[:10]:
        own = network.rng.getrandbits(ID_BITS)
        lookup = lookup_of(
            network.named_by(own, sought.number),
            target=sought.peer_id,
            own_id=own.to_bytes(20),
        )

        def answer(one: Contact, target: int = sought.number) -> tuple[float, list[Contact]]:
            return 0.1, network.named_by(one.number, target)

        drive(lookup, answer)
        assert lookup.closest()[0] == sought


def test_dead_contacts_cost_no_seconds_each() -> None:
    network = Network(800, 8)
    rng = network.rng
    dead = {one.packed for one in rng.sample(network.contacts, 240)}
    alive = [one for one in network.contacts if one.packed not in dead]
    missed, times = 0, []
    for _ in range(20):
        own, target = rng.getrandbits(ID_BITS), rng.getrandbits(ID_BITS)
        lookup = lookup_of(
            network.named_by(own, target), target=target.to_bytes(20), own_id=own.to_bytes(20)
        )

        def answer(one: Contact, target: int = target) -> tuple[float, list[Contact]] | None:
            if one.packed in dead:
                return None
            return rng.uniform(0.02, 0.2), network.named_by(one.number, target)

        times.append(drive(lookup, answer))
        missed += len(set(nearest(alive, target, 16)) - set(lookup.closest()))
    assert missed <= 0.05 * 20 * 16
    assert sum(times) / len(times) < 4.0


def test_late_replies_are_used() -> None:
    network = Network(100, 9)
    own = network.rng.getrandbits(ID_BITS)
    lookup = lookup_of(network.named_by(own, 0), own_id=own.to_bytes(20))
    # Every reply comes after its time limit, and most after the slot was given to another.
    drive(lookup, lambda one: (network.rng.uniform(1.0, 1.4), network.named_by(one.number, 0)))
    assert len(set(lookup.closest()) & set(nearest(network.contacts, 0, 16))) >= 12


NUMBERS = st.integers(1, 2**ID_BITS - 1)


@settings(repeatable, max_examples=80)
@given(st.randoms(use_true_random=False), st.integers(0, 25), st.floats(0, 1e6))
def test_whatever_the_network_does_a_lookup_ends_within_its_caps(
    rng: random.Random, seeds: int, started_at: float
) -> None:
    # Contacts lie, name one another, name dead ones at the target, fall silent or fail at once.
    pool = [contact_with(rng.getrandbits(rng.choice((8, 20, 100, 160)))) for _ in range(60)]

    def answer(one: Contact) -> tuple[float, list[Contact]] | None:
        if rng.random() < 0.3:
            return None
        named = rng.sample(pool, rng.randrange(21))
        if rng.random() < 0.3:
            named += [contact_with(rng.getrandbits(30)) for _ in range(20)]
        return rng.choice((0.0, 0.05, 0.44, 0.45, 1.0, 1.7, 6.0)), named

    rules = LookupRules(
        k=rng.randrange(1, 17),
        alpha=rng.randrange(1, 5),
        alpha_last=rng.randrange(4, 17),
        beta=rng.randrange(1, 4),
        slow_s=rng.choice((0.1, 0.45, 3.0)),
    )
    lookup = lookup_of(
        rng.sample(pool, seeds),
        now=started_at,
        timeout_s=lambda one: 0.2 + one.number % 14 / 10,
        rules=rules,
    )
    ended_at = drive(lookup, answer, now=started_at, fails_at_once=lambda one: one.number % 11 == 0)
    assert ended_at <= started_at + limits.LOOKUP_S + 1e-6


# Any order of events ------------------------------------------------------------------------

_POOL = [contact_with(1 << shift | low) for shift in range(2, 10) for low in range(4)]
CONTACTS = st.sampled_from([*_POOL, *(contact_with(one.number, DEAD) for one in _POOL)])


class LookupMachine(RuleBasedStateMachine):
    """Answers, refusals and silence in any order: few wait at once, and nobody is asked twice."""

    @initialize(
        seeds=st.lists(CONTACTS, max_size=8, unique=True),
        k=st.sampled_from((1, 4, 16)),
        alpha_last=st.sampled_from((2, 5)),
    )
    def start(self, seeds: list[Contact], k: int, alpha_last: int) -> None:
        self.now = 0.0
        # Times that floats hold exactly, so that a limit is reached when it is reached.
        self.eagerness = LookupRules(k=k, alpha=2, alpha_last=alpha_last, beta=2, slow_s=0.5)
        self.lookup = lookup_of(seeds, rules=self.eagerness, timeout_s=lambda _: 1.0)
        self.known = set(seeds)
        self.asked: dict[Contact, float] = {}
        self.answered: set[Contact] = set()
        self.failed: set[Contact] = set()
        self.advance()

    def advance(self) -> None:
        self.step = self.lookup.next(self.now)
        for contact in self.step.ask:
            assert contact in self.known
            assert contact not in self.asked
            self.asked[contact] = self.now

    def pending(self) -> list[Contact]:
        return [one for one in self.asked if one not in self.answered | self.failed]

    @rule(data=st.data(), named=st.lists(CONTACTS, max_size=6))
    @precondition(lambda self: self.pending())
    def somebody_answers(self, data: st.DataObject, named: list[Contact]) -> None:
        contact = data.draw(st.sampled_from(self.pending()))
        self.lookup.answered(contact, named)
        if not self.step.done:
            self.answered.add(contact)
            self.known |= set({one.peer_id: one for one in reversed(named)}.values())
        else:
            self.failed.add(contact)
        self.advance()

    @rule(data=st.data())
    @precondition(lambda self: self.pending())
    def somebody_cannot_be_used(self, data: st.DataObject) -> None:
        contact = data.draw(st.sampled_from(self.pending()))
        self.lookup.failed(contact)
        self.failed.add(contact)
        self.advance()

    @rule()
    @precondition(lambda self: not self.step.done)
    def nothing_comes(self) -> None:
        wake_at = self.step.wake_at
        assert wake_at > self.now
        self.now = wake_at
        self.advance()
        # Each time limit is over when it is reached, or the driver would spin.
        assert self.step.done or self.step.wake_at > wake_at

    @rule(pause_s=st.sampled_from((1 / 64, 0.25, 2.0)))
    def time_passes(self, pause_s: float) -> None:
        self.now += pause_s
        self.advance()

    @invariant()
    def few_wait_and_what_is_found_has_answered(self) -> None:
        waiting = [
            one
            for one in self.pending()
            if self.now < self.asked[one] + self.eagerness.slow_s and not self.step.done
        ]
        assert len(waiting) <= self.eagerness.alpha_last
        found = self.lookup.closest()
        ordered = sorted({one.number for one in self.answered})
        assert [one.number for one in found] == ordered[: self.eagerness.k]
        assert set(found) <= self.answered

    @invariant()
    def nobody_is_asked_at_two_places_at_once(self) -> None:
        waiting = [
            one.number
            for one in self.pending()
            if self.now < self.asked[one] + self.eagerness.slow_s and not self.step.done
        ]
        assert len(waiting) == len(set(waiting))

    @invariant()
    def the_end_comes_when_nobody_nearer_can_be_asked(self) -> None:
        if not self.step.done:
            return
        overdue = {one for one, at in self.asked.items() if self.now >= at + 1.0} - self.answered
        usable = sorted({one.number for one in self.known - self.failed - overdue})
        assert (
            set(usable[: self.eagerness.k]) <= {one.number for one in self.answered}
            or self.now >= limits.LOOKUP_S
            or len(self.asked) == limits.LOOKUP_REQUESTS
        )


TestLookupMachine = LookupMachine.TestCase
TestLookupMachine.settings = settings(repeatable, max_examples=80, stateful_step_count=40)
