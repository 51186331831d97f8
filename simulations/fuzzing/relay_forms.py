"""What relays and their clients read: STUN, TURN, ChannelData, credentials."""

from random import Random

from protocol import codec
from protocol.addresses import Address
from protocol.stun.attributes import Attribute, encode_xor_address
from protocol.stun.message import StunClass, StunMessage, StunMethod, decode_stun, encode_stun
from protocol.turn.client import TurnClient
from protocol.turn.credentials import CredentialMaker
from protocol.turn.grant import decode_grant, encode_grant
from protocol.turn.policy import PeerPolicy
from protocol.turn.server import TurnServer
from protocol.turn.terms import RelayQuota
from protocol.turn.virtual import relayed_address
from simulations.fuzzing.target import NOW_S, OURS, THEIRS, Target

_RELAY = Address("1.2.3.4", 4001)
_CLIENTS = (Address("5.6.7.8", 4001), Address("2a00::1", 4001))
_PORT = Address("1.2.3.4", 5000)
_IDS = (OURS.peer_id, THEIRS.peer_id)
_RELAY_ID = bytes(20)
_BULK = 64
_SIZE = 40


class _Pair:
    """A relay whose two clients have let each other in; nothing of it is sent anywhere."""

    def __init__(self) -> None:
        rng = Random(1)
        maker = CredentialMaker(bytes(32), shared_secret=_RELAY.host)
        quota = RelayQuota()
        self.server = TurnServer(
            _RELAY_ID,
            maker,
            quota=quota,
            policy=PeerPolicy(lambda: frozenset({_RELAY})),
            ports=(_PORT,),
            is_our_relay=lambda _: False,
            rng=rng,
        )
        self.grants = [
            maker.grant(peer_id, address, now=0.0, wall=NOW_S, terms=quota.terms)
            for peer_id, address in zip(_IDS, _CLIENTS, strict=True)
        ]
        self.clients = [
            TurnClient(grant, transaction_prefix=b"fuzz", rng=rng, now=0.0) for grant in self.grants
        ]
        self.sent: list[bytes] = []
        self.answers: list[bytes] = []
        self._settle()
        for client, peer_id in zip(self.clients, reversed(_IDS), strict=True):
            client.permit(relayed_address(_RELAY_ID, peer_id), 0.0)
        self._settle()

    def _settle(self) -> None:
        for client, address in zip(self.clients, _CLIENTS, strict=True):
            for datagram in client.take_datagrams():
                self.sent.append(datagram)
                for send in self.server.receive(datagram, address, _RELAY, 0.0, NOW_S):
                    self.answers.append(b"".join(send.parts))
                    client.receive(self.answers[-1], 0.0)


_PAIR = _Pair()
_PEER = relayed_address(_RELAY_ID, THEIRS.peer_id)


def _indication(method: StunMethod) -> bytes:
    attributes = (
        (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(_PEER, bytes(12))),
        (int(Attribute.DATA), b"data"),
    )
    return encode_stun(StunMessage(StunClass.INDICATION, method, bytes(12), attributes))


def _channel_data() -> bytes:
    ((parts, _),) = _PAIR.clients[0].outgoing(bytes(_SIZE - 4) * 3, _SIZE - 4, _PEER)
    return b"".join(parts)


def _relay_reads(data: bytes) -> object:
    """As a datagram of the first client: what leaves again is made whole."""
    if data and data[0] >= _BULK:
        forwarder = _PAIR.server.forwarder
        sends = forwarder.channel_received(data, _SIZE, _CLIENTS[0], _RELAY, 0.0)
    else:
        sends = _PAIR.server.receive(data, _CLIENTS[0], _RELAY, 0.0, NOW_S)
    return [b"".join(send.parts) for send in sends]


def _client_reads(data: bytes) -> object:
    if data and data[0] >= _BULK:
        return _PAIR.clients[0].channel_received(data, _SIZE)
    return _PAIR.clients[0].receive(data, 0.0)


_GRANT = codec.encode(encode_grant(_PAIR.grants[0]))

RELAY_FORMS = {
    "stun": Target(decode_stun, (*_PAIR.sent, *_PAIR.answers)),
    "relay": Target(_relay_reads, (*_PAIR.sent, _indication(StunMethod.SEND), _channel_data())),
    "client of a relay": Target(
        _client_reads, (*_PAIR.answers, _indication(StunMethod.DATA), _channel_data())
    ),
    "relay credentials": Target(
        lambda data: decode_grant(codec.decode(data, max_bytes=1000, max_items=64)), (_GRANT,)
    ),
}
