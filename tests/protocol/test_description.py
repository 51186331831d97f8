"""Descriptions: one spelling, strict bounds, and what is derived instead of sent."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from aioice.candidate import candidate_priority
from hypothesis import given
from hypothesis import strategies as st

from protocol import addresses, codec, limits
from protocol.addresses import Address
from protocol.description import (
    CandidateKind,
    Description,
    DtlsRole,
    IceCandidate,
    answering_role,
    fresh_credentials,
    priority,
)
from protocol.errors import Malformed, NotCanonical, NotUnicast, Oversized, Truncated
from tests.hosts import HOSTS

VECTORS = Path(__file__).parents[1] / "vectors"

ICE_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

SMALL = Description("abcd", "p" * 22, bytes(32), DtlsRole.ACTPASS, ())


candidates = st.builds(
    IceCandidate,
    st.sampled_from(CandidateKind),
    st.builds(Address, HOSTS.map(str), st.integers(1, 65535)),
)
descriptions = st.builds(
    Description,
    st.text(ICE_CHARS, min_size=4, max_size=limits.ICE_USERNAME_CHARS),
    st.text(ICE_CHARS, min_size=22, max_size=limits.ICE_PASSWORD_CHARS),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(DtlsRole),
    st.lists(candidates, max_size=limits.CANDIDATES).map(tuple),
    st.booleans(),
)


@given(descriptions)
def test_round_trip(description: Description) -> None:
    encoded = description.encode()
    assert len(encoded) <= limits.DESCRIPTION_BYTES
    decoded = Description.decode(encoded)
    assert decoded == description
    assert isinstance(decoded.role, DtlsRole)
    assert decoded.encode() == encoded


@given(st.binary(max_size=600))
def test_any_bytes_are_a_description_or_malformed(data: bytes) -> None:
    try:
        description = Description.decode(data)
    except Malformed:
        return
    assert description.encode() == data


@given(descriptions, st.data())
def test_a_damaged_description_is_another_one_or_malformed(
    description: Description, data: st.DataObject
) -> None:
    encoded = bytearray(description.encode())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= data.draw(st.integers(1, 255))
    try:
        damaged = Description.decode(bytes(encoded))
    except Malformed:
        return
    assert damaged != description


@pytest.mark.parametrize("name", ["description_offer", "description_answer"])
def test_golden_vectors(name: str) -> None:
    fields = json.loads((VECTORS / f"{name}.json").read_text())
    encoded = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    description = Description(
        fields["username"],
        fields["password"],
        bytes.fromhex(fields["fingerprint"]),
        fields["role"],
        tuple(IceCandidate(kind, Address(host, port)) for kind, host, port in fields["candidates"]),
    )
    assert description.encode() == encoded
    assert Description.decode(encoded) == description


def test_two_ipv4_candidates_fit_in_95_bytes() -> None:
    username, password = fresh_credentials(random.Random(1))
    two = tuple(IceCandidate(0, Address("192.0.2.1", 40_000 + n)) for n in range(2))
    assert len(Description(username, password, bytes(32), 0, two).encode()) <= 95


def test_the_longest_description_fits_its_bound() -> None:
    many = tuple(IceCandidate(2, Address(f"2001:db8::{n + 1}", 65535)) for n in range(16))
    longest = Description("u" * 32, "p" * 32, bytes(32), 2, many)
    assert len(longest.encode()) <= limits.DESCRIPTION_BYTES
    assert Description.decode(longest.encode()) == longest


@pytest.mark.parametrize(
    "change",
    [
        {"ufrag": "abc"},
        {"ufrag": "a" * 33},
        {"ufrag": "ab cd"},
        {"ufrag": "abcd\n"},
        {"ufrag": "abc\u00e9"},
        {"password": "p" * 21},
        {"password": "p" * 33},
        {"password": "p" * 22 + ":"},
        {"fingerprint": bytes(31)},
        {"fingerprint": bytes(33)},
        {"role": 3},
        {"role": -1},
    ],
    ids=str,
)
def test_what_ice_or_dtls_could_not_use_is_malformed(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_too_many_candidates_are_refused() -> None:
    one = IceCandidate(0, Address("192.0.2.1", 1))
    with pytest.raises(Oversized):
        replace(SMALL, candidates=(one,) * (limits.CANDIDATES + 1))
    value = [SMALL.ufrag, SMALL.password, SMALL.fingerprint, 0, [one.encode()] * 17]
    with pytest.raises(Malformed):
        Description.decode(codec.encode(value))
    with pytest.raises(Oversized):
        Description.decode(bytes(limits.DESCRIPTION_BYTES + 1))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "240.0.0.1"]
)
def test_a_candidate_is_a_unicast_address(host: str) -> None:
    address = Address(host, 5353)
    with pytest.raises(NotUnicast):
        IceCandidate(0, address)
    with pytest.raises(NotUnicast):
        IceCandidate.decode(b"\0" + addresses.pack_address(address))


@pytest.mark.parametrize(
    ("packed", "error"),
    [
        (b"", Truncated),
        (b"\0", Malformed),
        (b"\3\x7f\0\0\1\0\x50", Malformed),
        (b"\0\x7f\0\0\1\0\0", Malformed),
        (b"\0\xe0\0\0\1\0\x50", Malformed),
        (b"\0" + bytes(10) + b"\xff\xff\x7f\0\0\1\0\x50", Malformed),
    ],
)
def test_malformed_candidates(packed: bytes, error: type[Malformed]) -> None:
    with pytest.raises(error):
        IceCandidate.decode(packed)


def test_another_spelling_is_refused() -> None:
    value = codec.decode(SMALL.encode(), max_bytes=500, max_items=16)
    longer = SMALL.encode().replace(b"\xa4abcd", b"\xd9\x04abcd")
    assert codec.decode(longer, max_bytes=500, max_items=16) == value
    with pytest.raises(NotCanonical):
        Description.decode(longer)
    with pytest.raises(Malformed):
        Description.decode(SMALL.encode() + b"\0")
    with pytest.raises(Malformed):
        Description.decode(codec.encode([*value[:3], True, []]))


def test_priorities_are_those_of_rfc_8445() -> None:
    names = {0: "host", 1: "srflx", 2: "relay"}
    for kind, name in names.items():
        for position in (0, 1, 15):
            assert priority(kind, position) == candidate_priority(1, name, 65535 - position)
    assert priority(0, 15) > priority(1, 0) > priority(2, 0)


def test_credentials_are_what_ice_wants_and_follow_the_seed() -> None:
    first, second = (fresh_credentials(random.Random(seed)) for seed in (1, 2))
    assert first == fresh_credentials(random.Random(1))
    assert first != second
    for username, password in (first, second):
        assert (len(username), len(password)) == (8, 24)
        assert set(username + password) <= set(ICE_CHARS)


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (DtlsRole.ACTPASS, DtlsRole.ACTIVE),
        (DtlsRole.PASSIVE, DtlsRole.ACTIVE),
        (DtlsRole.ACTIVE, DtlsRole.PASSIVE),
    ],
)
def test_the_answer_chooses_the_dtls_role(offered: DtlsRole, answered: DtlsRole) -> None:
    assert answering_role(offered) is answered


def test_what_a_side_can_do_stands_there_only_if_it_can() -> None:
    plain, able = SMALL.encode(), replace(SMALL, takes_bursts=True).encode()
    assert able == b"\x96" + plain[1:] + b"\x01"
    assert Description.decode(able).takes_bursts
    assert not Description.decode(plain).takes_bursts
    for last in (b"\x00", b"\x02", b"\xc3", b"\x01\x01"):
        with pytest.raises(Malformed):
            Description.decode(able[:-1] + last)
