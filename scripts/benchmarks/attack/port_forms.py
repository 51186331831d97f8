"""Datagrams that are not of the DHT: STUN, TURN, DTLS, and such as belong to nothing."""

import random
from collections.abc import Callable

from protocol import limits
from protocol.addresses import Address
from protocol.ice.check_messages import encode_check
from protocol.stun.attributes import Attribute, encode_text, encode_transport, encode_xor_address
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
    long_term_key,
)
from protocol.turn.client import TurnClient
from protocol.turn.grant import RelayGrant
from scripts.benchmarks.attack.form import Form

_UDP = 17
_DTLS_RECORD = bytes([22, 254, 253]) + bytes(8)
_CLIENT_HELLO = bytes([1]) + bytes(150)
_PEER = Address("9.9.9.9", 4001)


class PortAsker:
    """Sends to a port of a node that relays, with `grant` as its credentials there."""

    def __init__(
        self, send: Callable[[bytes], None], grant: RelayGrant, now: Callable[[], float]
    ) -> None:
        self._send = send
        self._grant = grant
        self._now = now
        self._rng = random.Random("datagrams")
        self._key = long_term_key(grant.username, grant.realm, grant.password)

    def forms(self) -> list[Form]:
        """What anybody can send, and what a client of the relay can."""
        binding, allocate = StunMethod.BINDING, StunMethod.ALLOCATE
        transport = (int(Attribute.REQUESTED_TRANSPORT), encode_transport(_UDP))
        bound = limits.STUN_ANSWERS_PER_SECOND
        return [
            Form("stun binding", lambda _: self._ask(binding), count=100, pause_s=1 / bound),
            Form("stun binding, faster than is answered", lambda _: self._ask(binding)),
            Form(
                "stun binding, 32 attributes",
                lambda _: self._ask(binding, *_ATTRIBUTES),
                count=100,
                pause_s=1 / bound,
            ),
            Form("stun response to nothing", lambda _: self._response()),
            Form("stun check, user unknown", lambda _: self._check()),
            Form("stun, malformed", lambda _: self._send(bytes(2) + bytes(98))),
            Form(
                "turn allocate, no credentials",
                lambda _: self._ask(allocate, transport),
                count=100,
                pause_s=1 / bound,
            ),
            Form(
                "turn allocate, a wrong password",
                lambda _: self._wrong(allocate, transport),
                count=100,
                pause_s=1 / bound,
            ),
            Form("turn allocate", lambda _: self._allocate(), count=100, pause_s=0.05),
            Form(
                "turn refresh",
                lambda _: self._authentic(StunMethod.REFRESH),
                count=100,
                pause_s=0.05,
            ),
            Form("turn create permission", lambda _: self._permit(), count=100, pause_s=0.05),
            Form("turn send indication", lambda _: self._indicate()),
            Form(
                "channel data, no channel", lambda _: self._send(b"\x40\x00\x00\x64" + bytes(100))
            ),
            Form("dtls hello of no link", lambda _: self._send(_DTLS_RECORD + _CLIENT_HELLO)),
            Form("dtls data of no link", lambda _: self._send(bytes([23]) + bytes(1100))),
            Form("unknown first byte", lambda _: self._send(bytes([255]) + bytes(1100))),
            Form("empty datagram", lambda _: self._send(b"")),
        ]

    def _transaction(self) -> bytes:
        return self._rng.randbytes(STUN_TRANSACTION_BYTES)

    def _ask(self, method: StunMethod, *attributes: tuple[int, bytes]) -> None:
        message = StunMessage(StunClass.REQUEST, method, self._transaction(), attributes)
        self._send(encode_stun(message))

    def _response(self) -> None:
        id_ = self._transaction()
        self._send(encode_stun(StunMessage(StunClass.SUCCESS, StunMethod.BINDING, id_, ())))

    def _check(self) -> None:
        self._send(
            encode_check(
                self._transaction(),
                username=b"abcdefgh:ijklmnop",
                priority=1,
                controlling=True,
                tie_breaker=1,
                nominates=False,
                key=b"p" * 22,
            )
        )

    def _credentials(self) -> tuple[tuple[int, bytes], ...]:
        grant = self._grant
        return (
            (int(Attribute.USERNAME), encode_text(grant.username)),
            (int(Attribute.REALM), encode_text(grant.realm)),
            (int(Attribute.NONCE), encode_text(grant.nonce)),
        )

    def _wrong(self, method: StunMethod, *attributes: tuple[int, bytes]) -> None:
        fields = (*attributes, *self._credentials())
        message = StunMessage(StunClass.REQUEST, method, self._transaction(), fields)
        self._send(encode_stun(message, key=b"w" * 16))

    def _authentic(self, method: StunMethod, *attributes: tuple[int, bytes]) -> None:
        fields = (*attributes, *self._credentials())
        message = StunMessage(StunClass.REQUEST, method, self._transaction(), fields)
        self._send(encode_stun(message, key=self._key))

    def _allocate(self) -> None:
        prefix = self._rng.randbytes(4)
        client = TurnClient(self._grant, transaction_prefix=prefix, rng=self._rng, now=self._now())
        for datagram in client.take_datagrams():
            self._send(datagram)

    def _permit(self) -> None:
        id_ = self._transaction()
        peer = (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(_PEER, id_))
        fields = (peer, *self._credentials())
        message = StunMessage(StunClass.REQUEST, StunMethod.CREATE_PERMISSION, id_, fields)
        self._send(encode_stun(message, key=self._key))

    def _indicate(self) -> None:
        id_ = self._transaction()
        peer = (int(Attribute.XOR_PEER_ADDRESS), encode_xor_address(_PEER, id_))
        data = (int(Attribute.DATA), bytes(100))
        message = StunMessage(StunClass.INDICATION, StunMethod.SEND, id_, (peer, data))
        self._send(encode_stun(message, fingerprint=False))


_ATTRIBUTES = tuple((0x8100 + number, bytes(8)) for number in range(limits.STUN_ATTRIBUTES - 1))
"""Ones that need not be understood."""
