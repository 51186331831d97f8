"""The bytes by which a data channel opens (RFC 8832, 5), and what payload protocols mean."""

from dataclasses import dataclass
from struct import Struct

from protocol.sctp import limits
from protocol.sctp.errors import MalformedChunk

PAYLOAD_CONTROL = 50
PAYLOAD_TEXT = 51
PAYLOAD_BINARY = 53
PAYLOAD_TEXT_EMPTY = 56
PAYLOAD_BINARY_EMPTY = 57
EMPTY = b"\0"
"""SCTP has no empty messages: this byte stands for one (RFC 8831, 6.6)."""

BINARY_OF_PAYLOAD = {
    PAYLOAD_TEXT: False,
    PAYLOAD_BINARY: True,
    PAYLOAD_TEXT_EMPTY: False,
    PAYLOAD_BINARY_EMPTY: True,
}

ACK = b"\x02"
_OPEN_TYPE = 3
_OPEN = Struct("!BBHLHH")
_UNORDERED = 0x80
_RELIABLE = 0
_RETRANSMITS = 1
_LIFETIME = 2


@dataclass(frozen=True, slots=True)
class ChannelTerms:
    """What both sides agree on for a data channel; at most one of the two limits is set."""

    label: str
    protocol: str = ""
    ordered: bool = True
    max_retransmits: int | None = None
    max_lifetime_ms: int | None = None


def encode_open(terms: ChannelTerms) -> bytes:
    """Return a DATA_CHANNEL_OPEN."""
    kind, limit = _RELIABLE, 0
    if terms.max_retransmits is not None:
        kind, limit = _RETRANSMITS, terms.max_retransmits
    elif terms.max_lifetime_ms is not None:
        kind, limit = _LIFETIME, terms.max_lifetime_ms
    if not terms.ordered:
        kind |= _UNORDERED
    label, protocol = terms.label.encode(), terms.protocol.encode()
    return _OPEN.pack(_OPEN_TYPE, kind, 0, limit, len(label), len(protocol)) + label + protocol


def is_ack(message: bytes) -> bool:
    """Whether a control message is a DATA_CHANNEL_ACK."""
    return message[:1] == ACK


def decode_open(message: bytes) -> ChannelTerms:
    """Read a DATA_CHANNEL_OPEN; raises MalformedChunk."""
    if len(message) < _OPEN.size or message[0] != _OPEN_TYPE:
        raise MalformedChunk("A data channel control message is neither OPEN nor ACK.")
    _, kind, _, limit, label_bytes, protocol_bytes = _OPEN.unpack_from(message)
    if max(label_bytes, protocol_bytes) > limits.LABEL_BYTES_MAX:
        raise MalformedChunk("A data channel's label or protocol is too long.")
    if len(message) != _OPEN.size + label_bytes + protocol_bytes:
        raise MalformedChunk("A DATA_CHANNEL_OPEN has not the length that it claims.")
    reliability = kind & ~_UNORDERED
    if reliability not in (_RELIABLE, _RETRANSMITS, _LIFETIME):
        raise MalformedChunk("A DATA_CHANNEL_OPEN asks for an unknown kind of channel.")
    label_end = _OPEN.size + label_bytes
    try:
        label, protocol = message[_OPEN.size : label_end].decode(), message[label_end:].decode()
    except UnicodeDecodeError:
        raise MalformedChunk("A data channel's label is not UTF-8.") from None
    return ChannelTerms(
        label=label,
        protocol=protocol,
        ordered=not kind & _UNORDERED,
        max_retransmits=limit if reliability == _RETRANSMITS else None,
        max_lifetime_ms=limit if reliability == _LIFETIME else None,
    )
