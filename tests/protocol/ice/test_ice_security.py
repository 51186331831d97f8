"""What a peer, or one who names a victim, can make an agent send, keep and believe."""

import random
from collections.abc import Callable

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import (
    Malformed,
    NotAuthentic,
    OverLimit,
    RemoteError,
    Unexpected,
    UnexpectedReply,
)
from protocol.ice.candidates import IceCredentials
from protocol.ice.check_messages import encode_answer, encode_check, encode_refusal
from protocol.ice.events import PairSelected
from protocol.ice.pairs import PairOutcome, PairState
from protocol.ice.unproved import NetworkAllowance, UnprovedBudget
from protocol.identity import PeerId
from protocol.stun.attributes import Attribute, ErrorCode
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    has_integrity,
)
from protocol.turn.virtual import relayed_address
from tests.protocol.ice.ice_network import HOST, REFLEXIVE, A, B, End, Nat, Network, connect

PEER = IceCredentials("peer", "p" * 24)


def callee(network: Network, *, budget_bytes: int = 1200, controlling: bool = False) -> End:
    """An agent that has got an offer, as yet without candidates."""
    end = network.add("b", controlling=controlling)
    network.bind(end, B)
    end.agent.add_local(HOST, B, B, network.now)
    end.agent.start(PEER, network.now, budget_bytes=budget_bytes)
    return end


def peers_check(
    end: End,
    transaction: bytes = b"123456789012",
    *,
    username: str | None = None,
    password: str | None = None,
    controlling: bool = True,
    nominates: bool = False,
) -> bytes:
    return encode_check(
        transaction,
        username=(username or f"{end.credentials.ufrag}:{PEER.ufrag}").encode(),
        priority=1,
        controlling=controlling,
        tie_breaker=1,
        nominates=nominates,
        key=(password or end.credentials.password).encode(),
    )


# An offer that names a victim ---------------------------------------------------------------


def test_one_address_gets_four_checks() -> None:
    network = Network()
    end = callee(network)
    for _ in range(5):
        end.agent.add_remote(HOST, A, network.now)
        network.run(20)
        end.agent.try_again(network.now)
    assert len(end.sent_to(A)) == limits.ICE_CHECKS_UNPROVED
    (row,) = end.agent.report()
    assert row.checks == limits.ICE_CHECKS_UNPROVED


def test_two_bases_do_not_double_the_checks_of_one_address() -> None:
    network = Network()
    end = callee(network)
    second = Address("6.0.0.2", 4001)
    end.agent.add_local(HOST, second, second, network.now)
    end.agent.add_remote(HOST, A, network.now)
    network.run(60)
    assert len(end.sent_to(A)) == limits.ICE_CHECKS_UNPROVED


@pytest.mark.parametrize("budget_bytes", [400, 1000, 1200])
def test_all_addresses_of_an_offer_get_no_more_than_its_datagram_had(budget_bytes: int) -> None:
    network = Network()
    end = callee(network, budget_bytes=budget_bytes)
    for place in range(limits.ICE_ADDRESSES_LEARNED):
        end.agent.add_remote(HOST, Address(f"9.9.{place}.9", 80), network.now)
    end.agent.end_of_candidates()
    for _ in range(5):
        network.run(30)
        end.agent.try_again(network.now)
    sent_bytes = sum(len(datagram.data) for _, datagram in end.sent)
    assert 0.5 * budget_bytes < sent_bytes <= budget_bytes
    outcomes = {row.outcome for row in end.agent.report()}
    assert outcomes == {PairOutcome.NO_ANSWER, PairOutcome.NO_BUDGET}


def test_openers_count_among_the_bytes() -> None:
    network = Network()
    end = callee(network, budget_bytes=100)
    sent = [end.agent.open_firewall(A, B, 2, network.now) for _ in range(10)]
    assert sent == [True] * 3 + [False] * 7
    end.agent.add_remote(HOST, A, network.now)
    network.run(10)
    assert [(len(datagram.data), datagram.ttl) for _, datagram in end.sent] == [(20, 2)] * 3


@pytest.mark.parametrize("nominates", [False, True])
def test_an_authentic_check_is_followed_by_ours_whatever_openers_have_used(nominates: bool) -> None:
    """Openers to the ports of a router that counts use all that unproved addresses may get."""
    network = Network()
    end = callee(network)
    while end.agent.open_firewall(A, B, 2, network.now):
        pass
    end.agent.add_remote(HOST, A, network.now)
    network.run(1)
    assert all(datagram.ttl for _, datagram in end.sent)
    for place in range(3):
        source = Address(A.host, 20_011 + place)
        network.deliver(end, peers_check(end, place.to_bytes(12), nominates=nominates), source, B)
        network.run(0.01)
        answer, check = end.sent_to(source)
        assert decode_stun(answer.data).kind is StunClass.SUCCESS
        assert decode_stun(check.data).kind is StunClass.REQUEST


def test_checks_in_a_victims_name_are_not_amplified() -> None:
    """The author of an offer knows our password, and may forge the source of its checks."""
    network = Network()
    end = callee(network, budget_bytes=1000)
    got_bytes = 0
    for place in range(500):
        check = peers_check(end, place.to_bytes(12))
        got_bytes += len(check)
        network.deliver(end, check, A, B)
        network.run(0.2)
    network.run(30)
    assert not end.refused
    sent_bytes = sum(len(datagram.data) for datagram in end.sent_to(A))
    assert sent_bytes <= got_bytes + 1000


def test_a_proved_address_has_no_budget() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)], budget_bytes=200)
    network.run(600)
    assert b.agent.selected is not None
    assert len(b.sent_to(A)) > 100


def test_a_network_gets_so_many_checks_a_minute_from_all_agents() -> None:
    allowance = NetworkAllowance()
    taken = [
        allowance.take(Address(f"9.9.9.{place % 250}", 80), 0.0001 * place) for place in range(400)
    ]
    assert sum(taken) == limits.ICE_CHECKS_PER_NETWORK
    assert allowance.take(Address("9.9.8.1", 80), 0.5)
    assert not allowance.take(Address("9.9.9.1", 80), 0.1)
    assert allowance.take(Address("9.9.9.1", 80), 60.0)
    assert all(allowance.take(Address("127.0.0.1", 80), 1.0) for _ in range(1000))
    six = [allowance.take(Address(f"2001:db8:7:{n:x}::1", 80), 1.0) for n in range(400)]
    assert sum(six) == limits.ICE_CHECKS_PER_NETWORK


def test_networks_remembered_are_bounded() -> None:
    allowance = NetworkAllowance()
    for _ in range(limits.ICE_CHECKS_PER_NETWORK):
        assert allowance.take(Address("9.9.9.9", 1), 0.0)
    for place in range(limits.ICE_NETWORKS):
        allowance.take(Address(f"10.{place // 250}.{place % 250}.1", 1), 0.0)
    assert allowance.take(Address("9.9.9.9", 1), 0.0), "the oldest is forgotten"


def test_a_check_that_its_network_may_not_get_now_is_sent_later() -> None:
    network = Network()
    allowance = NetworkAllowance()
    budget = UnprovedBudget(10_000, allowance)
    while allowance.take(A, 0.0):
        pass
    assert budget.may_check(A, 100)
    assert not budget.take(A, 100, 0.0)
    assert budget.take(A, 100, 0.3)
    end = network.add("a", controlling=True)
    end.agent.add_local(HOST, A, A, network.now)
    end.agent.start(PEER, network.now, budget_bytes=100_000)
    for place in range(1, 31):
        end.agent.add_remote(HOST, Address(f"9.9.9.{place}", 1), network.now)
    for _ in range(30):
        network.run(12)
        end.agent.try_again(network.now)
    sent = [at for at, datagram in end.sent if datagram.remote.host.startswith("9.9.9.")]
    assert len(sent) == 30 * limits.ICE_CHECKS_UNPROVED


def test_a_host_that_others_vouched_for_has_no_budget() -> None:
    network = Network()
    end = callee(network, budget_bytes=0)
    assert not end.agent.probe(A, B, network.now)
    end.agent.vouch(A.host, network.now)
    assert end.agent.probe(A, B, network.now)
    assert end.agent.probe(Address(A.host, 9), B, network.now)
    assert not end.agent.probe(Address("9.9.9.9", 9), B, network.now)


# What is not authentic ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        lambda end: peers_check(end, password="wrong" * 5),
        lambda end: peers_check(end, username="other:peer"),
        lambda end: peers_check(end, username=f"{end.credentials.ufrag}:other"),
        lambda end: peers_check(end, username=f"{end.credentials.ufrag}"),
        lambda end: peers_check(end)[:-8],  # its length is wrong
        lambda _end: encode_stun(
            StunMessage(StunClass.REQUEST, StunMethod.BINDING, b"123456789012")
        ),
        lambda _end: b"",
        lambda _end: b"anything at all",
    ],
)
def test_a_request_that_is_not_authentic_is_never_answered(forged: Callable[[End], bytes]) -> None:
    network = Network()
    end = callee(network)
    with pytest.raises(RemoteError):
        end.agent.receive(forged(end), A, B, network.now)
    network.run(1)
    assert end.sent == []
    assert end.events == []
    assert end.agent.report() == ()


@pytest.mark.parametrize("controlling", [True, False])
def test_the_larger_tie_breaker_controls(controlling: bool) -> None:
    """RFC 8445, 7.3.1.1, whatever the role that both claim; the peer's is 1."""
    network = Network()
    end = callee(network, controlling=controlling)
    network.deliver(end, peers_check(end, controlling=controlling), A, B)
    network.run(0.01)
    assert end.agent.controlling
    answer = decode_stun(end.sent[0][1].data)
    refused = (ErrorCode.ROLE_CONFLICT, "Role Conflict")
    assert answer.error() == (refused if controlling else None)


def test_a_check_says_its_priority_and_one_role() -> None:
    network = Network()
    end = callee(network)
    username = (Attribute.USERNAME, f"{end.credentials.ufrag}:{PEER.ufrag}".encode())
    priority = (Attribute.PRIORITY, bytes(4))
    roles = [(Attribute.ICE_CONTROLLED, bytes(8)), (Attribute.ICE_CONTROLLING, bytes(8))]
    for attributes in ([username, roles[1]], [username, priority], [username, priority, *roles]):
        message = StunMessage(
            StunClass.REQUEST, StunMethod.BINDING, b"123456789012", tuple(attributes)
        )
        data = encode_stun(message, key=end.credentials.password.encode())
        with pytest.raises(Malformed):
            end.agent.receive(data, A, B, network.now)
    network.run(1)
    assert end.sent == []


def test_attributes_that_must_be_understood_are_named() -> None:
    network = Network()
    end = callee(network)
    key = end.credentials.password.encode()
    message = decode_stun(peers_check(end))
    asked = StunMessage(
        message.kind, message.method, message.transaction, (*message.attributes, (0x0003, b""))
    )
    end.agent.receive(encode_stun(asked, key=key), A, B, network.now)
    network.run(0.01)
    answer = decode_stun(end.sent[0][1].data)
    assert has_integrity(end.sent[0][1].data, answer, key)
    assert answer.error() == (ErrorCode.UNKNOWN_ATTRIBUTE, "Unknown Attribute")
    assert answer.get(Attribute.UNKNOWN_ATTRIBUTES) == b"\0\3"
    assert end.agent.report() == ()


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("unknown", [0, 1, 9])
def test_an_answer_is_never_longer_than_its_check(controlling: bool, unknown: int) -> None:
    """Neither over IPv6, nor to a user name as short as may be, nor without FINGERPRINT."""
    network = Network()
    end = network.add("", controlling=True)
    six = Address("2001:db8::6", 1)
    end.agent.add_local(HOST, six, six, 0.0)
    check = decode_stun(peers_check(end, username="ufrag:", controlling=controlling))
    strange = ((0x0003, b""),) * unknown
    asked = StunMessage(check.kind, check.method, check.transaction, check.attributes + strange)
    for attributes in (asked.attributes, (asked.attributes[0], *strange)):
        message = StunMessage(check.kind, check.method, check.transaction, attributes)
        data = encode_stun(message, key=b"", fingerprint=False)
        network.deliver(end, data, Address("2001:db8::7", 1), six)
        network.settle()
        assert all(len(answer.data) <= len(data) for _, answer in end.sent)
        assert end.sent or isinstance(end.refused[-1], OverLimit | Malformed)
        end.sent.clear()


def test_other_methods_and_bases_are_refused() -> None:
    network = Network()
    end = callee(network)
    allocate = StunMessage(StunClass.REQUEST, StunMethod.ALLOCATE, b"123456789012")
    with pytest.raises(Unexpected):
        end.agent.receive(encode_stun(allocate), A, B, network.now)
    with pytest.raises(Unexpected):
        end.agent.receive(peers_check(end), A, Address("6.0.0.77", 1), network.now)
    indication = StunMessage(StunClass.INDICATION, StunMethod.BINDING, b"123456789012")
    end.agent.receive(encode_stun(indication), A, B, network.now)
    network.run(1)
    assert end.sent == []


# Answers ------------------------------------------------------------------------------------


def checking(network: Network) -> tuple[End, bytes]:
    """An agent with one check under way to A, and its transaction id."""
    end = callee(network, controlling=True)
    end.agent.add_remote(HOST, A, network.now)
    network.run(0.01)
    return end, decode_stun(end.sent[0][1].data).transaction


def test_another_host_with_the_peers_private_address_is_never_nominated() -> None:
    """The same 192.168.1.0/24 on both sides: another machine there answers our check."""
    network = Network(0.05)
    nat = Nat("7.0.0.1")
    a = network.add("a", controlling=True, nat=nat)
    b = network.add("b", controlling=False, nat=Nat("8.0.0.1"))
    lookalike = network.add("s", controlling=False, nat=nat)
    own, theirs = Address("192.168.1.2", 4001), Address("192.168.1.3", 4001)
    network.bind(lookalike, theirs)
    lookalike.agent.add_local(HOST, theirs, theirs, network.now)
    lookalike.agent.start(a.credentials, network.now)
    connect(
        network,
        a,
        b,
        [(HOST, own, own), (REFLEXIVE, Address("7.0.0.1", 4001), own)],
        [(HOST, theirs, theirs), (REFLEXIVE, Address("8.0.0.1", 4001), theirs)],
    )
    network.run(5)
    assert lookalike.refused, "our check did reach the lookalike"
    assert {remote for _, _, remote in a.selections} == {Address("8.0.0.1", 4001)}


def test_an_answer_without_the_peers_password_is_not_believed() -> None:
    network = Network()
    end, transaction = checking(network)
    for key in (b"wrong" * 5, end.credentials.password.encode()):
        with pytest.raises(NotAuthentic):
            end.agent.receive(encode_answer(transaction, B, key), A, B, network.now)
        refusal = encode_refusal(transaction, ErrorCode.ROLE_CONFLICT, key)
        with pytest.raises(NotAuthentic):
            end.agent.receive(refusal, A, B, network.now)
    bare = StunMessage(StunClass.SUCCESS, StunMethod.BINDING, transaction)
    with pytest.raises(NotAuthentic):
        end.agent.receive(encode_stun(bare), A, B, network.now)
    network.run(1)
    assert end.agent.controlling
    assert not end.told(PairSelected)


def test_an_answer_from_another_address_is_ignored() -> None:
    network = Network()
    end, transaction = checking(network)
    answer = encode_answer(transaction, B, PEER.password.encode())
    other_base = Address("6.0.0.9", 4001)
    end.agent.add_local(HOST, other_base, other_base, network.now)
    for source, local in (
        (Address(A.host, 9), B),
        (Address("9.9.9.9", A.port), B),
        (A, other_base),
    ):
        with pytest.raises(UnexpectedReply):
            end.agent.receive(answer, source, local, network.now)
    (row, _) = end.agent.report()
    assert (row.state, row.outcome) == (PairState.IN_PROGRESS, PairOutcome.OTHER_ADDRESS)
    end.agent.receive(answer, A, B, network.now)
    network.settle()
    assert end.selections[0][2] == A


def test_an_answer_counts_once() -> None:
    network = Network()
    end, transaction = checking(network)
    answer = encode_answer(transaction, B, PEER.password.encode())
    end.agent.receive(answer, A, B, network.now)
    with pytest.raises(UnexpectedReply):
        end.agent.receive(answer, A, B, network.now)
    with pytest.raises(UnexpectedReply):
        end.agent.receive(encode_answer(b"x" * 12, B, b"key"), A, B, network.now)


def test_an_answer_says_where_our_check_came_from() -> None:
    network = Network()
    end, transaction = checking(network)
    bare = StunMessage(StunClass.SUCCESS, StunMethod.BINDING, transaction)
    with pytest.raises(Malformed):
        end.agent.receive(encode_stun(bare, key=PEER.password.encode()), A, B, network.now)
    failure = StunMessage(StunClass.ERROR, StunMethod.BINDING, transaction)
    with pytest.raises(Malformed):
        end.agent.receive(encode_stun(failure, key=PEER.password.encode()), A, B, network.now)


def test_a_refusal_ends_the_pair_and_is_told() -> None:
    network = Network()
    end, transaction = checking(network)
    refusal = StunMessage(
        StunClass.ERROR,
        StunMethod.BINDING,
        transaction,
        ((Attribute.ERROR_CODE, b"\0\0\4\0Bad Request"),),
    )
    end.agent.receive(encode_stun(refusal, key=PEER.password.encode()), A, B, network.now)
    (row,) = end.agent.report()
    assert (row.state, row.outcome, row.error_code) == (PairState.FAILED, PairOutcome.REFUSED, 400)
    network.run(10)
    assert len(end.sent) == 1


# What a peer can make us keep ---------------------------------------------------------------


def test_addresses_pairs_and_checks_are_bounded() -> None:
    network = Network()
    end = callee(network, budget_bytes=10**6)
    bases = [B]
    for place in range(40):
        base = Address(f"6.0.1.{place}", 4001)
        bases.append(base)
        end.agent.add_local(HOST, base, base, network.now)
    rng = random.Random(1)
    for place in range(2000):
        source = Address(f"9.{place % 200}.{place // 200}.1", 1 + place)
        network.deliver(end, peers_check(end, place.to_bytes(12)), source, rng.choice(bases))
        network.run(0.001)
    rows = end.agent.report()
    assert len({row.remote for row in rows}) <= limits.ICE_ADDRESSES_LEARNED
    assert len(rows) <= limits.ICE_PAIRS + limits.ICE_PAIRS_LEARNED
    for place in range(100):
        end.agent.add_remote(HOST, Address("9.0.0.9", 1 + place), network.now)
    assert len({row.remote for row in end.agent.report()}) <= limits.ICE_ADDRESSES_LEARNED


def test_bases_are_bounded() -> None:
    network = Network()
    end = network.add("a", controlling=True)
    for place in range(2 * limits.ICE_BASES):
        base = Address("6.0.0.1", 1 + place)
        end.agent.add_local(HOST, base, base, 0.0, quiet=True)
    assert len(end.agent.local_candidates) == limits.ICE_BASES


def test_early_checks_are_bounded() -> None:
    network = Network()
    end = network.add("b", controlling=False)
    end.agent.add_local(HOST, B, B, 0.0)
    for place in range(limits.ICE_CHECKS_EARLY):
        check = peers_check(end, place.to_bytes(12))
        end.agent.receive(check, Address("9.9.9.9", 1 + place), B, 0.0)
    with pytest.raises(OverLimit):
        end.agent.receive(peers_check(end), A, B, 0.0)
    network.settle()
    assert len(end.sent) == limits.ICE_CHECKS_EARLY, "what is not kept is not answered"
    end.agent.start(PEER, 0.0)
    assert len(end.agent.report()) == limits.ICE_ADDRESSES_LEARNED


def test_a_check_that_there_is_no_pair_for_is_not_answered() -> None:
    """A peer may nominate each pair whose check was answered, and send by no other."""
    network = Network()
    end = callee(network)
    for place in range(limits.ICE_ADDRESSES_LEARNED):
        end.agent.add_remote(HOST, Address("9.9.9.9", 1 + place), network.now)
    end.agent.receive(peers_check(end, nominates=True), Address("9.9.9.9", 1), B, network.now)
    network.settle()
    end.sent.clear()
    with pytest.raises(OverLimit):
        end.agent.receive(peers_check(end, nominates=True), A, B, network.now)
    relay = relayed_address(PeerId(bytes(20)), PeerId(bytes([1] * 20)))
    six = Address("2001:db8::6", 1)
    end.agent.add_local(HOST, six, six, network.now)
    with pytest.raises(OverLimit):
        end.agent.receive(peers_check(end, nominates=True), relay, six, network.now)
    network.settle()
    assert not end.sent_to(A)
    assert not end.sent_to(relay)


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (Address("127.0.0.1", 4001), Address("192.0.2.2", 5000)),
        (Address("192.0.2.2", 5000), Address("127.0.0.1", 4001)),
    ],
)
def test_a_peer_on_this_machine_may_mix_loopback_with_other_addresses(
    own: Address, theirs: Address
) -> None:
    """Libwebrtc sends from its network interface to loopback, and nominates what works first."""
    network = Network()
    peer = network.add("a", controlling=True)
    end = network.add("b", controlling=False)
    for each, address in ((peer, theirs), (end, own)):
        network.bind(each, address)
        each.agent.add_local(HOST, address, address, network.now)
    peer.agent.start(end.credentials, network.now)
    end.agent.start(peer.credentials, network.now)
    end.agent.add_remote(HOST, theirs, network.now)
    assert end.agent.report() == (), "we begin nothing there"
    check = encode_check(
        b"a..." + bytes(8),
        username=f"{end.credentials.ufrag}:{peer.credentials.ufrag}".encode(),
        priority=1,
        controlling=True,
        tie_breaker=1,
        nominates=True,
        key=end.credentials.password.encode(),
    )
    network.deliver(end, check, theirs, own)
    network.run(1)
    assert [(base, remote) for _, base, remote in end.selections] == [(own, theirs)]


def test_checks_under_way_are_bounded() -> None:
    network = Network()
    end = callee(network)
    end.agent.vouch("9.9.9.9", network.now)
    sent = [
        end.agent.probe(Address("9.9.9.9", 1 + place), B, network.now)
        for place in range(limits.ICE_CHECKS_OUTSTANDING + 100)
    ]
    assert sum(sent) == limits.ICE_CHECKS_OUTSTANDING
    network.run(10)
    assert end.agent.probe(Address("9.9.9.9", 1), B, network.now)


def test_openers_are_bounded() -> None:
    network = Network()
    end = callee(network)
    end.agent.vouch(A.host, network.now)
    sent = [end.agent.open_firewall(A, B, 2, network.now) for _ in range(limits.ICE_OPENERS + 10)]
    assert sum(sent) == limits.ICE_OPENERS
    assert not end.agent.open_firewall(A, Address("1.2.3.4", 5), 2, network.now)
    assert not end.agent.open_firewall(Address("2001:db8::1", 5), B, 2, network.now)


def test_a_peer_cannot_make_us_check_our_own_loopback() -> None:
    network = Network()
    end = callee(network)
    end.agent.add_remote(HOST, Address("127.0.0.1", 22), network.now)
    network.run(1)
    assert end.sent == []
    home = network.add("h", controlling=True)
    loopback = Address("127.0.0.1", 4001)
    home.agent.add_local(HOST, loopback, loopback, 0.0)
    home.agent.add_remote(HOST, Address("127.0.0.1", 4002), 0.0)
    home.agent.add_remote(HOST, A, 0.0)
    assert [row.remote for row in home.agent.report()] == [Address("127.0.0.1", 4002)]
