"""The shared sockets: several of a family, one demultiplexer for all, one NAT in front of each."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import pytest
from aioice import stun

from node.counters import Counters
from node.environment import Environment, udp_socket
from node.net.endpoint import Endpoint
from node.net.udp.port import Port
from protocol.addresses import Address
from protocol.errors import AlreadyOwned
from tests.node.links.link_network import until

pytestmark = pytest.mark.real_loop

LOOPBACK = Address("127.0.0.1", 0)
UdpSocket = Callable[[str, int], socket.socket]

kernel_and_loop = pytest.mark.parametrize("make_socket", [udp_socket, None], ids=["kernel", "loop"])


class Owner:
    """Keeps the STUN messages that it is given, and where they arrived."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Address, Address]] = []

    def stun_received(self, message: bytes, source: Address, local: Address) -> None:
        self.taken.append((message, source, local))


class Scene:
    """An endpoint, and what the reader of 0xD0 has taken."""

    def __init__(self, make_socket: UdpSocket | None, *, unreachable: bool = False) -> None:
        self.counters = Counters()
        environment = Environment(udp_socket=make_socket)
        self.endpoint = Endpoint(self.counters, environment, unreachable=unreachable)
        self.read: list[bytes] = []
        self.endpoint.demux.register_reader(0xD0, lambda datagram, _: self.read.append(datagram))


@contextmanager
def plain_socket() -> Iterator[tuple[socket.socket, Address]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(LOOPBACK)
        made.settimeout(5.0)
        yield made, Address(*made.getsockname())


@kernel_and_loop
async def test_a_family_may_have_several_sockets(make_socket: UdpSocket | None) -> None:
    scene, owner = Scene(make_socket), Owner()
    endpoint = scene.endpoint
    first = await endpoint.open(LOOPBACK)
    second = await endpoint.open(LOOPBACK)
    assert first != second
    assert endpoint.addresses == {4: first}
    endpoint.demux.register_ufrag("ours", owner)
    check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={})
    check.attributes["USERNAME"] = "ours:theirs"
    with plain_socket() as (peer, where):
        for local in (None, first, second, Address("127.0.0.1", 1)):
            endpoint.sendto(b"to you", where, local)
        assert [peer.recvfrom(99)[1] for _ in range(3)] == [first, first, second]
        assert scene.counters.refused == {"no_socket_of_this_family": 1}
        assert scene.counters.datagrams_sent == 3
        for to in (first, second):
            peer.sendto(b"\xd0 to you", to)
            peer.sendto(bytes(check), to)
        await until(lambda: len(owner.taken) == len(scene.read) == 2)
        assert owner.taken == [(bytes(check), where, local) for local in (first, second)]
    await endpoint.close()
    endpoint.sendto(b"late", where)
    endpoint.sendto(b"late", where, second)
    assert scene.counters.refused == {"no_socket_of_this_family": 3}
    for address in (first, second):
        udp_socket(*address).close()  # both are free again


class Relay:
    """A port that is no socket."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, ...]] = []
        self.closed = False

    def sendto(self, *given: object) -> None:
        self.sent.append(given)

    def send_with_ttl(self, *given: object) -> None:
        self.sent.append(given)

    def is_closing(self) -> bool:
        return self.closed


VIRTUAL = Address("100::1", 9)


async def test_a_port_that_is_no_socket_has_its_place_among_them() -> None:
    scene, relay = Scene(None), Relay()
    scene.endpoint.add_port(VIRTUAL, cast("Port", relay))
    with pytest.raises(AlreadyOwned):
        scene.endpoint.add_port(VIRTUAL, cast("Port", Relay()))
    peer = Address("100::2", 9)
    scene.endpoint.sendto(b"to you", peer, VIRTUAL)
    scene.endpoint.sendto(b"opener", peer, VIRTUAL, ttl=2)
    scene.endpoint.sendto(b"by no way", peer)
    assert relay.sent == [(b"to you", peer), (b"opener", peer, 2)]
    assert scene.endpoint.port_at(VIRTUAL) is cast("object", relay)
    assert scene.endpoint.addresses == {}
    relay.closed = True
    scene.endpoint.sendto(b"late", peer, VIRTUAL)
    scene.endpoint.remove_port(VIRTUAL)
    scene.endpoint.remove_port(VIRTUAL)
    scene.endpoint.sendto(b"late", peer, VIRTUAL)
    assert scene.endpoint.port_at(VIRTUAL) is None
    assert scene.counters.refused == {"no_socket_of_this_family": 3}
    await scene.endpoint.close()


@kernel_and_loop
async def test_a_socket_that_is_removed_is_closed(make_socket: UdpSocket | None) -> None:
    scene = Scene(make_socket)
    first = await scene.endpoint.open(LOOPBACK)
    second = await scene.endpoint.open(LOOPBACK)
    scene.endpoint.remove_port(second)
    assert scene.endpoint.addresses == {4: first}
    with plain_socket() as (peer, where):
        scene.endpoint.sendto(b"to you", where)
        assert peer.recvfrom(99)[1] == first
        scene.endpoint.remove_port(first)
        scene.endpoint.sendto(b"to you", where)
    assert scene.endpoint.addresses == {}
    assert scene.counters.refused == {"no_socket_of_this_family": 1}
    third = await scene.endpoint.open(LOOPBACK)
    assert scene.endpoint.addresses == {4: third}
    await scene.endpoint.close()
    for address in (first, second):
        udp_socket(*address).close()


@kernel_and_loop
async def test_a_deaf_socket_is_on_the_same_host_and_only_sends(
    make_socket: UdpSocket | None,
) -> None:
    scene = Scene(make_socket)
    with pytest.raises(OSError, match="no socket of IPv4"):
        await scene.endpoint.open_another(4, deaf=True)
    first = await scene.endpoint.open(LOOPBACK)
    deaf = await scene.endpoint.open_another(4, deaf=True)
    other = await scene.endpoint.open_another(4)
    assert {one.host for one in (first, deaf, other)} == {LOOPBACK.host}
    assert len({first, deaf, other}) == 3
    assert scene.endpoint.addresses == {4: first}
    with plain_socket() as (peer, where):
        scene.endpoint.sendto(b"to you", where, deaf)
        assert peer.recvfrom(99)[1] == deaf
        for to in (deaf, other):
            peer.sendto(b"\xd0 to you", to)
        await until(lambda: bool(scene.counters.refused and scene.read))
        assert scene.read == [b"\xd0 to you"]
        assert scene.counters.refused == {"deaf_port": 1}
        assert scene.counters.datagrams_received == 1
    await scene.endpoint.close()
    for address in (first, deaf, other):
        udp_socket(*address).close()


async def test_all_that_wait_are_told_when_a_port_takes_datagrams_again() -> None:
    told: list[str] = []
    endpoint = Scene(None).endpoint

    def one() -> None:
        told.append("one")
        endpoint.call_no_more(one)

    def other() -> None:
        told.append("other")

    endpoint.call_when_writable(one)
    endpoint.call_when_writable(other)
    endpoint.writable()
    endpoint.writable()
    assert told == ["one", "other", "other"]
    await endpoint.open(LOOPBACK)
    (user,) = endpoint._users.values()
    user.resume_writing()
    assert told[3:] == ["other"]
    await endpoint.close()


def _has_filtered(scene: Scene, count: int) -> bool:
    return scene.counters.refused["filtered_by_nat"] == count


@kernel_and_loop
async def test_an_unreachable_nodes_nat_binds_all_that_share_the_port(
    make_socket: UdpSocket | None,
) -> None:
    scene, owner = Scene(make_socket, unreachable=True), Owner()
    local = await scene.endpoint.open(LOOPBACK)
    answer = bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, b"transaction."))
    scene.endpoint.demux.register_transactions(b"tran", owner)
    with plain_socket() as (peer, where), plain_socket() as (outsider, _):
        for filtered in (4, 6):
            for sender in (peer, outsider):
                sender.sendto(b"\xd0 to you", local)
                sender.sendto(answer, local)
            await until(partial(_has_filtered, scene, filtered))
            scene.endpoint.sendto(b"to you", where)
        await until(lambda: bool(scene.read and owner.taken))
        assert scene.counters.refused == {"filtered_by_nat": 6}
        assert scene.read == [b"\xd0 to you"]
        assert owner.taken == [(answer, where, local)]
    await scene.endpoint.close()


@kernel_and_loop
async def test_without_a_socket_of_a_family_nothing_is_sent_to_it(
    make_socket: UdpSocket | None,
) -> None:
    scene = Scene(make_socket)
    await scene.endpoint.open(LOOPBACK)
    scene.endpoint.sendto(b"to you", Address("::1", 4001))
    assert scene.counters.refused == {"no_socket_of_this_family": 1}
    assert scene.counters.datagrams_sent == 0
    await scene.endpoint.close()
