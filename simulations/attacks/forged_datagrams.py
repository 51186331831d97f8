"""Datagrams that seem to belong to a link, made without any of its keys."""

import random
from collections.abc import Callable

from protocol.ice.check_messages import encode_check
from protocol.stun.message import (
    STUN_TRANSACTION_BYTES,
    StunClass,
    StunMessage,
    StunMethod,
    encode_stun,
)

_ALERT, _HANDSHAKE, _CIPHER_CHANGE, _DATA = 21, 22, 20, 23
_rng = random.Random("forged")


def record(kind: int, body: bytes, epoch: int = 0, sequence: int = 0) -> bytes:
    """A DTLS 1.2 record."""
    head = bytes([kind, 254, 253]) + epoch.to_bytes(2) + sequence.to_bytes(6)
    return head + len(body).to_bytes(2) + body


def _check(username: str, key: bytes) -> bytes:
    return encode_check(
        _rng.randbytes(STUN_TRANSACTION_BYTES),
        username=username.encode(),
        priority=1,
        controlling=True,
        tie_breaker=1,
        nominates=True,
        key=key,
    )


def _binding(kind: StunClass) -> bytes:
    return encode_stun(
        StunMessage(kind, StunMethod.BINDING, _rng.randbytes(STUN_TRANSACTION_BYTES), ())
    )


FORGED: dict[str, Callable[[str], bytes]] = {
    "fatal alert in the clear": lambda _: record(_ALERT, b"\2\x28"),
    "close_notify in the clear": lambda _: record(_ALERT, b"\1\0"),
    "sealed alert": lambda _: record(_ALERT, _rng.randbytes(26), 1, _rng.getrandbits(20)),
    "ClientHello": lambda _: record(_HANDSHAKE, bytes([1]) + _rng.randbytes(150)),
    "fragment": lambda _: record(_HANDSHAKE, bytes.fromhex("01ffffff00000000fffe0001") + b"x"),
    "sealed handshake": lambda _: record(_HANDSHAKE, _rng.randbytes(60), 1, _rng.getrandbits(20)),
    "next epoch": lambda _: record(_HANDSHAKE, _rng.randbytes(60), 2, _rng.getrandbits(20)),
    "change of cipher": lambda _: record(_CIPHER_CHANGE, b"\1"),
    "data, highest number": lambda _: record(_DATA, _rng.randbytes(1100), 1, 2**48 - 1),
    "data of a later epoch": lambda _: record(_DATA, _rng.randbytes(1100), 65535, 2**48 - 1),
    "data of a false length": lambda _: record(_DATA, _rng.randbytes(50), 1)[:-20],
    "RTP": lambda _: b"\x80" + _rng.randbytes(171),
    "STUN response": lambda _: _binding(StunClass.SUCCESS),
    "STUN indication": lambda _: _binding(StunClass.INDICATION),
    "check with a wrong key": lambda username: _check(username, b"w" * 22),
}
"""Each gets the user name of the link's checks, which each router on the way can read."""
