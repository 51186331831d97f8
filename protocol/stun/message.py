"""STUN messages (RFC 8489, 5): their frame, their attributes in order, and what protects them.

A received message is believed in two steps: `decode_stun` checks the form and FINGERPRINT, and
`has_integrity` compares MESSAGE-INTEGRITY with a key that the receiver finds by what it has read.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache, partial
from typing import Final
from zlib import crc32

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, Oversized, Truncated, UnknownVersion
from protocol.stun.attributes import (
    COMPREHENSION_OPTIONAL,
    MAGIC_COOKIE,
    Attribute,
    decode_error,
    decode_number,
    decode_text,
    decode_xor_address,
)

STUN_HEADER_BYTES: Final = 20
STUN_TRANSACTION_BYTES: Final = 12

_INTEGRITY_BYTES: Final = 20
_INTEGRITY_HEADER: Final = b"\x00\x08\x00\x14"
_FINGERPRINT_HEADER: Final = b"\x80\x28\x00\x04"
_FINGERPRINT_MASK: Final = 0x5354554E
"""RFC 8489, 14.7: "STUN" in ASCII."""

_sha1: Final = partial(hashlib.sha1, usedforsecurity=False)
"""HMAC-SHA1 needs no collision resistance; "usedforsecurity" would forbid it on some systems."""
_SHA1_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))

_LENGTH_MAX: Final = 0xFFFF

_KNOWN: Final = frozenset(map(int, Attribute))


class StunClass(IntEnum):
    """The two class bits (RFC 8489, 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class StunMethod(IntEnum):
    """RFC 8489, 18.2, and RFC 8656, 17."""

    BINDING = 1
    ALLOCATE = 3
    REFRESH = 4
    SEND = 6
    DATA = 7
    CREATE_PERMISSION = 8
    CHANNEL_BIND = 9


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message. `attributes` are (type, value) in the order of the wire.

    Neither MESSAGE-INTEGRITY nor FINGERPRINT is among them, nor what follows MESSAGE-INTEGRITY,
    which nothing protects (RFC 8489, 14.5). `integrity_at` is where MESSAGE-INTEGRITY begins in
    the bytes that were decoded; 0: there is none.
    """

    kind: StunClass
    method: StunMethod
    transaction: bytes
    attributes: tuple[tuple[int, bytes], ...] = ()
    integrity_at: int = field(default=0, compare=False)

    def get(self, attribute: int) -> bytes | None:
        """The value of the first attribute of a type (RFC 8489, 14), or None."""
        for kind, value in self.attributes:
            if kind == attribute:
                return value
        return None

    def number(self, attribute: int, size: int = 4) -> int | None:
        """An unsigned number of `size` bytes, or None if it is absent; raises Malformed."""
        value = self.get(attribute)
        return None if value is None else decode_number(value, size)

    def text(self, attribute: int) -> str | None:
        """A text, or None if it is absent; raises Malformed, Oversized."""
        value = self.get(attribute)
        return None if value is None else decode_text(value)

    def address(self, attribute: int) -> Address | None:
        """A XOR'd address, or None if it is absent; raises Malformed, NotUnicast."""
        value = self.get(attribute)
        return None if value is None else decode_xor_address(value, self.transaction)

    def error(self) -> tuple[int, str] | None:
        """Code and reason in ERROR-CODE, or None if it is absent; raises Malformed."""
        value = self.get(Attribute.ERROR_CODE)
        return None if value is None else decode_error(value)

    def not_understood(self, known: Iterable[int] = _KNOWN) -> tuple[int, ...]:
        """The types that a receiver must know to understand this message, and does not.

        A request with any is answered with 420 (RFC 8489, 6.3.1). `known` are the types that this
        receiver knows.
        """
        return tuple(
            kind
            for kind, _ in self.attributes
            if kind < COMPREHENSION_OPTIONAL and kind not in known
        )


def _type_of(kind: int, method: int) -> int:
    """The first two bytes of the header (RFC 8489, 5): class bits among those of the method."""
    method_bits = method & 0x000F | (method & 0x0070) << 1 | (method & 0x0F80) << 2
    return method_bits | (kind & 1) << 4 | (kind & 2) << 7


_TYPES: Final = {
    (kind, method): _type_of(kind, method).to_bytes(2)
    for kind in StunClass
    for method in StunMethod
}
_BY_TYPE: Final = {value: key for key, value in _TYPES.items()}


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """The key of MESSAGE-INTEGRITY under long-term credentials (RFC 8489, 9.2.2)."""
    text = f"{username}:{realm}:{password}".encode()
    return hashlib.md5(text, usedforsecurity=False).digest()


@lru_cache(maxsize=limits.STUN_KEYS)
def _hmac_starts(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """HMAC's inner and outer hash after the key (RFC 2104), so that a message costs half."""
    if len(key) > _SHA1_BLOCK_BYTES:
        key = _sha1(key).digest()
    block = key.ljust(_SHA1_BLOCK_BYTES, b"\0")
    return _sha1(block.translate(_INNER_PAD)), _sha1(block.translate(_OUTER_PAD))


def _hmac_sha1(key: bytes, data: bytes) -> bytes:
    inner, outer = _hmac_starts(key)
    hashed, result = inner.copy(), outer.copy()
    hashed.update(data)
    result.update(hashed.digest())
    return result.digest()


def encode_stun(
    message: StunMessage, *, key: bytes | None = None, fingerprint: bool = True
) -> bytes:
    """The bytes of a message, with MESSAGE-INTEGRITY (HMAC-SHA1) if there is a key.

    The key is the password in UTF-8 for short-term credentials, and `long_term_key` else (RFC 8489,
    9). Raises Oversized.
    """
    parts = []
    for kind, value in message.attributes:
        size = len(value)
        parts.append(kind.to_bytes(2) + size.to_bytes(2) + value + bytes(-size % 4))
    body = b"".join(parts)
    length = len(body)
    if length + _INTEGRITY_BYTES + 12 > _LENGTH_MAX:
        raise Oversized(f"a STUN message of {length} bytes")
    start = _TYPES[message.kind, message.method]
    rest = MAGIC_COOKIE + message.transaction + body
    if key is not None:
        length += 4 + _INTEGRITY_BYTES
        digest = _hmac_sha1(key, start + length.to_bytes(2) + rest)
        rest += _INTEGRITY_HEADER + digest
    if not fingerprint:
        return start + length.to_bytes(2) + rest
    data = start + (length + 8).to_bytes(2) + rest
    return data + _FINGERPRINT_HEADER + (crc32(data) ^ _FINGERPRINT_MASK).to_bytes(4)


def decode_stun(data: bytes) -> StunMessage:
    """Read a message; raises Malformed and its children.

    UnknownVersion stands for a method that this node does not speak. A FINGERPRINT is checked where
    there is one, and must come last.
    """
    size = len(data)
    if size < STUN_HEADER_BYTES:
        raise Truncated("less than a STUN header")
    found = _BY_TYPE.get(data[:2])
    if (
        data[4:8] != MAGIC_COOKIE
        or int.from_bytes(data[2:4]) != size - STUN_HEADER_BYTES
        or size % 4
    ):
        raise Malformed("not a STUN message")
    if found is None:
        raise UnknownVersion(f"STUN message type {data[:2].hex()}")
    attributes: list[tuple[int, bytes]] = []
    integrity_at = 0
    at = STUN_HEADER_BYTES
    for _ in range(limits.STUN_ATTRIBUTES):
        if at == size:
            break
        kind = data[at] << 8 | data[at + 1]
        length = data[at + 2] << 8 | data[at + 3]
        value_at = at + 4
        end = value_at + length
        if end > size:
            raise Truncated(f"STUN attribute {kind:#06x} ends beyond its message")
        if kind == Attribute.FINGERPRINT:
            _check_fingerprint(data, at, length)
        elif integrity_at:
            pass
        elif kind == Attribute.MESSAGE_INTEGRITY:
            if length != _INTEGRITY_BYTES:
                raise Malformed(f"a MESSAGE-INTEGRITY of {length} bytes")
            integrity_at = at
        else:
            attributes.append((kind, data[value_at:end]))
        at = end + -length % 4
    if at != size:
        raise Oversized(f"more than {limits.STUN_ATTRIBUTES} STUN attributes")
    return StunMessage(*found, data[8:STUN_HEADER_BYTES], tuple(attributes), integrity_at)


def _check_fingerprint(data: bytes, at: int, length: int) -> None:
    if length != 4 or at + 8 != len(data):
        raise Malformed("a FINGERPRINT that is not the end of its message")
    if int.from_bytes(data[at + 4 :]) != crc32(data[:at]) ^ _FINGERPRINT_MASK:
        raise Malformed("a FINGERPRINT that does not match")


def has_integrity(data: bytes, message: StunMessage, key: bytes) -> bool:
    """Whether `data`, of which `message` was decoded, was made by one who has the key.

    Compares in constant time. False without MESSAGE-INTEGRITY.
    """
    at = message.integrity_at
    if not at:
        return False
    # The length counts as if MESSAGE-INTEGRITY were the end (RFC 8489, 14.5).
    length = at + 4 + _INTEGRITY_BYTES - STUN_HEADER_BYTES
    expected = _hmac_sha1(key, data[:2] + length.to_bytes(2) + data[4:at])
    return hmac.compare_digest(expected, data[at + 4 : at + 4 + _INTEGRITY_BYTES])
