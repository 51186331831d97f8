"""Peers that broke the protocol are remembered for a minute, and counted by network."""

from protocol import limits
from protocol.places.rule_breakers import RuleBreakers
from protocol.places.tenure import RELAYED, network_of

NETWORK = network_of("93.184.216.34")


def peer(number: int) -> bytes:
    return number.to_bytes(20)


def test_a_peer_is_held_for_a_minute_from_its_last_fault() -> None:
    breakers = RuleBreakers()
    breakers.add(peer(1), NETWORK, 0.0)
    breakers.add(peer(2), NETWORK, 20.0)
    breakers.add(peer(1), NETWORK, 30.0)
    assert breakers.holds(peer(1), 89.9)
    assert not breakers.holds(peer(2), 80.0)
    assert not breakers.holds(peer(1), 90.0)
    assert not breakers.holds(peer(3), 40.0)


def test_several_of_one_public_network_close_it_to_newcomers() -> None:
    breakers = RuleBreakers()
    for number in range(limits.RULE_BREAKERS_OF_NETWORK):
        assert not breakers.holds_many_of(NETWORK, 10.0)
        breakers.add(peer(number), NETWORK, 10.0)
        breakers.add(peer(0), NETWORK, 10.0)  # one peer counts once
        breakers.add(peer(100 + number), network_of("192.168.1.5"), 10.0)
        breakers.add(peer(200 + number), RELAYED, 10.0)
    assert breakers.holds_many_of(NETWORK, 69.0)
    assert not breakers.holds_many_of(network_of("151.101.1.69"), 69.0)
    assert not breakers.holds_many_of(network_of("192.168.1.5"), 69.0)
    assert not breakers.holds_many_of(RELAYED, 69.0)
    assert breakers.holds(peer(200), 69.0)
    assert not breakers.holds_many_of(NETWORK, 70.0)


def test_no_more_are_remembered_than_the_bound() -> None:
    breakers = RuleBreakers()
    for number in range(limits.RULE_BREAKERS + 5):
        breakers.add(peer(number), NETWORK, 0.0)
    assert not breakers.holds(peer(4), 1.0)
    assert breakers.holds(peer(5), 1.0)
    assert len(breakers._peers) == limits.RULE_BREAKERS
