"""Rules of a relay that its own clients never break: each request here is made by hand."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from protocol import limits
from protocol.addresses import Address
from protocol.errors import NotPermitted, RelayRefusal, RemoteError
from protocol.stun.attributes import (
    Attribute,
    ErrorCode,
    encode_channel,
    encode_text,
    encode_u32,
    encode_xor_address,
)
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    long_term_key,
)
from protocol.turn.credentials import REALM
from protocol.turn.forwarding import RelaySend
from protocol.turn.virtual import relayed_address
from tests.protocol.turn.turn_world import (
    A_ID,
    B_ID,
    RELAY,
    RELAY_ID,
    A,
    B,
    World,
)

UDP = (int(Attribute.REQUESTED_TRANSPORT), b"\x11\0\0\0")
SECRET = "a secret of the test"
PORT = Address("198.51.100.1", 50_000)
"""A relayed port of the relay. Its host is for documentation, so not global, and the relay's."""

PEER = Address("8.8.8.8", 53)
TRANSACTION = b"by hand, 12!"
A_RELAYED, B_RELAYED = relayed_address(RELAY_ID, A_ID), relayed_address(RELAY_ID, B_ID)
NUMBER, OTHER_NUMBER = b"\x40\x01", b"\x40\x02"


@dataclass(slots=True)
class Asker:
    """A client that sends what a test tells it to, and nothing else."""

    world: World
    address: Address
    username: str
    password: str

    def ask(
        self,
        method: StunMethod,
        *attributes: tuple[int, bytes],
        transaction: bytes = TRANSACTION,
    ) -> StunMessage:
        """The answer to a request with credentials and a fresh nonce."""
        world = self.world
        nonce = world.credentials.nonce(self.address, world.now)
        credentials = (
            (int(Attribute.USERNAME), encode_text(self.username)),
            (int(Attribute.REALM), encode_text(REALM)),
            (int(Attribute.NONCE), encode_text(nonce)),
        )
        message = StunMessage(StunClass.REQUEST, method, transaction, (*attributes, *credentials))
        key = long_term_key(self.username, REALM, self.password)
        (send,) = world.server.receive(
            encode_stun(message, key=key), self.address, RELAY, world.now, world.wall
        )
        return decode_stun(b"".join(send.parts))

    def does(self, method: StunMethod, *attributes: tuple[int, bytes]) -> StunMessage:
        """The same, where the relay must do it."""
        answer = self.ask(method, *attributes)
        assert answer.kind is StunClass.SUCCESS, answer.error()
        return answer

    def code(self, method: StunMethod, *attributes: tuple[int, bytes]) -> int:
        """The error code of a request that must be refused."""
        return code_of(self.ask(method, *attributes))

    def send(self, data: bytes, peer: Address) -> list[RelaySend]:
        """What the relay forwards of a Send indication."""
        attributes = (of_peer(peer), (int(Attribute.DATA), data))
        message = StunMessage(StunClass.INDICATION, StunMethod.SEND, TRANSACTION, attributes)
        world = self.world
        return world.server.receive(
            encode_stun(message), self.address, RELAY, world.now, world.wall
        )

    def on_channel(self, number: bytes, data: bytes) -> list[RelaySend]:
        """What the relay forwards of ChannelData."""
        buffer = number + len(data).to_bytes(2) + data
        forwarder = self.world.server.forwarder
        return forwarder.channel_received(buffer, len(buffer), self.address, RELAY, self.world.now)


def code_of(answer: StunMessage) -> int:
    error = answer.error()
    assert error is not None
    return error[0]


def of_peer(peer: Address) -> tuple[int, bytes]:
    return int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(peer, TRANSACTION)


def of_channel(number: bytes) -> tuple[int, bytes]:
    return int(Attribute.CHANNEL_NUMBER), encode_channel(int.from_bytes(number))


def of_lifetime(seconds: int) -> tuple[int, bytes]:
    return int(Attribute.LIFETIME), encode_u32(seconds)


def peer_of(world: World, peer_id: bytes, address: Address) -> Asker:
    grant = world.grant(peer_id, address)
    return Asker(world, address, grant.username, grant.password)


def pair_of(world: World) -> tuple[Asker, Asker]:
    """Two peers with allocations, that have let in nothing yet."""
    a, b = peer_of(world, A_ID, A), peer_of(world, B_ID, B)
    for one in (a, b):
        one.does(StunMethod.ALLOCATE, UDP)
    return a, b


def foreign_of(world: World) -> Asker:
    """A foreign client with an allocation at a relayed port."""
    username = f"{int(world.wall) + 3600}:foreign"
    digest = hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()
    client = Asker(world, A, username, base64.b64encode(digest).decode())
    client.does(StunMethod.ALLOCATE, UDP)
    return client


def port_world(*, private: bool = False) -> World:
    return World(ports=(PORT,), shared_secret=SECRET, private=private)


# Allocations ------------------------------------------------------------------------------


def test_a_repeated_allocate_of_another_owner_gets_no_answer_of_the_first() -> None:
    """437: the id of the first request is in the clear; the allocation is not for its finder."""
    world = World()
    peer_of(world, A_ID, A).does(StunMethod.ALLOCATE, UDP)
    other = peer_of(world, B_ID, A)
    assert other.code(StunMethod.ALLOCATE, UDP) == ErrorCode.ALLOCATION_MISMATCH


def test_an_allocate_of_the_same_owner_with_another_id_is_none_that_was_repeated() -> None:
    world = World()
    client = peer_of(world, A_ID, A)
    client.does(StunMethod.ALLOCATE, UDP)
    answer = client.ask(StunMethod.ALLOCATE, UDP, transaction=b"another id!!")
    assert code_of(answer) == ErrorCode.ALLOCATION_MISMATCH


@pytest.mark.parametrize(
    ("wanted_s", "granted_s"),
    [
        (60, 60),
        (limits.RELAY_ALLOCATION_S, limits.RELAY_ALLOCATION_S),
        (limits.RELAY_ALLOCATION_S + 1, limits.RELAY_ALLOCATION_S),
        (2**32 - 1, limits.RELAY_ALLOCATION_S),
    ],
)
def test_a_lifetime_is_what_was_wanted_up_to_the_most(wanted_s: int, granted_s: int) -> None:
    world = World()
    client = peer_of(world, A_ID, A)
    for method, also in ((StunMethod.ALLOCATE, (UDP,)), (StunMethod.REFRESH, ())):
        answer = client.does(method, *also, of_lifetime(wanted_s))
        assert answer.number(Attribute.LIFETIME) == granted_s
        world.now += granted_s - 1
        assert world.server.table.count(world.now) == 1
    world.now += 1
    assert world.server.table.count(world.now) == 0


# Permissions and channels -------------------------------------------------------------------


def test_a_pair_permits_only_another_allocation_of_the_relay() -> None:
    a, _ = pair_of(World())
    for peer in (PEER, Address("10.0.0.1", 9), RELAY, A_RELAYED):
        for peers in ([peer], [B_RELAYED, peer]):
            code = a.code(StunMethod.CREATE_PERMISSION, *map(of_peer, peers))
            assert code == ErrorCode.FORBIDDEN, peer
        with pytest.raises(RemoteError):
            a.send(b"out", peer)
    with pytest.raises(NotPermitted):  # all of the peers are permitted, or none
        a.send(b"in", B_RELAYED)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "100.64.0.1", RELAY.host])
def test_a_relayed_port_lets_in_and_reaches_no_host_but_global_ones(host: str) -> None:
    world = port_world()
    client = foreign_of(world)
    peer = Address(host, 9)
    assert client.code(StunMethod.CREATE_PERMISSION, of_peer(peer)) == ErrorCode.FORBIDDEN
    with pytest.raises(RemoteError):
        client.send(b"out", peer)
    with pytest.raises(NotPermitted):
        world.server.forwarder.relayed_received(b"in", 2, peer, PORT, world.now)


def test_a_relayed_port_has_peers_of_its_own_family() -> None:
    client = foreign_of(port_world())
    peer = of_peer(Address("2a00::1", 53))
    mismatch = ErrorCode.PEER_ADDRESS_FAMILY_MISMATCH
    assert client.code(StunMethod.CREATE_PERMISSION, peer) == mismatch
    assert client.code(StunMethod.CHANNEL_BIND, of_channel(NUMBER), peer) == mismatch


def test_a_permission_of_a_host_opens_no_port_of_the_relay_itself() -> None:
    """Where private hosts are allowed: its own UDP port is one of those of a permitted host."""
    world = port_world(private=True)
    client = foreign_of(world)
    client.does(StunMethod.CREATE_PERMISSION, of_peer(RELAY))
    with pytest.raises(RelayRefusal):
        client.send(b"to the relay", RELAY)
    number = of_channel(NUMBER)
    assert client.code(StunMethod.CHANNEL_BIND, number, of_peer(RELAY)) == ErrorCode.FORBIDDEN
    beside = Address(RELAY.host, RELAY.port + 1)
    assert [one.remote for one in client.send(b"beside it", beside)] == [beside]


@pytest.mark.parametrize("number", [b"\0\0", b"\x3f\xff", b"\x80\0", b"\xff\xff"])
def test_channel_numbers_that_a_demultiplexer_would_not_know_are_refused(number: bytes) -> None:
    a, _ = pair_of(World())
    code = a.code(StunMethod.CHANNEL_BIND, of_channel(number), of_peer(B_RELAYED))
    assert code == ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("number", [b"\x40\0", b"\x7f\xff"])
def test_the_first_and_the_last_channel_number_are_bound(number: bytes) -> None:
    a, _ = pair_of(World())
    a.does(StunMethod.CHANNEL_BIND, of_channel(number), of_peer(B_RELAYED))


def test_a_channel_has_one_peer_and_a_peer_one_channel() -> None:
    a, _ = pair_of(World())
    a.does(StunMethod.CHANNEL_BIND, of_channel(NUMBER), of_peer(B_RELAYED))
    other = relayed_address(RELAY_ID, bytes((77,)) * 20)
    for number, peer in ((NUMBER, other), (OTHER_NUMBER, B_RELAYED)):
        code = a.code(StunMethod.CHANNEL_BIND, of_channel(number), of_peer(peer))
        assert code == ErrorCode.BAD_REQUEST


# Data ---------------------------------------------------------------------------------------


def test_a_send_needs_a_permission_of_its_sender_too() -> None:
    a, b = pair_of(World())
    b.does(StunMethod.CREATE_PERMISSION, of_peer(A_RELAYED))
    with pytest.raises(NotPermitted):
        a.send(b"unasked", B_RELAYED)
    a.does(StunMethod.CREATE_PERMISSION, of_peer(B_RELAYED))
    assert [one.remote for one in a.send(b"permitted", B_RELAYED)] == [B]


def test_a_relayed_port_sends_to_permitted_hosts_for_as_long_as_they_are() -> None:
    world = port_world()
    client = foreign_of(world)
    with pytest.raises(NotPermitted):
        client.send(b"unasked", PEER)
    client.does(StunMethod.CREATE_PERMISSION, of_peer(PEER))
    (sent,) = client.send(b"permitted", PEER)
    assert (sent.remote, sent.local) == (PEER, PORT)
    world.now += limits.RELAY_PERMISSION_S
    with pytest.raises(NotPermitted):
        client.send(b"too late", PEER)


def test_a_relayed_port_lets_in_permitted_hosts_for_as_long_as_they_are() -> None:
    world = port_world()
    client = foreign_of(world)

    def arrives(source: Address) -> list[RelaySend]:
        return world.server.forwarder.relayed_received(b"in", 2, source, PORT, world.now)

    with pytest.raises(NotPermitted):
        arrives(PEER)
    client.does(StunMethod.CREATE_PERMISSION, of_peer(PEER))
    assert [one.remote for one in arrives(Address(PEER.host, 9999))] == [A]
    with pytest.raises(NotPermitted):
        arrives(Address("8.8.8.9", PEER.port))
    world.now += limits.RELAY_PERMISSION_S
    with pytest.raises(NotPermitted):
        arrives(PEER)


# Ways that are kept -------------------------------------------------------------------------

Setting = Callable[[World, Asker, Asker], None]


def bind(client: Asker, number: bytes, peer: Address) -> None:
    client.does(StunMethod.CHANNEL_BIND, of_channel(number), of_peer(peer))


def sender_ends(world: World, a: Asker, b: Asker) -> None:
    bind(a, NUMBER, B_RELAYED)
    bind(b, NUMBER, A_RELAYED)
    a.does(StunMethod.REFRESH, of_lifetime(60))


def target_ends(world: World, a: Asker, b: Asker) -> None:
    bind(a, NUMBER, B_RELAYED)
    bind(b, NUMBER, A_RELAYED)
    b.does(StunMethod.REFRESH, of_lifetime(60))


def permission_ends(world: World, a: Asker, b: Asker) -> None:
    bind(b, NUMBER, A_RELAYED)
    world.now += limits.RELAY_PERMISSION_S - 60
    bind(a, NUMBER, B_RELAYED)


def channel_ends(world: World, a: Asker, b: Asker) -> None:
    bind(a, NUMBER, B_RELAYED)
    world.now += limits.RELAY_CHANNEL_S - 60
    for one in (a, b):
        one.does(StunMethod.REFRESH)
    bind(b, NUMBER, A_RELAYED)


@pytest.mark.parametrize(
    "setting",
    [sender_ends, target_ends, permission_ends, channel_ends],
    ids=lambda one: one.__name__,
)
def test_a_way_that_is_kept_ends_with_the_first_of_what_it_rests_on(setting: Setting) -> None:
    """In 60 s, without any request that would have it found anew."""
    world = World()
    a, b = pair_of(world)
    setting(world, a, b)
    assert [one.remote for one in a.on_channel(NUMBER, b"kept")] == [B]
    world.now += 59
    assert [one.remote for one in a.on_channel(NUMBER, b"still kept")] == [B]
    world.now += 1
    with pytest.raises(NotPermitted):
        a.on_channel(NUMBER, b"too late")


def test_where_only_the_channel_of_the_peer_ends_it_gets_indications() -> None:
    world = World()
    a, b = pair_of(world)
    bind(b, NUMBER, A_RELAYED)
    world.now += limits.RELAY_CHANNEL_S - 60
    for one in (a, b):
        one.does(StunMethod.REFRESH)
    b.does(StunMethod.CREATE_PERMISSION, of_peer(A_RELAYED))
    bind(a, NUMBER, B_RELAYED)
    (sent,) = a.on_channel(NUMBER, b"on its channel")
    assert sent.parts[0][:2] == NUMBER
    world.now += 60
    (sent,) = a.on_channel(NUMBER, b"as an indication")
    assert decode_stun(b"".join(sent.parts)).method is StunMethod.DATA


def test_a_channel_of_a_relayed_port_ends_too() -> None:
    world = port_world()
    client = foreign_of(world)
    bind(client, NUMBER, PEER)
    assert [one.remote for one in client.on_channel(NUMBER, b"kept")] == [PEER]
    world.now += limits.RELAY_ALLOCATION_S - 1
    client.does(StunMethod.REFRESH)
    assert client.on_channel(NUMBER, b"still kept")
    world.now += 1
    with pytest.raises(NotPermitted):
        client.on_channel(NUMBER, b"too late")
