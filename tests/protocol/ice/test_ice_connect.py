"""Two agents find a pair: hosts, NATs, loss, late candidates, and what is told when none works."""

import random

import pytest

from protocol.addresses import Address
from protocol.ice.events import AddressProved, IceFailed, PairSelected
from protocol.ice.pairs import PairOutcome, PairState
from protocol.ice.settings import IceSettings
from protocol.stun.attributes import Attribute
from protocol.stun.message import decode_stun
from tests.protocol.ice.ice_network import (
    HOST,
    INSIDE_A,
    INSIDE_B,
    OUTSIDE_A,
    OUTSIDE_B,
    REFLEXIVE,
    RTT_S,
    A,
    B,
    End,
    Nat,
    Network,
    about,
    connect,
)


def hosts(network: Network) -> tuple[End, End]:
    return network.add("a", controlling=True), network.add("b", controlling=False)


def behind_nats(network: Network) -> tuple[End, End]:
    return (
        network.add("a", controlling=True, nat=Nat(OUTSIDE_A.host)),
        network.add("b", controlling=False, nat=Nat(OUTSIDE_B.host)),
    )


CANDIDATES_A = [(HOST, INSIDE_A, INSIDE_A), (REFLEXIVE, OUTSIDE_A, INSIDE_A)]
CANDIDATES_B = [(HOST, INSIDE_B, INSIDE_B), (REFLEXIVE, OUTSIDE_B, INSIDE_B)]


def test_two_hosts_link_in_one_round_trip() -> None:
    network = Network(RTT_S / 2)
    a, b = hosts(network)
    begun = network.now
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)])
    network.run(1)
    assert a.selections == [(about(begun + RTT_S), A, B)]
    assert [(at, one.nominated) for at, one in b.told(PairSelected)] == [
        (about(begun + RTT_S), False),
        (about(begun + 1.5 * RTT_S), True),
    ]
    assert [one for _, one in a.told(AddressProved)] == [AddressProved(B, A)]
    assert a.refused == b.refused == []
    (row,) = a.agent.report()
    assert (row.base, row.remote, row.selected, row.state) == (A, B, True, PairState.SUCCEEDED)
    assert (row.outcome, row.mapped) == (PairOutcome.ANSWERED, A)
    assert row.round_trip_s == about(RTT_S)


@pytest.mark.parametrize("skew_s", [0.0, 0.01, 0.05, 0.3])
def test_two_port_restricted_nats_are_punched_in_one_round_trip_after_the_skew(
    skew_s: float,
) -> None:
    """The callee's first check meets a filter that is closed yet; the caller's check triggers it
    anew, though it is in progress.
    """
    network = Network(RTT_S / 2)
    a, b = behind_nats(network)
    begun = network.now
    connect(network, a, b, CANDIDATES_A, CANDIDATES_B, skew_s=skew_s)
    network.run(3)
    (at, _, remote) = a.selections[0]
    assert remote == OUTSIDE_B
    assert at <= begun + skew_s + RTT_S + 0.01
    at, _, remote = b.selections[0]
    assert remote == OUTSIDE_A
    assert at <= begun + skew_s + 1.5 * RTT_S + 0.01


@pytest.mark.parametrize("hairpins", [False, True])
def test_behind_one_router_the_host_pair_links(hairpins: bool) -> None:
    network = Network(RTT_S / 2)
    nat = Nat(OUTSIDE_A.host, hairpins=hairpins)
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False, nat=nat)
    near = Address("192.168.1.3", 4002)
    outside = Address(OUTSIDE_A.host, 4002)
    connect(network, a, b, CANDIDATES_A, [(HOST, near, near), (REFLEXIVE, outside, near)])
    network.run(3)
    assert a.selections[0][1:] == (INSIDE_A, near)


def test_a_hairpin_that_shows_the_inner_source_makes_a_peer_reflexive_pair() -> None:
    """The hosts' own candidates are not told, so only hairpinned checks tell of them."""
    network = Network(RTT_S / 2)
    nat = Nat(OUTSIDE_A.host, open=True, hairpins=True, shows_inside=True)
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False, nat=nat)
    near = Address("192.168.1.3", 4002)
    outside = Address(OUTSIDE_A.host, 4002)
    nat.out(INSIDE_A, Address("9.9.9.9", 1))
    nat.out(near, Address("9.9.9.9", 1))
    connect(network, a, b, [(REFLEXIVE, OUTSIDE_A, INSIDE_A)], [(REFLEXIVE, outside, near)])
    network.run(3)
    assert a.selections[0][1:] == (INSIDE_A, near)
    assert b.selections[0][1:] == (near, INSIDE_A)


def test_an_endpoint_dependent_nat_meets_an_open_one() -> None:
    network = Network(RTT_S / 2)
    a = network.add("a", controlling=True, nat=Nat(OUTSIDE_A.host, dependent=True, offset=7))
    b = network.add("b", controlling=False)
    begun = network.now
    connect(network, a, b, CANDIDATES_A, [(HOST, B, B)])
    network.run(3)
    assert a.selections[0] == (about(begun + RTT_S), INSIDE_A, B)
    assert b.selections[0][2] == Address(OUTSIDE_A.host, 4008)


@pytest.mark.parametrize("seed", range(20))
def test_loss_of_three_in_ten_is_survived(seed: int) -> None:
    network = Network(RTT_S / 2)
    a, b = behind_nats(network)
    rng = random.Random(seed)
    network.lost = lambda _end, _datagram: rng.random() < 0.3
    connect(network, a, b, CANDIDATES_A, CANDIDATES_B)
    network.run(15)
    assert a.selections, seed
    assert b.selections, seed


def test_a_check_is_repeated_by_rule() -> None:
    """RFC 8489, 6.2.1: the wait doubles."""
    network = Network()
    a = network.add("a", controlling=True)
    network.bind(a, A)
    a.agent.add_local(HOST, A, A, network.now)
    begun = network.now
    a.agent.start(network.add("b", controlling=False).credentials, begun)
    a.agent.add_remote(HOST, B, begun)
    network.run(30)
    assert [at - begun for at, _ in a.sent] == pytest.approx([0, 0.5, 1.5, 3.5])
    assert len({datagram.data for _, datagram in a.sent}) == 1
    (row,) = a.agent.report()
    assert (row.state, row.outcome, row.checks) == (PairState.FAILED, PairOutcome.NO_ANSWER, 4)


def test_addresses_of_local_networks_get_two_checks_each() -> None:
    network = Network()
    a = network.add("a", controlling=True)
    a.agent.add_local(HOST, A, A, network.now)
    a.agent.start(network.add("b", controlling=False).credentials, network.now, budget_bytes=2000)
    near = [Address(host, 4001) for host in ("10.1.1.1", "172.16.5.5", "192.168.7.7")]
    for remote in (*near, B):
        a.agent.add_remote(HOST, remote, network.now)
    network.run(30)
    assert [len(a.sent_to(remote)) for remote in (*near, B)] == [2, 2, 2, 4]


def test_a_known_round_trip_shortens_the_first_wait() -> None:
    network = Network()
    a = network.add("a", controlling=True)
    a.agent.add_local(HOST, A, A, network.now)
    begun = network.now
    other = network.add("b", controlling=False).credentials
    a.agent.start(other, begun, round_trip_s=0.2)
    a.agent.add_remote(HOST, B, begun)
    network.run(30)
    assert [at - begun for at, _ in a.sent] == pytest.approx([0, 0.3, 0.9, 2.1])


def test_checks_are_paced() -> None:
    """RFC 8445, 6.1.4.2 and B.1: no two new checks within Ta, those of high priority first."""
    network = Network()
    a = network.add("a", controlling=True, settings=IceSettings(pacing_s=0.02))
    a.agent.add_local(HOST, A, A, network.now)
    begun = network.now
    a.agent.start(network.add("b", controlling=False).credentials, begun)
    remotes = [Address("6.0.0.1", 4001 + place) for place in range(8)]
    for remote in remotes:
        a.agent.add_remote(HOST, remote, begun)
    network.run(0.4)
    assert [at - begun for at, _ in a.sent] == pytest.approx([0.02 * n for n in range(8)])
    assert [datagram.remote for _, datagram in a.sent] == remotes


def test_checks_that_come_before_the_description_are_answered_and_kept() -> None:
    network = Network(RTT_S / 2)
    a, b = hosts(network)
    begun = network.now
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)], skew_s=0.2)
    network.run(1)
    assert b.selections[0][0] == about(begun + RTT_S)
    assert a.selections[0][0] == about(begun + 0.2 + RTT_S)


def test_late_candidates_of_either_side_are_paired() -> None:
    network = Network(RTT_S / 2)
    a, b = hosts(network)
    connect(network, a, b, [], [])
    network.run(20)
    assert [len(end.told(IceFailed)) for end in (a, b)] == [1, 1]
    for end, own, other in ((a, A, B), (b, B, A)):
        network.bind(end, own)
        end.agent.add_local(HOST, own, own, network.now)
        end.agent.add_remote(HOST, other, network.now)
    begun = network.now
    network.run(1)
    assert a.selections == [(about(begun + RTT_S), A, B)]


def test_when_no_pair_works_each_has_its_reason() -> None:
    network = Network(RTT_S / 2)
    network.route = lambda _source, _remote: None
    a, b = behind_nats(network)
    begun = network.now
    connect(network, a, b, CANDIDATES_A, CANDIDATES_B)
    network.run(30)
    ((at, failed),) = a.told(IceFailed)
    assert at == about(begun + IceSettings().patience_s)
    assert [row.remote for row in failed.tried] == [INSIDE_B, OUTSIDE_B]
    assert {row.outcome for row in failed.tried} == {PairOutcome.NO_ANSWER}
    assert not a.selections
    assert a.agent.wake_at is None


def test_while_candidates_may_come_no_agent_fails() -> None:
    network = Network()
    a = network.add("a", controlling=True)
    a.agent.add_local(HOST, A, A, network.now)
    a.agent.start(network.add("b", controlling=False).credentials, network.now)
    a.agent.add_remote(HOST, B, network.now)
    network.run(60)
    assert not a.told(IceFailed)
    a.agent.end_of_candidates()
    network.run(1)
    assert len(a.told(IceFailed)) == 1


def test_a_nomination_that_comes_before_the_description_counts() -> None:
    network = Network(RTT_S / 2)
    a, b = hosts(network)
    connect(network, b, a, [(HOST, B, B)], [(HOST, A, A)], skew_s=0.5)
    network.run(0.3)
    early = [decode_stun(one.data) for _, one in a.sent if one.remote == B]
    assert [one.get(Attribute.USE_CANDIDATE) is not None for one in early] == [False, True]
    network.deliver(b, a.sent[0][1].data, A, B)
    network.lost = lambda end, _datagram: end is a and network.now < 1000.7
    network.run(0.4)
    assert not b.selections
    network.lost = lambda end, datagram: end is a and len(datagram.data) > 90
    network.run(3)
    assert b.told(PairSelected)[0][1].nominated


def test_a_candidate_is_paired_once_and_only_with_its_family() -> None:
    network = Network()
    a = network.add("a", controlling=True)
    base = Address("192.168.1.2", 4001)
    for kind, address in ((HOST, base), (REFLEXIVE, A), (REFLEXIVE, A)):
        a.agent.add_local(kind, address, base, 0.0)
    six = Address("2001:db8::1", 4001)
    a.agent.add_local(HOST, six, six, 0.0)
    for remote in (B, B, Address("2001:db8::2", 4001)):
        a.agent.add_remote(HOST, remote, 0.0)
    assert [(row.base, row.remote) for row in a.agent.report()] == [
        (base, B),
        (six, Address("2001:db8::2", 4001)),
    ]
    assert [local.address for local in a.agent.local_candidates] == [base, A, six]


def test_a_base_that_goes_takes_its_pairs_along() -> None:
    network = Network(RTT_S / 2)
    a, b = hosts(network)
    other = Address("5.0.0.9", 4001)
    connect(network, a, b, [(HOST, A, A), (HOST, other, other)], [(HOST, B, B)])
    network.run(1)
    assert a.selections[0][1] == A
    a.agent.remove_local(A, network.now)
    network.run(1)
    assert [row.base for row in a.agent.report()] == [other]
    assert a.selections[-1][1] == other
    assert b.selections[-1][2] == other
    a.agent.remove_local(other, network.now)
    network.run(1)
    assert a.agent.selected is None
    assert a.agent.local_candidates == ()
