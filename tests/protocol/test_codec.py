"""The canonical encoding: one spelling of each value, bounded, and no error but ours."""

import enum
import io
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.codec import (
    NESTING_MAX,
    FieldReader,
    decode,
    decode_canonical,
    encode,
    encode_long,
    list_of,
    ranged,
    shape,
    sized,
)
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.errors import Malformed, NotCanonical, Oversized
from protocol.limits import DATAGRAM_ITEMS

repeatable = settings(deadline=None, derandomize=True)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=50)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=20), max_leaves=8)


def read(data: bytes) -> Any:
    return decode(data, max_bytes=2**16, max_items=2**10)


def read_canonical(data: bytes) -> Any:
    return decode_canonical(data, max_bytes=2**16, max_items=2**10)


@repeatable
@given(VALUES)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    data = encode(value)
    for back in (read(data), read_canonical(data)):
        assert repr(back) == repr(value)  # repr tells True from 1


@repeatable
@given(VALUES, st.data())
def test_a_value_cut_short_or_followed_by_more_is_malformed(
    value: Any, data: st.DataObject
) -> None:
    spelled = encode(value)
    cut = data.draw(st.integers(0, len(spelled) - 1))
    for wrong in (spelled[:cut], spelled + b"\xc0"):
        with pytest.raises(Malformed):
            read(wrong)


@settings(repeatable, max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_of_the_form_or_malformed(data: bytes) -> None:
    for reader in (read, read_canonical):
        try:
            value = reader(data)
        except Malformed:
            continue
        assert repr(read(encode(value))) == repr(value)


@settings(repeatable, max_examples=300)
@given(VALUES, st.integers(0, 2**16), st.integers(0, 255))
def test_what_is_read_as_canonical_has_one_spelling(value: Any, place: int, byte: int) -> None:
    changed = bytearray(encode(value))
    changed[place % len(changed)] = byte
    try:
        read_back = read_canonical(bytes(changed))
    except Malformed:
        return
    assert encode(read_back) == bytes(changed)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "cc80"),
        (256, "cd0100"),
        (65536, "ce00010000"),
        (2**32, "cf0000000100000000"),
        (-1, "ff"),
        (-33, "d0df"),
        (None, "c0"),
        (False, "c2"),
        (True, "c3"),
        ("", "a0"),
        ("é", "a2c3a9"),
        (b"", "c400"),
        (b"\0" * 256, "c50100" + "00" * 256),
        ([], "90"),
        ([1, [b"x"]], "920191c40178"),
        ([0] * 16, "dc0010" + "00" * 16),
    ],
)
def test_the_spelling_is_messagepack_s_shortest(value: Any, spelled: str) -> None:
    assert encode(value).hex() == spelled
    assert read_canonical(bytes.fromhex(spelled)) == value


@pytest.mark.parametrize(
    "longer",
    [
        "cc01",
        "cd0001",
        "ce00000001",
        "cf0000000000000001",
        "d001",
        "d1ffff",
        "d90161",
        "da000161",
        "c5000100",
        "c60000000100",
        "dc000101",
        "dd0000000101",
        "91cc01",
    ],
)
def test_a_longer_spelling_is_read_but_is_not_canonical(longer: str) -> None:
    read(bytes.fromhex(longer))
    with pytest.raises(NotCanonical):
        read_canonical(bytes.fromhex(longer))


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("nothing", ""),
        ("the unused byte", "c1"),
        ("an empty map", "80"),
        ("a map", "810102"),
        ("a map of 32-bit length", "df00000000"),
        ("a single float", "ca00000000"),
        ("a double", "cb3ff8000000000000"),
        ("not a number", "cb7ff8000000000000"),
        ("infinity", "cb7ff0000000000000"),
        ("an empty extension", "c70005"),
        ("an extension", "d40100"),
        ("a timestamp", "d6ff00000000"),
        ("an empty timestamp", "c700ff"),
        ("a surrogate in text", "a3eda080"),
        ("text that is not UTF-8", "a1ff"),
        ("bytes that are missing", "c40a00"),
        ("a list without its items", "93"),
        ("more bytes than any memory", "c6ffffffff"),
        ("more items than any memory", "ddffffffff"),
        ("a trailing byte", "0000"),
    ],
)
def test_what_the_form_does_not_hold_is_malformed(what: str, data: str) -> None:
    for spelled in (bytes.fromhex(data), b"\x91" + bytes.fromhex(data)):
        with pytest.raises(Malformed):
            read_canonical(spelled)


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        float("nan"),
        {},
        {1: 2},
        (1,),
        Number.ONE,
        {1},
        object(),
        msgpack.ExtType(1, b""),
        msgpack.Timestamp(1),
    ],
)
def test_only_what_can_be_read_back_is_spelled(value: Any) -> None:
    for nested in (value, [value], [[1], [[value]]]):
        with pytest.raises((TypeError, Malformed)):
            read_canonical(encode(nested))


def test_integers_beyond_64_bits_and_surrogates_cannot_be_spelled() -> None:
    for value in (2**64, -(2**63) - 1):
        with pytest.raises(OverflowError):
            encode([value])
    with pytest.raises(ValueError, match="surrogates"):
        encode("\ud800")
    assert encode(1) == b"\x01"  # and the next value is not spoilt by the last


@pytest.mark.parametrize("length", [0, 1, 255, 256, 5000, 65_535, 65_536, 70_000])
@pytest.mark.parametrize("others", [2, 14, 15, 200, 66_000])
def test_long_lists_are_spelled_as_any_other(length: int, others: int) -> None:
    values = [7, bytes(length), *([-1, "text", [1, None]] * others)[:others]]
    spelled = encode_long(values)
    assert spelled == encode(values)
    assert decode_canonical(spelled, max_bytes=2**20, max_items=2**17) == values
    with pytest.raises(Malformed):
        decode_canonical(spelled + b"\0", max_bytes=2**20, max_items=2**17)


@pytest.mark.parametrize(
    "longer",
    [
        "dc 0002 07 c5 1388",  # the list's length
        "92 cc07 c5 1388",  # the number before the bytes
        "92 cd00ff c5 1388",
        "92 ce0000ffff c5 1388",
        "92 cf00000000ffffffff c5 1388",
        "92 07 c6 00001388",  # the length of the bytes
        "93 07 d2 00000001 c5 1388",  # the number next to the bytes
        "92 07 da 1388",  # text and not bytes, which is another value
    ],
)
def test_long_bytes_have_one_spelling_too(longer: str) -> None:
    data = bytes.fromhex(longer) + bytes(5000)
    if read(data)[-1] == bytes(5000):
        with pytest.raises(NotCanonical):
            read_canonical(data)
    else:
        assert read_canonical(data) == [7, "\0" * 5000]
    with pytest.raises(Malformed):
        read_canonical(encode([7, bytes(5000)]) + b"\0")


PLAIN_LISTS = st.lists(st.integers(0, 2**64 - 1) | st.binary(max_size=300), max_size=13).flatmap(
    lambda values: st.integers(0, len(values)).map(
        lambda place: [*values[:place], b"x" * 5000, *values[place:]]
    )
)
"""Lists that are read without spelling them again."""


@repeatable
@given(PLAIN_LISTS, st.data())
def test_long_plain_lists_are_read_as_any_other(values: list[Any], data: st.DataObject) -> None:
    spelled = encode(values)
    assert read_canonical(spelled) == read(spelled) == values
    heads = [place for place, byte in enumerate(spelled) if byte != ord("x")]
    place = data.draw(st.sampled_from(heads))
    byte = data.draw(st.integers(0, 255))
    changed = spelled[:place] + bytes((byte,)) + spelled[place + 1 :]
    cut = data.draw(st.integers(4096, len(spelled)))
    for candidate in (changed, spelled[:cut], spelled + b"\0"):
        try:
            value = read_canonical(candidate)
        except Malformed:
            continue
        assert encode(value) == candidate
    with pytest.raises(Malformed):
        decode_canonical(spelled, max_bytes=2**16, max_items=len(values) - 1)
    with pytest.raises(Oversized):
        decode_canonical(spelled, max_bytes=len(spelled) - 1, max_items=2**10)


def test_more_bytes_than_allowed_are_oversized() -> None:
    data = encode(b"x" * 10)
    assert decode(data, max_bytes=len(data), max_items=0) == b"x" * 10
    with pytest.raises(Oversized):
        decode(data, max_bytes=len(data) - 1, max_items=0)


def test_longer_lists_than_allowed_are_malformed_at_any_depth() -> None:
    for value in ([0] * 5, [[0] * 5], [0, [1, [0] * 5]]):
        data = encode(value)
        assert decode(data, max_bytes=100, max_items=5) == value
        with pytest.raises(Malformed):
            decode(data, max_bytes=100, max_items=4)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdc\x00\x40" * (DATAGRAM_BODY_BYTES // 3),
        b"\xdd\x00\x00\x00\x40" * (DATAGRAM_BODY_BYTES // 5),
        b"\x9f" * DATAGRAM_BODY_BYTES,
        b"\x91" * 1000 + b"\x90",
        (b"\xdc\x00\x40" + b"\x9f" * 63)[:66] * (DATAGRAM_BODY_BYTES // 66),
        b"\xdd\x00\x00\xff\xff" * (DATAGRAM_BODY_BYTES // 5),
        b"\xc6\x7f\xff\xff\xff" * (DATAGRAM_BODY_BYTES // 5),
        b"\xdc\x00\x40" + b"\xc6\x7f\xff\xff\xff" * 64,
        b"\xdf\x7f\xff\xff\xff" * (DATAGRAM_BODY_BYTES // 5),
    ],
)
def test_a_datagram_allocates_little_whatever_it_claims(bomb: bytes) -> None:
    assert len(bomb) <= DATAGRAM_BODY_BYTES
    for items in (DATAGRAM_ITEMS, 2**20):
        tracemalloc.start()
        try:
            for reader in (decode, decode_canonical):
                try:
                    reader(bomb, max_bytes=DATAGRAM_BODY_BYTES, max_items=items)
                except Malformed:
                    continue
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        if items == DATAGRAM_ITEMS:
            assert peak < 2**18
        else:
            # A list may reserve as many places as there are bytes, at each of 1024 levels.
            assert peak < 2**20 * 11


def test_lists_nest_to_a_limit() -> None:
    deepest: list[Any] = []
    for _ in range(NESTING_MAX - 1):
        deepest = [deepest]
    assert read_canonical(encode(deepest)) == deepest
    for levels in (NESTING_MAX, 600, 1000, 60_000):
        with pytest.raises(Malformed):
            read_canonical(b"\x91" * levels + b"\x90")


def test_a_shape_is_a_list_of_exactly_these_types() -> None:
    assert shape([1, b"x", [2]], int, bytes, list) == [1, b"x", [2]]
    assert shape([]) == []
    wrong: Any
    for wrong in ([True, b"x", []], [1, "x", []], [1, b"x"], [1, b"x", [], 0], (1, b"x", []), None):
        with pytest.raises(Malformed):
            shape(wrong, int, bytes, list)


def test_a_list_has_one_type_of_item_and_a_length() -> None:
    assert list_of([1, 2], int, max_items=2) == [1, 2]
    with pytest.raises(Oversized):
        list_of([1, 2, 3], int, max_items=2)
    for wrong in ([1, True], [1, b""], b"12", (1, 2), {1: 2}, None):
        with pytest.raises(Malformed):
            list_of(wrong, int, max_items=2)


def test_sizes_and_ranges_include_their_ends() -> None:
    assert sized(b"ab", 2) == b"ab"
    assert [ranged(value, -1, 1) for value in (-1, 0, 1)] == [-1, 0, 1]
    for wrong in (b"a", b"abc"):
        with pytest.raises(Malformed):
            sized(wrong, 2)
    for number in (-2, 2):
        with pytest.raises(Malformed):
            ranged(number, -1, 1)


FIELDS = st.tuples(
    st.text(max_size=300), st.binary(max_size=300), st.lists(st.text(max_size=40), max_size=20)
)


def read_fields(data: bytes) -> tuple[str, bytes, list[str]]:
    reader = FieldReader(io.BytesIO(data), fields=3, max_bytes=2**16)
    found = reader.text(), reader.bytes(), reader.texts(20)
    reader.end()
    return found


@repeatable
@given(FIELDS)
def test_fields_come_back_one_by_one(fields: tuple[str, bytes, list[str]]) -> None:
    assert read_fields(encode(list(fields))) == fields


@repeatable
@given(FIELDS, st.data())
def test_fields_have_one_spelling(
    fields: tuple[str, bytes, list[str]], data: st.DataObject
) -> None:
    spelled = bytearray(encode(list(fields)))
    place = data.draw(st.integers(0, len(spelled) - 1))
    spelled[place] = data.draw(st.integers(0, 255))
    for changed in (bytes(spelled), bytes(spelled[:-1]), bytes(spelled) + b"\0"):
        try:
            read_back = read_fields(changed)
        except Malformed:
            continue
        assert encode(list(read_back)) == changed


@pytest.mark.parametrize(
    "data",
    [
        b"\xdc\x00\x03\xa1a\xc4\x01b\x90",  # a long form of a short list
        b"\x93\xd9\x01a\xc4\x01b\x90",  # of a text
        b"\x93\xa1a\xc5\x00\x01b\x90",  # of bytes
        b"\x93\xa1a\xc4\x01b\xdc\x00\x00",  # of the list within
        b"\x94\xa1a\xc4\x01b\x90\x90",
        b"\x93\xc4\x01a\xc4\x01b\x90",
        b"\x93\xa1a\xa1b\x90",
        b"\x93\xa1a\xc4\x01b\xdd\xff\xff\xff\xff",
        b"\x93\xa1a\xc6\xff\xff\xff\xffb",
        b"\x93\xa1\xff\xc4\x01b\x90",
        b"",
    ],
)
def test_fields_of_another_form_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_fields(data)
