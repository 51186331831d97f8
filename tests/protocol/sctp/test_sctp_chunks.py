"""The bytes: golden vectors, another implementation's reading of them, and any bytes at all."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from aiortc import rtcsctptransport as stock
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.sctp import chunks
from protocol.sctp.chunks import Init
from protocol.sctp.control import datachannel
from protocol.sctp.control.cookie import Cookie, Peer, open_cookie, seal_cookie
from protocol.sctp.control.datachannel import ChannelTerms
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.packets import open_packet, seal
from protocol.sctp.serial import ssn_is_ahead, tsn_distance

GOLDEN: dict[str, tuple[bytes, str]] = {
    "DATA": (
        chunks.encode_data(chunks.FLAG_WHOLE, 0x01020304, 5, 6, 53, b"hello"),
        "00030015 01020304 0005 0006 00000035 68656c6c6f 000000",
    ),
    "DATA, unordered first fragment, immediate": (
        chunks.encode_data(0x0E, 0xFFFFFFFF, 1, 0, 51, b"abcd"),
        "000e0014 ffffffff 0001 0000 00000033 61626364",
    ),
    "SACK": (
        chunks.encode_sack(0x10, 0x00020000, [2, 3, 7, 7], [0x0F]),
        "03000 01c 00000010 00020000 0002 0001 00020003 00070007 0000000f",
    ),
    "INIT": (
        chunks.encode_init(
            chunks.INIT,
            Init(0xA1B2C3D4, 131072, 65535, 65535, 7, ((0xC000, b""), (0x8008, b"\x82"))),
        ),
        "01000 01d a1b2c3d4 00020000 ffff ffff 00000007 c0000004 80080005 82 000000",
    ),
    "FORWARD TSN": (
        chunks.encode_forward_tsn(9, [(1, 2), (3, 65535)]),
        "c0000010 00000009 00010002 0003ffff",
    ),
    "SHUTDOWN": (chunks.encode_shutdown(0x11223344), "07000008 11223344"),
    "COOKIE ACK": (chunks.encode_chunk(chunks.COOKIE_ACK), "0b000004"),
    "ABORT": (
        chunks.encode_chunk(chunks.ABORT, 0, chunks.encode_parameters([(12, b"bye")])),
        "0600000b 000c0007 627965 00",
    ),
    "DATA_CHANNEL_OPEN": (
        datachannel.encode_open(ChannelTerms("lab", "pr", ordered=False, max_retransmits=3)),
        "03 81 0000 00000003 0003 0002 6c6162 7072",
    ),
    "DATA_CHANNEL_OPEN, lifetime": (
        datachannel.encode_open(ChannelTerms("", max_lifetime_ms=500)),
        "03 02 0000 000001f4 0000 0000",
    ),
    "packet, checksum by a bitwise CRC32c": (
        seal(bytes.fromhex("1388 1388 01020304".replace(" ", "")), chunks.encode_chunk(11)),
        "1388 1388 01020304 ee5a51a5 0b000004",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_vector(name: str) -> None:
    made, expected = GOLDEN[name]
    assert made.hex() == expected.replace(" ", "")


def test_the_stock_implementation_reads_what_we_write() -> None:
    init = GOLDEN["INIT"][0]
    body = chunks.encode_sack(0x10, 77, [2, 3, 7, 7], [0x0F])
    packet = seal(chunks.COMMON_HEADER.pack(5000, 5001, 9), init)
    source, destination, tag, [read] = stock.parse_packet(packet)
    assert (source, destination, tag) == (5000, 5001, 9)
    assert isinstance(read, stock.InitChunk)
    assert (read.initiate_tag, read.initial_tsn, read.inbound_streams) == (0xA1B2C3D4, 7, 65535)
    assert read.params == [(0xC000, b""), (0x8008, b"\x82")]
    _, _, _, [sack] = stock.parse_packet(seal(packet[:8], body))
    assert isinstance(sack, stock.SackChunk)
    assert (sack.cumulative_tsn, sack.gaps, sack.duplicates) == (0x10, [(2, 3), (7, 7)], [0x0F])


def test_we_read_what_the_stock_implementation_writes() -> None:
    sack = stock.SackChunk()
    sack.cumulative_tsn, sack.advertised_rwnd = 5, 6
    sack.gaps, sack.duplicates = [(2, 2), (9, 12)], [1, 2]
    source, destination, tag, body = open_packet(stock.serialize_packet(1, 2, 3, sack))
    assert (source, destination, tag) == (1, 2, 3)
    [(kind, _, value)] = chunks.split_chunks(body)
    assert kind == chunks.SACK
    assert chunks.decode_sack(value) == (5, 6, (2, 2, 9, 12), (1, 2))


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 65535)),
    st.lists(st.integers(0, 2**32 - 1)),
)
def test_sack_round_trip(tsn: int, window: int, offsets: list[int], again: list[int]) -> None:
    offsets = offsets[: len(offsets) // 2 * 2]
    [(_, _, value)] = chunks.split_chunks(chunks.encode_sack(tsn, window, offsets, again))
    assert chunks.decode_sack(value) == (tsn, window, tuple(offsets), tuple(again))


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=20)), max_size=20))
def test_parameters_round_trip(parameters: list[tuple[int, bytes]]) -> None:
    assert chunks.split_parameters(chunks.encode_parameters(parameters)) == parameters


@given(
    st.text(max_size=40), st.text(max_size=40), st.booleans(), st.none() | st.integers(0, 2**32 - 1)
)
def test_open_round_trip(label: str, protocol: str, ordered: bool, limit: int | None) -> None:
    for terms in (
        ChannelTerms(label, protocol, ordered, max_retransmits=limit),
        ChannelTerms(label, protocol, ordered, max_lifetime_ms=limit),
    ):
        assert datachannel.decode_open(datachannel.encode_open(terms)) == terms


DECODERS: list[Callable[[bytes], object]] = [
    chunks.split_chunks,
    chunks.split_parameters,
    chunks.decode_init,
    chunks.decode_sack,
    chunks.decode_forward_tsn,
    chunks.decode_shutdown,
    datachannel.decode_open,
    open_packet,
    lambda data: open_cookie(data, b"secret"),
]


@pytest.mark.parametrize("decoder", DECODERS)
@given(data=st.binary(max_size=80))
def test_any_bytes_give_a_value_or_our_error(
    decoder: Callable[[bytes], object], data: bytes
) -> None:
    with suppress(MalformedChunk):
        decoder(data)


@pytest.mark.parametrize(
    "body", ["", "00", "00000003", "0000000800", "0b00000400"], ids=lambda body: f"<{body}>"
)
def test_a_chunk_with_an_impossible_length_is_refused(body: str) -> None:
    with pytest.raises(MalformedChunk):
        chunks.split_chunks(bytes.fromhex(body))


def test_a_packet_of_tiny_chunks_is_bounded() -> None:
    with pytest.raises(MalformedChunk):
        chunks.split_chunks(b"\x0b\0\0\x04" * 513)


def test_one_flipped_bit_breaks_the_checksum() -> None:
    packet = bytearray(seal(b"12345678", chunks.encode_chunk(chunks.COOKIE_ACK)))
    packet[-1] ^= 1
    with pytest.raises(MalformedChunk):
        open_packet(bytes(packet))


COOKIE = Cookie(12.5, 1, 2, Peer(3, 4, 5, 6, 7, True, False, True), 8, 9)


def test_a_cookie_comes_back_whole_and_only_to_its_maker() -> None:
    sealed = seal_cookie(COOKIE, b"secret")
    assert open_cookie(sealed, b"secret") == COOKIE
    with pytest.raises(MalformedChunk):
        open_cookie(sealed, b"other")
    for position in range(len(sealed)):
        forged = bytearray(sealed)
        forged[position] ^= 0x40
        with pytest.raises(MalformedChunk):
            open_cookie(bytes(forged), b"secret")


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_the_distance_of_two_tsns_crosses_the_wrap(older: int, distance: int) -> None:
    assert tsn_distance((older + distance) & 0xFFFFFFFF, older) == distance


def test_stream_numbers_compare_across_the_wrap() -> None:
    assert ssn_is_ahead(0, 65535)
    assert ssn_is_ahead(5, 65530)
    assert not ssn_is_ahead(65535, 0)
    assert not ssn_is_ahead(7, 7)


DATA_CHUNKS = st.builds(
    chunks.encode_data,
    *(st.integers(0, 15), st.integers(0, 2**32 - 1), st.integers(0, 99), st.integers(0, 99)),
    *(st.integers(0, 99), st.binary(max_size=9)),
)


@example([chunks.encode_data(3, 1, 0, 0, 53, b""), chunks.encode_data(3, 2, 0, 1, 53, b"x")], 0)
@given(st.lists(DATA_CHUNKS | st.binary(max_size=20), max_size=6), st.integers(0, 3))
def test_a_packet_of_few_data_chunks_is_read_as_any_other(parts: list[bytes], less: int) -> None:
    body = b"".join(parts)
    body = body[: len(body) - less]
    found = chunks.split_data(body)
    try:
        usual = chunks.split_chunks(body)
    except MalformedChunk:
        usual = []
    is_plain = all(kind == chunks.DATA and len(value) > 12 for kind, _, value in usual)
    if is_plain and 0 < len(usual) <= 4:
        again = [
            (chunks.DATA, flags, chunks.DATA_HEADER.pack(0, 0, 0, *numbers)[4:] + data)
            for flags, *numbers, data in found or ()
        ]
        assert again == usual
    else:
        assert not found
