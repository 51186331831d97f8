"""Random scripts: no bytes make an agent raise anything but ours, or select what is not proved."""

import random

from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.ice.check_messages import encode_answer, encode_check, encode_refusal
from protocol.ice.events import PairSelected
from protocol.ice.pairs import PairState
from protocol.stun.attributes import ErrorCode
from protocol.stun.message import StunClass, decode_stun
from tests.protocol.ice.ice_network import HOST, REFLEXIVE, RELAYED, End, Nat, Network, connect

BASES = [Address("5.0.0.1", 4001), Address("5.0.0.2", 4001), Address("100::a", 1)]
REMOTES = [Address("6.0.0.1", 1), Address("6.0.0.1", 2), Address("7.0.0.1", 3), Address("100::b", 1)]
PEER = IceCredentials("peer", "p" * 24)
WRONG = "w" * 24

STEPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2**32)), max_size=40)


class Script:
    """Does to one agent what a number says, as its caller, its peer, or one who is neither."""

    def __init__(self, controlling: bool) -> None:
        self.network = Network()
        self.end = self.network.add("b", controlling=controlling)
        self.answered: set[tuple[Address, Address]] = set()
        self.checked: set[tuple[Address, Address]] = set()
        self.started = False

    def step(self, action: int, seed: int) -> None:
        rng = random.Random(seed)
        base, remote = rng.choice(BASES), rng.choice(REMOTES)
        agent, now = self.end.agent, self.network.now
        if action == 0:
            kind = RELAYED if base == BASES[2] else HOST
            agent.add_local(kind, base, base, now, quiet=rng.random() < 0.2)
        elif action == 1:
            agent.add_remote(rng.choice(list(CandidateKind)), remote, now)
        elif action == 2 and not self.started:
            self.started = True
            agent.start(PEER, now, hold_off_until=now + rng.choice((0, 0.3)))
        elif action == 3:
            agent.end_of_candidates()
        elif action == 4:
            agent.remove_local(base, now)
        elif action == 5:
            agent.probe(remote, base, now)
            agent.open_firewall(remote, base, 2)
        elif action == 6:
            agent.try_again(now)
            agent.check_now(now)
        elif action == 7:
            self.network.run(rng.choice((0.001, 0.02, 0.6, 5, 40)))
        elif action == 8:
            self.check(rng, remote, base, self.end.credentials.password)
        elif action == 9:
            self.check(rng, remote, base, WRONG)
        elif action == 10:
            self.answer(rng, honest=True)
        elif action == 11:
            self.answer(rng, honest=False)
        else:
            self.receive(rng.randbytes(rng.randrange(60)), remote, base)
        self.network.settle()

    def receive(self, data: bytes, source: Address, local: Address) -> bool:
        try:
            self.end.agent.receive(data, source, local, self.network.now)
        except RemoteError:
            return False
        return True

    def check(self, rng: random.Random, remote: Address, base: Address, password: str) -> None:
        data = encode_check(
            rng.randbytes(12),
            username=f"{self.end.credentials.ufrag}:{PEER.ufrag}".encode(),
            priority=rng.randrange(2**31),
            controlling=rng.random() < 0.5,
            tie_breaker=rng.getrandbits(64),
            nominates=rng.random() < 0.5,
            key=password.encode(),
        )
        taken = self.receive(data, remote, base)
        assert not (taken and password == WRONG)

    def answer(self, rng: random.Random, *, honest: bool) -> None:
        """Answer one of the last checks; a liar has no password, or another address."""
        asked = [
            datagram
            for _, datagram in self.end.sent[-20:]
            if decode_stun(datagram.data).kind is StunClass.REQUEST
        ]
        if not asked:
            return
        check = rng.choice(asked)
        transaction = decode_stun(check.data).transaction
        source, password = check.remote, PEER.password
        if not honest and rng.random() < 0.5:
            password = WRONG
        elif not honest:
            source = Address("9.9.9.9", 9)
        if rng.random() < 0.2:
            code = rng.choice((ErrorCode.ROLE_CONFLICT, ErrorCode.UNKNOWN_ATTRIBUTE))
            data = encode_refusal(transaction, code, password.encode())
        else:
            data = encode_answer(transaction, check.base, password.encode())
            if honest:
                self.answered.add((check.base, check.remote))
        taken = self.receive(data, source, check.base)
        assert honest or not taken


@given(st.booleans(), STEPS)
def test_no_script_selects_what_has_not_answered(
    controlling: bool, steps: list[tuple[int, int]]
) -> None:
    script = Script(controlling)
    for action, seed in steps:
        script.step(action, seed)
    end = script.end
    for _, one in end.told(PairSelected):
        assert (one.base, one.remote) in script.answered
    for row in end.agent.report():
        if row.state is PairState.SUCCEEDED:
            assert (row.base, row.remote) in script.answered
    script.network.run(200)
    script.network.settle()


def ends_of(network: Network, rng: random.Random) -> tuple[End, End]:
    def nat(host: str) -> Nat | None:
        return Nat(host, open=rng.random() < 0.5) if rng.random() < 0.7 else None

    caller_leads = rng.random() < 0.8
    a = network.add("a", controlling=caller_leads, nat=nat("7.0.0.1"), seed=rng.randrange(99))
    b = network.add("b", controlling=rng.random() < 0.3, nat=nat("8.0.0.1"), seed=rng.randrange(99))
    return a, b


@given(st.integers(0, 2**32))
def test_two_agents_agree_whatever_the_network_does(seed: int) -> None:
    """Loss and latency by chance for two seconds, roles that may conflict: then one link."""
    rng = random.Random(seed)
    network = Network()
    network.route = lambda _source, _remote: 0.001 + 0.2 * rng.random()
    bad_until = network.now + 2
    network.lost = lambda _end, _datagram: network.now < bad_until and rng.random() < 0.3
    a, b = ends_of(network, rng)
    own = {"a": Address("192.168.1.2", 4001), "b": Address("192.168.2.2", 4001)}
    candidates = {}
    for end in (a, b):
        inside = own[end.name]
        if end.nat is None:
            inside = Address("5.0.0.1" if end is a else "6.0.0.1", 4001)
            candidates[end.name] = [(HOST, inside, inside)]
        else:
            outside = Address(end.nat.host, inside.port)
            candidates[end.name] = [(HOST, inside, inside), (REFLEXIVE, outside, inside)]
    connect(network, a, b, candidates["a"], candidates["b"], skew_s=rng.random() * 0.3)
    network.run(40)
    assert a.agent.controlling != b.agent.controlling
    assert a.agent.selected is not None
    assert b.agent.selected is not None
    assert a.told(PairSelected)[-1][1].nominated
    assert b.told(PairSelected)[-1][1].nominated
