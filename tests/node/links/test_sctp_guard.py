"""What stock SCTP is spared. Each refused packet here hangs, fills or breaks it."""

import contextlib
import struct

import pytest
from aiortc.rtcsctptransport import (
    DATA_CHANNEL_OPEN,
    AbortChunk,
    Chunk,
    CookieEchoChunk,
    DataChunk,
    ForwardTsnChunk,
    HeartbeatChunk,
    InitAckChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    serialize_packet,
)
from hypothesis import given
from hypothesis import strategies as st

from node.links.channel.sctp_guard import check_packet
from protocol.errors import Malformed

NEXT_TSN = 1000


def packet(chunk: Chunk) -> bytes:
    return serialize_packet(5000, 5000, 1, chunk)


def raw(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A packet with one chunk of any content."""
    header = struct.pack("!BBH", kind, 0, len(body) + 4 if length is None else length)
    return bytes(12) + header + body + bytes(-len(body) % 4)


def data(stream: int = 0, payload: int = 53, content: bytes = b"x") -> DataChunk:
    chunk = DataChunk(flags=3)
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = 7, stream, 0, payload
    chunk.user_data = content
    return chunk


def sack(cumulative: int, *gaps: tuple[int, int]) -> SackChunk:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.gaps = cumulative, list(gaps)
    return chunk


def with_parameters(chunk: Chunk, *parameters: tuple[int, bytes]) -> Chunk:
    assert isinstance(chunk, AbortChunk | HeartbeatChunk | InitChunk | InitAckChunk | ReconfigChunk)
    chunk.params.extend(parameters)
    return chunk


@pytest.mark.parametrize(
    "chunk",
    [
        data(),
        data(payload=57),
        sack(NEXT_TSN - 1),
        sack(NEXT_TSN - 400, (2, 3), (5, 5), (300, 399)),
        sack(2**32 - 1, (2, 1000)),
        with_parameters(InitChunk(), (0xC000, b""), (0x8008, b"\x82\xc0")),
        with_parameters(InitAckChunk(), (7, bytes(24))),
        with_parameters(AbortChunk(), (12, b"bye")),
        with_parameters(HeartbeatChunk(), (1, b"12345")),
        with_parameters(ReconfigChunk(), (13, bytes(14))),
        CookieEchoChunk(body=bytes(24)),
    ],
    ids=str,
)
def test_what_peers_rightly_send_passes(chunk: Chunk) -> None:
    check_packet(packet(chunk), next_tsn=NEXT_TSN)


@pytest.mark.parametrize(
    "bad",
    [
        *(raw(kind, b"\0\1\0\0") for kind in (4, 5, 6, 9, 130)),
        *(raw(kind, bytes(16) + b"\0\1\0\3") for kind in (1, 2)),
        raw(1, bytes(15)),
        raw(130, b"\0\x0d\0\x04\0\1\0\0"),
        raw(11, b"", length=0),
        raw(11, b"", length=3),
        packet(data(stream=1)),
        packet(data(payload=50, content=struct.pack("!BBHLHH", DATA_CHANNEL_OPEN, 0, 0, 0, 0, 0))),
        raw(0, bytes(12)),
        raw(0, b""),
        packet(ForwardTsnChunk()),
        packet(sack(NEXT_TSN)),
        packet(sack(NEXT_TSN - 1, (2, 2))),
        packet(sack(NEXT_TSN - 10, (2, 65535))),
        packet(sack(NEXT_TSN - 10, (5, 4))),
        packet(sack(NEXT_TSN - 10, (2, 5), (5, 6))),
        packet(sack(NEXT_TSN - 10, (0, 3))),
        raw(3, struct.pack("!LLHH", 1, 1, 1, 0)),
        raw(3, bytes(11)),
        raw(3, struct.pack("!LLHH", 1, 1, 0, 1)),
        packet(sack(1)) + packet(data(stream=9))[12:],
    ],
)
def test_what_would_hurt_stock_sctp_is_refused(bad: bytes) -> None:
    with pytest.raises(Malformed):
        check_packet(bad, next_tsn=NEXT_TSN)


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_pass_or_are_malformed(packet: bytes, next_tsn: int) -> None:
    with contextlib.suppress(Malformed):
        check_packet(packet, next_tsn=next_tsn)


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 9, 11, 130, 192]), st.binary(max_size=60))
    ),
    st.integers(0, 2**32 - 1),
)
def test_any_chunks_pass_or_are_malformed(chunks: list[tuple[int, bytes]], next_tsn: int) -> None:
    packet = bytes(12) + b"".join(raw(kind, body)[12:] for kind, body in chunks)
    with contextlib.suppress(Malformed):
        check_packet(packet, next_tsn=next_tsn)
