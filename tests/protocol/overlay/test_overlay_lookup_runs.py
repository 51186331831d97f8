"""Whole lookups in networks in virtual time, and any order of events."""

import heapq
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import LookupRules
from tests.protocol.overlay.lookup_network import (
    DEAD,
    ID_BITS,
    Network,
    contact_with,
    lookup_of,
    nearest,
)

repeatable = settings(deadline=None, derandomize=True)


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
        assert lookup.requests == len(asked) <= limits.LOOKUP_REQUESTS + limits.LOOKUP_SILENT
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


_POOL = [contact_with(1 << shift | low) for shift in range(2, 10) for low in range(4)]
CONTACTS = st.sampled_from([*_POOL, *(contact_with(one.number, DEAD) for one in _POOL)])


class LookupMachine(RuleBasedStateMachine):
    """Answers, refusals and silence in any order: few wait at once, and none is asked twice."""

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
        self.seeds = {one.number for one in seeds}
        self.namings: list[set[int]] = []
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
    def a_contact_answers(self, data: st.DataObject, named: list[Contact]) -> None:
        contact = data.draw(st.sampled_from(self.pending()))
        self.lookup.answered(contact, named)
        if not self.step.done:
            self.answered.add(contact)
            self.namings.append({one.number for one in named})
            self.known |= set({one.peer_id: one for one in reversed(named)}.values())
        else:
            self.failed.add(contact)
        self.advance()

    @rule(data=st.data())
    @precondition(lambda self: self.pending())
    def a_contact_cannot_be_used(self, data: st.DataObject) -> None:
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

    def believed(self) -> set[int]:
        """What our own contacts are, and what those named that did not name many silent peers."""
        answered = {one.number for one in self.answered}
        late = {one for one, at in self.asked.items() if self.now >= at + self.eagerness.slow_s}
        silent = {one.number for one in self.failed | late} - answered
        return answered.union(
            self.seeds,
            *(
                named
                for named in self.namings
                if len(named & silent) < len(named & answered) + limits.LOOKUP_SILENT_NAMED
            ),
        )

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
    def no_contact_is_asked_at_two_places_at_once(self) -> None:
        waiting = [
            one.number
            for one in self.pending()
            if self.now < self.asked[one] + self.eagerness.slow_s and not self.step.done
        ]
        assert len(waiting) == len(set(waiting))

    @invariant()
    def the_end_comes_when_no_nearer_contact_can_be_asked(self) -> None:
        if not self.step.done:
            return
        overdue = {one for one, at in self.asked.items() if self.now >= at + 1.0} - self.answered
        silent = self.failed | overdue
        usable = sorted({one.number for one in self.known - silent} & self.believed())
        assert (
            set(usable[: self.eagerness.k]) <= {one.number for one in self.answered}
            or self.now >= limits.LOOKUP_S
            or len(self.asked) == limits.LOOKUP_REQUESTS
        )


TestLookupMachine = LookupMachine.TestCase
TestLookupMachine.settings = settings(repeatable, max_examples=80, stateful_step_count=40)
