"""Datagrams that are not of the DHT: STUN, DTLS, and such as belong to nothing."""

import random
from collections.abc import Callable

from protocol import limits
from protocol.ice.check_messages import encode_check
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
)
from scripts.benchmarks.attack.form import Form

_DTLS_RECORD = bytes([22, 254, 253]) + bytes(8)
_CLIENT_HELLO = bytes([1]) + bytes(150)


class PortAsker:
    """Sends to a port of a node."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._rng = random.Random("datagrams")

    def forms(self) -> list[Form]:
        """What a host without a session can send."""
        binding = StunMethod.BINDING
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


_ATTRIBUTES = tuple((0x8100 + number, bytes(8)) for number in range(limits.STUN_ATTRIBUTES - 1))
"""Ones that need not be understood."""
