"""The messages of the DHT's nodes, inside the sealed envelope.

    request   [0, transaction, method, epoch, counter, token, flags, arguments, padding]
    response  [1, transaction, code, token, observed address, result]

`epoch` is drawn at each start of the sender, and when it fails to join; `counter` rises with each
request: together they reveal a replay. `token` in a response is what the receiver must echo to
prove its address; in a request it is that echo. Padding makes a request without a token as long as
its longest response, and every request as long as a refusal, so that no response to an unproved
address is ever longer (no amplification, RFC 9000, 8).
"""

from enum import IntEnum
from typing import Any, NamedTuple

from protocol import limits
from protocol.addresses import Address, pack_address, unpack_address
from protocol.codec import decode, encode, list_of, ranged, shape, sized
from protocol.datagrams import DATAGRAM_BODY_BYTES, DATAGRAM_OVERHEAD_BYTES
from protocol.errors import (
    BadToken,
    Expired,
    IssuedInFuture,
    KeyFull,
    Malformed,
    NotAuthentic,
    PublisherFull,
    RateLimited,
    RemoteError,
    SequenceTooLow,
    StoreFull,
    StorerFull,
    Truncated,
    WrongKey,
)
from protocol.overlay import contacts
from protocol.overlay.contacts import Contact
from protocol.overlay.registration_proof import REGISTRATION_PROOF_BYTES

TRANSACTION_BYTES = 8
EPOCH_BYTES = 8
OVERLAY_VERSION = 2

_REQUEST = 0
_RESPONSE = 1

READ_ONLY = 1
"""Flag: the sender cannot be reached unasked, so it belongs in no routing table (BEP 43)."""


class Method(IntEnum):
    """What a request asks for."""

    PING = 1
    FIND_NODE = 2
    FIND_VALUE = 3
    STORE = 4
    REGISTER = 5
    KEEPALIVE = 6
    SIGNAL = 7
    DELIVER = 8
    MEET = 9
    DIALBACK = 10
    DIAL = 11
    CREDENTIALS = 12
    WITNESS = 13
    WITNESSED = 14
    LEAVE = 15


ANSWERED_LATER = frozenset({Method.SIGNAL, Method.DELIVER, Method.DIALBACK})
"""Requests whose response waits for another node: it tells nothing of the round trip."""


TELL_THE_TIME = frozenset({Method.PING, Method.MEET})
"""Requests to which a contact says what its clock shows."""


class Code(IntEnum):
    """How a request ended."""

    OK = 0
    MALFORMED = 1
    BAD_TOKEN = 2
    NOT_AUTHENTIC = 3
    EXPIRED = 4
    ISSUED_IN_FUTURE = 5
    SEQUENCE_TOO_LOW = 6
    WRONG_KEY = 7
    STORE_FULL = 8
    RATE_LIMITED = 9
    REFUSED = 10
    OFFLINE = 11
    BUSY = 12
    TIMED_OUT = 13
    KEY_FULL = 14
    PUBLISHER_FULL = 15
    STORER_FULL = 16


# From the most to the least specific: the first that fits is what the wire says.
_CODES: tuple[tuple[type[RemoteError], Code], ...] = (
    (BadToken, Code.BAD_TOKEN),
    (WrongKey, Code.WRONG_KEY),
    (Expired, Code.EXPIRED),
    (IssuedInFuture, Code.ISSUED_IN_FUTURE),
    (SequenceTooLow, Code.SEQUENCE_TOO_LOW),
    (KeyFull, Code.KEY_FULL),
    (PublisherFull, Code.PUBLISHER_FULL),
    (StorerFull, Code.STORER_FULL),
    (StoreFull, Code.STORE_FULL),
    (RateLimited, Code.RATE_LIMITED),
    (NotAuthentic, Code.NOT_AUTHENTIC),
    (Malformed, Code.MALFORMED),
)


def code_of(error: RemoteError) -> Code:
    """The code under which an error travels."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.REFUSED)


class Request(NamedTuple):
    """A decoded request; `size` is the length of its datagram's body."""

    transaction: bytes
    method: int
    epoch: bytes
    counter: int
    token: bytes
    flags: int
    arguments: list[Any]
    size: int


class Response(NamedTuple):
    """A decoded response."""

    transaction: bytes
    code: int
    token: bytes
    observed: Address
    result: list[Any]


_COUNTER_MAX = 2**63
_SHORT_ANSWER_BYTES = 96
_PONG_BYTES = 50
_SIGNAL_ANSWER_BYTES = limits.SIGNAL_BYTES + 48
_MEETING_BYTES = 384
_BIN8_MAX = 255

REFUSAL_BYTES = 44
"""The longest response without a result, to an IPv6 address. No request may be shorter."""

ANSWER_BYTES: dict[Method, int] = {
    Method.PING: _PONG_BYTES,
    Method.FIND_NODE: DATAGRAM_BODY_BYTES,
    Method.FIND_VALUE: DATAGRAM_BODY_BYTES,
    Method.STORE: _SHORT_ANSWER_BYTES,
    Method.REGISTER: _SHORT_ANSWER_BYTES,
    Method.KEEPALIVE: _SHORT_ANSWER_BYTES,
    Method.SIGNAL: _SHORT_ANSWER_BYTES,
    Method.DELIVER: _SIGNAL_ANSWER_BYTES,
    Method.MEET: _MEETING_BYTES,
    Method.DIALBACK: _SHORT_ANSWER_BYTES,
    Method.DIAL: _SHORT_ANSWER_BYTES,
    Method.CREDENTIALS: _SHORT_ANSWER_BYTES,
    Method.WITNESS: _SHORT_ANSWER_BYTES,
    Method.WITNESSED: _SHORT_ANSWER_BYTES,
    Method.LEAVE: _SHORT_ANSWER_BYTES,
}
"""Bytes of the longest response to an address without proof; requests are padded to it.

That of a PING is exact: an answer that names a single contact pays for one to it (`Introductions`).
"""

FEW_CONTACTS_BYTES = 384
"""Of an answer to FIND_NODE that names 8 contacts, or 5 where the contact pings us besides."""


def encode_request(
    transaction: bytes,
    method: Method,
    *,
    epoch: bytes,
    counter: int,
    token: bytes,
    flags: int,
    arguments: list[Any],
    answer_bytes: int | None = None,
) -> bytes:
    """A request's body, padded to its longest answer, or to a refusal when it bears a token.

    `answer_bytes` where a shorter answer will do.
    """
    fields = [_REQUEST, transaction, int(method), epoch, counter, token, flags, arguments, b""]
    body = encode(fields)
    padded = REFUSAL_BYTES if token else answer_bytes or ANSWER_BYTES[method]
    missing = padded - len(body)
    if missing > 0:
        # Longer padding has a longer header; the one length between the two is overshot by a byte.
        fields[-1] = bytes(missing - 1 if missing > _BIN8_MAX + 1 else missing)
        body = encode(fields)
    return body


def first_request_bytes(answer_bytes: int) -> int:
    """The datagram of a request without a token whose arguments are shorter than its answer."""
    return answer_bytes + DATAGRAM_OVERHEAD_BYTES


def encode_response(
    transaction: bytes, code: Code, *, token: bytes, observed: Address, result: list[Any]
) -> bytes:
    """A response's body."""
    return encode([_RESPONSE, transaction, int(code), token, pack_address(observed), result])


def decode_body(body: bytes) -> Request | Response:
    """Decode a datagram's body; raises Malformed, Oversized."""
    value = decode(body, max_bytes=DATAGRAM_BODY_BYTES, max_items=limits.DATAGRAM_ITEMS)
    if type(value) is not list or not value:
        raise Malformed("a datagram that holds no message")
    if value[0] == _REQUEST:
        return _decode_request(value, len(body))
    if value[0] == _RESPONSE:
        return _decode_response(value)
    raise Malformed("neither a request nor a response")


def _decode_request(value: list[Any], size: int) -> Request:
    _, transaction, method, epoch, counter, token, flags, arguments, _ = shape(
        value, int, bytes, int, bytes, int, bytes, int, list, bytes
    )
    if size < REFUSAL_BYTES:
        raise Truncated(f"a request of {size} bytes, shorter than its refusal")
    sized(transaction, TRANSACTION_BYTES)
    sized(epoch, EPOCH_BYTES)
    ranged(counter, 0, _COUNTER_MAX)
    if token:
        sized(token, limits.TOKEN_BYTES)
    return Request(transaction, method, epoch, counter, token, flags, arguments, size)


def _decode_response(value: list[Any]) -> Response:
    _, transaction, code, token, observed, result = shape(
        value, int, bytes, int, bytes, bytes, list
    )
    sized(transaction, TRANSACTION_BYTES)
    if token:
        sized(token, limits.TOKEN_BYTES)
    return Response(transaction, code, token, unpack_address(observed), result)


class Pong(NamedTuple):
    """The result of a PING or a MEET: the version, and what the contact's own clock says.

    `seconds` are whole ones since 1970, never corrected by what others told the contact.
    """

    version: int
    seconds: int


def encode_pong(wall: float) -> list[Any]:
    """The result of a PING or a MEET; `wall` is seconds since 1970."""
    return [OVERLAY_VERSION, min(max(int(wall), 0), limits.TIME_TOLD_MAX)]


def decode_pong(result: list[Any]) -> Pong:
    """Read the result of a PING or a MEET; raises Malformed."""
    version, seconds = shape(result, int, int)
    return Pong(ranged(version, 1, 0xFFFF), ranged(seconds, 0, limits.TIME_TOLD_MAX))


class Found(NamedTuple):
    """The answer to FIND_NODE and FIND_VALUE.

    `values` are records, not verified yet; `total` is how many the contact holds under the key.
    `registration_proof` shows that the peer whose id is the key is registered with the contact (see
    `check_registration_proof`); it is empty where that peer is not registered.
    """

    contacts: list[Contact]
    values: list[bytes]
    total: int
    registration_proof: bytes


_FOUND_FRAME_BYTES = 64
_VALUE_FRAME_BYTES = 3


def encode_found(
    nearest: list[Contact],
    values: list[bytes],
    *,
    skip: int,
    registration_proof: bytes,
    max_bytes: int,
) -> list[Any]:
    """As much as fits `max_bytes`: values first, from number `skip` on, then contacts."""
    room = max_bytes - _FOUND_FRAME_BYTES
    if len(registration_proof) > room:
        registration_proof = b""
    room -= len(registration_proof)
    sent: list[bytes] = []
    for raw in values[skip : skip + limits.VALUES_PER_REPLY]:
        needed = len(raw) + _VALUE_FRAME_BYTES
        if needed > room:
            break
        room -= needed
        sent.append(raw)
    packed4, packed6 = contacts.pack_contacts(nearest[: limits.CONTACTS_PER_REPLY], room)
    return [packed4, packed6, sent, len(values), registration_proof]


def decode_found(result: list[Any]) -> Found:
    """Read an answer to FIND_NODE or FIND_VALUE; raises Malformed, Oversized."""
    packed4, packed6, values, total, registration_proof = shape(
        result, bytes, bytes, list, int, bytes
    )
    list_of(values, bytes, max_items=limits.VALUES_PER_REPLY)
    ranged(total, 0, limits.STORE_VALUES_PER_KEY)
    found = contacts.unpack_contacts(packed4, 4) + contacts.unpack_contacts(packed6, 6)
    if registration_proof:
        sized(registration_proof, REGISTRATION_PROOF_BYTES)
    return Found(found, values, total, registration_proof)
