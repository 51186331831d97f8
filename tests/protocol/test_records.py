"""Records: each rule refuses by its own name, and every byte counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.availability import Availability, build
from protocol.codec import encode
from protocol.content.lineage.body import LineageBody
from protocol.errors import (
    BadPuzzle,
    BadSignature,
    Expired,
    IssuedInFuture,
    Malformed,
    NotCanonical,
    NotUnicast,
    Oversized,
    RemoteError,
    WrongKey,
)
from protocol.identity import Identity
from protocol.records import (
    AVAILABILITY,
    LINEAGE,
    PEER,
    PROVIDER,
    Body,
    PeerBody,
    ProviderBody,
    Record,
    availability_key,
    lineage_key,
    make,
    peer_key,
    provider_key,
    read,
)
from tests.hosts import HOSTS

repeatable = settings(deadline=None, derandomize=True)

_VECTORS = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((_VECTORS / "records.json").read_text())
IDENTITIES = {
    name: Identity(bytes.fromhex(golden["seed"]))
    for name, golden in json.loads((_VECTORS / "identities.json").read_text()).items()
}
A = IDENTITIES["a"]
NOW = 1_700_000_000
MOD_ID = bytes(range(32))
KEY = provider_key(MOD_ID)
LIFETIME_S = limits.RECORD_LIFETIME_S["provider"]
PROVIDED = ProviderBody(MOD_ID, complete=True)


def forged(identity: Identity = A, **changes: Any) -> bytes:
    """A provider record that is well signed, whatever it says."""
    fields = {
        "kind": PROVIDER,
        "public_key": identity.public_key,
        "sequence": 1,
        "issued": NOW,
        "expires": NOW + LIFETIME_S,
        "body": PROVIDED.encode(),
    } | changes
    listed = list(fields.values())
    return encode([*listed, identity.sign("record", encode(listed))])


def read_here(raw: bytes, *, key: bytes = KEY, now: float = NOW, puzzle_bits: int = 0) -> Record:
    return read(raw, key=key, now=now, puzzle_bits=puzzle_bits)


# Golden vectors -----------------------------------------------------------------------------


def body_of(kind: int, golden: dict[str, Any]) -> Body:
    if kind == PEER:
        return PeerBody(
            tuple(Address(*address) for address in golden["addresses"]),
            golden["capabilities"],
            (golden["versions"][0], golden["versions"][1]),
            golden["shard_bits"],
        )
    if kind == PROVIDER:
        return ProviderBody(bytes.fromhex(golden["mod_id"]), golden["complete"])
    if kind == LINEAGE:
        return LineageBody(
            bytes.fromhex(golden["mod_id"]),
            golden["version"],
            bytes.fromhex(golden["wrapped_key"]),
            bytes.fromhex(golden["previous"]),
            tuple(golden["origins"]),
        )
    return Availability(
        golden["shard_bits"], golden["shard"], golden["capacity"], bytes.fromhex(golden["bits"])
    )


@pytest.mark.parametrize("golden", VECTORS, ids=lambda golden: golden["name"])
def test_golden_record(golden: dict[str, Any]) -> None:
    identity, raw = IDENTITIES[golden["signer"]], bytes.fromhex(golden["raw"])
    body = body_of(golden["kind"], golden["body"])
    now, sequence = golden["now"], golden["sequence"]
    made = make(identity, golden["kind"], body, now=now + 0.9, sequence=sequence)
    assert made.raw == raw
    assert made.key.hex() == golden["key"]
    key = bytes.fromhex(golden["key"])
    back = read(raw, key=key, now=now, puzzle_bits=limits.PUZZLE_BITS)
    assert back == made
    assert back.body == body
    assert back.peer_id == identity.peer_id


def test_golden_filter_holds_what_it_was_made_of() -> None:
    golden = next(one for one in VECTORS if one["kind"] == AVAILABILITY)
    body = body_of(AVAILABILITY, golden["body"])
    assert isinstance(body, Availability)
    mod_ids = [bytes.fromhex(text) for text in golden["body"]["mod_ids"]]
    assert all(map(body.may_have, mod_ids))
    # With so few mods our own shard would not be split; its bits are the same.
    (alone,) = build(mod_ids)
    assert alone.bits == body.bits


def test_keys_of_different_kinds_never_meet() -> None:
    peer_id = bytes(20)
    keys = {
        peer_key(peer_id),
        provider_key(bytes(32)),
        availability_key(peer_id, 0, 0),
        availability_key(peer_id, 1, 0),
        availability_key(peer_id, 1, 1),
        availability_key(bytes(19) + b"\x01", 0, 0),
        lineage_key(bytes(32)),
        lineage_key(bytes(31) + b"\x01"),
    }
    assert len(keys) == 8
    assert all(len(key) == limits.ID_BYTES for key in keys)


# Round trips --------------------------------------------------------------------------------

ADDRESSES = st.builds(lambda ip, port: Address(str(ip), port), HOSTS, st.integers(1, 65535))
VERSIONS = st.tuples(st.integers(1, 0xFFFF), st.integers(1, 0xFFFF)).map(
    lambda pair: (min(pair), max(pair))
)
PEER_BODIES = st.builds(
    PeerBody,
    st.lists(ADDRESSES, max_size=limits.PEER_ADDRESSES).map(tuple),
    st.integers(0, 0xFFFF),
    VERSIONS,
    st.integers(0, limits.SHARD_BITS_MAX),
)
LINEAGE_BODIES = st.builds(
    LineageBody,
    st.binary(min_size=32, max_size=32),
    st.integers(1, limits.LINEAGE_VERSION_MAX),
    st.binary(min_size=48, max_size=48),
    st.just(b"") | st.binary(min_size=32, max_size=32),
    st.lists(
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200),
        max_size=limits.ORIGINS_NAMED,
    ).map(tuple),
)
PROVIDER_BODIES = st.builds(ProviderBody, st.binary(min_size=32, max_size=32), st.booleans())


@settings(repeatable, max_examples=60)
@given(
    PEER_BODIES.map(lambda body: (PEER, body))
    | PROVIDER_BODIES.map(lambda body: (PROVIDER, body))
    | LINEAGE_BODIES.map(lambda body: (LINEAGE, body)),
    st.integers(0, limits.SEQUENCE_MAX),
    st.floats(1e6, 4e9),
)
def test_what_is_made_is_read(kind_and_body: tuple[int, Body], sequence: int, now: float) -> None:
    kind, body = kind_and_body
    made = make(A, kind, body, now=now, sequence=sequence)
    assert read(made.raw, key=made.key, now=now, puzzle_bits=limits.PUZZLE_BITS) == made
    if kind != LINEAGE:
        assert len(made.raw) <= limits.PEER_RECORD_BYTES


# Each refusal by its name -------------------------------------------------------------------

BODY_OF_WRONG_SHAPE = {
    "a mod id of another length": encode([MOD_ID[:-1], True]),
    "a number for a flag": encode([MOD_ID, 1]),
    "one item more": encode([MOD_ID, True, True]),
    "not a list": encode(MOD_ID),
    "nothing": b"",
    "a longer spelling": b"\x92\xc5\x00\x20" + MOD_ID + b"\xc3",
}


@pytest.mark.parametrize("body", BODY_OF_WRONG_SHAPE.values(), ids=BODY_OF_WRONG_SHAPE.keys())
def test_a_malformed_body(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_here(forged(body=body))


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": 0},
        {"kind": 5},
        {"kind": -1},
        {"kind": True},
        {"public_key": A.public_key[:-1]},
        {"public_key": A.public_key + b"\0"},
        {"public_key": "key"},
        {"sequence": -1},
        {"sequence": limits.SEQUENCE_MAX + 1},
        {"sequence": None},
        {"expires": NOW},
        {"expires": NOW - 1},
        {"expires": NOW + LIFETIME_S + 1},
        {"expires": 2**64 - 1},
        {"issued": NOW - 1},
        {"body": "text"},
    ],
    ids=repr,
)
def test_a_field_out_of_its_range_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        read_here(forged(**changes))


@pytest.mark.parametrize("raw", [b"", b"\x90", b"\xc0", encode([PROVIDER]), encode([0] * 8)])
def test_another_shape_is_malformed(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_here(raw)


def peer_bytes(packed: object, capabilities: object, versions: object, bits: object) -> bytes:
    return encode([packed, capabilities, versions, bits])


PACKED = b"\x01\x02\x03\x04\x00\x50"


@pytest.mark.parametrize(
    "body",
    [
        peer_bytes([PACKED] * (limits.PEER_ADDRESSES + 1), 0, [1, 1], 0),
        peer_bytes([PACKED[:-1]], 0, [1, 1], 0),
        peer_bytes([PACKED[:-2] + b"\0\0"], 0, [1, 1], 0),
        peer_bytes(["1.2.3.4:80"], 0, [1, 1], 0),
        peer_bytes([], -1, [1, 1], 0),
        peer_bytes([], 0x10000, [1, 1], 0),
        peer_bytes([], 0, [0, 1], 0),
        peer_bytes([], 0, [2, 1], 0),
        peer_bytes([], 0, [1, 0x10000], 0),
        peer_bytes([], 0, [1], 0),
        peer_bytes([], 0, [1, 1], -1),
        peer_bytes([], 0, [1, 1], limits.SHARD_BITS_MAX + 1),
        peer_bytes([], 0, [1, 1], True),
        peer_bytes(None, 0, [1, 1], 0),
    ],
)
def test_a_malformed_peer_body(body: bytes) -> None:
    with pytest.raises(Malformed):
        PeerBody.decode(body)
    expires = NOW + limits.RECORD_LIFETIME_S["peer"]
    with pytest.raises(Malformed):
        read_here(forged(kind=PEER, expires=expires, body=body), key=peer_key(A.peer_id))


def test_too_many_bytes_are_oversized() -> None:
    with pytest.raises(Oversized):
        read_here(bytes(limits.RECORD_BYTES + 1))
    with pytest.raises(Oversized):
        read_here(forged(body=bytes(limits.RECORD_BYTES)))
    # A peer record has a bound of its own, which its body's readers would not tell.
    large = forged(kind=PEER, expires=NOW + 1, body=bytes(limits.PEER_RECORD_BYTES - 100))
    assert len(large) > limits.PEER_RECORD_BYTES
    with pytest.raises(Oversized, match="a peer record of"):
        read_here(large, key=peer_key(A.peer_id))
    addresses = (Address("2001:db8::1", 1),) * 20
    with pytest.raises(Oversized):
        make(A, PEER, PeerBody(addresses, 0, (1, 1), 0), now=NOW, sequence=0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255"])
def test_a_peer_record_names_no_address_but_one_machines(host: str) -> None:
    body = PeerBody((Address("192.0.2.1", 1), Address(host, 4001)), 0, (1, 1), 0)
    record = make(A, PEER, body, now=NOW, sequence=0)
    with pytest.raises(NotUnicast):
        read_here(record.raw, key=peer_key(A.peer_id))


def longer_sequence(raw: bytes) -> bytes:
    # kind (1 byte), key (2 + 32), then the sequence 1 as one byte: spelled here in two.
    place = 1 + 1 + 34
    assert raw[place] == 1
    return raw[:place] + b"\xcc\x01" + raw[place + 1 :]


def test_another_spelling_is_not_canonical() -> None:
    with pytest.raises(NotCanonical):
        read_here(longer_sequence(forged()))


def test_a_record_lives_from_its_issue_to_its_expiry() -> None:
    raw = forged()
    for now in (NOW - limits.CLOCK_SKEW_S, NOW, NOW + LIFETIME_S - 0.001):
        read_here(raw, now=now)
    for now in (NOW + LIFETIME_S, NOW + 1e9):
        with pytest.raises(Expired):
            read_here(raw, now=now)
    for now in (NOW - limits.CLOCK_SKEW_S - 0.001, 0.0, -1e9):
        with pytest.raises(IssuedInFuture):
            read_here(raw, now=now)


@pytest.mark.parametrize(
    ("kind", "name"), [(1, "peer"), (2, "provider"), (3, "availability"), (4, "lineage")]
)
def test_each_kind_has_its_own_lifetime(kind: int, name: str) -> None:
    bodies: dict[int, Body] = {
        PEER: PeerBody((), 0, (1, 1), 0),
        PROVIDER: PROVIDED,
        AVAILABILITY: build([MOD_ID])[0],
        LINEAGE: LineageBody(MOD_ID, 1, bytes(48)),
    }
    made = make(A, kind, bodies[kind], now=NOW, sequence=1)
    assert made.expires - made.issued == limits.RECORD_LIFETIME_S[name]
    longer = forged(kind=kind, expires=made.expires + 1, body=bodies[kind].encode())
    with pytest.raises(Malformed, match="lifetime"):
        read_here(longer, key=made.key)
    shorter = forged(kind=kind, expires=NOW + 1, body=bodies[kind].encode())
    assert read_here(shorter, key=made.key).expires == NOW + 1


def test_a_key_that_does_not_solve_the_puzzle_is_refused() -> None:
    assert read_here(forged(), puzzle_bits=limits.PUZZLE_BITS).public_key == A.public_key
    cheap = Identity(bytes(32))
    assert read_here(forged(cheap)).public_key == cheap.public_key
    with pytest.raises(BadPuzzle):
        read_here(forged(cheap), puzzle_bits=limits.PUZZLE_BITS)


def resigned(kind: str) -> bytes:
    fields = [PROVIDER, A.public_key, 1, NOW, NOW + LIFETIME_S, PROVIDED.encode()]
    return encode([*fields, A.sign(kind, encode(fields))])


def test_a_signature_is_over_exactly_this_record_as_a_record() -> None:
    assert read_here(resigned("record")).raw == forged()
    other = encode([PROVIDER, IDENTITIES["b"].public_key, 1, NOW, NOW + 9, PROVIDED.encode(), b""])
    for wrong in (resigned("offer"), resigned("hello"), forged()[:-1] + b"\0", other):
        with pytest.raises(BadSignature):
            read_here(wrong)


def test_a_record_belongs_under_one_key() -> None:
    for key in (bytes(20), b"", provider_key(bytes(32)), A.peer_id):
        with pytest.raises(WrongKey):
            read_here(forged(), key=key)
    peer = make(A, PEER, PeerBody((), 0, (1, 1), 0), now=NOW, sequence=1)
    with pytest.raises(WrongKey):
        read_here(peer.raw, key=IDENTITIES["b"].peer_id)


@pytest.mark.parametrize("make_raw", [forged, lambda: forged(sequence=2**40)])
def test_no_bit_of_a_record_can_change(make_raw: Callable[[], bytes]) -> None:
    raw = make_raw()
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteError):
            read_here(bytes(changed))
    for length in range(len(raw)):
        with pytest.raises(Malformed):
            read_here(raw[:length])


def test_a_record_under_a_changed_id_is_refused_by_key_or_signature() -> None:
    renamed = bytearray(forged())
    renamed[4:36] = IDENTITIES["b"].public_key
    with pytest.raises(BadSignature):
        read_here(bytes(renamed))


@settings(repeatable, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    with pytest.raises(RemoteError):
        read_here(data)
    for decoder in (PeerBody.decode, ProviderBody.decode, LineageBody.decode):
        try:
            body = decoder(data)
        except Malformed:
            continue
        assert body.encode() == data


SCALARS = st.integers(-5, 2**64 - 1) | st.binary(max_size=70) | st.text(max_size=5) | st.none()


@settings(repeatable, max_examples=200)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "kind": st.integers(-1, 6) | SCALARS,
            "public_key": SCALARS,
            "sequence": SCALARS,
            "issued": st.integers(NOW - 10**6, NOW + 10**6) | SCALARS,
            "expires": st.integers(NOW - 10**6, NOW + 10**6) | SCALARS,
            "body": PEER_BODIES.map(PeerBody.encode) | SCALARS,
        },
    )
)
def test_a_well_signed_record_is_read_whole_or_refused_by_name(changes: dict[str, Any]) -> None:
    raw = forged(**changes)
    try:
        record = read_here(raw)
    except RemoteError:
        return
    assert record.raw == raw
    assert (record.kind, record.key, record.body) == (PROVIDER, KEY, PROVIDED)
    assert record.issued <= NOW + limits.CLOCK_SKEW_S < record.expires + limits.CLOCK_SKEW_S
    assert record.expires - record.issued <= LIFETIME_S
