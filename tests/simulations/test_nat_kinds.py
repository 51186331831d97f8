"""Boxes that are hard to punch: counted ports, blocks, short lives, conntrack, UPnP faults."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from protocol import limits
from simulations.errors import GatewayRefused
from simulations.internet import (
    Dependence,
    Fate,
    GatewayFaults,
    Internet,
    Nat,
    NatBehaviour,
    PortAssignment,
)
from simulations.internet.boxes.conntrack import ENTRIES_MAX, UNREPLIED_S, UnsolicitedInput
from simulations.internet.boxes.ports import PortChooser
from simulations.seeds import derive_rng
from tests.simulations.conftest import OpenInbox

PassTime = Callable[[float], None]

APD = Dependence.ADDRESS_AND_PORT_DEPENDENT
SEQUENTIAL = PortAssignment.SEQUENTIAL
PORT = 4001
INSIDE = ("10.0.0.2", PORT)
LINUX = NatBehaviour(accepts_input=True)


def remote(number: int) -> tuple[str, int]:
    return f"198.51.100.{number % 250 + 1}", 1000 + number


def ports_of(box: Nat, count: int, gap_s: float = 0.0) -> list[int]:
    """The outside ports of as many mappings, each for a remote of its own."""
    ports = []
    for number in range(count):
        outside = box.outbound(INSIDE, remote(number), number * gap_s)
        assert not isinstance(outside, Fate)
        ports.append(outside[1])
    return ports


# port assignment (RFC 4787 4.2)


@pytest.mark.parametrize("step", [1, 2, 7])
def test_sequential_ports_go_up_by_a_step(internet: Internet, step: int) -> None:
    box = internet.add_nat(NatBehaviour(mapping=APD, ports=SEQUENTIAL, port_step=step))
    ports = ports_of(box, 20)
    size = limits.PORT_MAX + 1 - 1024
    assert {(b - a) % size for a, b in itertools.pairwise(ports)} == {step}


def test_sequential_ports_skip_those_that_are_taken_and_start_again_at_the_top() -> None:
    chooser = PortChooser(NatBehaviour(ports=SEQUENTIAL), derive_rng(1, "a box"))
    taken: set[tuple[str, int]] = set()
    for _ in range(limits.PORT_MAX + 1 - 1024):
        chosen = chooser.choose(INSIDE, "203.0.113.1", 0.0, taken.__contains__)
        assert chosen is not None
        assert chosen not in taken
        taken.add(chosen)
    assert chooser.choose(INSIDE, "203.0.113.1", 0.0, taken.__contains__) is None
    freed = ("203.0.113.1", 2000)
    taken.remove(freed)
    assert chooser.choose(INSIDE, "203.0.113.1", 0.0, taken.__contains__) == freed


@pytest.mark.parametrize(("rate", "gap_s"), [(20.0, 0.1), (20.0, 1.0), (100.0, 2.0)])
def test_other_users_take_ports_in_between(internet: Internet, rate: float, gap_s: float) -> None:
    behaviour = NatBehaviour(mapping=APD, ports=SEQUENTIAL, foreign_per_s=rate)
    ports = ports_of(internet.add_nat(behaviour), 400, gap_s)
    size = limits.PORT_MAX + 1 - 1024
    skipped = [(b - a) % size - 1 for a, b in itertools.pairwise(ports)]
    assert sum(skipped) / len(skipped) == pytest.approx(rate * gap_s, rel=0.1)
    assert len(set(skipped)) > 3  # at random, so that none can be told from the last one


def test_each_inside_address_has_a_block_of_ports(internet: Internet) -> None:
    behaviour = NatBehaviour(mapping=APD, ports=PortAssignment.RANDOM, port_block=64)
    box = internet.add_nat(behaviour)
    blocks = []
    for subscriber in range(2, 12):
        ports = set()
        for number in range(64):
            outside = box.outbound((f"10.0.0.{subscriber}", PORT), remote(number), 0.0)
            assert not isinstance(outside, Fate)
            ports.add(outside[1])
        assert len(ports) == 64
        assert max(ports) - min(ports) == 63
        blocks.append(ports)
        refused = box.outbound((f"10.0.0.{subscriber}", PORT), remote(65), 0.0)
        assert refused is Fate.TABLE_FULL
    assert len(set.union(*blocks)) == 640


@pytest.mark.parametrize("ports", PortAssignment)
def test_a_block_binds_every_assignment(internet: Internet, ports: PortAssignment) -> None:
    box = internet.add_nat(NatBehaviour(mapping=APD, ports=ports, port_block=100))
    given = ports_of(box, 100)
    assert len(set(given)) == 100
    assert max(given) - min(given) == 99


def test_blocks_run_out(internet: Internet) -> None:
    box = internet.add_nat(NatBehaviour(port_block=30_000))
    kept = [box.outbound((f"10.0.0.{host}", PORT), remote(1), 0.0) for host in (2, 3, 4)]
    assert [one is Fate.TABLE_FULL for one in kept] == [False, False, True]


# mapping refresh (RFC 4787 4.3)


def test_a_mapping_with_a_lifetime_ends_whatever_is_sent(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat(NatBehaviour(ports=PortAssignment.RANDOM, lifetime_s=60.0))
    inside = open_inbox(internet.add_host(behind=box), PORT)
    outside = open_inbox(internet.add_host(), PORT)
    for _ in range(13):
        inside.send(b"kept busy", (outside.host.addresses[0], PORT))
        pass_time(10.0)
    ports = [port for _, port in outside.sources]
    assert [len(set(ports[n : n + 6])) for n in (0, 6)] == [1, 1]
    assert len(set(ports)) == 3
    outside.send(b"to the old one", outside.sources[0])
    pass_time(1.0)
    assert inside.heard == []


def test_a_mapping_of_30_s_is_kept_by_sending_and_lost_by_silence(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat(NatBehaviour(timeout_s=30.0))
    inside = open_inbox(internet.add_host(behind=box), PORT)
    outside = open_inbox(internet.add_host(), PORT)
    for pause_s in (29.0, 29.0, 30.5):
        inside.send(b"out", (outside.host.addresses[0], PORT))
        pass_time(pause_s)
        outside.send(b"in", outside.sources[-1])
        pass_time(0.5)
    assert len(inside.heard) == 2


# a Linux router that accepts unsolicited input


class Pair:
    """Two port-restricted boxes, the left one Linux's, and what each side hears."""

    def __init__(
        self, internet: Internet, open_inbox: OpenInbox, behaviour: NatBehaviour = LINUX
    ) -> None:
        self.left_box = internet.add_nat(behaviour)
        self.right_box = internet.add_nat(NatBehaviour())
        self.left = open_inbox(internet.add_host(behind=self.left_box), PORT)
        self.right = open_inbox(internet.add_host(behind=self.right_box), PORT)

    def send_left(self, ttl: int | None = None) -> None:
        self.left.send(b"from left", (self.right_box.address(), PORT), ttl)

    def send_right(self, ttl: int | None = None) -> None:
        self.right.send(b"from right", (self.left_box.address(), PORT), ttl)

    def heard(self) -> list[list[tuple[Any, ...]]]:
        """What each side heard of the other."""
        return [self.left.sources, self.right.sources]


def test_an_early_packet_costs_the_inside_endpoint_its_port(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pair = Pair(internet, open_inbox)
    pair.send_right()
    pass_time(0.1)
    for _ in range(3):
        pair.send_left()
        pair.send_right()
        pass_time(1.0)
    assert pair.heard() == [[], []]
    moved = pair.left_box.mappings(internet.loop.now)[-1].outside
    assert moved[1] != PORT
    assert internet.carrier.dropped[Fate.FILTERED] == 3 + 3
    # towards others the port is the usual one
    third = open_inbox(internet.add_host(), 1)
    pair.left.send(b"x", (third.host.addresses[0], 1))
    pass_time(1.0)
    assert third.sources == [(pair.left_box.address(), PORT)]


def test_a_router_that_drops_input_keeps_the_port(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pair = Pair(internet, open_inbox, NatBehaviour())
    pair.send_right()
    pass_time(0.1)
    pair.send_left()
    pass_time(1.0)
    assert pair.heard() == [[], [(pair.left_box.address(), PORT)]]


def test_an_opener_that_ends_before_the_router_does_no_harm(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pair = Pair(internet, open_inbox)
    pair.send_right(ttl=2)
    pass_time(0.1)
    pair.send_left()
    pass_time(0.1)
    pair.send_right()
    pass_time(1.0)
    boxes = pair.right_box, pair.left_box
    assert pair.heard() == [[(box.address(), PORT)] for box in boxes]


def test_who_sent_first_holds_the_tuple(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pair = Pair(internet, open_inbox)
    pair.send_left(ttl=2)
    pair.send_right()
    pass_time(1.0)
    pair.send_left()
    pass_time(1.0)
    boxes = pair.right_box, pair.left_box
    assert pair.heard() == [[(box.address(), PORT)] for box in boxes]


def test_the_entry_lives_while_the_remote_sends_and_a_connection_keeps_its_port(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pair = Pair(internet, open_inbox, NatBehaviour(accepts_input=True, timeout_s=60.0))
    outbound = pair.left_box.outbound
    source = (pair.left.host.addresses[0], PORT)
    there = (pair.right_box.address(), PORT)
    usual = (pair.left_box.address(), PORT)
    for now in (0.0, 20.0, 40.0):
        assert pair.left_box.inbound(usual, there, now) is Fate.NOT_MAPPED
    moved = outbound(source, there, 40.0 + UNREPLIED_S - 1)
    assert moved != usual
    assert outbound(source, there, 120.0) == moved  # the entry is gone, the connection is not
    assert outbound(source, there, 181.0) == usual


def test_entries_are_bounded() -> None:
    entries = UnsolicitedInput()
    for number in range(ENTRIES_MAX + 1):
        entries.note(INSIDE, ("198.51.100.1", number), 0.0)
    assert not entries.has(INSIDE, ("198.51.100.1", 0), 0.0)
    assert entries.has(INSIDE, ("198.51.100.1", ENTRIES_MAX), 0.0)
    entries.forget()
    assert not entries.has(INSIDE, ("198.51.100.1", ENTRIES_MAX), 0.0)


def test_only_linux_s_own_kind_of_box_accepts_input() -> None:
    with pytest.raises(ValueError, match="masquerade"):
        NatBehaviour(mapping=APD, accepts_input=True)


# IPv6: a stateful firewall, and NAT64


@pytest.fixture
def outside_v6(internet: Internet, open_inbox: OpenInbox) -> list[Any]:
    """Sockets at [a]:1, [a]:2 and [b]:1."""
    a, b = (internet.add_host(v4=False, v6=True) for _ in range(2))
    return [open_inbox(a, 1), open_inbox(a, 2), open_inbox(b, 1)]


@pytest.mark.parametrize("filtering", [None, *Dependence])
def test_a_firewall_for_ipv6_filters_and_changes_nothing(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    outside_v6: list[Any],
    filtering: Dependence | None,
) -> None:
    box = internet.add_nat(NatBehaviour(v6_filtering=filtering))
    host = internet.add_host(behind=box, v6=True)
    inside = open_inbox(host, PORT, host.address(v6=True))
    there = host.address(v6=True), PORT
    outside_v6[0].send(b"unasked", there)
    pass_time(1.0)
    assert len(inside.heard) == (filtering is None)
    inside.send(b"out", (outside_v6[0].host.addresses[0], 1))
    pass_time(1.0)
    assert outside_v6[0].sources == [(*there, 0, 0)]
    before = len(inside.heard)
    for inbox in outside_v6:
        inbox.send(b"in", there)
    pass_time(1.0)
    let_in = {None: 3, Dependence.ENDPOINT_INDEPENDENT: 3, Dependence.ADDRESS_DEPENDENT: 2, APD: 1}
    assert len(inside.heard) - before == let_in[filtering]
    pass_time(120.0)
    outside_v6[0].send(b"late", there)
    pass_time(1.0)
    assert len(inside.heard) - before == let_in[filtering] + (filtering is None)


def test_hosts_behind_one_firewall_and_two_firewalls_in_a_row(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, outside_v6: list[Any]
) -> None:
    filtered = NatBehaviour(v6_filtering=APD)
    home = internet.add_nat(filtered, behind=internet.add_nat(filtered))
    hosts = [internet.add_host(behind=home, v4=False, v6=True) for _ in range(2)]
    a, b = (open_inbox(host, PORT, "::") for host in hosts)
    a.send(b"direct", (hosts[1].addresses[0], PORT))
    a.send(b"out", (outside_v6[0].host.addresses[0], 1))
    pass_time(1.0)
    assert b.data == [b"direct"]
    assert b.times[0] < 0.001
    for inbox in outside_v6:
        inbox.send(b"in", (hosts[0].addresses[0], PORT))
    pass_time(1.0)
    assert a.data == [b"in"]
    old = hosts[0].addresses[0]
    internet.move(hosts[0], behind=home)
    assert old not in internet.carrier.public.owners
    a.send(b"from the new address", (outside_v6[1].host.addresses[0], 2))
    pass_time(1.0)
    assert outside_v6[1].sources == [(hosts[0].addresses[0], PORT, 0, 0)]


def test_a_firewall_bars_udp_where_its_box_does(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, outside_v6: list[Any]
) -> None:
    box = internet.add_nat(NatBehaviour(v6_filtering=APD, blocks_udp=True))
    inside = open_inbox(internet.add_host(behind=box, v4=False, v6=True), PORT)
    inside.send(b"out", (outside_v6[0].host.addresses[0], 1))
    outside_v6[0].send(b"in", (inside.host.addresses[0], PORT))
    pass_time(1.0)
    assert internet.carrier.dropped[Fate.BLOCKED] == 2


@pytest.mark.parametrize("filtering", [None, APD])
def test_nat64(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    outside_v6: list[Any],
    filtering: Dependence | None,
) -> None:
    box = internet.add_nat(NatBehaviour(nat64=True, v6_filtering=filtering))
    inside = open_inbox(internet.add_host(behind=box, v4=False, v6=True), PORT)
    outside = open_inbox(internet.add_host(addresses=["198.51.100.1"]), 7)
    inside.send(b"out", ("64:ff9b::198.51.100.1", 7))
    pass_time(1.0)
    assert outside.sources == [(box.address(), PORT)]
    outside.send(b"in", outside.sources[0])
    pass_time(1.0)
    assert inside.sources == [("64:ff9b::c633:6401", 7, 0, 0)]
    inside.send(b"native", (outside_v6[0].host.addresses[0], 1))
    pass_time(1.0)
    assert outside_v6[0].sources == [(inside.host.addresses[0], PORT, 0, 0)]


def test_behind_nat64_names_get_ipv6_addresses_and_hosts_no_ipv4(internet: Internet) -> None:
    box = internet.add_nat(NatBehaviour(nat64=True))
    inside, elsewhere = internet.add_host(behind=box, v4=False, v6=True), internet.add_host(v6=True)
    internet.names.add("four.example", "198.51.100.1")
    with inside.running():
        found = internet.names.resolve("ipv4only.arpa", 0)
        assert found[0][1] == "64:ff9b::c000:aa"  # RFC 7050
        assert internet.names.resolve("four.example", 0)[0][1] == "64:ff9b::c633:6401"
    with elsewhere.running():
        assert [ip for _, ip in internet.names.resolve("four.example", 0)] == ["198.51.100.1"]


# UPnP gateways with faults


def gateway_with(internet: Internet, **faults: Any) -> Any:
    return internet.add_nat(NatBehaviour(upnp=True, gateway_faults=GatewayFaults(**faults))).gateway


def code_of(gateway: Any, lease_s: float, port: int = PORT) -> int:
    """The error code of a request for a mapping, 0 for none."""
    try:
        gateway.add_port_mapping("UDP", port, *INSIDE, lease_s)
    except GatewayRefused as refusal:
        return refusal.code
    return 0


def test_leases_that_a_gateway_grants(internet: Internet) -> None:
    permanent = gateway_with(internet, permanent_only=True)
    assert (code_of(permanent, 3600.0), code_of(permanent, 0.0)) == (725, 0)
    leased = gateway_with(internet, leases_only=True)
    assert (code_of(leased, 0.0), code_of(leased, 3600.0)) == (402, 0)


def test_ports_that_others_have(internet: Internet) -> None:
    gateway = gateway_with(internet, taken=frozenset({PORT}))
    assert code_of(gateway, 3600.0) == 718
    assert code_of(gateway, 3600.0, PORT + 1) == 0


def test_a_renewal_that_moves_the_inside_port(internet: Internet) -> None:
    gateway = gateway_with(internet, moves_renewals=True)
    for inside_port in (PORT, PORT + 1):
        assert code_of(gateway, 3600.0) == 0
        assert gateway.mapping_of(PORT).inside == (INSIDE[0], inside_port)
    assert gateway.port_of(INSIDE) is None


def test_what_a_gateway_shows_and_how_slowly(internet: Internet) -> None:
    gateway = gateway_with(internet, shown_address="192.168.1.1", answer_delay_s=float("inf"))
    assert gateway.external_address() == "192.168.1.1"
    assert gateway.faults.is_silent
    assert not gateway_with(internet).faults.is_silent


def test_a_reboot_forgets_what_was_forwarded(internet: Internet) -> None:
    box = internet.add_nat(NatBehaviour(upnp=True))
    assert box.gateway is not None
    assert code_of(box.gateway, 0.0) == 0
    box.reboot()
    assert box.gateway.mapping_of(PORT) is None
