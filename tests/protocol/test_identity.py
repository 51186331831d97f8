"""Identities: hashes, puzzles, signatures of one purpose, and keys that are not usable."""

import hashlib
import itertools
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add, crypto_scalarmult

from protocol.errors import BadKey, BadPeerId, BadPuzzle, BadSignature
from protocol.identity import (
    Identity,
    base32_bytes,
    base32_text,
    checked_peer_id,
    exchange_key,
    find_seed,
    parse_peer_id,
    peer_id_of,
    peer_id_text,
    solves_puzzle,
    verify,
)
from protocol.limits import PUZZLE_BITS

repeatable = settings(deadline=None, derandomize=True)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "identities.json").read_text())

SMALL_ORDER_POINTS = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("name", VECTORS)
def test_golden_identity(name: str) -> None:
    golden = VECTORS[name]
    identity = Identity(bytes.fromhex(golden["seed"]))
    assert identity.public_key.hex() == golden["public_key"]
    assert identity.peer_id.hex() == golden["peer_id"]
    assert identity.exchange_secret.hex() == golden["exchange_secret"]
    assert exchange_key(identity.public_key).hex() == golden["exchange_key"]
    assert peer_id_text(identity.peer_id) == golden["peer_id_text"]
    assert parse_peer_id(golden["peer_id_text"]) == identity.peer_id
    assert checked_peer_id(identity.public_key, PUZZLE_BITS) == identity.peer_id


def test_a_key_is_that_of_rfc_8032() -> None:
    seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert Identity(bytes.fromhex(seed)).public_key.hex() == key


@repeatable
@given(st.binary(min_size=32, max_size=32), st.integers(0, 24))
def test_the_puzzle_counts_the_zero_bits_of_the_double_hash(key: bytes, bits: int) -> None:
    digest = hashlib.sha256(hashlib.sha256(key).digest()).digest()
    zeros = len("".join(f"{byte:08b}" for byte in digest).split("1")[0])
    assert solves_puzzle(key, bits) == (zeros >= bits)
    if zeros >= bits:
        assert checked_peer_id(key, bits) == peer_id_of(key)
    else:
        with pytest.raises(BadPuzzle):
            checked_peer_id(key, bits)


def test_a_seed_is_searched_until_its_key_solves_the_puzzle() -> None:
    drawn: list[bytes] = []

    class Watched(Random):
        def randbytes(self, n: int) -> bytes:
            drawn.append(super().randbytes(n))
            return drawn[-1]

    seed = find_seed(Watched(1), 4)
    solved = [solves_puzzle(Identity(one).public_key, 4) for one in drawn]
    assert seed == drawn[-1]
    assert solved == [False] * (len(drawn) - 1) + [True]
    assert len(drawn) > 1


@pytest.mark.parametrize("point", SMALL_ORDER_POINTS)
def test_points_of_small_order_are_no_keys(point: str) -> None:
    with pytest.raises(BadKey):
        exchange_key(bytes.fromhex(point))
    with pytest.raises(BadSignature):
        # R = the point and S = 0 would verify over anything under a key of order 1.
        verify(bytes.fromhex(point), "record", b"body", bytes.fromhex(point) + bytes(32))


def test_a_key_with_a_part_of_small_order_is_no_key() -> None:
    good = Identity(bytes(32)).public_key
    mixed = crypto_core_ed25519_add(good, bytes.fromhex(SMALL_ORDER_POINTS[3]))
    with pytest.raises(BadKey):
        exchange_key(mixed)


@repeatable
@given(st.binary(max_size=40))
def test_any_bytes_are_a_key_or_a_bad_key(key: bytes) -> None:
    try:
        converted = exchange_key(key)
    except BadKey:
        return
    assert len(key) == len(converted) == 32


def test_both_sides_exchange_to_one_secret() -> None:
    a, b = Identity(b"a" * 32), Identity(b"b" * 32)
    assert crypto_scalarmult(a.exchange_secret, exchange_key(b.public_key)) == crypto_scalarmult(
        b.exchange_secret, exchange_key(a.public_key)
    )


def test_a_signature_is_good_for_its_key_kind_and_body_only() -> None:
    identity, other = Identity(b"a" * 32), Identity(b"b" * 32)
    signature = identity.sign("record", b"body")
    verify(identity.public_key, "record", b"body", signature)
    wrong = [
        (other.public_key, "record", b"body", signature),
        (identity.public_key, "offer", b"body", signature),
        (identity.public_key, "recor", b"dbody", signature),
        (identity.public_key, "record", b"Body", signature),
        (identity.public_key, "record", b"", signature),
        (identity.public_key, "record", b"body", signature[:-1]),
        (identity.public_key, "record", b"body", signature + b"\0"),
        (identity.public_key, "record", b"body", b""),
        (identity.public_key[:-1], "record", b"body", signature),
        (b"", "record", b"body", signature),
        (b"\xff" * 32, "record", b"body", signature),
    ]
    for arguments in wrong:
        with pytest.raises(BadSignature):
            verify(*arguments)


def test_no_bit_of_a_signature_can_change() -> None:
    identity = Identity(b"a" * 32)
    signature = identity.sign("record", b"body")
    for bit in range(8 * len(signature)):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify(identity.public_key, "record", b"body", bytes(changed))


def test_an_s_beyond_the_group_order_is_refused() -> None:
    # RFC 8032, 5.1.7: else every signature would have a second spelling.
    order = 2**252 + 27742317777372353535851937790883648493
    identity = Identity(b"a" * 32)
    signature = identity.sign("record", b"body")
    number = int.from_bytes(signature[32:], "little") + order
    with pytest.raises(BadSignature):
        verify(
            identity.public_key, "record", b"body", signature[:32] + number.to_bytes(32, "little")
        )


def test_an_identity_shows_its_id_and_not_its_seed() -> None:
    identity = Identity(b"\xaa" * 32)
    assert repr(identity) == f"<Identity {peer_id_text(identity.peer_id)}>"


@repeatable
@given(st.binary(max_size=64))
def test_base32_comes_back_in_either_case(data: bytes) -> None:
    text = base32_text(data)
    assert base32_bytes(text, len(data)) == base32_bytes(text.upper(), len(data)) == data


def test_base32_has_one_spelling() -> None:
    text = base32_text(bytes(32))
    assert len(text) == 52
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    readable = []
    for last in letters:
        try:
            readable.append(base32_bytes(text[:-1] + last, 32))
        except ValueError:
            continue
    # The last letter has one bit of the data and four that must be zero.
    assert readable == [bytes(32), bytes(31) + b"\x01"]


@pytest.mark.parametrize(
    "near", ["ı", "ſ", "\u212a", "ﬁ", "０", " ", "\0", "=", "-", "1", "8", "é"]
)
def test_letters_that_only_look_alike_are_refused(near: str) -> None:
    good = peer_id_text(bytes(20))
    for place in (1, 16, 32):
        with pytest.raises(BadPeerId):
            parse_peer_id(good[:place] + near + good[place + 1 :])


@repeatable
@given(st.binary(min_size=20, max_size=20))
def test_a_peer_id_comes_back_from_its_text(peer_id: bytes) -> None:
    text = peer_id_text(peer_id)
    assert len(text) == 33
    assert parse_peer_id(text) == parse_peer_id(text.upper()) == peer_id


@repeatable
@given(st.text(max_size=40) | st.from_regex(r"p[a-z2-7=]{0,40}", fullmatch=True))
def test_any_text_is_a_peer_id_or_a_bad_one(text: str) -> None:
    try:
        peer_id = parse_peer_id(text)
    except BadPeerId:
        return
    assert peer_id_text(peer_id) == text.lower()


def test_a_peer_id_has_its_own_length_and_letter() -> None:
    good = peer_id_text(bytes(20))
    for wrong in ("", "p", good[1:], "q" + good[1:], good[:-1], good + "a", good + " ", " " + good):
        with pytest.raises(BadPeerId):
            parse_peer_id(wrong)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (peer_id_text(bytes(20))[:-1], "the peer id is cut: .* has 32 characters, not 33"),
        (peer_id_text(bytes(20))[:9], "the peer id is cut: .* has 9 characters, not 33"),
        (peer_id_text(bytes(20))[1:], "the peer id is cut: .* has 32 characters, not 33"),
        (peer_id_text(bytes(20)) + "a", "not a peer id, which is p and 32 of a-z and 2-7: "),
        ("", "not a peer id, which is p and 32 of a-z and 2-7: ''"),
        ("peter", "not a peer id, "),
    ],
)
def test_a_peer_id_that_was_cut_short_is_told_so(text: str, told: str) -> None:
    with pytest.raises(BadPeerId, match=f"^{told}"):
        parse_peer_id(text)


def test_identities_differ() -> None:
    ids = [Identity(bytes((n,)) * 32).peer_id for n in range(10)]
    assert all(len(peer_id) == 20 for peer_id in ids)
    assert all(one != other for one, other in itertools.combinations(ids, 2))
