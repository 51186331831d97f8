"""STUN messages: golden vectors, those of RFC 5769 among them, round trips, and any bytes."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.errors import Malformed, NotUnicast, Oversized, RemoteError, Truncated, UnknownVersion
from protocol.stun import attributes as values
from protocol.stun.attributes import Attribute
from protocol.stun.message import (
    StunClass,
    StunMessage,
    StunMethod,
    decode_stun,
    encode_stun,
    has_integrity,
    long_term_key,
)
from tests.hosts import HOSTS

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "stun.json").read_text())

TRANSACTION = b"twelve bytes"
KEY = b"p" * 24

ADDRESSES = st.builds(Address, HOSTS.map(str), st.integers(1, 65535))

WRITTEN = st.integers(0, 0xFFFF).filter(
    lambda kind: kind not in {Attribute.MESSAGE_INTEGRITY, Attribute.FINGERPRINT}
)
MESSAGES = st.builds(
    StunMessage,
    st.sampled_from(StunClass),
    st.sampled_from(StunMethod),
    st.binary(min_size=12, max_size=12),
    st.lists(st.tuples(WRITTEN, st.binary(max_size=40)), max_size=8).map(tuple),
)


def binding(*attributes: tuple[int, bytes]) -> StunMessage:
    return StunMessage(StunClass.REQUEST, StunMethod.BINDING, TRANSACTION, attributes)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    key = None if vector["key"] is None else bytes.fromhex(vector["key"])
    message = StunMessage(
        StunClass[vector["class"]],
        StunMethod[vector["method"]],
        bytes.fromhex(vector["transaction"]),
        tuple((kind, bytes.fromhex(value)) for kind, value in vector["attributes"]),
    )
    expected = bytes.fromhex(vector["bytes"])
    assert encode_stun(message, key=key, fingerprint=vector["fingerprint"]) == expected
    decoded = decode_stun(expected)
    assert decoded == message
    assert has_integrity(expected, decoded, key or KEY) == (key is not None)


@pytest.mark.parametrize("vector", VECTORS["rfc5769"], ids=lambda vector: vector["section"])
def test_vectors_of_rfc_5769(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["bytes"])
    message = decode_stun(data)
    key = vector["password"].encode()
    if "realm" in vector:
        key = long_term_key(vector["username"], vector["realm"], vector["password"])
        assert message.text(Attribute.USERNAME) == vector["username"]
        assert message.text(Attribute.REALM) == vector["realm"]
    assert has_integrity(data, message, key)
    assert not has_integrity(data, message, key + b"!")
    if "address" in vector:
        assert message.address(Attribute.XOR_MAPPED_ADDRESS) == Address(*vector["address"])


def test_the_request_of_rfc_5769_has_what_the_rfc_says() -> None:
    message = decode_stun(bytes.fromhex(VECTORS["rfc5769"][0]["bytes"]))
    assert message.text(Attribute.USERNAME) == "evtj:h6vY"
    assert message.text(Attribute.SOFTWARE) == "STUN test client"
    assert message.number(Attribute.PRIORITY) == 0x6E0001FF
    assert message.number(Attribute.ICE_CONTROLLED, 8) == 0x932FF9B151263B36
    assert message.get(Attribute.USE_CANDIDATE) is None


@given(MESSAGES, st.none() | st.binary(max_size=100), st.booleans())
def test_round_trip(message: StunMessage, key: bytes | None, fingerprint: bool) -> None:
    data = encode_stun(message, key=key, fingerprint=fingerprint)
    decoded = decode_stun(data)
    assert decoded == message
    assert has_integrity(data, decoded, key or b"") == (key is not None)
    assert not has_integrity(data, decoded, b"another" + (key or b""))


@given(MESSAGES, st.data())
def test_no_changed_bit_keeps_integrity(message: StunMessage, data: st.DataObject) -> None:
    whole = encode_stun(message, key=KEY, fingerprint=False)
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = bytearray(whole)
    changed[at // 8] ^= 1 << at % 8
    try:
        decoded = decode_stun(bytes(changed))
    except RemoteError:
        return
    assert not has_integrity(bytes(changed), decoded, KEY)


@given(MESSAGES, st.data())
def test_no_changed_bit_keeps_the_fingerprint(message: StunMessage, data: st.DataObject) -> None:
    whole = encode_stun(message)
    at = data.draw(st.integers(0, (len(whole) - 8) * 8 - 1))
    changed = bytearray(whole)
    changed[at // 8] ^= 1 << at % 8
    try:
        decoded = decode_stun(bytes(changed))
    except Malformed:
        return
    # The length of an attribute was changed, which took the FINGERPRINT into its value.
    assert any(whole[-8:-4] in value for _, value in decoded.attributes)


def read_all(message: StunMessage) -> None:
    """Call every reader of values for every attribute."""
    readers: list[Callable[[bytes], object]] = [
        lambda value: values.decode_xor_address(value, message.transaction),
        lambda value: values.decode_xor_host(value, message.transaction),
        values.decode_mapped_address,
        values.decode_error,
        values.decode_unknown_attributes,
        values.decode_text,
        values.decode_first_byte,
        values.decode_channel,
        lambda value: values.decode_number(value, 8),
    ]
    for _, value in message.attributes:
        for reader in readers:
            try:
                reader(value)
            except RemoteError:
                continue


@given(st.binary(max_size=120), MESSAGES, st.data())
def test_any_bytes_raise_nothing_but_ours(
    anything: bytes, message: StunMessage, data: st.DataObject
) -> None:
    whole = bytearray(encode_stun(message, key=KEY, fingerprint=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    framed = whole[:2] + len(anything).to_bytes(2) + whole[4:20] + anything
    for tried in (anything, bytes(whole), bytes(framed)):
        try:
            read_all(decode_stun(tried))
        except RemoteError:
            continue


@given(MESSAGES)
def test_a_part_of_a_message_is_refused(message: StunMessage) -> None:
    whole = encode_stun(message, key=KEY)
    for size in range(len(whole)):
        with pytest.raises(Malformed):
            decode_stun(whole[:size])


@given(st.binary(max_size=100))
def test_integrity_is_hmac_sha1(key: bytes) -> None:
    whole = encode_stun(binding(), key=key, fingerprint=False)
    assert whole[-20:] == hmac.digest(key, whole[:-24], "sha1")


# What aioice writes and reads ---------------------------------------------------------------


@given(ADDRESSES, st.binary(min_size=12, max_size=12))
def test_aioice_reads_our_addresses(address: Address, transaction: bytes) -> None:
    message = StunMessage(
        StunClass.SUCCESS,
        StunMethod.BINDING,
        transaction,
        ((Attribute.XOR_MAPPED_ADDRESS, values.encode_xor_address(address, transaction)),),
    )
    assert message.address(Attribute.XOR_MAPPED_ADDRESS) == address
    parsed = stun.parse_message(encode_stun(message, key=KEY))
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == tuple(address)


def test_aioice_agrees_on_integrity_and_fingerprint() -> None:
    theirs = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, TRANSACTION)
    theirs.attributes["USERNAME"] = "ours:theirs"
    theirs.attributes["PRIORITY"] = 17
    theirs.add_message_integrity(KEY)
    expected = bytes(theirs)
    message = decode_stun(expected)
    assert has_integrity(expected, message, KEY)
    assert message.text(Attribute.USERNAME) == "ours:theirs"
    assert encode_stun(message, key=KEY) == expected


# Rules --------------------------------------------------------------------------------------


def test_what_follows_message_integrity_is_left_out() -> None:
    protected = encode_stun(binding((Attribute.PRIORITY, bytes(4))), key=KEY, fingerprint=False)
    added = protected + (0x25).to_bytes(2) + bytes(2)
    whole = added[:2] + (len(added) - 20).to_bytes(2) + added[4:]
    message = decode_stun(whole)
    assert has_integrity(whole, message, KEY)
    assert message.get(Attribute.USE_CANDIDATE) is None


def test_the_first_of_two_attributes_counts() -> None:
    message = binding((Attribute.PRIORITY, bytes(3) + b"\1"), (Attribute.PRIORITY, bytes(4)))
    assert decode_stun(encode_stun(message)).number(Attribute.PRIORITY) == 1


def test_attributes_that_must_be_understood() -> None:
    message = binding((0x0003, b""), (Attribute.PRIORITY, bytes(4)), (0x8003, b""), (0x7777, b""))
    assert message.not_understood() == (0x0003, 0x7777)
    assert message.not_understood({0x0003}) == (Attribute.PRIORITY, 0x7777)
    assert values.decode_unknown_attributes(
        values.encode_unknown_attributes(message.not_understood())
    ) == (0x0003, 0x7777)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (b"", Truncated),
        (bytes(19), Truncated),
        (bytes(20), Malformed),
        (b"\x00\x02\x00\x00" + values.MAGIC_COOKIE + TRANSACTION, UnknownVersion),
        (b"\x00\x01\x00\x04" + values.MAGIC_COOKIE + TRANSACTION + b"\x00\x06\x00\x01", Truncated),
        (b"\x00\x01\x00\x04" + values.MAGIC_COOKIE + TRANSACTION + b"\x00\x08\x00\x00", Malformed),
        (b"\x00\x01\x00\x04" + values.MAGIC_COOKIE + TRANSACTION + b"\x80\x28\x00\x00", Malformed),
    ],
)
def test_what_is_not_a_message_has_a_name(changed: bytes, error: type[Malformed]) -> None:
    with pytest.raises(error):
        decode_stun(changed)


def test_attributes_are_bounded() -> None:
    most = binding(*[(0x8003, b"")] * limits.STUN_ATTRIBUTES)
    assert decode_stun(encode_stun(most, fingerprint=False)) == most
    with pytest.raises(Oversized):
        decode_stun(encode_stun(most))
    with pytest.raises(Oversized):
        encode_stun(binding((Attribute.DATA, bytes(65_500))), key=KEY)


def test_texts_are_bounded() -> None:
    longest = "a" * limits.STUN_TEXT_BYTES
    assert values.decode_text(values.encode_text(longest)) == longest
    for value in (values.encode_text, lambda text: values.decode_text(text.encode())):
        with pytest.raises(Oversized):
            value(longest + "a")
    with pytest.raises(Malformed):
        values.decode_text(b"\xff")


def test_errors() -> None:
    assert values.decode_error(values.encode_error(487, "Role Conflict")) == (487, "Role Conflict")
    assert values.decode_error(b"\0\0\x04\x01\xff") == (401, "�")
    for bad in (b"", b"\0\0\x04", b"\0\0\x02\0", b"\0\0\x07\0", b"\0\0\x04\x64"):
        with pytest.raises(Malformed):
            values.decode_error(bad)


@given(ADDRESSES)
def test_addresses_that_are_not_masked(address: Address) -> None:
    xored = values.encode_xor_address(address, TRANSACTION)
    plain = values.encode_xor_address(address, bytes(12))
    assert values.decode_xor_address(xored, TRANSACTION) == address
    assert values.decode_xor_host(xored, TRANSACTION) == address.host
    assert (xored == plain) == (address.family == 4)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b"", Malformed),
        (b"\0\1", Malformed),
        (b"\0\2\0\1\1\1\1\1", Malformed),
        (b"\0\1\0\0\1\1\1\1", Malformed),
        (b"\0\1\0\1\0\1\1\1", NotUnicast),
        (b"\0\2\0\1" + bytes(16), NotUnicast),
    ],
)
def test_addresses_that_are_none(value: bytes, error: type[Malformed]) -> None:
    with pytest.raises(error):
        values.decode_mapped_address(value)
    masks = values.encode_xor_address(Address("0.0.0.0", 1), TRANSACTION)
    assert masks[4:] == values.MAGIC_COOKIE


def test_a_host_may_come_without_a_port() -> None:
    masked = values.encode_xor_address(Address("198.51.100.7", 1), TRANSACTION)
    without_port = masked[:2] + values.MAGIC_COOKIE[:2] + masked[4:]
    assert values.decode_xor_host(without_port, TRANSACTION) == "198.51.100.7"
    with pytest.raises(Malformed):
        values.decode_xor_address(without_port, TRANSACTION)


def test_small_values() -> None:
    assert values.decode_mapped_address(b"\0\1\x12\x34\xc6\x33\x64\x07") == ("198.51.100.7", 0x1234)
    assert values.decode_first_byte(values.encode_transport(17)) == 17
    assert values.decode_first_byte(values.encode_family(6)) == 2
    assert values.decode_first_byte(values.encode_family(4)) == 1
    assert values.decode_channel(values.encode_channel(0x7FFF)) == 0x7FFF
    assert values.decode_number(values.encode_u32(600), 4) == 600
    assert values.decode_number(values.encode_u64(2**63), 8) == 2**63
    for reader in (values.decode_first_byte, values.decode_channel):
        with pytest.raises(Malformed):
            reader(b"\0")
    with pytest.raises(Malformed):
        values.decode_number(b"\0", 4)
