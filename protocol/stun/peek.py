"""What tells the owner of a STUN message, read without parsing or believing the rest of it.

Nothing here is authenticated: a message that was told apart so has still to prove its integrity
to its owner.
"""

from typing import Final, NamedTuple

from protocol import limits

_HEADER_BYTES: Final = 20

_COOKIE: Final = b"\x21\x12\xa4\x42"
_COOKIE_AT: Final = 4
_TRANSACTION_AT: Final = 8

_NOT_STUN_BITS: Final = 0xC0
"""The two highest bits of the first byte are zero."""

_RESPONSE_BIT: Final = 0x01
"""C1, the higher bit of the class, is the lowest of the first byte (RFC 8489, 5)."""

_USERNAME: Final = 0x0006


class Peek(NamedTuple):
    """What finds a message's owner: the transaction id of a response, the ufrag of any other.

    `ufrag` is that of the receiver: what stands in USERNAME before the colon (RFC 8445, 7.2.2). It
    is empty in responses, and where there is no such attribute.
    """

    is_response: bool
    transaction: bytes
    ufrag: bytes


def peek(message: bytes) -> Peek | None:
    """Read the header (RFC 8489, 5) and the USERNAME of a datagram; None if it is not STUN.

    Takes any bytes, and never raises.
    """
    if (
        len(message) < _HEADER_BYTES
        or message[0] & _NOT_STUN_BITS
        or message[_COOKIE_AT:_TRANSACTION_AT] != _COOKIE
        or int.from_bytes(message[2:_COOKIE_AT]) != len(message) - _HEADER_BYTES
        or len(message) % 4
    ):
        return None
    is_response = bool(message[0] & _RESPONSE_BIT)
    transaction = message[_TRANSACTION_AT:_HEADER_BYTES]
    return Peek(is_response, transaction, b"" if is_response else _receiver_ufrag(message))


def _receiver_ufrag(message: bytes) -> bytes:
    """The receiver's part of USERNAME, from one of the first attributes (RFC 8489, 14)."""
    at = _HEADER_BYTES
    for _ in range(limits.STUN_ATTRIBUTES_PEEKED):
        value_at = at + 4
        length = int.from_bytes(message[at + 2 : value_at])
        end = value_at + length
        if end > len(message):
            break
        if int.from_bytes(message[at : at + 2]) == _USERNAME:
            return message[value_at:end].partition(b":")[0]
        at = end + -length % 4  # values are padded to four bytes
    return b""
