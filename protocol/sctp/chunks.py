"""The bytes of chunks and parameters (RFC 9260, 3; RFC 3758, 3; RFC 6525, 3 and 4; RFC 4820, 3).

DATA and SACK, which a transfer is made of, have bare `Struct`s here that sender and receiver use
inline. Everything else is rare and gets a small value with a decoder of its own. Decoders raise
MalformedChunk and nothing else on any bytes.
"""

from dataclasses import dataclass
from struct import Struct

from protocol.sctp import limits
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.serial import tsn_distance

DATA = 0
INIT = 1
INIT_ACK = 2
SACK = 3
HEARTBEAT = 4
HEARTBEAT_ACK = 5
ABORT = 6
SHUTDOWN = 7
SHUTDOWN_ACK = 8
ERROR = 9
COOKIE_ECHO = 10
COOKIE_ACK = 11
SHUTDOWN_COMPLETE = 14
RECONFIG = 130
PADDING = 132
PIECE = 190
"""Ours: see `pieces`. By its first bits others skip it unreported."""
FORWARD_TSN = 192

FLAG_LAST = 0x01
FLAG_FIRST = 0x02
FLAG_UNORDERED = 0x04
FLAG_IMMEDIATE = 0x08
FLAG_WHOLE = FLAG_FIRST | FLAG_LAST
FLAG_TAG_REFLECTED = 0x01
"""ABORT and SHUTDOWN COMPLETE carry the receiver's own tag (RFC 9260, 8.5.1)."""

COMMON_HEADER = Struct("!HHL")
"""Source port, destination port, verification tag; the checksum follows."""
CHECKSUM = Struct("<L")
COMMON_HEADER_BYTES = 12
CHUNK_HEADER = Struct("!BBH")
CHUNK_HEADER_BYTES = 4
DATA_HEADER = Struct("!BBHLHHL")
"""Type, flags, length, TSN, stream, stream sequence number, payload protocol."""
DATA_HEADER_BYTES = 16
PACKET_HEADER = Struct("!8s4sBBHLHHL")
"""Ports and tag, checksum, and the header of a DATA chunk: all of a packet but its data."""
SACK_HEADER = Struct("!BBHLLHH")
"""Type, flags, length, cumulative TSN, window, number of gap blocks, number of duplicates."""
SACK_HEADER_BYTES = 16

PARAMETER_HEARTBEAT_INFO = 1
PARAMETER_STATE_COOKIE = 7
PARAMETER_UNRECOGNIZED = 8
PARAMETER_OUTGOING_RESET = 13
PARAMETER_INCOMING_RESET = 14
PARAMETER_TSN_RESET = 15
PARAMETER_RESET_RESPONSE = 16
PARAMETER_ADD_OUTGOING = 17
PARAMETER_ADD_INCOMING = 18
PARAMETER_SUPPORTED_CHUNKS = 0x8008
PARAMETER_FORWARD_TSN = 0xC000

CAUSE_INVALID_STREAM = 1
CAUSE_MISSING_PARAMETER = 2
CAUSE_STALE_COOKIE = 3
CAUSE_OUT_OF_RESOURCE = 4
CAUSE_UNRECOGNIZED_CHUNK = 6
CAUSE_INVALID_PARAMETER = 7
CAUSE_UNRECOGNIZED_PARAMETERS = 8
CAUSE_NO_USER_DATA = 9
CAUSE_COOKIE_WHILE_SHUTTING_DOWN = 10
CAUSE_USER_ABORT = 12
CAUSE_PROTOCOL_VIOLATION = 13

ACTION_REPORT = 0x40
"""Second bit of an unknown chunk's type: report it (RFC 9260, 3.2)."""
ACTION_SKIP = 0x80
"""First bit: skip it and go on; otherwise the rest of the packet is not read."""

_INIT_BODY = Struct("!LLHHL")
_PARAMETER_HEADER = Struct("!HH")
_PARAMETER_HEADER_BYTES = 4
_TSN = Struct("!L")
_STREAM_SEQUENCE = Struct("!HH")
_MISSING = Struct("!LH")
_FEW = 4
_ZEROS = (b"", b"\0\0\0", b"\0\0", b"\0")

Chunk = tuple[int, int, bytes]
"""Type, flags and value of one chunk."""

DataChunk = tuple[int, int, int, int, int, bytes]
"""Flags, TSN, stream, stream sequence number, payload protocol and data of a DATA chunk."""

ParameterList = list[tuple[int, bytes]]
"""Type and value of each parameter or error cause."""


@dataclass(frozen=True, slots=True)
class Init:
    """INIT and INIT ACK (RFC 9260, 3.3.2): what one side says of itself."""

    tag: int
    window_bytes: int
    outgoing_streams: int
    incoming_streams: int
    first_tsn: int
    parameters: tuple[tuple[int, bytes], ...] = ()


def encode_chunk(kind: int, flags: int = 0, value: bytes = b"") -> bytes:
    """Return the chunk with its header, padded to a multiple of four bytes."""
    header = CHUNK_HEADER.pack(kind, flags, CHUNK_HEADER_BYTES + len(value))
    return header + value + _ZEROS[len(value) % 4]


def split_chunks(body: bytes) -> list[Chunk]:
    """Return the chunks behind the common header; a final chunk may miss its padding.

    Raises MalformedChunk.
    """
    chunks: list[Chunk] = []
    position, end, control = 0, len(body), 0
    while position < end:
        if end - position < CHUNK_HEADER_BYTES:
            raise MalformedChunk("The packet ends within a chunk header.")
        kind, flags, length = CHUNK_HEADER.unpack_from(body, position)
        if length < CHUNK_HEADER_BYTES or position + length > end:
            raise MalformedChunk("A chunk is shorter than its header or longer than its packet.")
        control += kind != DATA
        if control > limits.CONTROL_PER_PACKET or len(chunks) == limits.CHUNKS_PER_PACKET:
            raise MalformedChunk("A packet has too many chunks.")
        chunks.append((kind, flags, body[position + CHUNK_HEADER_BYTES : position + length]))
        position += (length + 3) & ~3
    if not chunks:
        raise MalformedChunk("A packet has no chunk.")
    return chunks


def split_data(body: bytes) -> list[DataChunk] | None:
    """Return the chunks behind the common header if they are a few of data and nothing else.

    Most packets that are not one full chunk end one message and begin the next.
    """
    found: list[DataChunk] = []
    position, end = 0, len(body)
    while position < end:
        if end - position <= DATA_HEADER_BYTES or len(found) == _FEW:
            return None
        kind, flags, length, tsn, stream_id, sequence, protocol = DATA_HEADER.unpack_from(
            body, position
        )
        if kind != DATA or length <= DATA_HEADER_BYTES or position + length > end:
            return None
        data = body[position + DATA_HEADER_BYTES : position + length]
        found.append((flags, tsn, stream_id, sequence, protocol, data))
        position += (length + 3) & ~3
    return found


def encode_parameters(parameters: ParameterList | tuple[tuple[int, bytes], ...]) -> bytes:
    """Return parameters or error causes, each but the last padded."""
    parts: list[bytes] = []
    for kind, value in parameters:
        if parts:
            parts.append(_ZEROS[len(parts[-1]) % 4])
        parts.append(_PARAMETER_HEADER.pack(kind, _PARAMETER_HEADER_BYTES + len(value)) + value)
    return b"".join(parts)


def split_parameters(value: bytes) -> ParameterList:
    """Return the parameters or error causes that a chunk's value consists of.

    Raises MalformedChunk.
    """
    parameters: ParameterList = []
    position, end = 0, len(value)
    while position < end:
        if end - position < _PARAMETER_HEADER_BYTES:
            raise MalformedChunk("A chunk ends within a parameter header.")
        kind, length = _PARAMETER_HEADER.unpack_from(value, position)
        if length < _PARAMETER_HEADER_BYTES or position + length > end:
            raise MalformedChunk("A parameter is shorter than its header or longer than its chunk.")
        if len(parameters) == limits.PARAMETERS_PER_CHUNK:
            raise MalformedChunk("A chunk has too many parameters.")
        parameters.append((kind, value[position + _PARAMETER_HEADER_BYTES : position + length]))
        position += (length + 3) & ~3
    return parameters


def encode_parameter(kind: int, value: bytes) -> bytes:
    """Return one parameter without padding, as it is quoted in reports."""
    return _PARAMETER_HEADER.pack(kind, _PARAMETER_HEADER_BYTES + len(value)) + value


def encode_init(kind: int, init: Init) -> bytes:
    """Return an INIT or INIT ACK chunk."""
    return encode_chunk(kind, 0, encode_init_value(init))


def encode_init_value(init: Init) -> bytes:
    """Return what `decode_init` reads: the chunk without its header."""
    body = _INIT_BODY.pack(
        init.tag,
        init.window_bytes,
        init.outgoing_streams,
        init.incoming_streams,
        init.first_tsn,
    )
    return body + encode_parameters(init.parameters)


def decode_init(value: bytes) -> Init:
    """Read an INIT or INIT ACK; raises MalformedChunk."""
    if len(value) < _INIT_BODY.size:
        raise MalformedChunk("An INIT is too short.")
    tag, window_bytes, outgoing, incoming, first_tsn = _INIT_BODY.unpack_from(value)
    parameters = tuple(split_parameters(value[_INIT_BODY.size :]))
    return Init(tag, window_bytes, outgoing, incoming, first_tsn, parameters)


def encode_data(
    flags: int, tsn: int, stream_id: int, sequence: int, payload_protocol: int, data: bytes
) -> bytes:
    """Return one DATA chunk; the sender's inner loop has its own copy of this line."""
    length = DATA_HEADER_BYTES + len(data)
    header = DATA_HEADER.pack(DATA, flags, length, tsn, stream_id, sequence, payload_protocol)
    return header + data + _ZEROS[len(data) % 4]


def encode_sack(
    cumulative_tsn: int,
    window_bytes: int,
    gap_offsets: list[int] | tuple[int, ...],
    duplicates: list[int] | tuple[int, ...] = (),
) -> bytes:
    """Return a SACK chunk; `gap_offsets` alternates first and last offset of each block."""
    count = len(gap_offsets)
    length = SACK_HEADER_BYTES + 2 * count + 4 * len(duplicates)
    header = SACK_HEADER.pack(
        SACK, 0, length, cumulative_tsn, window_bytes, count // 2, len(duplicates)
    )
    if not count and not duplicates:
        return header
    blocks = Struct(f"!{count}H{len(duplicates)}L").pack(*gap_offsets, *duplicates)
    return header + blocks


def decode_sack(value: bytes) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """Read a SACK: cumulative TSN, window, gap offsets (first and last in turn), duplicates.

    Raises MalformedChunk.
    """
    if len(value) == 12 and value[8:] == b"\0\0\0\0":
        return *_SACK_PLAIN.unpack(value), (), ()
    if len(value) < 12:
        raise MalformedChunk("A SACK is too short.")
    cumulative_tsn, window_bytes, blocks, duplicates = _SACK_BODY.unpack_from(value)
    if len(value) < 12 + 4 * (blocks + duplicates):
        raise MalformedChunk("A SACK is shorter than its gap blocks and duplicates.")
    numbers = Struct(f"!{2 * blocks}H{duplicates}L").unpack_from(value, 12)
    return cumulative_tsn, window_bytes, numbers[: 2 * blocks], numbers[2 * blocks :]


def sack_age(older: bytes, newer: bytes) -> int:
    """Return by how much a SACK's cumulative TSN is ahead of another one's; negative if behind."""
    return tsn_distance(int.from_bytes(newer[:4]), int.from_bytes(older[:4]))


_SACK_PLAIN = Struct("!LL4x")
_SACK_BODY = Struct("!LLHH")


def encode_abort(cause: int, value: bytes = b"", *, reflected: bool = False) -> bytes:
    """Return an ABORT chunk with one error cause; `reflected`: under the receiver's own tag."""
    flags = FLAG_TAG_REFLECTED if reflected else 0
    return encode_chunk(ABORT, flags, encode_parameters([(cause, value)]))


def encode_error(cause: int, value: bytes = b"") -> bytes:
    """Return an ERROR chunk with one error cause."""
    return encode_chunk(ERROR, 0, encode_parameters([(cause, value)]))


def missing_parameter(kind: int) -> bytes:
    """Return the value of CAUSE_MISSING_PARAMETER that names one type (RFC 9260, 3.3.10.2)."""
    return _MISSING.pack(1, kind)


def encode_forward_tsn(cumulative_tsn: int, skipped: list[tuple[int, int]]) -> bytes:
    """Return a FORWARD TSN chunk; `skipped` is stream and stream sequence number of each stream."""
    pairs = b"".join(_STREAM_SEQUENCE.pack(*pair) for pair in skipped)
    return encode_chunk(FORWARD_TSN, 0, _TSN.pack(cumulative_tsn) + pairs)


def decode_forward_tsn(value: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Read a FORWARD TSN: new cumulative TSN, then stream and sequence number pairs.

    Raises MalformedChunk.
    """
    if len(value) < 4 or len(value) % 4:
        raise MalformedChunk("A FORWARD TSN has an impossible length.")
    (cumulative_tsn,) = _TSN.unpack_from(value)
    return cumulative_tsn, list(_STREAM_SEQUENCE.iter_unpack(value[4:]))


def encode_shutdown(cumulative_tsn: int) -> bytes:
    """Return a SHUTDOWN chunk."""
    return encode_chunk(SHUTDOWN, 0, _TSN.pack(cumulative_tsn))


def decode_shutdown(value: bytes) -> int:
    """Read a SHUTDOWN: the peer's cumulative TSN; raises MalformedChunk."""
    if len(value) != 4:
        raise MalformedChunk("A SHUTDOWN has an impossible length.")
    (cumulative_tsn,) = _TSN.unpack(value)
    return int(cumulative_tsn)
