"""Frames: each kind there and back in one spelling, and nothing else taken for one."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec, limits
from protocol.content import frames
from protocol.content.frames import (
    Cancel,
    Cancelled,
    ChunkPiece,
    Close,
    ContentFrame,
    GetChunks,
    GetManifest,
    Have,
    ManifestPiece,
    Missing,
    Open,
    Opened,
    Peers,
    Refused,
)
from protocol.errors import Malformed

STREAMS = st.integers(0, frames.STREAM_MAX)
CHUNK = st.integers(0, limits.MANIFEST_CHUNKS - 1)
CHUNKS = st.lists(CHUNK, min_size=1, max_size=20).map(tuple)
DATA = st.binary(min_size=1, max_size=200)
PEERS = st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=16).map(tuple)
KINDS: dict[type[ContentFrame], st.SearchStrategy[ContentFrame]] = {
    Open: st.builds(Open, STREAMS, st.binary(min_size=32, max_size=32)),
    GetManifest: st.builds(GetManifest, STREAMS),
    GetChunks: st.builds(GetChunks, STREAMS, CHUNKS),
    Cancel: st.builds(Cancel, STREAMS),
    Close: st.builds(Close, STREAMS),
    Opened: st.builds(Opened, STREAMS, st.integers(1, limits.MANIFEST_BYTES), st.booleans()),
    Have: st.builds(
        Have, STREAMS, st.integers(0, limits.MANIFEST_CHUNKS // 8 - 200).map(lambda n: 8 * n), DATA
    ),
    ManifestPiece: st.builds(
        ManifestPiece, STREAMS, st.integers(0, limits.MANIFEST_BYTES - 200), DATA
    ),
    ChunkPiece: st.builds(
        ChunkPiece, STREAMS, CHUNK, st.integers(0, limits.SEALED_CHUNK_BYTES - 200), DATA
    ),
    Missing: st.builds(Missing, STREAMS, CHUNKS),
    Refused: st.builds(Refused, STREAMS, st.integers(0, 255)),
    Cancelled: st.builds(Cancelled, STREAMS),
    Peers: st.builds(Peers, STREAMS, PEERS),
}


def test_every_kind_is_tried() -> None:
    assert set(KINDS) == {*frames.REQUESTS, *frames.ANSWERS}
    assert [kind.type for kind in frames.REQUESTS] == [0, 1, 2, 3, 4]
    assert [kind.type for kind in frames.ANSWERS] == [16, 17, 18, 19, 20, 21, 22, 23]


@given(st.one_of(*KINDS.values()))
def test_round_trip(frame: ContentFrame) -> None:
    data = frames.encode_frame(frame)
    assert frames.decode_frame(data) == frame
    assert isinstance(frame, frames.ContentRequest) == (data[1] < 16)


@given(st.one_of(*KINDS.values()), st.binary(max_size=3), st.integers(0, 300))
def test_neither_more_nor_less(frame: ContentFrame, more: bytes, length: int) -> None:
    data = frames.encode_frame(frame)
    for candidate in (data + more, data[:length]):
        if candidate != data:
            with pytest.raises(Malformed):
                frames.decode_frame(candidate)


@given(st.binary(max_size=100), st.integers(0, 30))
def test_any_bytes_are_a_frame_or_malformed(data: bytes, kind: int) -> None:
    for candidate in (data, bytes((0x93, kind)) + data, bytes((0x94, kind, 1)) + data):
        with contextlib.suppress(Malformed):
            assert frames.encode_frame(frames.decode_frame(candidate)) == candidate


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [0],
        [True, 1],
        ["0", 1],
        [5, 1],
        [15, 1],
        [24, 1],
        [23, 1],
        [23, 1, b""],
        [23, 1, bytes(19)],
        [23, 1, bytes(20 * (limits.PEERS_NAMED + 1))],
        [-1, 1],
        [3],
        [3, 1, 1],
        [3, -1],
        [3, 2**32],
        [3, True],
        [3, b"1"],
        [0, 1, bytes(31)],
        [0, 1, bytes(33)],
        [0, 1, "x" * 32],
        [2, 1, b""],
        [2, 1, bytes(5)],
        [2, 1, bytes(4 * (limits.REQUESTS_PER_STREAM + 1))],
        [2, 1, struct.pack(">I", limits.MANIFEST_CHUNKS)],
        [2, 1, [1, 2]],
        [16, 1, 0, True],
        [16, 1, limits.MANIFEST_BYTES + 1, True],
        [16, 1, 5, 1],
        [17, 1, 1, b"\1"],
        [17, 1, 0, b""],
        [17, 1, -8, b"\1"],
        [17, 1, limits.MANIFEST_CHUNKS, b"\1"],
        [17, 1, limits.MANIFEST_CHUNKS - 8, b"\1\1"],
        [18, 1, 0, b""],
        [18, 1, limits.MANIFEST_BYTES, b"x"],
        [18, 1, -1, b"x"],
        [19, 1, 0, 0, b""],
        [19, 1, limits.MANIFEST_CHUNKS, 0, b"x"],
        [19, 1, 0, limits.SEALED_CHUNK_BYTES, b"x"],
        [19, 1, 0, 0],
        [20, 1, b""],
        [21, 1, 256],
        [21, 1, -1],
    ],
)
def test_values_out_of_bounds(value: object) -> None:
    with pytest.raises(Malformed):
        frames.decode_frame(codec.encode(value))


def test_frames_validate_themselves_when_made() -> None:
    for make in (
        lambda: Close(-1),
        lambda: Open(0, b"short"),
        lambda: GetChunks(0, ()),
        lambda: Have(0, 4, b"\1"),
        lambda: ChunkPiece(0, 0, 0, b""),
    ):
        with pytest.raises(Malformed):
            make()


def test_other_spellings_are_refused() -> None:
    assert frames.decode_frame(b"\x92\3\1") == Cancel(1)
    with pytest.raises(Malformed):
        frames.decode_frame(b"\x92\3\xcc\1")
    with pytest.raises(Malformed):
        frames.decode_frame(b"\xdc\0\2\3\1")


def test_messages_are_bounded() -> None:
    data = frames.encode_frame(ChunkPiece(0, 0, 0, bytes(limits.MESSAGE_BYTES)))
    with pytest.raises(Malformed, match="at most"):
        frames.decode_frame(data)


def test_the_overhead_of_pieces() -> None:
    most = limits.MESSAGE_BYTES - frames.PIECE_OVERHEAD_BYTES
    chunk = limits.MANIFEST_CHUNKS - 1
    offset = limits.SEALED_CHUNK_BYTES - most
    widest: list[ContentFrame] = [
        ChunkPiece(frames.STREAM_MAX, chunk, offset, bytes(most)),
        ManifestPiece(frames.STREAM_MAX, limits.MANIFEST_BYTES - most, bytes(most)),
        Have(frames.STREAM_MAX, limits.MANIFEST_CHUNKS - 8 * most, bytes(most)),
    ]
    for frame in widest:
        assert len(frames.encode_frame(frame)) <= limits.MESSAGE_BYTES
        assert frames.decode_frame(frames.encode_frame(frame)) == frame
