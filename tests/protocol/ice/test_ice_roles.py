"""Both sides claim one role: the tie-breaker settles it (RFC 8445, 7.2.5.1 and 7.3.1.1)."""

import pytest

from protocol.addresses import Address
from protocol.ice.check_messages import encode_refusal
from protocol.ice.events import PairSelected
from protocol.stun.attributes import ErrorCode
from protocol.stun.message import StunClass, decode_stun
from tests.protocol.ice.ice_network import HOST, A, B, Network, connect


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("skew_s", [0.0, 0.2])
def test_a_conflict_ends_with_one_controlling_side(
    seed: int, controlling: bool, skew_s: float
) -> None:
    network = Network(0.05)
    a = network.add("a", controlling=controlling, seed=seed)
    b = network.add("b", controlling=controlling, seed=seed)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)], skew_s=skew_s)
    network.run(2)
    assert {a.agent.controlling, b.agent.controlling} == {True, False}
    for end in (a, b):
        assert end.told(PairSelected)[-1][1].nominated
    assert a.selections[0][0] <= 1000 + skew_s + 0.2 + 0.01


def test_two_late_refusals_switch_the_role_once() -> None:
    """Aioice switches twice, and ends in the role that it had."""
    network = Network()
    a = network.add("a", controlling=True)
    b = network.add("b", controlling=False)
    network.bind(a, A)
    a.agent.add_local(HOST, A, A, network.now)
    a.agent.start(b.credentials, network.now)
    others = [B, Address("6.0.0.2", 4001)]
    for remote in others:
        a.agent.add_remote(HOST, remote, network.now)
    network.run(0.1)
    assert [datagram.remote for _, datagram in a.sent] == others
    for _, datagram in list(a.sent):
        refusal = encode_refusal(
            decode_stun(datagram.data).transaction,
            ErrorCode.ROLE_CONFLICT,
            b.credentials.password.encode(),
        )
        a.agent.receive(refusal, datagram.remote, A, network.now)
        assert not a.agent.controlling
    network.run(0.1)
    again = [decode_stun(datagram.data) for _, datagram in a.sent[2:]]
    assert len(again) == 2
    assert all(message.get(0x8029) is not None for message in again), "ICE-CONTROLLED"


def test_a_conflict_is_refused_by_the_side_that_keeps_its_role() -> None:
    network = Network(0.05)
    a = network.add("a", controlling=True, seed=1)
    b = network.add("b", controlling=True, seed=1)
    connect(network, a, b, [(HOST, A, A)], [(HOST, B, B)], skew_s=0.2)
    network.run(0.15)
    answer = decode_stun(a.sent[0][1].data)
    keeps = a.agent.controlling
    assert answer.kind is (StunClass.ERROR if keeps else StunClass.SUCCESS)
    assert answer.error() == ((ErrorCode.ROLE_CONFLICT, "Role Conflict") if keeps else None)
    assert b.agent.controlling != keeps
