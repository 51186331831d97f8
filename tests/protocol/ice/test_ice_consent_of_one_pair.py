"""Consent is of one address (RFC 7675): nothing that comes from elsewhere keeps or renews it."""

import itertools

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.ice.check_messages import encode_check
from protocol.ice.events import ConsentLost, PairSelected
from tests.protocol.ice.ice_network import HOST, RELAYED, VIA_A, VIA_B, End, Network, connect

LEFT = Address("5.0.0.1", 4001)
KEPT = Address("5.0.0.2", 4001)
VICTIM = Address("6.0.0.1", 4001)
ELSEWHERE = Address("7.0.0.1", 9)

_transactions = itertools.count()
_LATER = 1000
"""Above the numbers of the nominations that the hostile peer has sent before."""


def linked(network: Network, *, controlling: bool, peers: tuple[Address, ...]) -> tuple[End, End]:
    """A hostile peer at these addresses, and its victim, with a pair that works for each."""
    peer = network.add("a", controlling=not controlling)
    victim = network.add("b", controlling=controlling)
    theirs, ours = [(HOST, one, one) for one in peers], [(HOST, VICTIM, VICTIM)]
    if controlling:
        connect(network, victim, peer, ours, theirs)
    else:
        connect(network, peer, victim, theirs, ours)
    network.run(5)
    return peer, victim


def check(
    network: Network,
    victim: End,
    source: Address,
    *,
    controlling: bool,
    nominates: bool = False,
    tie_breaker: int = 0,
) -> int:
    """An authentic check arrives from an address, which may be forged; returns its size."""
    number = next(_transactions)
    datagram = encode_check(
        number.to_bytes(12, "big"),
        username=b"bufrag:aufrag",
        priority=1,
        controlling=controlling,
        tie_breaker=tie_breaker,
        nominates=nominates,
        key=victim.credentials.password.encode(),
        nomination=_LATER + number,
    )
    network.deliver(victim, datagram, source, VICTIM)
    network.settle()
    return len(datagram)


@pytest.mark.parametrize("controlling", [True, False])
def test_role_conflicts_from_elsewhere_keep_no_consent(controlling: bool) -> None:
    network = Network(0.05)
    _, victim = linked(network, controlling=controlling, peers=(LEFT,))
    network.lost = lambda _end, _datagram: True
    left_at = network.now
    roles = []
    while not victim.told(ConsentLost) and network.now < left_at + 120:
        mine = victim.agent.controlling
        wins = 2**64 - 1 if mine else 0
        check(network, victim, ELSEWHERE, controlling=mine, tie_breaker=wins)
        roles.append(victim.agent.controlling)
        network.run(3)
    ((lost_at, _),) = victim.told(ConsentLost)
    assert lost_at - left_at <= limits.ICE_CONSENT_S
    assert victim.agent.selected is None


@pytest.mark.parametrize("controlling", [True, False])
def test_roles_change_a_few_times_only(controlling: bool) -> None:
    network = Network(0.05)
    _, victim = linked(network, controlling=controlling, peers=(LEFT,))
    roles = [controlling]
    for _ in range(20):
        mine = victim.agent.controlling
        wins = 2**64 - 1 if mine else 0
        check(network, victim, LEFT, controlling=mine, tie_breaker=wins)
        roles.append(victim.agent.controlling)
    changes = sum(one is not other for one, other in itertools.pairwise(roles))
    assert changes == limits.ICE_ROLE_SWITCHES


def test_nominations_by_turns_renew_no_consent() -> None:
    """The peer still holds one of two addresses, and nominates both again and again."""
    network = Network(0.05)
    _, victim = linked(network, controlling=False, peers=(KEPT, LEFT))
    check(network, victim, LEFT, controlling=True, nominates=True)
    network.run(1)
    network.lost = lambda _end, datagram: LEFT in (datagram.base, datagram.remote)
    left_at = network.now
    used_at = left_at
    for remote in itertools.cycle((KEPT, LEFT)):
        check(network, victim, remote, controlling=True, nominates=True)
        selected = victim.agent.selected
        assert selected is not None
        if selected.remote.address == LEFT:
            used_at = network.now
        network.run(1)
        if network.now > left_at + 120:
            break
    assert left_at < used_at <= left_at + limits.ICE_CONSENT_S
    assert not victim.told(ConsentLost), "the address that the peer holds answers"


def test_an_address_that_was_left_is_an_unproved_one_again() -> None:
    """Forged checks from it make the node send it no more than they have themselves."""
    network = Network(0.05)
    _, victim = linked(network, controlling=False, peers=(KEPT, LEFT))
    check(network, victim, KEPT, controlling=True, nominates=True)
    network.lost = lambda _end, datagram: LEFT in (datagram.base, datagram.remote)
    network.run(limits.ICE_CONSENT_S + 5)
    before, heard_bytes = len(victim.sent_to(LEFT)), 0
    for _ in range(300):
        heard_bytes += check(network, victim, LEFT, controlling=True, nominates=True)
        network.run(1)
    sent_bytes = sum(len(datagram.data) for datagram in victim.sent_to(LEFT)[before:])
    assert heard_bytes < sent_bytes <= heard_bytes + limits.ICE_UNPROVED_BYTES
    assert victim.agent.selected is not None
    assert victim.agent.selected.remote.address == KEPT


def test_a_pair_that_is_gone_leaves_only_one_that_answers_now() -> None:
    """The relay of the pair in use is given up, and the direct one was silent for a minute."""
    network = Network(0.05)
    peer = network.add("a", controlling=True)
    victim = network.add("b", controlling=False)
    connect(
        network,
        peer,
        victim,
        [(HOST, LEFT, LEFT), (RELAYED, VIA_A, VIA_A)],
        [(HOST, VICTIM, VICTIM), (RELAYED, VIA_B, VIA_B)],
    )
    network.run(5)
    network.lost = lambda _end, datagram: datagram.base in {LEFT, VICTIM}
    network.run(60)
    assert victim.selections[-1][1:] == (VIA_B, VIA_A)
    gone_at = network.now
    told = len(victim.told(PairSelected))
    victim.agent.remove_local(VIA_B, network.now)
    network.run(60)
    assert victim.told(PairSelected)[told:] == []
    ((lost_at, _),) = victim.told(ConsentLost)
    assert lost_at - gone_at <= limits.ICE_CONSENT_S
