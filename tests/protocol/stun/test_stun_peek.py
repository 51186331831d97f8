"""The owner of a STUN message, read from any bytes without raising."""

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.stun.peek import Peek, peek

TRANSACTION = b"twelve bytes"

REQUEST = bytes.fromhex("000100002112a442") + TRANSACTION

names = st.text("abcXYZ019+/", max_size=32)


def with_attributes(*attributes: tuple[int, bytes]) -> bytes:
    body = b"".join(
        kind.to_bytes(2) + len(value).to_bytes(2) + value + bytes(-len(value) % 4)
        for kind, value in attributes
    )
    return REQUEST[:2] + len(body).to_bytes(2) + REQUEST[4:] + body


@given(
    st.sampled_from(stun.Class),
    st.sampled_from(stun.Method),
    st.binary(min_size=12, max_size=12),
    names,
    names,
)
def test_what_aioice_writes_is_read(
    kind: stun.Class, method: stun.Method, transaction: bytes, ours: str, theirs: str
) -> None:
    message = stun.Message(method, kind, transaction, {"PRIORITY": 1})
    message.attributes["USERNAME"] = f"{ours}:{theirs}"
    message.add_message_integrity(b"password")
    is_response = kind in {stun.Class.RESPONSE, stun.Class.ERROR}
    expected = Peek(is_response, transaction, b"" if is_response else ours.encode())
    assert peek(bytes(message)) == expected


@given(st.binary(max_size=80), st.binary(max_size=60), st.integers(0, 65535))
def test_no_bytes_make_it_raise(anything: bytes, body: bytes, length: int) -> None:
    peek(anything)
    framed = peek(REQUEST[:2] + len(body).to_bytes(2) + REQUEST[4:] + body)
    assert (framed is None) == (len(body) % 4 != 0)
    wrong = REQUEST[:2] + length.to_bytes(2) + REQUEST[4:] + body
    assert length == len(body) or peek(wrong) is None


@pytest.mark.parametrize("size", range(20))
def test_a_part_of_a_header_is_not_stun(size: int) -> None:
    assert peek(REQUEST[:size]) is None
    assert peek(REQUEST) == Peek(False, TRANSACTION, b"")


@pytest.mark.parametrize("first_byte", [0x40, 0x80, 0xC0, 0xD0])
def test_the_first_two_bits_are_zero(first_byte: int) -> None:
    assert peek(bytes([first_byte]) + REQUEST[1:]) is None


def test_the_cookie_is_that_of_the_rfc() -> None:
    assert peek(REQUEST.replace(b"\x21\x12\xa4\x42", b"\x21\x12\xa4\x43")) is None


@pytest.mark.parametrize(
    ("attributes", "ufrag"),
    [
        ([(0x0006, b"ours:theirs")], b"ours"),
        ([(0x0024, bytes(4)), (0x8022, b"odd"), (0x0006, b"ours:theirs")], b"ours"),
        ([(0x0006, b"no colon")], b"no colon"),
        ([(0x0006, b"")], b""),
        ([(0x0006, b"first:a"), (0x0006, b"second:a")], b"first"),
        ([(0x0024, b"")] * (limits.STUN_ATTRIBUTES_PEEKED - 1) + [(0x0006, b"last:a")], b"last"),
        ([(0x0024, b"")] * limits.STUN_ATTRIBUTES_PEEKED + [(0x0006, b"late:a")], b""),
    ],
)
def test_the_ufrag_is_what_stands_before_the_colon(
    attributes: list[tuple[int, bytes]], ufrag: bytes
) -> None:
    assert peek(with_attributes(*attributes)) == Peek(False, TRANSACTION, ufrag)


def test_a_username_that_is_longer_than_the_message_is_none() -> None:
    whole = bytearray(with_attributes((0x0006, b"ours:theirs!")))
    whole[23] = 13  # the attribute's length
    assert peek(bytes(whole)) == Peek(False, TRANSACTION, b"")
