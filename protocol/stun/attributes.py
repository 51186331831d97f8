"""The attributes of STUN, ICE and TURN: their numbers, and how their values are spelled.

Each `encode_...` returns the value of one attribute without its header and padding; each
`decode_...` reads one, and raises Malformed for what RFC 8489 (14), RFC 8445 (7.1) or RFC 8656 (18)
does not allow there.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from protocol import limits
from protocol.addresses import Address, pack_address, unpack_address
from protocol.errors import Malformed, Oversized

MAGIC_COOKIE: Final = b"\x21\x12\xa4\x42"
"""The magic cookie of each header (RFC 8489, 5)."""

_FAMILY_V4: Final = 1
_FAMILY_V6: Final = 2
_FAMILIES: Final = {4: _FAMILY_V4, 16: _FAMILY_V6}
"""The family by the bytes of the host."""

_PORT_MASK: Final = MAGIC_COOKIE[:2]

_ERROR_CODES: Final = range(300, 700)

COMPREHENSION_OPTIONAL: Final = 0x8000
"""Attributes from here on may be ignored by a receiver that does not know them."""


class Attribute(IntEnum):
    """Attribute types (IANA's registry); NOMINATION is of draft-thatcher-ice-renomination."""

    MAPPED_ADDRESS = 0x0001
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    NOMINATION = 0xC001


class ErrorCode(IntEnum):
    """Codes of ERROR-CODE (RFC 8489, 14.8; RFC 8445, 7.3.1.1; RFC 8656, 19)."""

    TRY_ALTERNATE = 300
    BAD_REQUEST = 400
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    UNKNOWN_ATTRIBUTE = 420
    ALLOCATION_MISMATCH = 437
    STALE_NONCE = 438
    ADDRESS_FAMILY_NOT_SUPPORTED = 440
    WRONG_CREDENTIALS = 441
    UNSUPPORTED_TRANSPORT = 442
    PEER_ADDRESS_FAMILY_MISMATCH = 443
    ALLOCATION_QUOTA_REACHED = 486
    ROLE_CONFLICT = 487
    SERVER_ERROR = 500
    INSUFFICIENT_CAPACITY = 508


def encode_xor_address(address: Address, transaction: bytes) -> bytes:
    """XOR-MAPPED-ADDRESS, XOR-PEER-ADDRESS, XOR-RELAYED-ADDRESS: 8 or 20 bytes (RFC 8489, 14.2)."""
    packed = pack_address(address)
    size = len(packed) - 2
    host = int.from_bytes(packed[:size]) ^ int.from_bytes((MAGIC_COOKIE + transaction)[:size])
    port = int.from_bytes(packed[size:]) ^ int.from_bytes(_PORT_MASK)
    return b"\0%c%b%b" % (_FAMILIES[size], port.to_bytes(2), host.to_bytes(size))


def decode_xor_address(value: bytes, transaction: bytes) -> Address:
    """The unicast address in an XOR'd attribute; raises Malformed, NotUnicast."""
    return unpack_address(_unmask(value, transaction))


def decode_xor_host(value: bytes, transaction: bytes) -> str:
    """Only its IP literal, where the port does not count and may be 0 (RFC 8656, 9.1).

    Raises Malformed, NotUnicast.
    """
    return unpack_address(_unmask(value, transaction)[:-2] + b"\0\1").host


def _unmask(value: bytes, transaction: bytes) -> bytes:
    """The address as `pack_address` spells it, not checked any further."""
    size = len(value) - 4
    if size not in _FAMILIES or _FAMILIES[size] != value[1]:
        raise Malformed(f"a STUN address of {len(value)} bytes")
    host = int.from_bytes(value[4:]) ^ int.from_bytes((MAGIC_COOKIE + transaction)[:size])
    port = int.from_bytes(value[2:4]) ^ int.from_bytes(_PORT_MASK)
    return host.to_bytes(size) + port.to_bytes(2)


def decode_mapped_address(value: bytes) -> Address:
    """The unicast address in MAPPED-ADDRESS (RFC 8489, 14.1); raises Malformed, NotUnicast."""
    size = len(value) - 4
    if size not in _FAMILIES or _FAMILIES[size] != value[1]:
        raise Malformed(f"a STUN address of {len(value)} bytes")
    return unpack_address(value[4:] + value[2:4])


def encode_error(code: int, reason: str = "") -> bytes:
    """ERROR-CODE (RFC 8489, 14.8)."""
    return b"\0\0%c%c%b" % (code // 100, code % 100, reason.encode())


def decode_error(value: bytes) -> tuple[int, str]:
    """Code and reason; raises Malformed. A reason that is not UTF-8 is mended, not refused."""
    if len(value) < 4 or value[3] > 99:
        raise Malformed("not an ERROR-CODE")
    code = (value[2] & 0x07) * 100 + value[3]
    if code not in _ERROR_CODES:
        raise Malformed(f"ERROR-CODE {code}")
    return code, value[4 : 4 + limits.STUN_TEXT_BYTES].decode(errors="replace")


def encode_unknown_attributes(types: Iterable[int]) -> bytes:
    """UNKNOWN-ATTRIBUTES of a 420 (RFC 8489, 14.9)."""
    return b"".join(kind.to_bytes(2) for kind in types)


def decode_unknown_attributes(value: bytes) -> tuple[int, ...]:
    """The types in UNKNOWN-ATTRIBUTES; raises Malformed."""
    if len(value) % 2:
        raise Malformed("half a type in UNKNOWN-ATTRIBUTES")
    return tuple(int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2))


def encode_u32(number: int) -> bytes:
    """PRIORITY, and LIFETIME in seconds."""
    return number.to_bytes(4)


def encode_u64(number: int) -> bytes:
    """ICE-CONTROLLED and ICE-CONTROLLING: the tie-breaker."""
    return number.to_bytes(8)


def decode_number(value: bytes, size: int) -> int:
    """An unsigned number of `size` bytes; raises Malformed."""
    if len(value) != size:
        raise Malformed(f"a STUN number of {len(value)} bytes, not {size}")
    return int.from_bytes(value)


def encode_text(text: str) -> bytes:
    """USERNAME, REALM, NONCE, SOFTWARE. Raises Oversized."""
    value = text.encode()
    if len(value) > limits.STUN_TEXT_BYTES:
        raise Oversized(f"a STUN text of {len(value)} bytes")
    return value


def decode_text(value: bytes) -> str:
    """The same; raises Malformed, Oversized."""
    if len(value) > limits.STUN_TEXT_BYTES:
        raise Oversized(f"a STUN text of {len(value)} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed("a STUN text that is not UTF-8") from None


def encode_transport(protocol: int) -> bytes:
    """REQUESTED-TRANSPORT, by the number of the IP protocol (RFC 8656, 18.7): 17 is UDP."""
    return bytes((protocol, 0, 0, 0))


def encode_family(family: int) -> bytes:
    """REQUESTED-ADDRESS-FAMILY of IP version 4 or 6 (RFC 8656, 18.6)."""
    return bytes((_FAMILY_V6 if family == 6 else _FAMILY_V4, 0, 0, 0))


def decode_first_byte(value: bytes) -> int:
    """The number in REQUESTED-TRANSPORT or REQUESTED-ADDRESS-FAMILY; raises Malformed."""
    if len(value) != 4:
        raise Malformed(f"a STUN attribute of {len(value)} bytes, not 4")
    return value[0]


def encode_channel(number: int) -> bytes:
    """CHANNEL-NUMBER (RFC 8656, 18.1)."""
    return number.to_bytes(2) + b"\0\0"


def decode_channel(value: bytes) -> int:
    """The same, not yet checked against the range of channels; raises Malformed."""
    if len(value) != 4:
        raise Malformed(f"a CHANNEL-NUMBER of {len(value)} bytes")
    return int.from_bytes(value[:2])
