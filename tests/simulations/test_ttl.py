"""How far a datagram with a low time to live comes: the openers of hole punching."""

from collections.abc import Callable
from typing import Any

import pytest

from simulations.internet import Access, Dependence, Fate, Internet, NatBehaviour
from simulations.internet.boxes.nat import Nat
from tests.simulations.conftest import OpenInbox

PassTime = Callable[[float], None]

PORT = 4001
OPEN = NatBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT)
TTL = 2
"""What hole punching sends openers with."""


@pytest.fixture
def peer(internet: Internet, open_inbox: OpenInbox, pass_time: PassTime) -> tuple[Nat, Any]:
    """A box whose mapping lets everything in, and the socket behind it."""
    box = internet.add_nat(OPEN)
    inbox = open_inbox(internet.add_host(behind=box), PORT)
    inbox.send(b"opens the mapping", ("192.0.2.1", 1))
    pass_time(1.0)
    return box, inbox


@pytest.mark.parametrize(("ttl", "arrives"), [(1, False), (2, False), (3, False), (4, True)])
def test_each_box_and_the_internet_between_take_one(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    peer: tuple[Nat, Any],
    ttl: int,
    arrives: bool,
) -> None:
    inside = open_inbox(internet.add_host(behind=internet.add_nat()), PORT)
    inside.send(b"opener", (peer[0].address(), PORT), ttl)
    pass_time(1.0)
    assert peer[1].data == ([b"opener"] if arrives else [])
    assert internet.carrier.dropped[Fate.TTL_EXPIRED] == (not arrives)


@pytest.mark.parametrize("access", [None, Access(up_bytes_s=1e6, down_bytes_s=1e6)])
def test_an_opener_opens_the_own_box_and_ends_before_that_of_the_peer(
    internet: Internet,
    open_inbox: OpenInbox,
    pass_time: PassTime,
    peer: tuple[Nat, Any],
    access: Access | None,
) -> None:
    own = internet.add_nat(access=access)
    inside = open_inbox(internet.add_host(behind=own), PORT)
    entered = len(peer[0].mappings(internet.loop.now)[0].permitted)
    inside.send(b"opener", (peer[0].address(), PORT), TTL)
    pass_time(1.0)
    assert peer[1].heard == []
    assert len(peer[0].mappings(internet.loop.now)[0].permitted) == entered
    peer[1].send(b"let in", (own.address(), PORT))
    pass_time(1.0)
    assert inside.data == [b"let in"]


def test_a_box_drops_what_has_no_hop_left_before_it_makes_a_mapping(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    carrier = internet.add_nat()
    home = internet.add_nat(behind=carrier)
    inside = open_inbox(internet.add_host(behind=home), PORT)
    inside.send(b"opener", ("192.0.2.1", 1), TTL)
    pass_time(1.0)
    assert len(home.mappings(internet.loop.now)) == 1
    assert carrier.mappings(internet.loop.now) == []


def test_from_a_public_host_an_opener_reaches_the_box_of_the_peer(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat()
    public = open_inbox(internet.add_host(), PORT)
    public.send(b"opener", (box.address(), PORT), TTL)
    pass_time(1.0)
    assert internet.carrier.dropped[Fate.NOT_MAPPED] == 1
    neighbour = open_inbox(internet.add_host(), PORT)
    public.send(b"opener", (neighbour.host.addresses[0], PORT), TTL)
    pass_time(1.0)
    assert neighbour.data == [b"opener"]


def test_no_router_is_between_hosts_of_one_network_and_one_in_a_hairpin(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    box = internet.add_nat(OPEN)
    a, b = (open_inbox(internet.add_host(behind=box), port) for port in (PORT, PORT + 1))
    a.send(b"direct", (b.host.addresses[0], PORT + 1), 1)
    b.send(b"opens the mapping", ("192.0.2.1", 1))
    a.send(b"hairpin", (box.address(), PORT + 1), TTL)
    a.send(b"ends", (box.address(), PORT + 1), 1)
    pass_time(1.0)
    assert b.data == [b"direct", b"hairpin"]
