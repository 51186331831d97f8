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
    Description,
    DtlsRole,
    Features,
    IceCandidate,
    answering_role,
    fresh_credentials,
)
from protocol.errors import Malformed, NotCanonical, NotUnicast, Oversized, Truncated
from protocol.ice.candidates import CandidateKind, priority
from protocol.overlay.contacts import PACKED_BYTES, Contact
from protocol.reachability.nat_report import UNKNOWN_NAT, NatReport
from protocol.reachability.network_view import (
    FamilyView,
    FilteringKind,
    MappingKind,
    NatKind,
    PortSample,
    Verdict,
)
from tests.hosts import HOSTS
from tests.protocol.descriptions import largest_description

VECTORS = Path(__file__).parents[1] / "vectors"

ICE_CHARS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

COUNTING = NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, port_step=1)
SMALL = Description("abcd", "p" * 22, bytes(32), DtlsRole.ACTPASS, ())


candidates = st.builds(
    IceCandidate,
    st.sampled_from([kind for kind in CandidateKind if kind is not CandidateKind.PEER_REFLEXIVE]),
    st.builds(Address, HOSTS.map(str), st.integers(1, 65535)),
)
contacts = st.builds(
    Contact.at,
    st.binary(min_size=32, max_size=32),
    st.builds(Address, HOSTS.map(str), st.integers(1, 65535)),
)
kinds = st.builds(
    NatKind,
    st.sampled_from(MappingKind),
    st.sampled_from(FilteringKind),
    st.booleans(),
    st.integers(-256, 256),
)
reports = st.builds(
    NatReport,
    kinds,
    st.integers(0, 65535),
    st.integers(0, int(1000 * limits.PORT_SAMPLE_AGE_S)),
    st.integers(0, int(60 * limits.PORT_RATE_MAX)),
)
descriptions = st.builds(
    Description,
    st.text(ICE_CHARS, min_size=4, max_size=limits.ICE_USERNAME_CHARS),
    st.text(ICE_CHARS, min_size=22, max_size=limits.ICE_PASSWORD_CHARS),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(DtlsRole),
    st.lists(candidates, max_size=limits.CANDIDATES).map(tuple),
    st.booleans(),
    st.just(UNKNOWN_NAT) | reports,
    st.lists(contacts, max_size=limits.RELAYS_NAMED).map(tuple),
    st.lists(contacts.filter(lambda one: one.family == 4), max_size=limits.WITNESSES).map(tuple),
    st.binary(max_size=limits.SCTP_INIT_BYTES),
    st.sampled_from([0, 32, 48]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.just(b"") | st.binary(min_size=16, max_size=16),
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


def contacts_of(fields: list[tuple[str, str, int]]) -> tuple[Contact, ...]:
    return tuple(Contact.at(bytes.fromhex(key), Address(host, port)) for key, host, port in fields)


@pytest.mark.parametrize("name", ["description_offer", "description_answer", "description_restart"])
def test_golden_vectors(name: str) -> None:
    fields = json.loads((VECTORS / f"{name}.json").read_text())
    encoded = bytes.fromhex((VECTORS / f"{name}.hex").read_text())
    mapping, filtering, preserved, step, port, age_ms, rate = fields["nat"]
    description = Description(
        fields["username"],
        fields["password"],
        bytes.fromhex(fields["fingerprint"]),
        fields["role"],
        tuple(IceCandidate(kind, Address(host, port)) for kind, host, port in fields["candidates"]),
        fields["features"],
        NatReport(
            NatKind(MappingKind(mapping), FilteringKind(filtering), preserved, step),
            port,
            age_ms,
            rate,
        ),
        contacts_of(fields["relays"]),
        contacts_of(fields["witnesses"]),
        bytes.fromhex(fields["sctp_init"]),
        bytes.fromhex(fields["session"]),
        bytes.fromhex(fields["link"]),
    )
    assert description.encode() == encoded
    assert Description.decode(encoded) == description


def test_two_ipv4_candidates_fit_in_100_bytes() -> None:
    username, password = fresh_credentials(random.Random(1))
    two = tuple(IceCandidate(0, Address("192.0.2.1", 40_000 + n)) for n in range(2))
    assert len(Description(username, password, bytes(32), 0, two).encode()) <= 100


def test_the_longest_description_fits_its_bound() -> None:
    longest = largest_description(Address("2001:db8::1", 65535))
    assert len(longest.encode()) <= limits.DESCRIPTION_BYTES < len(longest.encode()) + 8
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
    value = codec.decode(SMALL.encode(), max_bytes=500, max_items=16)
    value[4] = [one.encode()] * (limits.CANDIDATES + 1)
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
        Description.decode(codec.encode([*value[:3], True, *value[4:]]))
    value[6] = [0, 0, False, 0, 0, 0, 0]
    with pytest.raises(Malformed):
        Description.decode(codec.encode(value))


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


def test_what_a_side_can_do_is_one_number() -> None:
    able = replace(SMALL, features=Features.ASKS_FOR_SACKS)
    plain, encoded = SMALL.encode(), able.encode()
    (place,) = (at for at, byte in enumerate(encoded) if byte != plain[at])
    assert (plain[place], encoded[place]) == (0, 2)
    assert (SMALL.asks_for_sacks, able.asks_for_sacks) == (False, True)
    for no_number in (0xC3, 0xC0, 0xFF):
        with pytest.raises(Malformed):
            Description.decode(plain[:place] + bytes((no_number,)) + plain[place + 1 :])


def test_features_of_later_versions_mean_nothing() -> None:
    """A node that has learned more can still be called, and gets its own bytes back."""
    for features in range(limits.DESCRIPTION_FEATURES + 1):
        encoded = replace(SMALL, features=features).encode()
        read = Description.decode(encoded)
        assert read.asks_for_sacks is bool(features & 2)
        assert read.encode() == encoded
    with pytest.raises(Malformed):
        replace(SMALL, features=limits.DESCRIPTION_FEATURES + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"relays": (contact := Contact.at(bytes(32), Address("192.0.2.1", 1)),) * 4},
        {"witnesses": (contact,) * (limits.WITNESSES + 1)},
        {"witnesses": (Contact.at(bytes(32), Address("2001:db8::1", 1)),)},
        {"relays": (Contact(bytes(38)),)},
        {"witnesses": (Contact(bytes(32) + b"\xe0\0\0\1\0\x50"),)},
        {"sctp_init": bytes(limits.SCTP_INIT_BYTES + 1)},
        *({"session": bytes(size)} for size in (1, 31, 33, 47, 49)),
    ],
    ids=str,
)
def test_no_more_contacts_than_allowed_and_only_valid_ones(change: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        replace(SMALL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 32, 37, 39, 49, 51])
def test_a_contact_of_another_size_is_malformed(size: int) -> None:
    assert size not in PACKED_BYTES.values()
    for place in (7, 8):
        value = codec.decode(SMALL.encode(), max_bytes=500, max_items=16)
        value[place] = [bytes(size)]
        with pytest.raises(Malformed):
            Description.decode(codec.encode(value))


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, 5),
        (1, -1),
        (1, 3),
        (2, 1),
        (3, 257),
        (3, -257),
        (4, 65536),
        (4, -1),
        (5, 60_001),
        (6, 60_001),
        (6, True),
    ],
)
def test_a_report_of_a_router_has_numbers_in_range(place: int, wrong: int) -> None:
    value = codec.decode(SMALL.encode(), max_bytes=500, max_items=16)
    value[6] = [2, 2, False, 1, 40_000, 100, 60]
    assert Description.decode(codec.encode(value)).nat.kind.port_step == 1
    value[6][place] = wrong
    with pytest.raises(Malformed):
        Description.decode(codec.encode(value))


@pytest.mark.parametrize(
    ("view", "report"),
    [
        (FamilyView(), UNKNOWN_NAT),
        (
            FamilyView(Verdict.PUBLIC),
            NatReport(NatKind(filtering=FilteringKind.ENDPOINT_INDEPENDENT)),
        ),
        (
            FamilyView(Verdict.NOT_PUBLIC, COUNTING, last_sample=PortSample(4001, 99.5, 20.0)),
            NatReport(COUNTING, 4001, 500, 1200),
        ),
        (
            FamilyView(Verdict.NOT_PUBLIC, COUNTING, last_sample=PortSample(4001, 100.5, 9e9)),
            NatReport(COUNTING, 4001, 0, 60_000),
        ),
        (
            FamilyView(Verdict.NOT_PUBLIC, COUNTING, last_sample=PortSample(4001, 39.0, 20.0)),
            NatReport(COUNTING),
        ),
    ],
    ids=["unknown", "public", "sampled", "sampled just now", "sampled long ago"],
)
def test_a_node_reports_what_it_knows_of_its_router(view: FamilyView, report: NatReport) -> None:
    assert NatReport.of(view, 100.0) == report
