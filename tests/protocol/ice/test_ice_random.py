"""Random scripts: no bytes make an agent raise anything but ours, or select what is not proved."""

import random
from collections.abc import Callable

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
REMOTES = [
    Address("6.0.0.1", 1),
    Address("6.0.0.1", 2),
    Address("7.0.0.1", 3),
    Address("100::b", 1),
]
PEER = IceCredentials("peer", "p" * 24)
WRONG = "w" * 24


class Script:
    """Does to one agent what a number says, as its caller, its peer, or one who is neither."""

    def __init__(self, controlling: bool) -> None:
        self.network = Network()
        self.end = self.network.add("b", controlling=controlling)
        self.answered: set[tuple[Address, Address]] = set()
        self.started = False
        self.password = self.end.credentials.password

    def step(self, action: int, seed: int) -> None:
        rng = random.Random(seed)
        ACTIONS[action](self, rng, rng.choice(BASES), rng.choice(REMOTES))
        self.network.settle()
        agent = self.end.agent
        assert agent.selected is None or agent.wake_at is not None, "consent is asked for"

    def start(self, rng: random.Random) -> None:
        if not self.started:
            self.started = True
            now = self.network.now
            self.end.agent.start(PEER, now, hold_off_until=now + rng.choice((0, 0.3)))

    def add_base(self, rng: random.Random, base: Address) -> None:
        kind = RELAYED if base == BASES[2] else HOST
        quiet = rng.random() < 0.2
        self.end.agent.add_local(kind, base, base, self.network.now, quiet=quiet)

    def add_remote(self, rng: random.Random, remote: Address) -> None:
        kind = rng.choice(list(CandidateKind))
        self.end.agent.add_remote(kind, remote, self.network.now)

    def search(self, base: Address, remote: Address) -> None:
        self.end.agent.probe(remote, base, self.network.now)
        self.end.agent.open_firewall(remote, base, 2, self.network.now)

    def hurry(self) -> None:
        self.end.agent.try_again(self.network.now)
        self.end.agent.check_now(self.network.now)

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


ACTIONS: list[Callable[[Script, random.Random, Address, Address], object]] = [
    lambda script, rng, base, _: script.add_base(rng, base),
    lambda script, rng, _, remote: script.add_remote(rng, remote),
    lambda script, rng, _, __: script.start(rng),
    lambda script, _, __, ___: script.end.agent.end_of_candidates(),
    lambda script, _, base, __: script.end.agent.remove_local(base, script.network.now),
    lambda script, _, base, remote: script.search(base, remote),
    lambda script, _, __, ___: script.hurry(),
    lambda script, rng, _, __: script.network.run(rng.choice((0.001, 0.02, 0.6, 5, 40))),
    lambda script, rng, base, remote: script.check(rng, remote, base, script.password),
    lambda script, rng, base, remote: script.check(rng, remote, base, WRONG),
    lambda script, rng, _, __: script.answer(rng, honest=True),
    lambda script, rng, _, __: script.answer(rng, honest=False),
    lambda script, rng, base, remote: script.receive(
        rng.randbytes(rng.randrange(60)), remote, base
    ),
]

STEPS = st.lists(st.tuples(st.integers(0, len(ACTIONS) - 1), st.integers(0, 2**32)), max_size=40)


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
