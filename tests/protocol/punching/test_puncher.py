"""Plans carried out by real agents, between boxes that behave as the kinds of routers do."""

import random
from dataclasses import dataclass, field

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.description import IceCandidate
from protocol.ice.candidates import CandidateKind, IceCredentials
from protocol.punching.pairs import PunchKind, Way
from protocol.punching.plan import (
    BirthdayPart,
    PunchPlan,
    Side,
    plan_of_callee,
    plan_of_caller,
)
from protocol.punching.puncher import Puncher
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind
from tests.protocol.ice.ice_network import End, Nat, Network

LATENCY_S = 0.05
SIGNALING_S = 0.08
BOTH = frozenset({4})


@dataclass
class RandomNat(Nat):
    """Each destination has a port drawn anew."""

    rng: random.Random = field(default_factory=lambda: random.Random(3))

    def out(self, source: Address, remote: Address) -> Address:
        key = (source, remote)
        if key not in self.mappings:
            self.mappings[key] = Address(self.host, self.rng.randrange(1024, 65536))
        self.allowed.add((self.mappings[key], remote))
        return self.mappings[key]


@dataclass
class CountingNat(Nat):
    """Each destination has the next port; `foreign` are taken by others after the sample."""

    next_port: int = 30_001

    def out(self, source: Address, remote: Address) -> Address:
        key = (source, remote)
        if key not in self.mappings:
            self.mappings[key] = Address(self.host, self.next_port)
            self.next_port += 1
        self.allowed.add((self.mappings[key], remote))
        return self.mappings[key]


@dataclass
class LinuxNat(Nat):
    """Linux without an input drop: what comes unasked makes an entry that takes the port."""

    entries: set[tuple[Address, Address]] = field(default_factory=set)

    def back(self, outside: Address, remote: Address) -> Address | None:
        inside = super().back(outside, remote)
        if inside is None:
            self.entries.add((outside, remote))
        return inside

    def out(self, source: Address, remote: Address) -> Address:
        key = (source, remote)
        if key not in self.mappings:
            outside = Address(self.host, source.port)
            taken = (outside, remote) in self.entries
            self.mappings[key] = Address(self.host, 1024 + source.port) if taken else outside
        self.allowed.add((self.mappings[key], remote))
        return self.mappings[key]


KINDS = {
    PunchKind.OPEN: NatKind(MappingKind.ENDPOINT_INDEPENDENT, FilteringKind.ENDPOINT_INDEPENDENT),
    PunchKind.PREDICTABLE: NatKind(MappingKind.ENDPOINT_INDEPENDENT, FilteringKind.DEPENDENT),
    PunchKind.SEQUENTIAL: NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, port_step=1),
    PunchKind.RANDOM: NatKind(MappingKind.ENDPOINT_DEPENDENT, FilteringKind.DEPENDENT),
}


def box(kind: PunchKind, host: str, seed: int = 3) -> Nat:
    if kind is PunchKind.RANDOM:
        return RandomNat(host, dependent=True, rng=random.Random(seed))
    if kind is PunchKind.SEQUENTIAL:
        return CountingNat(host, dependent=True)
    return Nat(host, open=kind is PunchKind.OPEN)


class Player:
    """One side: an agent behind a box, and its puncher once the call is answered."""

    def __init__(self, network: Network, name: str, kind: PunchKind, nat: Nat, seed: int) -> None:
        self.network = network
        self.kind = kind
        self.nat = nat
        self.end: End = network.add(name, controlling=name == "a", nat=nat, seed=seed)
        self.base = Address(f"10.0.{ord(name)}.2", 4001)
        self.rng = random.Random(f"{name}{seed}")
        network.bind(self.end, self.base)
        self.end.agent.add_local(CandidateKind.HOST, self.base, self.base, network.now)
        # What a contact saw: for an endpoint-dependent box this mapping is of no use to others.
        self.outside = nat.out(self.base, Address("9.9.9.9", 9))
        self.puncher: Puncher | None = None
        self.searched = False

    def side(self, age_ms: int = 0, rate_per_min: int = 0) -> Side:
        return Side(NatReport(KINDS[self.kind], self.outside.port, age_ms, rate_per_min))

    def start(self, peer: "Player", plan: PunchPlan, *, witnessed: bool) -> None:
        network, agent = self.network, self.end.agent
        now = network.now
        agent.start(
            IceCredentials(*peer.end.credentials), now, hold_off_until=now + plan.checks_after_s
        )
        self.puncher = puncher = Puncher(
            agent,
            plan,
            bases=[self.base],
            remotes=[IceCandidate(CandidateKind.SERVER_REFLEXIVE, peer.outside)],
            sample_port=peer.outside.port,
            rng=self.rng,
        )
        puncher.begin(now)
        agent.add_remote(CandidateKind.SERVER_REFLEXIVE, peer.outside, now)
        agent.end_of_candidates()
        if witnessed and puncher.asks_witnesses:
            network.at(0.1, lambda: self._seen(peer))
        self._tick()

    def _seen(self, peer: "Player") -> None:
        assert self.puncher is not None
        now = self.network.now
        self.puncher.seen(frozenset({peer.nat.host}), now)
        if self.puncher.search is BirthdayPart.PROBES:
            self.puncher.probe_many(now)
        elif self.puncher.search is BirthdayPart.SOCKETS:
            bases = [Address(self.base.host, 10_000 + n) for n in range(limits.BIRTHDAY_SOCKETS)]
            for base in bases:
                self.network.bind(self.end, base)
            self.puncher.sockets_open(bases, now)

    def _tick(self) -> None:
        assert self.puncher is not None
        if not self.end.selections:
            self.puncher.wake(self.network.now)
            self.network.at(0.001, self._tick)


def play(
    caller_box: tuple[PunchKind, Nat],
    callee_box: tuple[PunchKind, Nat],
    *,
    seed: int = 1,
    witnessed: bool = True,
    openers: bool = True,
    waits: bool = True,
) -> tuple[Network, Player, Player]:
    """The answer leaves at the beginning; what became of the attempt after 10 s."""
    network = Network(LATENCY_S)
    caller = Player(network, "a", *caller_box, seed)
    callee = Player(network, "b", *callee_box, seed)
    for_callee = plan_of_callee(
        callee.side(),
        caller.side(),
        opener_families=BOTH if openers else frozenset(),
        answer_takes_s=SIGNALING_S if waits else 0.0,
    )
    for_caller = plan_of_caller(caller.side(), callee.side())
    assert for_caller.way is for_callee.way
    callee.start(caller, for_callee, witnessed=witnessed)
    network.at(SIGNALING_S, lambda: caller.start(callee, for_caller, witnessed=witnessed))
    network.run(10.0)
    return network, caller, callee


def took_s(player: Player) -> float:
    """From the leaving of the answer to the first selected pair."""
    return player.end.selections[0][0] - 1000.0


def linked(one: Player, other: Player) -> bool:
    return bool(one.end.selections and other.end.selections)


def boxes(one: PunchKind, other: PunchKind, seed: int = 3) -> tuple[tuple[PunchKind, Nat], ...]:
    return (one, box(one, "1.0.0.1", seed)), (other, box(other, "2.0.0.1", seed + 1))


@pytest.mark.parametrize("caller", PunchKind)
@pytest.mark.parametrize("callee", PunchKind)
def test_each_pair_of_kinds_links_as_the_table_says(caller: PunchKind, callee: PunchKind) -> None:
    _, one, other = play(*boxes(caller, callee))
    way = plan_of_caller(one.side(), other.side()).way
    assert linked(one, other) is (way is not Way.RELAY)
    if way in (Way.OPEN, Way.PUNCH, Way.PREDICTION):
        # The caller's first check finds the callee's router open: skew and one round trip.
        assert took_s(one) <= SIGNALING_S + 2 * LATENCY_S + 0.02


def test_a_search_finds_a_pair_in_its_time_and_with_so_many_probes() -> None:
    for caller, callee in (
        (PunchKind.RANDOM, PunchKind.PREDICTABLE),
        (PunchKind.PREDICTABLE, PunchKind.RANDOM),
    ):
        hits, times = 0, []
        for seed in range(12):
            _, one, other = play(*boxes(caller, callee, 10 * seed), seed=seed)
            hits += linked(one, other)
            if linked(one, other):
                times.append(took_s(one))
        assert hits >= 11
        assert sorted(times)[len(times) // 2] <= 1.5
        assert max(times) <= 6.0


def test_without_witnesses_no_search_is_made() -> None:
    network, one, other = play(*boxes(PunchKind.PREDICTABLE, PunchKind.RANDOM), witnessed=False)
    assert not linked(one, other)
    for player, peer in ((one, other), (other, one)):
        to_peer = [sent for _, sent in player.end.sent if sent.remote.host == peer.nat.host]
        assert len(to_peer) <= limits.ICE_UNPROVED_BYTES // 100
    assert network.now > 1000.0


def linux_boxes() -> tuple[tuple[PunchKind, Nat], tuple[PunchKind, Nat]]:
    predictable = PunchKind.PREDICTABLE
    return (predictable, LinuxNat("1.0.0.1")), (predictable, LinuxNat("2.0.0.1"))


def test_a_router_that_accepts_input_is_punched_at_the_first_try() -> None:
    _, one, other = play(*linux_boxes())
    assert linked(one, other)
    assert took_s(one) <= SIGNALING_S + 2 * LATENCY_S + 0.01
    for player in (one, other):
        assert isinstance(player.nat, LinuxNat)
        assert not player.nat.entries


def test_without_the_wait_the_callees_check_takes_the_callers_port() -> None:
    """Why the plan is as it is: the same boxes, and checks at once."""
    _, one, other = play(*linux_boxes(), waits=False, openers=False)
    assert isinstance(one.nat, LinuxNat)
    assert one.nat.entries
    assert not linked(one, other)


@pytest.mark.parametrize("missed", [0, 1, 2])
@pytest.mark.parametrize(
    "kinds",
    [
        (PunchKind.SEQUENTIAL, PunchKind.PREDICTABLE),
        (PunchKind.PREDICTABLE, PunchKind.SEQUENTIAL),
        (PunchKind.SEQUENTIAL, PunchKind.SEQUENTIAL),
    ],
    ids=str,
)
def test_a_window_meets_a_mapping_that_others_have_moved_on(
    missed: int, kinds: tuple[PunchKind, PunchKind]
) -> None:
    one_box, other_box = boxes(*kinds)
    network = Network(LATENCY_S)
    caller, callee = Player(network, "a", *one_box, 1), Player(network, "b", *other_box, 1)
    for player in (caller, callee):
        if isinstance(player.nat, CountingNat):
            player.nat.next_port += missed
    rate = {"age_ms": 100, "rate_per_min": 20 * 60}
    plan = plan_of_callee(
        callee.side(**rate), caller.side(**rate), opener_families=BOTH, answer_takes_s=SIGNALING_S
    )
    callee.start(caller, plan, witnessed=True)
    other_plan = plan_of_caller(caller.side(**rate), callee.side(**rate))
    network.at(SIGNALING_S, lambda: caller.start(callee, other_plan, witnessed=True))
    network.run(3.0)
    assert linked(caller, callee)
