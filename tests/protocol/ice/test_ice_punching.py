"""What punching asks of an agent: openers, a hold-off, late candidates, probes, quiet bases."""

from protocol.addresses import Address
from protocol.ice.candidates import IceCredentials
from protocol.ice.check_messages import encode_answer
from protocol.ice.events import PairSelected
from protocol.stun.message import StunClass, StunMethod, decode_stun
from tests.protocol.ice.ice_network import (
    HOST,
    INSIDE_A,
    INSIDE_B,
    OUTSIDE_A,
    OUTSIDE_B,
    REFLEXIVE,
    RELAYED,
    RTT_S,
    B,
    End,
    Nat,
    Network,
    about,
    connect,
)


class PoisonedNat(Nat):
    """A router whose own connection, made by an unasked datagram, takes the mapping's port."""

    def back(self, outside: Address, remote: Address) -> Address | None:
        found = super().back(outside, remote)
        if found is None and not self.mappings:
            self.offset = 33
        return found


def punched(network: Network, *, openers: bool) -> tuple[End, End]:
    """The caller's router is opened late; the callee knows when, if `openers`."""
    a = network.add("a", controlling=True, nat=PoisonedNat(OUTSIDE_A.host))
    b = network.add("b", controlling=False, nat=PoisonedNat(OUTSIDE_B.host))
    connect(
        network,
        a,
        b,
        [(REFLEXIVE, OUTSIDE_A, INSIDE_A)],
        [(REFLEXIVE, OUTSIDE_B, INSIDE_B)],
        skew_s=RTT_S / 2,
        hold_off_s=RTT_S / 2 if openers else 0.0,
    )
    if openers:
        assert b.agent.open_firewall(OUTSIDE_A, INSIDE_B, 2, network.now)
    return a, b


def test_an_opener_first_and_checks_when_the_caller_checks() -> None:
    network = Network(RTT_S / 4)
    begun = network.now
    a, b = punched(network, openers=True)
    network.run(3)
    opener = b.sent[0][1]
    message = decode_stun(opener.data)
    assert (message.kind, message.method) == (StunClass.INDICATION, StunMethod.BINDING)
    assert (opener.ttl, len(opener.data)) == (2, 20)
    assert b.sent[1][0] == about(begun + RTT_S / 2)
    assert a.selections[0][0] <= begun + RTT_S / 2 + RTT_S / 2 + 0.01
    assert a.selections[0][2] == OUTSIDE_B


def test_without_an_opener_the_first_check_spoils_a_poisoned_router() -> None:
    """So the lab's trap is there, and the opener is what avoids it."""
    network = Network(RTT_S / 4)
    a, _ = punched(network, openers=False)
    network.run(0.5)
    assert not [remote for _, _, remote in a.selections if remote == OUTSIDE_B]


def test_a_hold_off_keeps_direct_checks_back_and_no_others() -> None:
    network = Network(RTT_S / 2)
    b = network.add("b", controlling=False)
    via_a, via_b = Address("100::a", 1), Address("100::b", 1)
    begun = network.now
    for own in (INSIDE_B, via_b):
        network.bind(b, own)
        b.agent.add_local(HOST if own is INSIDE_B else RELAYED, own, own, begun)
    b.agent.start(network.add("a", controlling=True).credentials, begun, hold_off_until=begun + 0.2)
    b.agent.add_remote(HOST, OUTSIDE_A, begun)
    b.agent.add_remote(RELAYED, via_a, begun)
    network.run(0.4)
    assert [(at - begun, one.remote) for at, one in b.sent] == [
        (about(0.0), via_a),
        (about(0.2), OUTSIDE_A),
    ]
    b.agent.hold_off(network.now + 1, network.now)
    b.agent.add_remote(HOST, Address("9.9.9.9", 9), network.now)
    network.run(0.9)
    assert not b.sent_to(Address("9.9.9.9", 9))
    network.run(0.2)
    assert len(b.sent_to(Address("9.9.9.9", 9))) == 1


def test_a_check_that_comes_in_ends_the_hold_off_for_its_pair() -> None:
    network = Network(RTT_S / 2)
    a = network.add("a", controlling=True, nat=Nat(OUTSIDE_A.host))
    b = network.add("b", controlling=False)
    begun = network.now
    connect(network, a, b, [(REFLEXIVE, OUTSIDE_A, INSIDE_A)], [(HOST, B, B)], hold_off_s=5.0)
    network.run(1)
    assert a.selections[0][0] == about(begun + RTT_S)
    assert b.selections[0][0] == about(begun + 1.5 * RTT_S)


def test_predicted_ports_are_candidates_that_come_late() -> None:
    network = Network(RTT_S / 2)
    nat = Nat(OUTSIDE_A.host, dependent=True)
    for port in range(3):
        nat.out(INSIDE_A, Address("9.9.9.9", 1 + port))
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False, nat=Nat(OUTSIDE_B.host))
    connect(network, a, b, [(HOST, INSIDE_A, INSIDE_A)], [(REFLEXIVE, OUTSIDE_B, INSIDE_B)])
    network.run(0.3)
    assert not b.selections
    for port in range(4002, 4007):
        b.agent.add_remote(REFLEXIVE, Address(OUTSIDE_A.host, port), network.now)
    network.run(1)
    assert b.selections[0][2] == Address(OUTSIDE_A.host, 4004)
    assert a.selections[0][2] == OUTSIDE_B


def test_a_search_by_probes_meets_one_of_many_quiet_sockets() -> None:
    """Random mappings on one side, 256 sockets of it open towards the prober's one address."""
    network = Network(RTT_S / 2)
    nat = Nat(OUTSIDE_A.host, dependent=True, offset=20_000)
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False, nat=Nat(OUTSIDE_B.host))
    connect(network, a, b, [(HOST, INSIDE_A, INSIDE_A)], [(REFLEXIVE, OUTSIDE_B, INSIDE_B)])
    network.run(0.01)
    sockets = [Address(INSIDE_A.host, 30_000 + 7 * place) for place in range(256)]
    a.agent.vouch(OUTSIDE_B.host, network.now)
    b.agent.vouch(OUTSIDE_A.host, network.now)
    for base in sockets:
        network.bind(a, base)
        a.agent.add_local(HOST, base, base, network.now, quiet=True)
        assert a.agent.open_firewall(OUTSIDE_B, base, 2, network.now)
    a.agent.add_remote(HOST, Address("9.9.9.9", 9), network.now)
    network.run(0.2)
    assert len(a.agent.report()) == 2, "quiet bases make no pairs by themselves"
    for place in range(1024):
        b.agent.probe(Address(OUTSIDE_A.host, 50_000 + 5 * place), INSIDE_B, network.now)
        network.run(0.005)
        if a.told(PairSelected):
            break
    network.run(1)
    assert a.selections[-1][1] in sockets
    assert b.told(PairSelected)[-1][1].nominated
    assert b.selections[-1][2].host == OUTSIDE_A.host


def test_an_answer_to_a_probe_makes_a_pair() -> None:
    network = Network()
    peer = IceCredentials("peer", "p" * 24)
    b = network.add("b", controlling=True)
    b.agent.add_local(HOST, B, B, network.now)
    b.agent.start(peer, network.now)
    assert b.agent.probe(OUTSIDE_A, B, network.now)
    network.settle()
    transaction = decode_stun(b.sent[0][1].data).transaction
    answer = encode_answer(transaction, B, peer.password.encode())
    b.agent.receive(answer, OUTSIDE_A, B, network.now + 0.1)
    network.settle()
    assert b.selections[0][1:] == (B, OUTSIDE_A)
    (row,) = b.agent.report()
    assert row.round_trip_s == about(0.1)


def test_a_probe_is_not_repeated_and_leaves_nothing() -> None:
    network = Network()
    b = network.add("b", controlling=False)
    network.bind(b, INSIDE_B)
    b.agent.add_local(HOST, INSIDE_B, INSIDE_B, network.now)
    assert not b.agent.probe(OUTSIDE_A, INSIDE_B, network.now), "not before the start"
    assert not b.agent.open_firewall(OUTSIDE_A, INSIDE_B, 2, network.now)
    b.agent.start(network.add("a", controlling=True).credentials, network.now)
    assert b.agent.probe(OUTSIDE_A, INSIDE_B, network.now)
    network.run(30)
    assert len(b.sent) == 1
    assert b.agent.report() == ()
    assert b.agent.wake_at is None
