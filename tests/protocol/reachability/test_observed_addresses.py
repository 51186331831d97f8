"""What contacts see of this node, and what follows about its NAT."""

import random

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.reachability.network_view import MappingKind, ReflexiveAddress
from protocol.reachability.observed import ObservedAddresses

PORT = 4001
OWN = ("192.168.1.7",)
OUTSIDE = "203.0.113.9"


def network(number: int) -> bytes:
    return bytes((11, number // 256, number % 256))


def seen_at(*ports: int, host: str = OUTSIDE, gap_s: float = 0.1) -> ObservedAddresses:
    """One contact in each network saw one of these ports, one after the other."""
    observed = ObservedAddresses(PORT)
    for number, port in enumerate(ports):
        observed.note(network(number), Address(host, port), number * gap_s)
    return observed


def test_nothing_is_known_at_first() -> None:
    observed = ObservedAddresses(PORT)
    assert observed.mapping(OWN) is MappingKind.UNKNOWN
    assert not observed.is_mapped(OWN)
    assert observed.reflexive(OWN) == ()
    assert observed.last_sample() is None


def test_one_contact_is_believed_without_proof() -> None:
    observed = seen_at(PORT)
    assert observed.mapping(OWN) is MappingKind.UNKNOWN
    assert observed.is_mapped(OWN)
    assert observed.reflexive(OWN) == (ReflexiveAddress(Address(OUTSIDE, PORT), False),)


def test_private_contacts_have_one_voice_that_proves_nothing() -> None:
    observed = ObservedAddresses(PORT)
    for number in range(10):
        observed.note(b"", Address("10.0.0.5", PORT), number)
    assert observed.mapping(OWN) is MappingKind.UNKNOWN
    assert observed.reflexive(OWN) == (ReflexiveAddress(Address("10.0.0.5", PORT), False),)


@pytest.mark.parametrize("port", [PORT, 40_000])
def test_a_private_voice_is_no_third_one(port: int) -> None:
    observed = seen_at(port, port)
    observed.note(b"", Address(OUTSIDE, port), 1)
    assert observed.mapping(OWN) is MappingKind.UNKNOWN


@pytest.mark.parametrize("port", [PORT, 40_000])
def test_three_networks_that_agree_prove_an_address(port: int) -> None:
    observed = seen_at(port, port, port)
    assert observed.mapping(OWN) is MappingKind.ENDPOINT_INDEPENDENT
    assert observed.reflexive(OWN) == (ReflexiveAddress(Address(OUTSIDE, port), True),)
    assert observed.port_preserved is (port == PORT)


def test_without_a_nat_others_see_the_own_address() -> None:
    observed = seen_at(PORT, PORT, PORT, host=OWN[0])
    assert observed.mapping(OWN) is MappingKind.NONE
    assert observed.reflexive(OWN) == ()


def test_random_ports_are_endpoint_dependent() -> None:
    rng = random.Random(5)
    for _ in range(500):
        ports = [rng.randrange(1024, 65536) for _ in range(12)]
        observed = seen_at(*ports)
        assert observed.mapping(OWN) is MappingKind.ENDPOINT_DEPENDENT
        assert observed.port_step == 0


@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_random_ports_of_a_small_block_are_not_counted_up(at_once: int) -> None:
    taken = 0
    for seed in range(200):
        rng = random.Random(seed)
        observed = ObservedAddresses(PORT)
        for number, port in enumerate(rng.sample(range(20_000, 20_512), 24)):
            observed.note(network(number), Address(OUTSIDE, port), number // at_once * 0.1)
        taken += observed.mapping(OWN) is not MappingKind.ENDPOINT_DEPENDENT
    assert taken <= 2


def test_one_port_out_of_order_changes_nothing() -> None:
    ports = [5000 + number for number in range(12)]
    ports[3], ports[4] = ports[4], ports[3]
    assert seen_at(*ports).mapping(OWN) is MappingKind.SEQUENTIAL


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_sequential_nat_has_a_step_and_a_rate(step: int) -> None:
    """Others make 2 mappings between two of ours, which are 0.1 s apart: 20 a second."""
    observed = seen_at(*(5000 + 3 * step * number for number in range(10)))
    assert observed.mapping(OWN) is MappingKind.SEQUENTIAL
    assert observed.port_step == 3 * step, "a multiple is all that so regular others show"
    mixed = seen_at(*(5000 + step * (3 * number + number % 2) for number in range(10)))
    assert mixed.port_step in {step, 2 * step}
    sample = mixed.last_sample()
    assert sample is not None
    assert sample.port == 5000 + step * 28
    assert sample.at == pytest.approx(0.9)


def test_the_rate_of_other_mappings_is_measured() -> None:
    rng = random.Random(9)
    ports, port = [], 5000
    for _ in range(30):
        ports.append(port)
        port += 1 + rng.randrange(5)
    sample = seen_at(*ports).last_sample()
    assert sample is not None
    assert sample.rate == pytest.approx(20, rel=0.3)


def test_samples_are_ordered_by_when_they_left() -> None:
    """Responses overtake one another."""
    observed = ObservedAddresses(PORT)
    for number in (2, 0, 1, 4, 3):
        observed.note(network(number), Address(OUTSIDE, 7000 + number), number / 10)
    assert observed.port_step == 1
    sample = observed.last_sample()
    assert sample is not None
    assert (sample.port, sample.rate) == (7004, 0)


def test_a_mapping_that_is_seen_again_is_no_new_one() -> None:
    """As by keepalives, after a node has asked more contacts than it remembers voices."""
    observed = seen_at(*range(7000, 7000 + 2 * limits.OBSERVERS_REMEMBERED), gap_s=0.01)
    for number in range(20):
        observed.note(network(19 - number), Address(OUTSIDE, 7019 - number), 3.0 + number)
    assert observed.port_step == 1


def test_a_mapping_is_as_old_as_the_first_datagram_that_was_lost_behind_the_nat() -> None:
    """Every second contact answers the second request alone."""
    observed = ObservedAddresses(PORT)
    for number in range(8):
        first_at = number / 10
        sent_at = first_at + 0.45 * (number % 2)
        observed.note(network(number), Address(OUTSIDE, 7000 + number), sent_at, first_at)
    assert observed.mapping(OWN) is MappingKind.SEQUENTIAL
    assert observed.port_step == 1


def test_two_contacts_of_one_network_are_one_voice() -> None:
    observed = ObservedAddresses(PORT)
    for number in range(50):
        observed.note(network(1), Address("198.51.100.66", 9), number)
    for number in (2, 3, 4):
        observed.note(network(number), Address(OUTSIDE, PORT), number)
    assert observed.agreed == Address(OUTSIDE, PORT)
    for number in range(50, 60):
        address = Address(OUTSIDE, 5000 + number % 2)
        observed.note(network(1), address, number)
    sample = observed.last_sample()
    assert sample is not None
    assert sample.at == 51, "both ports are known by then"


@pytest.mark.parametrize("liars", range(6))
def test_fewer_liars_than_a_third_change_nothing(liars: int) -> None:
    rng = random.Random(liars)
    observed = ObservedAddresses(PORT)
    order = list(range(16))
    for round_number in range(5):
        rng.shuffle(order)
        for place, number in enumerate(order):
            lies = number < liars
            address = Address("198.51.100.66", 9) if lies else Address(OUTSIDE, PORT)
            observed.note(network(number), address, round_number + place / 100)
            if round_number:
                assert observed.agreed == Address(OUTSIDE, PORT)
                assert observed.mapping(OWN) is MappingKind.ENDPOINT_INDEPENDENT


def networks(*numbers: int) -> list[bytes]:
    return [network(number) for number in numbers]


def test_a_nat_that_has_lost_its_mappings_is_noticed_by_one_voice_and_shown_by_those_chosen() -> (
    None
):
    observed = seen_at(*[PORT] * 20)
    observed.note(network(0), Address(OUTSIDE, 30_000), 10)
    doubts = [observed.is_doubted]
    observed.choose(networks(*range(4, 12)), 10)
    for number in range(4, 8):
        assert observed.agreed == Address(OUTSIDE, PORT)
        doubts.append(observed.is_doubted)
        observed.note(network(number), Address(OUTSIDE, 30_000), 10.1)
    assert observed.agreed == Address(OUTSIDE, 30_000)
    doubts.append(observed.is_doubted)
    assert doubts == [True, True, True, True, True, False]
    assert observed.mapping(OWN) is MappingKind.ENDPOINT_INDEPENDENT


VICTIM = Address("8.8.8.8", 53)


def test_liars_in_one_moment_cast_a_doubt_and_change_nothing() -> None:
    """They are all that an idle node hears for minutes."""
    observed = seen_at(*[PORT] * 20)
    for number in range(100, 100 + 2 * limits.OBSERVERS_REMEMBERED):
        observed.note(network(number), VICTIM, 700 + number / 1000)
        if number == 104:
            assert observed.is_doubted
            observed.choose(networks(*range(12)), 701)
        assert observed.agreed == Address(OUTSIDE, PORT)
    for number in range(12):
        observed.note(network(number), Address(OUTSIDE, PORT), 702)
        assert observed.agreed == Address(OUTSIDE, PORT)


@pytest.mark.parametrize("liars", range(5))
def test_fewer_liars_than_a_third_of_the_chosen_change_nothing(liars: int) -> None:
    observed = seen_at(*[PORT] * 20)
    observed.note(network(19), VICTIM, 10)
    observed.choose(networks(*range(12)), 10)
    for number in reversed(range(12)):
        lies = number < liars
        observed.note(network(number), VICTIM if lies else Address(OUTSIDE, PORT), 11)
    assert observed.agreed == Address(OUTSIDE, PORT)


def test_what_was_sent_before_the_choice_decides_nothing() -> None:
    observed = seen_at(*[PORT] * 20)
    observed.choose(networks(*range(4)), 10)
    for number in range(4):
        observed.note(network(number), VICTIM, 9.9)
    assert observed.agreed == Address(OUTSIDE, PORT)


def test_a_nat_that_has_become_endpoint_dependent_is_asked_about_once_more() -> None:
    observed = seen_at(*[PORT] * 20)
    observed.note(network(0), Address(OUTSIDE, 1), 10)
    doubts = []
    for at in (10, 20):
        observed.choose(networks(*range(12)), at)
        for number in range(12):
            observed.note(network(number), Address(OUTSIDE, 1000 + number * 997 + at), at + 1)
        assert observed.agreed is None
        doubts.append(observed.is_doubted)
    assert doubts == [True, False]


def test_ports_that_never_agreed_are_no_doubt() -> None:
    """Links that are silent have contacts asked as well, which a router that counts would count."""
    observed = seen_at(*range(5000, 5020))
    observed.choose(networks(*range(12)), 10)
    assert not observed.is_doubted


def test_with_too_few_networks_to_choose_from_nothing_is_agreed_on() -> None:
    observed = seen_at(*[PORT] * 4)
    observed.note(network(0), Address(OUTSIDE, 1), 10)
    observed.choose(networks(1, 2), 10)
    assert observed.agreed is None
    assert not observed.is_doubted


def test_what_was_seen_long_ago_does_not_count() -> None:
    observed = seen_at(PORT, PORT, PORT)
    observed.note(network(9), Address(OUTSIDE, 30_000), limits.OBSERVED_S + 5)
    assert observed.mapping(OWN) is MappingKind.UNKNOWN


def test_news_is_what_a_network_did_not_say_before() -> None:
    observed = ObservedAddresses(PORT)
    here, there = Address(OUTSIDE, 1), Address(OUTSIDE, 2)
    told = [observed.note(network(1), address, 0) for address in (here, here, there, there, here)]
    assert told == [True, False, True, False, True]


def test_what_is_remembered_is_bounded() -> None:
    observed = seen_at(*range(1000, 11_000))
    assert len(observed._voices) == limits.OBSERVERS_REMEMBERED
    assert len(observed._samples) == limits.PORT_SAMPLES
    assert len(observed._ports) == limits.PORTS_REMEMBERED
    observed.forget()
    assert observed.mapping(OWN) is MappingKind.UNKNOWN


@pytest.mark.parametrize("liar", range(3))
def test_one_liar_among_three_makes_no_router_that_takes_a_port_for_each(liar: int) -> None:
    lied = [Address(OUTSIDE, PORT + 1), Address("198.51.100.66", 9)]
    for lie in lied:
        observed = ObservedAddresses(PORT)
        for number in range(3):
            told = lie if number == liar else Address(OUTSIDE, PORT)
            observed.note(network(number), told, number)
        assert observed.mapping(OWN) is MappingKind.UNKNOWN
        (seen,) = observed.reflexive(OWN)
        assert (seen.address.host, seen.proved) == (OUTSIDE, False)
        observed.note(network(4), Address(OUTSIDE, PORT), 4)
        assert observed.mapping(OWN) is MappingKind.ENDPOINT_INDEPENDENT


def test_a_liar_after_three_that_agreed_makes_no_router_of_another_kind() -> None:
    observed = seen_at(PORT, PORT, PORT)
    observed.note(network(1), Address(OUTSIDE, 9), 9.0)
    assert observed.mapping(OWN) is not MappingKind.ENDPOINT_DEPENDENT
