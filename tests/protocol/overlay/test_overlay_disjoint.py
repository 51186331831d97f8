"""Disjoint paths: none share a contact, and a liar misleads only the path that asks it."""

import heapq
import random
from collections.abc import Callable

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.disjoint import DisjointLookup, start_lookup
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import LookupRules
from protocol.overlay.networks import public_networks, smallest_network
from tests.protocol.overlay.lookup_network import (
    DEAD,
    ID_BITS,
    OWN,
    TARGET,
    Network,
    contact_with,
    nearest,
)


def disjoint_of(
    seeds: list[Contact], paths: int, rules: LookupRules | None = None, target: bytes = TARGET
) -> DisjointLookup:
    lookup = start_lookup(
        target,
        seeds,
        own_id=OWN,
        now=0.0,
        timeout_s=lambda _: 1.0,
        rules=rules or LookupRules(),
        network_of=lambda contact: smallest_network(public_networks, contact),
        paths=paths,
    )
    assert isinstance(lookup, DisjointLookup)
    return lookup


def drive(
    lookup: DisjointLookup,
    answer: Callable[[Contact], list[Contact] | None],
    delay_s: Callable[[], float] = lambda: 0.0,
) -> float:
    """Run a lookup to its end and return when that was; None as an answer is silence."""
    now = 0.0
    asked: set[bytes] = set()
    before = lookup.requests
    replies: list[tuple[float, int, Contact, list[Contact]]] = []
    while True:
        step = lookup.next(now)
        for contact in step.ask:
            assert contact.packed not in asked
            asked.add(contact.packed)
            named = answer(contact)
            if named is not None:
                heapq.heappush(replies, (now + delay_s(), len(asked), contact, named))
        if step.done:
            assert lookup.requests == before + len(asked)
            return now
        if replies and replies[0][0] <= step.wake_at:
            now, _, contact, named = heapq.heappop(replies)
            lookup.answered(contact, named)
        else:
            assert step.wake_at > now
            now = step.wake_at


def test_one_path_is_a_plain_lookup() -> None:
    lookup = start_lookup(
        TARGET,
        [],
        own_id=OWN,
        now=0.0,
        timeout_s=lambda _: 1.0,
        rules=LookupRules(),
        network_of=lambda _: b"",
        paths=1,
    )
    assert isinstance(lookup, Lookup)


def test_seeds_are_dealt_out_and_no_contact_is_asked_twice() -> None:
    seeds = [contact_with(number) for number in range(1, 9)]
    lookup = disjoint_of(seeds, paths=4)
    assert sorted(one.number for one in lookup.next(0.0).ask) == [1, 2, 3, 4]
    # Both paths hear of the same contact: one of them asks it.
    shared = contact_with(0xFF)
    for seed in seeds[:2]:
        lookup.answered(seed, [shared])
    assert [one.number for one in lookup.next(0.1).ask] == [5, 6]
    lookup.answered(seeds[4], [])
    lookup.answered(seeds[5], [])
    lookup.answered(seeds[2], [])
    lookup.answered(seeds[3], [])
    drive(lookup, lambda _: [shared])
    assert lookup.closest() == [*seeds, shared]


def test_what_another_path_asks_counts_as_heard_until_it_fails() -> None:
    seeds = [contact_with(1), contact_with(2)]
    lookup = disjoint_of(seeds, 2, LookupRules(k=2, alpha=2, alpha_last=8, spare=0))
    assert len(lookup.next(0.0).ask) == 2
    lookup.answered(seeds[0], [seeds[1], contact_with(3)])
    # The first path has its two nearest, of whom the other path waits for one.
    assert not lookup.next(0.1).ask
    lookup.failed(seeds[1])
    assert lookup.next(0.2).ask == [contact_with(3)]
    lookup.answered(contact_with(3), [])
    assert lookup.next(0.3).done
    assert lookup.closest() == [seeds[0], contact_with(3)]


@pytest.mark.parametrize("paths", [2, 4, 8])
def test_in_an_honest_network_the_true_nearest_are_found(paths: int) -> None:
    network = Network(600, 3)
    rng = network.rng
    for _ in range(8):
        own, target = rng.getrandbits(ID_BITS), rng.getrandbits(ID_BITS)
        lookup = disjoint_of(network.named_by(own, target), paths, target=target.to_bytes(20))

        def answer(one: Contact, target: int = target) -> list[Contact]:
            return network.named_by(one.number, target)

        drive(lookup, answer)
        found = lookup.closest()
        assert len(set(found) & set(nearest(network.contacts, target, 16))) >= 15
        assert lookup.requests <= limits.LOOKUP_REQUESTS


def test_liars_lead_only_their_own_paths_astray() -> None:
    """A fifth of all contacts name only each other, and true ones at dead addresses."""
    network = Network(600, 4)
    rng = random.Random(5)
    liars = {one.packed for one in rng.sample(network.contacts, 120)}
    conspirators = [one for one in network.contacts if one.packed in liars]
    honest = [one for one in network.contacts if one.packed not in liars]
    found = 0
    for _ in range(40):
        wanted = rng.choice(honest)
        own = rng.getrandbits(ID_BITS)
        lookup = disjoint_of(network.named_by(own, wanted.number), 4, target=wanted.peer_id)

        def answer(one: Contact, target: int = wanted.number) -> list[Contact] | None:
            if one.address == DEAD:
                return None
            if one.packed not in liars:
                return network.named_by(one.number, target)
            hidden = [contact_with(true.number, DEAD) for true in nearest(honest, target, 10)]
            return hidden + nearest(conspirators, target, 10)

        drive(lookup, answer)
        found += wanted in lookup.closest()
    assert found >= 39


def test_the_paths_together_find_one_of_a_network_and_each_peer_once() -> None:
    near = [contact_with(number, Address(f"8.8.8.{number}", 1)) for number in range(1, 5)]
    private = [contact_with(number) for number in range(9, 13)]
    lookup = disjoint_of([*near, *private], paths=4)
    drive(lookup, lambda _: [])
    assert lookup.closest() == [near[0], *private]
    moved = [contact_with(1), contact_with(1, DEAD)]
    lookup = disjoint_of([contact_with(5), contact_with(6)], paths=2)
    drive(lookup, lambda one: moved[one.number % 2 : one.number % 2 + 1] if one.number > 1 else [])
    assert [one.number for one in lookup.closest()] == [1, 5, 6]


@pytest.mark.parametrize("paths", [4, 8])
def test_no_path_waits_for_what_a_finished_one_heard_or_gave_up(paths: int) -> None:
    network = Network(600, 6)
    rng = network.rng
    silent = {one.packed for one in rng.sample(network.contacts, 60)}
    for _ in range(40):
        own, target = rng.getrandbits(ID_BITS), rng.getrandbits(ID_BITS)
        lookup = disjoint_of(network.named_by(own, target), paths, target=target.to_bytes(20))

        def answer(one: Contact, target: int = target) -> list[Contact] | None:
            return None if one.packed in silent else network.named_by(one.number, target)

        assert drive(lookup, answer, lambda: rng.uniform(0.05, 0.35)) < 6.0


def test_to_stop_is_to_stop_every_path() -> None:
    lookup = disjoint_of([contact_with(number) for number in range(1, 9)], paths=4)
    lookup.next(0.0)
    lookup.stop()
    step = lookup.next(0.1)
    assert step.done
    assert not step.ask
    assert lookup.closest() == []
