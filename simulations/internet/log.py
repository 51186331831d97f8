"""The running hash of everything that happened: two runs are the same if their hashes are.

It covers time, endpoints and kind of every event, never sizes or contents: OpenSSL draws its own
randomness, and an ECDSA signature is 70 to 72 bytes long. A kind is told by a datagram's first byte
alone (RFC 7983).
"""

import hashlib
import struct
from enum import IntEnum
from typing import Final

FLUSH_BYTES: Final = 1 << 16
DTLS_CHANGE_CIPHER_SPEC: Final = 20
DTLS_HANDSHAKE: Final = 22

_pack_record: Final = struct.Struct("<QIIBB").pack


class Kind(IntEnum):
    """What a datagram is, by its first byte."""

    OTHER = 0
    STUN = 1
    DTLS = 2
    MODSWARM = 3
    EMPTY = 4


class Fate(IntEnum):
    """What became of a datagram, or what happened to an endpoint or a host."""

    DELIVERED = 0
    OPENED = 1
    CLOSED = 2
    UNROUTABLE = 3
    NO_SOCKET = 4
    HOST_ABSENT = 5
    BLOCKED = 6
    PARTITIONED = 7
    QUEUE_FULL = 8
    LOST = 9
    TOO_BIG = 10
    NOT_MAPPED = 11
    FILTERED = 12
    NO_HAIRPIN = 13
    TABLE_FULL = 14
    STALE_ADDRESS = 15
    CHANGED = 16
    TTL_EXPIRED = 17


NOT_DROPPED: Final = frozenset({Fate.DELIVERED, Fate.OPENED, Fate.CLOSED, Fate.CHANGED})


def _kind_of(first: int) -> Kind:
    if first < 4:
        return Kind.STUN
    if 20 <= first < 64:
        return Kind.DTLS
    if 0xD0 <= first < 0xE0:
        return Kind.MODSWARM
    return Kind.OTHER


KIND_OF_FIRST_BYTE: Final = bytes(_kind_of(first) for first in range(256))


def kind_of(data: bytes) -> int:
    """The kind of a datagram, a number of `Kind`."""
    return KIND_OF_FIRST_BYTE[data[0]] if data else Kind.EMPTY


def is_handshake(data: bytes) -> bool:
    """Whether a datagram is of a DTLS handshake, whose length may differ between runs."""
    return bool(data) and data[0] in {DTLS_HANDSHAKE, DTLS_CHANGE_CIPHER_SPEC}


class EventLog:
    """A BLAKE2b hash over (microsecond, source, destination, kind, fate) of every event, in order.

    Endpoints are numbered in the order of their opening; what a number means enters the hash as
    text when the endpoint opens or changes.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._pending = bytearray()
        self.events = 0

    def add(self, time_s: float, source: int, destination: int, kind: int, fate: int) -> None:
        """Take up one event between two numbered endpoints; 0 stands for none."""
        self.events += 1
        self._pending += _pack_record(int(time_s * 1e6 + 0.5), source, destination, kind, fate)
        if len(self._pending) > FLUSH_BYTES:
            self._flush()

    def add_text(self, time_s: float, fate: int, text: str) -> None:
        """Take up one event that has words: an endpoint opened, a packet to an unknown address."""
        encoded = text.encode()
        self.add(time_s, len(encoded), 0, 0, fate)
        self._pending += encoded

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be hashed."""
        return len(self._pending)

    def digest(self) -> str:
        """The hash so far, 32 hexadecimal digits; the log can go on."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        self._hash.update(self._pending)
        self._pending.clear()
