"""NAT boxes against RFC 4787's own definitions, and the gateway that a home router offers."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.errors import GatewayRefused
from simulations.internet import (
    Dependence,
    Fate,
    Hairpinning,
    Internet,
    NatBehaviour,
    PortAssignment,
)
from simulations.internet.boxes.behaviour import MAPPINGS_MAX
from simulations.internet.boxes.gateway import FORWARDED_MAX
from simulations.internet.boxes.nat import PERMITTED_MAX
from simulations.runtime.loop import VirtualLoop

OpenInbox = Callable[..., Any]
PassTime = Callable[[float], None]

INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT
ADDRESS = Dependence.ADDRESS_DEPENDENT
ADDRESS_AND_PORT = Dependence.ADDRESS_AND_PORT_DEPENDENT
PORT = 4001
Y, Z = "198.51.100.1", "198.51.100.2"


class Street:
    """A host X behind a box, and sockets Y:1, Y:2 and Z:1 outside (RFC 4787 4.1's letters)."""

    def __init__(self, internet: Internet, open_inbox: OpenInbox, behaviour: NatBehaviour) -> None:
        self.box = internet.add_nat(behaviour)
        self.x = open_inbox(internet.add_host(behind=self.box), PORT)
        y, z = internet.add_host(addresses=[Y]), internet.add_host(addresses=[Z])
        self.outside = {
            (Y, 1): open_inbox(y, 1),
            (Y, 2): open_inbox(y, 2),
            (Z, 1): open_inbox(z, 1),
        }


@pytest.mark.parametrize("filtering", Dependence)
@pytest.mark.parametrize("ports", PortAssignment)
@pytest.mark.parametrize(
    ("mapping", "distinct"), [(INDEPENDENT, 1), (ADDRESS, 2), (ADDRESS_AND_PORT, 3)]
)
def test_mapping_behaviour(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    mapping: Dependence,
    distinct: int,
    filtering: Dependence,
    ports: PortAssignment,
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(mapping, filtering, ports))
    for _ in range(2):
        for remote in street.outside:
            street.x.send(b"out", remote)
    pass_time(1.0)
    seen = {remote: set(inbox.sources) for remote, inbox in street.outside.items()}
    assert all(len(sources) == 1 for sources in seen.values())
    assert len(set.union(*seen.values())) == distinct
    assert (seen[Y, 1] == seen[Y, 2]) is (mapping is not ADDRESS_AND_PORT)
    assert (seen[Y, 1] == seen[Z, 1]) is (mapping is INDEPENDENT)
    assert {address for address, _ in set.union(*seen.values())} == {street.box.address()}
    preserved = (street.box.address(), PORT) in seen[Y, 1]
    assert preserved is (ports is PortAssignment.PRESERVED)


@pytest.mark.parametrize("mapping", Dependence)
@pytest.mark.parametrize(
    ("filtering", "let_in"),
    [
        (INDEPENDENT, {(Y, 1), (Y, 2), (Z, 1)}),
        (ADDRESS, {(Y, 1), (Y, 2)}),
        (ADDRESS_AND_PORT, {(Y, 1)}),
    ],
)
def test_filtering_behaviour(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    mapping: Dependence,
    filtering: Dependence,
    let_in: set[tuple[str, int]],
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(mapping, filtering))
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    [outside] = street.outside[Y, 1].sources
    for inbox in street.outside.values():
        inbox.send(b"in", outside)
    pass_time(1.0)
    assert set(street.x.sources) == let_in
    assert internet.carrier.dropped[Fate.FILTERED] == 3 - len(let_in)


def test_nothing_gets_in_unasked(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(filtering=INDEPENDENT))
    street.outside[Y, 1].send(b"in", (street.box.address(), PORT))
    pass_time(1.0)
    assert street.x.heard == []
    assert internet.carrier.dropped[Fate.NOT_MAPPED] == 1


def test_a_preserved_port_that_is_taken_is_drawn(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat()
    insiders = [open_inbox(internet.add_host(behind=box), PORT) for _ in range(3)]
    outside = open_inbox(internet.add_host(addresses=[Y]))
    for inbox in insiders:
        inbox.send(b"out", (Y, PORT))
    pass_time(1.0)
    ports = [port for _, port in outside.sources]
    assert ports[0] == PORT
    assert len(set(ports)) == 3
    for source in outside.sources:
        outside.send(b"in", source)
    pass_time(1.0)
    assert [len(inbox.heard) for inbox in insiders] == [1, 1, 1]


def test_a_mapping_lives_by_what_is_sent(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(ports=PortAssignment.RANDOM, timeout_s=30.0))
    outside = street.outside[Y, 1]
    for _ in range(4):
        street.x.send(b"out", (Y, 1))
        pass_time(25.0)
    assert len(set(outside.sources)) == 1
    outside.send(b"in time", outside.sources[-1])
    pass_time(10.0)
    outside.send(b"too late", outside.sources[-1])
    pass_time(1.0)
    assert street.x.data == [b"in time"]
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    assert len(set(outside.sources)) == 2
    assert len(street.box.mappings(internet.loop.now)) == 1


@pytest.mark.parametrize("refreshes", [True, False])
@pytest.mark.parametrize("filtering", Dependence)
def test_inbound_refresh(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    refreshes: bool,
    filtering: Dependence,
) -> None:
    behaviour = NatBehaviour(filtering=filtering, timeout_s=30.0, inbound_refresh=refreshes)
    street = Street(internet, open_inbox, behaviour)
    street.x.send(b"out", (Y, 1))
    for _ in range(4):
        pass_time(20.0)
        street.outside[Y, 1].send(b"in", (street.box.address(), PORT))
    pass_time(1.0)
    assert len(street.x.heard) == (4 if refreshes else 1)


def test_a_permission_lives_by_what_is_sent_to_that_remote(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(filtering=ADDRESS, timeout_s=30.0))
    street.x.send(b"out", (Z, 1))
    pass_time(20.0)
    street.x.send(b"out", (Y, 1))
    pass_time(20.0)
    for remote in ((Y, 1), (Z, 1)):
        street.outside[remote].send(b"in", (street.box.address(), PORT))
    pass_time(1.0)
    assert street.x.sources == [(Y, 1)]


@pytest.mark.parametrize("hairpinning", Hairpinning)
def test_hairpinning(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, hairpinning: Hairpinning
) -> None:
    box = internet.add_nat(NatBehaviour(filtering=INDEPENDENT, hairpinning=hairpinning))
    a, b = (open_inbox(internet.add_host(behind=box), port) for port in (PORT, PORT + 1))
    b.send(b"opens the mapping", ("192.0.2.1", 1))
    a.send(b"over the roof", (box.address(), PORT + 1))
    pass_time(1.0)
    # RFC 4787 REQ-9 a: the source that is shown is the external one; some boxes show the other
    shown = {
        Hairpinning.NONE: [],
        Hairpinning.OUTSIDE_SOURCE: [(box.address(), PORT)],
        Hairpinning.INSIDE_SOURCE: [a.transport.get_extra_info("sockname")],
    }
    assert b.sources == shown[hairpinning]
    assert internet.carrier.dropped[Fate.NO_HAIRPIN] == (not hairpinning)
    assert all(time < 0.01 for time in b.times)


@pytest.mark.parametrize("hairpinning", [Hairpinning.OUTSIDE_SOURCE, Hairpinning.INSIDE_SOURCE])
def test_hairpinning_obeys_the_filter(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, hairpinning: Hairpinning
) -> None:
    box = internet.add_nat(NatBehaviour(filtering=ADDRESS_AND_PORT, hairpinning=hairpinning))
    a, b = (open_inbox(internet.add_host(behind=box), port) for port in (PORT, PORT + 1))
    a.send(b"filtered", (box.address(), PORT + 1))
    pass_time(1.0)
    b.send(b"opens", (box.address(), PORT))
    a.send(b"let in", (box.address(), PORT + 1))
    pass_time(1.0)
    assert (a.data, b.data) == ([b"opens"], [b"let in"])


def test_neighbours_talk_directly(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat()
    a, b = (open_inbox(internet.add_host(behind=box), PORT) for _ in range(2))
    a.send(b"hello", b.transport.get_extra_info("sockname"))
    pass_time(1.0)
    assert b.sources == [a.transport.get_extra_info("sockname")]
    assert b.times[0] < 0.001
    assert len(box.mappings(internet.loop.now)) == 0


def test_nested_boxes(internet: Internet, open_inbox: OpenInbox, pass_time: PassTime) -> None:
    carrier = internet.add_nat(NatBehaviour(filtering=INDEPENDENT), one_way_s=0.004)
    homes = [internet.add_nat(behind=carrier) for _ in range(2)]
    a, b = (open_inbox(internet.add_host(behind=home), PORT) for home in homes)
    outside = open_inbox(internet.add_host(addresses=[Y]), 1)
    for inbox in (a, b):
        inbox.send(b"out", (Y, 1))
    pass_time(1.0)
    assert [address for address, _ in outside.sources] == [carrier.address()] * 2
    assert len(set(outside.sources)) == 2
    for source in outside.sources:
        outside.send(b"in", source)
    pass_time(1.0)
    assert (a.data, b.data) == ([b"in"], [b"in"])
    a.send(b"filtered", (homes[1].address(), PORT))
    pass_time(1.0)
    b.send(b"opens", (homes[0].address(), PORT))
    a.send(b"within the carrier", (homes[1].address(), PORT))
    pass_time(1.0)
    assert b.sources[1:] == [(homes[0].address(), PORT)]
    assert b.times[1] == pytest.approx(3.004)


def test_the_same_private_address_in_two_homes(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    homes = [internet.add_nat(NatBehaviour(filtering=INDEPENDENT)) for _ in range(2)]
    a, b = (
        open_inbox(internet.add_host(addresses=["192.168.1.2"], behind=home), PORT)
        for home in homes
    )
    b.send(b"opens", ("192.0.2.1", 1))
    a.send(b"to the other home", (homes[1].address(), PORT))
    a.send(b"to myself", ("192.168.1.2", PORT))
    pass_time(1.0)
    assert b.sources == [(homes[0].address(), PORT)]
    assert a.sources == [("192.168.1.2", PORT)]


def test_inside_hosts_are_paired_with_one_outside_address(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    pool = ["203.0.113.1", "203.0.113.2"]
    box = internet.add_nat(NatBehaviour(mapping=ADDRESS_AND_PORT), addresses=pool)
    insiders = [open_inbox(internet.add_host(behind=box), PORT) for _ in range(4)]
    outside = [open_inbox(internet.add_host(addresses=[ip]), 1) for ip in (Y, Z)]
    for inbox in insiders:
        for ip in (Y, Z):
            inbox.send(bytes(inbox.host.addresses[0], "ascii"), (ip, 1))
    pass_time(1.0)
    paired: dict[bytes, set[str]] = {}
    for inbox in outside:
        for data, (address, _) in zip(inbox.data, inbox.sources, strict=True):
            paired.setdefault(data, set()).add(address)
    assert [sorted(addresses) for addresses in paired.values()] == [[pool[0]], [pool[1]]] * 2


def test_ipv6_is_routed_past_the_box(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat()
    host = internet.add_host(behind=box, v6=True)
    inside = open_inbox(host, PORT, host.address(v6=True))
    outside = open_inbox(internet.add_host(addresses=["2001:db8::1"]), 1)
    outside.send(b"in", (host.address(v6=True), PORT))
    pass_time(1.0)
    assert inside.data == [b"in"]


def test_the_table_of_mappings_is_bounded(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    behaviour = NatBehaviour(mapping=ADDRESS_AND_PORT, mappings_max=100, timeout_s=30.0)
    street = Street(internet, open_inbox, behaviour)
    for port in range(1, 151):
        street.x.send(b"out", (Y, port))
    assert len(street.box.mappings(internet.loop.now)) == 100
    assert internet.carrier.dropped[Fate.TABLE_FULL] == 50
    pass_time(31.0)
    street.x.send(b"out", (Y, 1))
    assert len(street.box.mappings(internet.loop.now)) == 1
    with pytest.raises(ValueError, match="mappings"):
        NatBehaviour(mappings_max=MAPPINGS_MAX + 1)


def test_what_a_mapping_permits_is_bounded(internet: Internet, open_inbox: OpenInbox) -> None:
    street = Street(internet, open_inbox, NatBehaviour())
    box, source = street.box, street.x.transport.socket.source
    for port in range(1, 3 * PERMITTED_MAX):
        box.outbound(source, (Y, port), 0.001 * port)
    [mapping] = box.mappings(7.0)
    assert len(mapping.permitted) <= PERMITTED_MAX
    newest, oldest = (Y, 3 * PERMITTED_MAX - 1), (Y, 1)
    assert box.inbound((box.address(), PORT), newest, 7.0) == source
    assert box.inbound((box.address(), PORT), oldest, 7.0) is Fate.FILTERED


@given(st.sampled_from(Dependence), st.sampled_from(Dependence), st.data())
def test_no_outside_endpoint_serves_two(
    mapping: Dependence, filtering: Dependence, data: st.DataObject
) -> None:
    """Whatever is sent, live mappings are distinct, and what goes out comes back."""
    loop = VirtualLoop()
    internet = Internet(loop, 1)
    box = internet.add_nat(NatBehaviour(mapping, filtering, timeout_s=20.0))
    now = 0.0
    endpoints = st.tuples(st.sampled_from(["10.0.0.2", "10.0.0.3"]), st.integers(1, 3))
    remotes = st.tuples(st.sampled_from([Y, Z]), st.integers(1, 3))
    for _ in range(30):
        now += data.draw(st.floats(0.0, 15.0))
        inside, remote = data.draw(endpoints), data.draw(remotes)
        outside = box.outbound(inside, remote, now)
        assert not isinstance(outside, Fate)
        assert box.inbound(outside, remote, now) == inside
        live = box.mappings(now)
        assert len({entry.outside for entry in live}) == len(live)
    loop.close()


def test_a_reboot_and_a_new_address_forget_everything(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(upnp=True))
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    old = street.box.address()
    street.box.reboot()
    street.outside[Y, 1].send(b"in", (old, PORT))
    pass_time(1.0)
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    street.box.readdress(["203.0.113.77"])
    street.outside[Y, 1].send(b"in", (old, PORT))
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    assert street.x.heard == []
    assert street.outside[Y, 1].sources[-1] == ("203.0.113.77", PORT)
    gateway = street.box.gateway
    assert gateway is not None
    assert gateway.external_address() == "203.0.113.77"


# the gateway


def test_a_forwarded_port_lets_every_remote_in(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    behaviour = NatBehaviour(ADDRESS_AND_PORT, ports=PortAssignment.RANDOM, upnp=True)
    street = Street(internet, open_inbox, behaviour)
    host = street.x.host
    gateway = host.gateway
    assert gateway is not None
    gateway.add_port_mapping("UDP", 5555, host.addresses[0], PORT, lease_s=100.0)
    street.outside[Z, 1].send(b"in", (gateway.external_address(), 5555))
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    assert street.x.sources == [(Z, 1)]
    assert street.outside[Y, 1].sources == [(street.box.address(), 5555)]
    pass_time(100.0)
    assert gateway.mappings() == []
    street.outside[Z, 1].send(b"in", (street.box.address(), 5555))
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    assert len(street.x.heard) == 1
    assert street.outside[Y, 1].sources[-1][1] != 5555


def test_a_forwarded_port_is_not_drawn_for_others(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    street = Street(internet, open_inbox, NatBehaviour(upnp=True))
    assert street.box.gateway is not None
    street.box.gateway.add_port_mapping("udp", PORT, "10.9.9.9", 1)
    street.x.send(b"out", (Y, 1))
    pass_time(1.0)
    assert street.outside[Y, 1].sources[0][1] != PORT


def test_a_gateway_refuses_as_upnp_says(internet: Internet) -> None:
    gateway = internet.add_nat(NatBehaviour(upnp=True)).gateway
    assert gateway is not None

    def code_of(call: Callable[[], None]) -> int:
        with pytest.raises(GatewayRefused) as caught:
            call()
        return caught.value.code

    assert code_of(lambda: gateway.add_port_mapping("SCTP", 1, "10.0.0.2", 1)) == 402
    assert code_of(lambda: gateway.add_port_mapping("UDP", 0, "10.0.0.2", 1)) == 402
    assert code_of(lambda: gateway.delete_port_mapping("UDP", 1)) == 714
    for port in range(1, FORWARDED_MAX + 1):
        gateway.add_port_mapping("UDP", port, "10.0.0.2", port)
    assert code_of(lambda: gateway.add_port_mapping("UDP", 1, "10.0.0.3", 1)) == 718
    assert code_of(lambda: gateway.add_port_mapping("UDP", 9999, "10.0.0.2", 1)) == 728
    gateway.add_port_mapping("UDP", 1, "10.0.0.2", 1)
    gateway.delete_port_mapping("UDP", 1)
    assert len(gateway.mappings()) == FORWARDED_MAX - 1
    assert gateway.port_of(("10.0.0.2", 1)) is None


def test_only_hosts_behind_a_box_with_upnp_find_a_gateway(internet: Internet) -> None:
    carrier = internet.add_nat(NatBehaviour(upnp=False))
    home = internet.add_nat(NatBehaviour(upnp=True), behind=carrier)
    assert internet.add_host().gateway is None
    assert internet.add_host(behind=carrier).gateway is None
    gateway = internet.add_host(behind=home).gateway
    assert gateway is not None
    assert gateway.external_address() == home.address() != carrier.address()
