"""Frames: round trips at any cut, and nothing but our errors on any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotUnicast, Oversized, RemoteError
from protocol.streams.framing import ANSWER, ASK, Framed, FrameReader, frames_of

V4 = Address("198.51.100.7", 4000)
V6 = Address("2001:db8::7", 65535)

datagrams = st.binary(min_size=1, max_size=limits.STREAM_DATAGRAM_BYTES)
addresses = st.sampled_from([None, V4, V6])


def datagrams_of(framed: list[Framed]) -> list[tuple[bytes, Address | None]]:
    found = []
    for buffer, size, address in framed:
        found += [(buffer[at : at + size], address) for at in range(0, len(buffer), size)]
    return found


@given(st.lists(st.tuples(datagrams, addresses), max_size=8), st.integers(1, 700))
def test_datagrams_arrive_as_they_were_sent_however_the_stream_is_cut(
    sent: list[tuple[bytes, Address | None]], step: int
) -> None:
    stream = b"".join(frames_of(data, len(data), address) for data, address in sent)
    reader, got = FrameReader(), []
    for at in range(0, len(stream), step):
        got += datagrams_of(reader.read(stream[at : at + step]))
    assert got == sent


def test_a_burst_stays_one_buffer() -> None:
    burst = bytes(1200) * 3 + bytes(7)
    assert FrameReader().read(frames_of(burst, 1200, V6)) == [Framed(burst, 1200, V6)]


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_no_bytes_do_more_than_end_the_stream(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            reader.read(piece)
    except RemoteError:
        return


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (b"\0\0", Malformed),
        (b"\0\1\0", Malformed),
        (b"\0\1\7", Malformed),
        (b"\0\2\1x", Malformed),
        (b"\0\7\4\xc6\x33\x64\7\x0f\xa0", Malformed),
        (b"\0\x08\4\xe0\0\0\1\x0f\xa0x", NotUnicast),
        (b"\xff\xff", Oversized),
        (b"\x05\xde\0" + bytes(1501), Malformed),
        (b"\x05\xe4\4\x09\x09\x09\x09\x0f\xa0" + bytes(1501), Malformed),
    ],
)
def test_a_wrong_frame_is_named(frame: bytes, error: type[RemoteError]) -> None:
    with pytest.raises(error):
        FrameReader().read(frame)


def test_a_reader_keeps_less_than_one_frame() -> None:
    reader = FrameReader()
    whole = frames_of(bytes(limits.STREAM_DATAGRAM_BYTES), limits.STREAM_DATAGRAM_BYTES, V6)
    for _ in range(100):
        assert len(reader.read(whole[:-1])) <= 1
        assert len(reader.read(whole[-1:])) == 1


def test_no_more_frames_are_read_at_once_than_may_be() -> None:
    reader = FrameReader()
    ten = frames_of(b"x", 1, None) * 10
    assert reader.read(ten, 4) == [Framed(b"xxxx", 1, None)]
    assert (reader.frames, reader.is_behind) == (4, True)
    assert reader.read(ten[:2], 0) == []
    assert reader.read(ten[2:], 17) == [Framed(b"x" * 16, 1, None)]
    assert (reader.frames, reader.is_behind) == (16, False)


def test_questions_are_counted_and_answers_are_silent() -> None:
    reader = FrameReader()
    assert reader.read(ASK + ANSWER + ASK) == []
    assert reader.take_asked() == 2
    assert reader.take_asked() == 0


def test_what_is_longer_than_a_packet_or_empty_is_left_out() -> None:
    assert frames_of(bytes(limits.STREAM_DATAGRAM_BYTES + 1), 9000, None) == b""
    assert frames_of(b"", 0, None) == b""


def test_questions_and_answers_are_those_of_the_protocol() -> None:
    assert (ASK.hex(), ANSWER.hex()) == ("000101", "000102")
