"""DATA chunks in pieces: their bytes, what is held of them, and what no piece may do."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.chunks import Init
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control.handshake import fresh_init
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.events import MessageReceived
from protocol.sctp.pieces import Pieces, cut_chunk
from tests.protocol.sctp.model_link import established

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "sctp.json").read_text()
)


def _chunk(tsn: int, size: int) -> bytes:
    return chunks.encode_data(chunks.FLAG_WHOLE, tsn, 0, 0, 53, Random(tsn).randbytes(size))


def _values(chunk: bytes, space: int = 500) -> list[bytes]:
    """The values of the PIECE chunks of a chunk."""
    return [
        value for piece in cut_chunk(chunk, space) for _, _, value in chunks.split_chunks(piece)
    ]


@pytest.mark.parametrize("row", VECTORS["chunks_in_pieces"], ids=lambda row: row["name"])
def test_golden_pieces(row: dict[str, Any]) -> None:
    chunk = bytes.fromhex(row["chunk"])
    assert [piece.hex() for piece in cut_chunk(chunk, row["space"])] == row["pieces"]
    pieces = Pieces()
    *first, last = (bytes.fromhex(piece)[4:] for piece in row["pieces"])
    assert [pieces.add(value) for value in first] == [None] * len(first)
    assert pieces.add(last) == chunk


def test_golden_init() -> None:
    row = VECTORS["init"]
    supported = fresh_init(AssociationConfig(Role.CLIENT), Random(1)).parameters
    streams = row["streams"]
    init = Init(row["tag"], row["window_bytes"], streams, streams, row["first_tsn"], supported)
    assert chunks.encode_init_value(init).hex() == row["value"]


@given(
    st.integers(1, limits.PACKET_BYTES_MAX - 28),
    st.sampled_from([500, 1176, 1340]),
    st.integers(0, 2**32 - 1),
    st.randoms(use_true_random=False),
)
@example(limits.PACKET_BYTES_MAX - 28, 500, 0, Random(1))
def test_any_chunk_comes_together_in_any_order(
    size: int, space: int, tsn: int, random: Random
) -> None:
    chunk = _chunk(tsn, size)
    parts = cut_chunk(chunk, space)
    assert all(len(part) <= space for part in parts)
    values = _values(chunk, space)
    assert len(values) <= limits.PIECES_PER_CHUNK
    random.shuffle(values)
    pieces = Pieces()
    for value in values[:-1]:
        assert pieces.add(value) is None
        assert pieces.add(value) is None, "again"
    assert pieces.add(values[-1]) == chunk
    assert pieces.held_bytes == 0


def test_pieces_of_another_cut_take_the_place_of_those_before() -> None:
    chunk, pieces = _chunk(9, 1400), Pieces()
    assert pieces.add(_values(chunk, 1176)[0]) is None
    assert [pieces.add(value) for value in _values(chunk, 500)] == [None, None, chunk]
    assert pieces.held_bytes == 0


def test_what_is_held_is_bounded_and_the_oldest_gives_way() -> None:
    pieces = Pieces()
    for tsn in range(1000):
        assert pieces.add(_values(_chunk(tsn, 1400))[0]) is None
        assert pieces.held_bytes <= limits.PIECES_BYTES
    assert pieces.held_bytes > limits.PIECES_BYTES // 2
    *_, last = _values(_chunk(0, 1400))
    assert pieces.add(last) is None, "the first is gone"
    newest = _values(_chunk(999, 1400))
    assert [pieces.add(value) for value in newest[1:]] == [None, _chunk(999, 1400)]


def test_tiny_pieces_cost_what_they_take_of_memory() -> None:
    pieces = Pieces()
    for tsn in range(3000):
        pieces.add(tsn.to_bytes(4) + bytes((0, 0, 0, 2)) + b"x")
    assert len(pieces._held) <= limits.PIECES_BYTES / limits.MESSAGE_OVERHEAD_BYTES


def test_what_arrived_otherwise_is_forgotten() -> None:
    pieces = Pieces()
    tsns = (2**32 - 2, 2**32 - 1, 0, 1)
    for tsn in tsns:
        pieces.add(_values(_chunk(tsn, 1400))[0])
    pieces.forget(2**32)
    assert list(pieces._held) == [1]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        bytes(8),
        bytes(4) + b"\0\0\0\0x",
        bytes(4) + b"\0\2\0\2x",
        bytes(4) + b"\0\0\0\x41x",
        bytes(4) + b"\0\0\0\1" + _chunk(1, 20),
        bytes(4) + b"\0\0\0\1" + _chunk(0, 20)[:16],
        bytes(4) + b"\0\0\0\1" + _chunk(0, 20)[:-1],
        bytes(4) + b"\0\0\0\1" + _chunk(0, 20) + bytes(4),
        bytes(4) + b"\0\0\0\1\1" + _chunk(0, 20)[1:],
    ],
    ids=[
        "empty",
        "no data",
        "of none",
        "beyond",
        "of many",
        "tsn",
        "bare",
        "short",
        "long",
        "kind",
    ],
)
def test_what_is_no_piece_or_makes_no_chunk_is_refused(value: bytes) -> None:
    with pytest.raises(MalformedChunk):
        Pieces().add(value)


def _sends_pieces(server: Association, tsn: int, data: bytes) -> list[bytes]:
    """The datagrams of a message, as the server would send it to a path that became narrow."""
    chunk = chunks.encode_data(chunks.FLAG_WHOLE, tsn, 0, 0, 53, data)
    return [server._core.writer.seal(piece) for piece in cut_chunk(chunk, 500)]


def test_a_chunk_in_pieces_is_acknowledged_and_delivered_once_and_again_if_it_comes_again() -> None:
    client, server = established()
    client.open_channel("data", negotiated_id=0)
    server.open_channel("data", negotiated_id=0)
    assert server.sender is not None
    datagrams = _sends_pieces(server, server.sender.board.next_tsn, bytes(1400))
    client.receive_burst(datagrams[:1], 0.1)
    assert client.events() == []
    for again in (False, True):
        client.receive_burst(datagrams[again:], 0.2)
        got = [event.data for event in client.events() if isinstance(event, MessageReceived)]
        assert got == ([] if again else [bytes(1400)])
        client.handle_timer(1.0)
        sacks = client.datagrams_to_send(1.0)
        assert sacks
        assert client.receiver is not None
        assert client.receiver.pieces.held_bytes == 0


def test_pieces_that_make_no_chunk_end_an_association_as_other_noise_does() -> None:
    client, server = established()
    assert server.sender is not None
    tsn = server.sender.board.next_tsn
    value = tsn.to_bytes(4) + bytes((0, 0, 0, 1)) + bytes(400)
    packet = server._core.writer.seal(chunks.encode_chunk(chunks.PIECE, 0, value))
    for _ in range(100):
        client.receive_burst([packet], 0.1)
    assert client.over
    assert client.counters[MalformedChunk.name] >= 32


def test_pieces_without_end_are_paid_for() -> None:
    """A peer that sends first pieces alone makes no progress, and loses the association."""
    client, server = established()
    now = 0.0
    for number in range(60_000):
        if client.over:
            break
        value = number.to_bytes(4) + bytes((0, 0, 0, 2)) + bytes(100)
        packet = server._core.writer.seal(chunks.encode_chunk(chunks.PIECE, 0, value))
        now += 1e-5
        client.receive_burst([packet], now)
    assert client.over


def test_a_whole_window_in_pieces_costs_a_peer_nothing() -> None:
    """14 000 chunks at once: more work than the bucket has, and paid by their bytes."""
    client, server = established(receive_window_bytes=64 << 20)
    client.open_channel("data", negotiated_id=0)
    assert server.sender is not None
    tsn = server.sender.board.next_tsn
    for number in range(14_000):
        datagrams = [
            server._core.writer.seal(piece)
            for piece in cut_chunk(
                chunks.encode_data(chunks.FLAG_WHOLE, tsn + number, 0, number, 53, bytes(1404)),
                1176,
            )
        ]
        client.receive_burst(datagrams, 0.1)
        client.events()
        client.datagrams_to_send(0.1)
    assert not client.over
    assert client.receiver is not None
    assert client.receiver.cumulative == tsn + 13_999
