"""Lookups step by step: which contacts are asked when, and when a lookup is done."""

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.lookup_steps import LookupRules
from tests.protocol.overlay.lookup_network import OWN, contact_with, lookup_of


def test_a_lookup_without_seeds_finds_no_contact() -> None:
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


def test_the_peer_that_is_looked_up_is_waited_for_though_it_used_to_answer_sooner() -> None:
    lookup = lookup_of([contact_with(0), contact_with(1), contact_with(2)], timeout_s=lambda _: 0.2)
    lookup.next(0.0)
    lookup.answered(contact_with(1), [])
    step = lookup.next(0.2)
    assert [one.number for one in step.given_up] == [2]
    assert not step.done
    lookup.answered(contact_with(0), [])
    assert lookup.next(0.3).done
    assert [one.number for one in lookup.closest()] == [0, 1]


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


def test_a_contact_that_fails_is_replaced_and_not_found() -> None:
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
