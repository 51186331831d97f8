"""Which peers the relayed ports of foreign clients may reach."""

import base64
import hmac
import ipaddress

import pytest

from protocol.addresses import Address
from protocol.errors import RelayRefusal
from protocol.stun.attributes import Attribute, ErrorCode, encode_channel, encode_transport
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    long_term_key,
)
from protocol.turn.channel_data import CHANNEL_MAX, CHANNEL_MIN
from protocol.turn.credentials import REALM
from protocol.turn.policy import PeerPolicy
from tests.protocol.turn.turn_world import RELAY, A, World, code_of

OWN = Address("198.51.100.1", 4001)
COOKIE = bytes.fromhex("2112a442")
RELAYED = (Address("198.51.100.1", 5000), Address("2001:db8::1", 5000))


def policy(*, private: bool) -> PeerPolicy:
    return PeerPolicy(lambda: frozenset({OWN, Address("127.0.0.1", 4001)}), private=private)


TRANSLATED = [
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001:0:1::1",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "100::1",
        OWN.host,
        *TRANSLATED,
    ],
)
def test_addresses_that_are_not_global_unicast_or_our_own_are_refused(host: str) -> None:
    with pytest.raises(RelayRefusal):
        policy(private=False).check_peer(Address(host, 9))


def test_global_addresses_are_reached_and_private_ones_where_configured() -> None:
    policy(private=False).check_peer(Address("8.8.8.8", 53))
    policy(private=False).check_peer(Address("2a00::1", 53))
    for host in ("10.0.0.1", "127.0.0.1", "100.64.0.1", "::1", "fc00::1"):
        policy(private=True).check_peer(Address(host, 4002))


@pytest.mark.parametrize("host", TRANSLATED)
def test_translated_addresses_are_refused_where_private_ones_are_reached(host: str) -> None:
    with pytest.raises(RelayRefusal):
        policy(private=True).check_peer(Address(host, 9))


def test_own_ports_and_virtual_addresses_never_are() -> None:
    for peer in (OWN, Address("127.0.0.1", 4001), Address("100::1", 3478)):
        with pytest.raises(RelayRefusal):
            policy(private=True).check_peer(peer)


class ForeignClient:
    """A client at `A` with an allocation of a relayed port, that may reach private addresses."""

    def __init__(self, *, family: int) -> None:
        self.world = World(ports=RELAYED, private=True, shared_secret="shared")
        username = f"{int(self.world.wall) + 600}:guest"
        digest = hmac.digest(b"shared", username.encode(), "sha1")
        self._key = long_term_key(username, REALM, base64.b64encode(digest).decode())
        nonce = self.world.credentials.nonce(A, self.world.now)
        self._login = (
            (int(Attribute.USERNAME), username.encode()),
            (int(Attribute.REALM), REALM.encode()),
            (int(Attribute.NONCE), nonce.encode()),
        )
        number = 1 if family == 4 else 2
        self.ask(
            StunMethod.ALLOCATE,
            (int(Attribute.REQUESTED_TRANSPORT), encode_transport(17)),
            (int(Attribute.REQUESTED_ADDRESS_FAMILY), bytes((number, 0, 0, 0))),
        )

    def ask(self, method: StunMethod, *attributes: tuple[int, bytes]) -> int:
        """The error code of the answer; 0 for a success."""
        message = StunMessage(StunClass.REQUEST, method, bytes(12), (*attributes, *self._login))
        self.world.sent_on.clear()
        self.world.to_relay(encode_stun(message, key=self._key, fingerprint=False), A)
        (send,) = self.world.sent_on
        assert (send.remote, send.local) == (A, RELAY)
        answer = b"".join(send.parts)
        return 0 if decode_stun(answer).kind is StunClass.SUCCESS else code_of(answer)


def peer_attribute(host: str) -> tuple[int, bytes]:
    """XOR-PEER-ADDRESS, for the transaction of zeros, also of what `Address` refuses."""
    packed = ipaddress.ip_address(host).packed
    mask = (COOKIE + bytes(12))[: len(packed)]
    family = b"\0\1" if len(packed) == 4 else b"\0\2"
    port = (9).to_bytes(2)
    value = bytes(a ^ b for a, b in zip(port + packed, COOKIE[:2] + mask, strict=True))
    return int(Attribute.XOR_PEER_ADDRESS), family + value


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "ff02::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::808:808",
        "198.51.100.1",
    ],
)
def test_what_no_peer_may_have_is_refused_wherever_a_client_names_it(host: str) -> None:
    """Unspecified, multicast, reserved, mapped, translated addresses and the relay's own port."""
    client = ForeignClient(family=6 if ":" in host else 4)
    refused = {ErrorCode.FORBIDDEN, ErrorCode.BAD_REQUEST}
    peer = peer_attribute(host)
    if host == RELAY.host:
        port = int.from_bytes(COOKIE[:2]) ^ RELAY.port
        peer = (peer[0], peer[1][:2] + port.to_bytes(2) + peer[1][4:])
    else:
        assert client.ask(StunMethod.CREATE_PERMISSION, peer) in refused
    channel = (int(Attribute.CHANNEL_NUMBER), encode_channel(CHANNEL_MIN))
    assert client.ask(StunMethod.CHANNEL_BIND, channel, peer) in refused
    client.world.sent_on.clear()
    data = (int(Attribute.DATA), b"out")
    message = StunMessage(StunClass.INDICATION, StunMethod.SEND, bytes(12), (peer, data))
    client.world.to_relay(encode_stun(message, fingerprint=False), A)
    assert client.world.sent_on == []


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (CHANNEL_MIN - 1, ErrorCode.BAD_REQUEST),
        (CHANNEL_MIN, 0),
        (0x4FFF, 0),
        (0x5000, 0),
        (CHANNEL_MAX, 0),
        (CHANNEL_MAX + 1, ErrorCode.BAD_REQUEST),
    ],
)
def test_channel_numbers_from_4000_to_7fff_are_accepted(number: int, code: int) -> None:
    """RFC 8656 has them up to 0x4FFF; coturn's client uses those beyond."""
    assert (CHANNEL_MIN, CHANNEL_MAX) == (0x4000, 0x7FFF)
    client = ForeignClient(family=4)
    channel = (int(Attribute.CHANNEL_NUMBER), encode_channel(number))
    assert client.ask(StunMethod.CHANNEL_BIND, channel, peer_attribute("8.8.8.8")) == code
