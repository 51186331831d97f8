"""Peers that are named at several addresses, and networks of which one contact counts."""

from protocol import limits
from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup import Lookup
from protocol.overlay.lookup_steps import LookupRules
from protocol.overlay.networks import public_networks, smallest_network
from tests.protocol.overlay.lookup_network import DEAD, OWN, TARGET, contact_with, lookup_of


def test_a_liar_that_names_a_neighbour_at_a_dead_address_does_not_hide_it() -> None:
    liar, honest, hidden = contact_with(100), contact_with(101), contact_with(1)
    lookup = lookup_of([liar, honest])
    lookup.next(0.0)
    lookup.answered(liar, [contact_with(1, DEAD)])
    assert lookup.next(0.1).ask == [contact_with(1, DEAD)]
    lookup.answered(honest, [hidden])
    assert not lookup.next(0.2).ask, "one address at a time"
    assert lookup.next(0.1 + 0.45).ask == [hidden], "the next one as soon as the first is slow"
    lookup.answered(hidden, [])
    assert lookup.next(0.6).done, "no slot waits for the dead address of a peer that has answered"
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
