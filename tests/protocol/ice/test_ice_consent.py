"""Consent to send (RFC 7675): asked for by chance within bounds, and what follows when it ends."""

import itertools

import pytest

from protocol.addresses import Address
from protocol.ice.events import ConsentLost, PairSelected
from protocol.ice.pairs import PairOutcome, PairState
from protocol.ice.settings import IceSettings
from protocol.stun.attributes import Attribute
from protocol.stun.message import StunClass, decode_stun
from tests.protocol.ice.ice_network import (
    HOST,
    INSIDE_A,
    REFLEXIVE,
    RELAYED,
    VIA_A,
    VIA_B,
    A,
    B,
    End,
    Nat,
    Network,
    about,
    connect,
    linked,
)

SETTINGS = IceSettings()


def checks_of(end: End, since: float) -> list[float]:
    return [
        at
        for at, datagram in end.sent
        if at >= since and decode_stun(datagram.data).kind is StunClass.REQUEST
    ]


def test_consent_is_asked_for_at_intervals_that_differ() -> None:
    network = Network(0.05)
    a, b = linked(network)
    since = network.now
    network.run(600)
    for end in (a, b):
        times = checks_of(end, since)
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        interval_s = SETTINGS.consent_interval_s
        assert all(0.8 * interval_s <= gap <= 1.2 * interval_s + 0.11 for gap in gaps)
        assert max(gaps) - min(gaps) > 0.1 * interval_s
        assert not end.told(ConsentLost)


def test_consent_checks_leave_at_the_ends_of_slots() -> None:
    network = Network(0.05)
    ends = linked(network)
    since = network.now + SETTINGS.consent_interval_s
    network.run(600)
    slot_s = SETTINGS.consent_interval_s / 32
    for end in ends:
        times = checks_of(end, since)
        assert len(times) > 50
        assert [at / slot_s for at in times] == pytest.approx([round(at / slot_s) for at in times])


@pytest.mark.parametrize("seed", range(5))
def test_a_vanished_peer_is_missed_within_30_s(seed: int) -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True, seed=seed)
    b = network.add("b", controlling=False, seed=seed)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(5 + seed)
    vanished_at = network.now
    network.lost = lambda _end, _datagram: True
    network.run(60)
    for end in (a, b):
        ((at, _),) = end.told(ConsentLost)
        assert 10 < at - vanished_at <= 30
        assert end.agent.selected is None
        assert end.agent.wake_at is None, "nothing is sent any more"
        (row,) = end.agent.report()
        assert (row.state, row.outcome) == (PairState.FAILED, PairOutcome.CONSENT_LOST)


def test_a_gap_of_ten_seconds_is_no_loss() -> None:
    network = Network(0.05)
    a, b = linked(network)
    network.lost = lambda _end, _datagram: True
    network.run(10)
    network.lost = lambda _end, _datagram: False
    network.run(60)
    assert not a.told(ConsentLost)
    assert not b.told(ConsentLost)


def test_a_link_goes_on_by_another_pair_when_its_own_is_silent() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    connect(
        network,
        a,
        b,
        [(HOST, A, A), (RELAYED, VIA_A, VIA_A)],
        [(HOST, B, B), (RELAYED, VIA_B, VIA_B)],
    )
    network.run(5)
    assert a.selections[-1][1] == A
    network.lost = lambda _end, datagram: datagram.base in {A, B}
    gone_at = network.now
    network.run(60)
    at, base, remote = a.selections[-1]
    assert (base, remote) == (VIA_A, VIA_B)
    assert at - gone_at < 15
    assert b.selections[-1][1:] == (VIA_B, VIA_A)
    assert not a.told(ConsentLost)
    assert not b.told(ConsentLost)


def test_consent_checks_of_the_controlling_side_nominate() -> None:
    network = Network(0.05)
    a, b = linked(network)
    for end, nominates in ((a, True), (b, False)):
        since = network.now
        network.run(20)
        requests = [
            decode_stun(datagram.data)
            for at, datagram in end.sent
            if at >= since and decode_stun(datagram.data).kind is StunClass.REQUEST
        ]
        assert requests
        assert {one.get(Attribute.USE_CANDIDATE) is not None for one in requests} == {nominates}


def test_a_lost_nomination_is_repeated() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    network.lost = lambda end, datagram: (
        end is a
        and decode_stun(datagram.data).get(Attribute.USE_CANDIDATE) is not None
        and network.now < 1000.3
    )
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(1)
    assert [one.nominated for _, one in b.told(PairSelected)] == [False, True]
    assert b.told(PairSelected)[-1][0] == about(1000.1 + 0.5 + 0.05)


def test_a_late_nomination_leaves_consent_to_be_asked_for() -> None:
    """It comes while a consent check of the controlled side is under way."""
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    network.lost = lambda end, datagram: (
        (
            (end is a and decode_stun(datagram.data).get(Attribute.USE_CANDIDATE) is not None)
            or (end is b and len(datagram.data) > 90)
        )
        and network.now > 1000.09
    )
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    while len(checks_of(b, 1001.0)) < 1:
        network.run(0.01)
    network.lost = lambda _end, _datagram: False
    a.agent.check_now(network.now)
    network.run(60)
    assert b.told(PairSelected)[-1][1].nominated
    assert len(checks_of(b, network.now - 50)) >= 4


@pytest.mark.parametrize("controlling", [True, False])
def test_a_new_mapping_is_followed_when_its_owner_asks(controlling: bool) -> None:
    """The side behind the NAT notices that its path is silent; the other side moves along."""
    network = Network(0.05)
    nat = Nat("7.0.0.1")
    a = network.add("a", controlling=controlling, nat=nat)
    b = network.add("b", controlling=not controlling)
    connect(network, a, b, [(REFLEXIVE, Address("7.0.0.1", 4001), INSIDE_A)], [(HOST, B, B)])
    network.run(5)
    old = Address("7.0.0.1", 4001)
    assert b.selections[-1][2] == old
    nat.forget()
    moved_at = network.now
    a.agent.check_now(network.now)
    network.run(60)
    at, _, remote = b.selections[-1]
    assert remote == Address("7.0.0.1", 5001)
    assert at - moved_at <= 3 * 0.1 + 0.2
    assert a.selections[-1][2] == B
    assert not a.told(ConsentLost)
    assert not b.told(ConsentLost)


def test_a_check_from_elsewhere_moves_no_link_that_works() -> None:
    """Another address of the peer may show up late; the selected one answers, and stays."""
    network = Network(0.05)
    a, b = linked(network)
    other = Address("6.0.0.2", 4001)
    network.bind(b, other)
    b.agent.add_local(HOST, other, other, network.now)
    b.agent.add_remote(HOST, A, network.now)
    b.agent.probe(A, other, network.now)
    network.run(5)
    assert [one.remote for _, one in a.told(PairSelected)] == [B]


@pytest.mark.parametrize("controlling", [True, False])
def test_a_new_mapping_is_followed_when_the_first_check_to_it_is_lost(controlling: bool) -> None:
    network = Network(0.05)
    nat = Nat("7.0.0.1")
    a = network.add("a", controlling=controlling, nat=nat)
    b = network.add("b", controlling=not controlling)
    connect(network, a, b, [(REFLEXIVE, Address("7.0.0.1", 4001), INSIDE_A)], [(HOST, B, B)])
    network.run(5)
    nat.forget()
    moved_at = network.now
    network.lost = lambda end, datagram: (
        end is b
        and network.now < moved_at + 0.4
        and decode_stun(datagram.data).kind is StunClass.REQUEST
    )
    a.agent.check_now(network.now)
    network.run(3)
    at, _, remote = b.selections[-1]
    assert remote == Address("7.0.0.1", 5001)
    assert at - moved_at < 1


def test_asking_again_and_again_changes_nothing_about_a_loss() -> None:
    network = Network(0.05)
    a, _ = linked(network)
    network.lost = lambda _end, _datagram: True
    gone_at, answered_at = network.now, a.selections[0][0] + 0.1
    for _ in range(300):
        a.agent.check_now(network.now)
        network.run(0.1)
    ((at, _),) = a.told(ConsentLost)
    assert 2 * 0.8 * SETTINGS.consent_interval_s <= at - answered_at <= 30
    asked = [one for at, one in a.sent if at >= gone_at]
    assert len(asked) <= 3 * 7
