"""ICE restart (RFC 8445, 9): new credentials and candidates, and the old pair until they work."""

import pytest

from protocol.addresses import Address
from protocol.errors import NotAuthentic
from protocol.ice.candidates import IceCredentials
from protocol.ice.events import ConsentLost, CredentialsRetired, IceFailed
from tests.protocol.ice.ice_network import HOST, A, B, End, Network, about, linked

NEW_A = Address("5.0.0.99", 4001)
NEW_B = Address("6.0.0.99", 4001)

NEW = {"a": IceCredentials("anewufrag", "A" * 24), "b": IceCredentials("bnewufrag", "B" * 24)}


def restart(network: Network, a: End, b: End) -> None:
    for end in (a, b):
        end.agent.restart(NEW[end.name])
    for end, other in ((a, b), (b, a)):
        end.agent.start(NEW[other.name], network.now)


def test_the_new_pair_replaces_the_old_one() -> None:
    network = Network(0.05)
    a, b = linked(network)
    network.bind(b, NEW_B)
    b.agent.add_local(HOST, NEW_B, NEW_B, network.now)
    restart(network, a, b)
    assert a.agent.selected is not None, "the old pair carries the link meanwhile"
    a.agent.add_remote(HOST, NEW_B, network.now)
    b.agent.add_remote(HOST, A, network.now)
    begun = network.now
    network.run(5)
    assert a.selections[-1] == (about(begun + 0.1), A, NEW_B)
    assert b.selections[-1][1:] == (NEW_B, A)
    assert [one for _, one in a.told(CredentialsRetired)] == [CredentialsRetired("aufrag")]
    assert [one for _, one in b.told(CredentialsRetired)] == [CredentialsRetired("bufrag")]
    network.run(60)
    assert not a.told(ConsentLost)
    assert not b.told(ConsentLost)
    assert a.agent.selected is not None


def test_a_restart_that_fails_leaves_the_old_pair() -> None:
    network = Network(0.05)
    a, b = linked(network)
    restart(network, a, b)
    for end in (a, b):
        end.agent.add_remote(HOST, Address("9.9.9.9", 9), network.now)
        end.agent.end_of_candidates()
    network.lost = lambda _end, datagram: datagram.remote.host == "9.9.9.9"
    network.run(120)
    for end in (a, b):
        assert end.agent.selected is not None
        assert not end.told(IceFailed)
        assert not end.told(ConsentLost)
        assert not end.told(CredentialsRetired)
        assert len(end.selections) == (1 if end is a else 2)


def test_a_base_that_is_to_be_left_carries_the_link_until_another_does() -> None:
    network = Network(0.05)
    a, b = linked(network)
    a.agent.restart(NEW["a"], without=A)
    b.agent.restart(NEW["b"])
    for end, other, remote in ((a, b, B), (b, a, A)):
        end.agent.start(NEW[other.name], network.now)
        end.agent.add_remote(HOST, remote, network.now)
    network.run(60)
    assert not a.told(CredentialsRetired)
    assert a.agent.has_consent
    network.bind(a, NEW_A)
    a.agent.add_local(HOST, NEW_A, NEW_A, network.now)
    b.agent.add_remote(HOST, NEW_A, network.now)
    network.run(5)
    assert a.selections[-1][1:] == (NEW_A, B)
    assert b.selections[-1][1:] == (B, NEW_A)
    assert len(a.told(CredentialsRetired)) == 1


def test_the_old_credentials_are_refused_once_retired() -> None:
    network = Network(0.05)
    a, b = linked(network)
    old_check = next(datagram for _, datagram in b.sent if len(datagram.data) > 90)
    a.agent.receive(old_check.data, B, A, network.now)
    restart(network, a, b)
    a.agent.receive(old_check.data, B, A, network.now)
    for end, remote in ((a, B), (b, A)):
        end.agent.add_remote(HOST, remote, network.now)
    network.run(2)
    with pytest.raises(NotAuthentic):
        a.agent.receive(old_check.data, B, A, network.now)


def test_a_peer_that_vanishes_during_a_restart_is_missed() -> None:
    network = Network(0.05)
    a, _ = linked(network)
    a.agent.restart(NEW["a"])
    network.lost = lambda _end, _datagram: True
    network.run(60)
    assert len(a.told(ConsentLost)) == 1
