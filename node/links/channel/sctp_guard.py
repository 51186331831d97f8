"""Checks of packets that would hang aiortc's SCTP, fill its memory or fail its assertions.

aiortc's parser loops for ever on a parameter of length 0, expands every gap of a SACK into a set,
opens a channel at any peer's request and asserts on what peers send. A peer passes DTLS with any
certificate that its own identity has signed, so every peer that may call us can send such packets.
"""

import struct
from collections.abc import Callable

from protocol.errors import Malformed, Truncated
from protocol.sctp import limits
from protocol.sctp.receive.work import WORK_OF_KIND

_COMMON_HEADER_BYTES = 12
_CHUNK_HEADER_BYTES = 4
_PARAMETER_HEADER_BYTES = 4
_INIT_HEADER_BYTES = 16
_DATA_HEADER_BYTES = 12
_SACK_HEADER_BYTES = 12

_TSN_MODULO = 2**32

_STREAM = 0
_PAYLOADS = {51, 53, 56, 57}
"""Text and bytes, filled and empty (RFC 8831, 8). No channel is opened by DCEP here."""


def check_packet(packet: bytes, *, next_tsn: int) -> int:
    """The work of a packet's chunks; raises Malformed for what stock SCTP cannot take.

    `next_tsn` is the number of the next chunk that we shall send. Lengths that overrun the packet
    and wrong checksums are left to the stock parser, which ignores such packets.
    """
    position = _COMMON_HEADER_BYTES
    control = work = 0
    while position <= len(packet) - _CHUNK_HEADER_BYTES:
        kind, _, length = struct.unpack_from("!BBH", packet, position)
        if length < _CHUNK_HEADER_BYTES:
            raise Malformed(f"an SCTP chunk of length {length}")
        control += kind != _DATA
        work += WORK_OF_KIND.get(kind, limits.WORK_OF_CONTROL)
        if control > limits.CONTROL_PER_PACKET:
            raise Malformed("an SCTP packet of many control chunks")
        body = packet[position + _CHUNK_HEADER_BYTES : position + length]
        check = _CHECKS.get(kind)
        if check is not None:
            check(body)
        elif kind == _SACK:
            _check_sack(body, next_tsn)
        position += length + -length % 4
    return work


def _check_data(body: bytes) -> None:
    if len(body) <= _DATA_HEADER_BYTES:
        raise Truncated("an SCTP DATA chunk without data")
    stream, _, payload = struct.unpack_from("!HHL", body, 4)
    if stream != _STREAM or payload not in _PAYLOADS:
        raise Malformed(f"SCTP data on stream {stream} for protocol {payload}")


def _check_sack(body: bytes, next_tsn: int) -> None:
    if len(body) < _SACK_HEADER_BYTES:
        raise Truncated("a short SCTP SACK")
    cumulative_tsn, _, gaps, duplicates = struct.unpack_from("!LLHH", body)
    if len(body) < _SACK_HEADER_BYTES + 4 * (gaps + duplicates):
        raise Truncated("an SCTP SACK with fewer blocks than it says")
    previous_end = 0
    for start, end in struct.iter_unpack("!HH", body[_SACK_HEADER_BYTES:][: 4 * gaps]):
        if not previous_end < start <= end:
            raise Malformed("SCTP gap blocks out of order")
        previous_end = end
    # Serial numbers (RFC 1982): half of the circle lies ahead of us.
    if (next_tsn - 1 - cumulative_tsn - previous_end) % _TSN_MODULO >= _TSN_MODULO // 2:
        raise Malformed("an SCTP SACK for data that was never sent")


def _check_parameters(body: bytes) -> None:
    position = 0
    while position <= len(body) - _PARAMETER_HEADER_BYTES:
        (length,) = struct.unpack_from("!H", body, position + 2)
        if length < _PARAMETER_HEADER_BYTES:
            raise Malformed(f"an SCTP parameter of length {length}")
        position += length + -length % 4


def _check_init(body: bytes) -> None:
    if len(body) < _INIT_HEADER_BYTES:
        raise Truncated("a short SCTP INIT")
    _check_parameters(body[_INIT_HEADER_BYTES:])


def _refuse(body: bytes) -> None:
    raise Malformed(f"an SCTP chunk of {len(body)} bytes that was not negotiated")


_DATA = 0
_SACK = 3
_FORWARD_TSN = 192

_CHECKS: dict[int, Callable[[bytes], None]] = {
    _DATA: _check_data,
    1: _check_init,
    2: _check_init,
    4: _check_parameters,
    5: _check_parameters,
    6: _check_parameters,
    9: _check_parameters,
    130: _check_parameters,
    _FORWARD_TSN: _refuse,
}
"""By chunk type: DATA, INIT, INIT ACK, HEARTBEAT and its ACK, ABORT, ERROR, RE-CONFIG."""
