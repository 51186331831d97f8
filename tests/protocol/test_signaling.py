"""Offers and answers: for one reader, by one writer, about one call, once and in time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_box_seal,
    crypto_box_seal_open,
    crypto_box_SEALBYTES,
    sodium_pad,
    sodium_unpad,
)

from protocol import limits
from protocol.addresses import Address
from protocol.codec import encode
from protocol.description import Description, IceCandidate
from protocol.errors import (
    BadKey,
    BadPuzzle,
    BadSignature,
    Expired,
    IssuedInFuture,
    Malformed,
    NotAuthentic,
    Oversized,
    RateLimited,
    RemoteError,
    Replayed,
    Truncated,
    UnknownVersion,
    WrongKey,
)
from protocol.identity import Identity, exchange_key
from protocol.places.offers import OfferMemory
from protocol.signaling import (
    Answer,
    AnswerStatus,
    Offer,
    make_answer,
    make_offer,
    own_offer_wins,
    read_answer,
    read_offer,
)
from tests.protocol.descriptions import largest_description

repeatable = settings(deadline=None, derandomize=True)

_VECTORS = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((_VECTORS / "signaling.json").read_text())
IDENTITIES = {
    name: Identity(bytes.fromhex(golden["seed"]))
    for name, golden in json.loads((_VECTORS / "identities.json").read_text()).items()
}
A, B = IDENTITIES["a"], IDENTITIES["b"]
THIRD = Identity(b"c" * 32)
NOW = 1_700_000_000
PADDED_BYTES = limits.SIGNAL_BYTES - crypto_box_SEALBYTES


class Draws:
    """A random source that gives what it is told to."""

    def __init__(self, *draws: bytes) -> None:
        self._draws = list(draws)

    def randbytes(self, n: int, /) -> bytes:
        draw = self._draws.pop(0)
        assert len(draw) == n
        return draw

    def getrandbits(self, k: int, /) -> int:
        raise AssertionError(f"no code draws {k} bits here")

    def random(self) -> float:
        raise AssertionError("no code draws a float here")


def description_of(golden: dict[str, Any]) -> Description:
    return Description(
        golden["ufrag"],
        golden["password"],
        bytes.fromhex(golden["fingerprint"]),
        golden["role"],
        tuple(IceCandidate(kind, Address(host, port)) for kind, host, port in golden["candidates"]),
    )


DESCRIPTION = description_of(VECTORS["offer"]["description"])


def offered(
    *, caller: Identity = A, callee: Identity = B, now: float = NOW, number: int = 0
) -> tuple[Offer, bytes]:
    draws = Draws(number.to_bytes(16), bytes(32))
    return make_offer(caller, callee.public_key, callee.peer_id, DESCRIPTION, now=now, rng=draws)


def read_by(
    callee: Identity, sealed: bytes, *, now: float = NOW, puzzle_bits: int = limits.PUZZLE_BITS
) -> Offer:
    return read_offer(callee, sealed, now=now, puzzle_bits=puzzle_bits)


def answered(offer: Offer, status: AnswerStatus = AnswerStatus.ACCEPTED) -> bytes:
    description = DESCRIPTION if status is AnswerStatus.ACCEPTED else None
    return make_answer(B, offer, status, description, rng=Draws(bytes(32)))


def opened(reader: Identity, sealed: bytes) -> bytes:
    """The signed plain bytes, as a reader that then misuses them has them."""
    secret = reader.exchange_secret
    padded = crypto_box_seal_open(sealed, exchange_key(reader.public_key), secret)
    return sodium_unpad(padded, PADDED_BYTES)


def sealed_to(reader: Identity, plain: bytes) -> bytes:
    padded = sodium_pad(plain, PADDED_BYTES)
    return crypto_box_seal(padded, exchange_key(reader.public_key))


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# Golden vectors -----------------------------------------------------------------------------


def golden_offer() -> tuple[Offer, bytes]:
    golden = VECTORS["offer"]
    callee = IDENTITIES[golden["callee"]]
    return make_offer(
        IDENTITIES[golden["caller"]],
        callee.public_key,
        callee.peer_id,
        description_of(golden["description"]),
        now=golden["now"] + 0.9,
        rng=Draws(*map(bytes.fromhex, golden["random"])),
    )


def test_golden_offer() -> None:
    golden = VECTORS["offer"]
    offer, sealed = golden_offer()
    assert sealed.hex() == golden["sealed"]
    assert opened(B, sealed).hex() == golden["plain"]
    assert offer.digest.hex() == golden["digest"]
    assert read_by(B, bytes.fromhex(golden["sealed"]), now=golden["now"]) == offer


@pytest.mark.parametrize("golden", VECTORS["answers"], ids=lambda golden: golden["name"])
def test_golden_answer(golden: dict[str, Any]) -> None:
    offer, _ = golden_offer()
    told = golden["description"]
    description = description_of(told) if told else None
    status = AnswerStatus(golden["status"])
    draws = Draws(*map(bytes.fromhex, golden["random"]))
    retry_s = golden.get("retry_s", 0)
    sealed = make_answer(B, offer, status, description, rng=draws, retry_s=retry_s)
    assert sealed.hex() == golden["sealed"]
    assert opened(A, sealed).hex() == golden["plain"]
    answer = read_answer(A, offer, bytes.fromhex(golden["sealed"]), callee_key=B.public_key)
    assert answer == Answer(B.public_key, status, description, retry_s)


def test_the_longest_call_fits() -> None:
    longest = largest_description(Address("2001:db8:1111:2222:3333:4444:5555:6666", 65535))
    offer, sealed = make_offer(
        A, B.public_key, B.peer_id, longest, now=2**33, rng=Draws(bytes(16), bytes(32))
    )
    answer = make_answer(B, offer, AnswerStatus.ACCEPTED, longest, rng=Draws(bytes(32)))
    assert len(sealed) == len(answer) == limits.SIGNAL_BYTES
    assert read_answer(A, offer, answer, callee_key=B.public_key).description == longest


# Offers -------------------------------------------------------------------------------------


def test_only_the_callee_opens_an_offer() -> None:
    _, sealed = offered()
    for other in (A, THIRD):
        with pytest.raises(NotAuthentic):
            read_by(other, sealed)


def test_an_offer_sealed_again_to_a_third_is_refused() -> None:
    _, sealed = offered()
    with pytest.raises(WrongKey):
        read_by(THIRD, sealed_to(THIRD, opened(B, sealed)))


def test_an_offer_is_good_for_a_minute_on_either_side() -> None:
    _, sealed = offered()
    for now in (NOW - limits.CLOCK_SKEW_S, NOW, NOW + limits.CLOCK_SKEW_S):
        read_by(B, sealed, now=now)
    for now in (NOW + limits.CLOCK_SKEW_S + 0.001, NOW + 1e9):
        with pytest.raises(Expired):
            read_by(B, sealed, now=now)
    for now in (NOW - limits.CLOCK_SKEW_S - 0.001, 0.0):
        with pytest.raises(IssuedInFuture):
            read_by(B, sealed, now=now)


def test_a_caller_without_a_solved_puzzle_is_refused() -> None:
    _, sealed = offered(caller=THIRD)
    assert read_by(B, sealed, puzzle_bits=0).caller_key == THIRD.public_key
    with pytest.raises(BadPuzzle):
        read_by(B, sealed)


def test_a_callee_without_a_usable_key_cannot_be_called() -> None:
    with pytest.raises(BadKey):
        make_offer(A, bytes(32), B.peer_id, DESCRIPTION, now=NOW, rng=Draws(bytes(16), bytes(32)))


def forged_offer(caller: Identity = A, kind: str = "offer", **changes: Any) -> bytes:
    fields = {
        "version": 2,
        "caller_key": caller.public_key,
        "callee_id": B.peer_id,
        "offer_id": bytes(16),
        "issued": NOW,
        "description": DESCRIPTION.encode(),
    } | changes
    listed = list(fields.values())
    return sealed_to(B, encode([*listed, caller.sign(kind, encode(listed))]))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 1}, UnknownVersion),
        ({"version": 0}, UnknownVersion),
        ({"version": True}, Malformed),
        ({"caller_key": A.public_key[:-1]}, Malformed),
        ({"caller_key": B.public_key}, BadSignature),
        ({"callee_id": A.peer_id}, WrongKey),
        ({"callee_id": b""}, WrongKey),
        ({"offer_id": bytes(15)}, Malformed),
        ({"offer_id": bytes(17)}, Malformed),
        ({"issued": -(2**63)}, Expired),
        ({"issued": 2**64 - 1}, IssuedInFuture),
        ({"description": b""}, Malformed),
        ({"description": DESCRIPTION.encode() + b"\0"}, Malformed),
        ({"description": "text"}, Malformed),
        ({"kind": "answer"}, BadSignature),
        ({"kind": "record"}, BadSignature),
    ],
    ids=repr,
)
def test_an_offer_is_refused_by_name(changes: dict[str, Any], error: type[RemoteError]) -> None:
    assert read_by(B, forged_offer()).description == DESCRIPTION
    with pytest.raises(error):
        read_by(B, forged_offer(**changes))


# Answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", list(AnswerStatus))
def test_only_an_accepted_call_bears_a_description(status: AnswerStatus) -> None:
    offer, _ = offered()
    answer = read_answer(A, offer, answered(offer, status), callee_key=B.public_key)
    assert answer.status is status
    assert answer.description == (DESCRIPTION if status is AnswerStatus.ACCEPTED else None)


@pytest.mark.parametrize("retry_s", [0, limits.BUSY_RETRY_MAX_S + 1])
def test_a_busy_callee_says_a_time_within_its_bounds(retry_s: int) -> None:
    offer, _ = offered()
    sealed = make_answer(B, offer, AnswerStatus.BUSY, None, rng=Draws(bytes(32)), retry_s=retry_s)
    with pytest.raises(Malformed):
        read_answer(A, offer, sealed, callee_key=B.public_key)


def test_an_answer_to_another_offer_is_refused() -> None:
    offer, _ = offered(number=1)
    for other, _ in (offered(number=2), offered(number=1, now=NOW + 1)):
        with pytest.raises(WrongKey):
            read_answer(A, offer, answered(other), callee_key=B.public_key)


def test_an_answer_by_another_peer_is_refused() -> None:
    offer, _ = offered()
    by_third = make_answer(THIRD, offer, AnswerStatus.BUSY, None, rng=Draws(bytes(32)))
    with pytest.raises(WrongKey):
        read_answer(A, offer, by_third, callee_key=B.public_key)
    # One that claims the callee's key has not the callee's signature.
    fields = [2, B.public_key, offer.digest, 1, b""]
    claimed = encode([*fields, THIRD.sign("answer", encode(fields))])
    with pytest.raises(BadSignature):
        read_answer(A, offer, sealed_to(A, claimed), callee_key=B.public_key)


def test_only_the_caller_opens_an_answer_and_a_copy_helps_no_other_peer() -> None:
    offer, _ = offered()
    sealed = answered(offer)
    with pytest.raises(NotAuthentic):
        read_answer(THIRD, offer, sealed, callee_key=B.public_key)
    # THIRD called B as well; the answer that A got and passes on is not the answer to that.
    thirds, _ = offered(caller=THIRD)
    with pytest.raises(WrongKey):
        read_answer(THIRD, thirds, sealed_to(THIRD, opened(A, sealed)), callee_key=B.public_key)


def forged_answer(offer: Offer, kind: str = "answer", **changes: Any) -> bytes:
    fields = {
        "version": 2,
        "callee_key": B.public_key,
        "digest": offer.digest,
        "status": 0,
        "description": DESCRIPTION.encode(),
    } | changes
    listed = list(fields.values())
    return sealed_to(A, encode([*listed, B.sign(kind, encode(listed))]))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": 1}, UnknownVersion),
        ({"callee_key": A.public_key}, WrongKey),
        ({"digest": bytes(32)}, WrongKey),
        ({"digest": bytes(31)}, Malformed),
        ({"status": 7}, Malformed),
        ({"status": -1}, Malformed),
        ({"status": False}, Malformed),
        ({"description": b""}, Malformed),
        ({"description": b"\x90"}, Malformed),
        ({"kind": "offer"}, BadSignature),
    ],
    ids=repr,
)
def test_an_answer_is_refused_by_name(changes: dict[str, Any], error: type[RemoteError]) -> None:
    offer, _ = offered()
    good = read_answer(A, offer, forged_answer(offer), callee_key=B.public_key)
    assert good.description == DESCRIPTION
    with pytest.raises(error):
        read_answer(A, offer, forged_answer(offer, **changes), callee_key=B.public_key)


# Tampering ----------------------------------------------------------------------------------

Reader = Callable[[bytes], object]


def readers() -> list[tuple[bytes, Reader, Identity]]:
    offer, sealed = offered()
    return [
        (sealed, lambda data: read_by(B, data), B),
        (answered(offer), lambda data: read_answer(A, offer, data, callee_key=B.public_key), A),
    ]


def test_no_byte_of_a_signal_can_change_on_its_way() -> None:
    for sealed, reader, _ in readers():
        for place in range(len(sealed)):
            with pytest.raises(NotAuthentic):
                reader(flipped(sealed, 8 * place + place % 8))


def test_no_bit_of_a_signal_can_change_under_a_new_seal() -> None:
    for sealed, reader, identity in readers():
        plain = opened(identity, sealed)
        for bit in range(8 * len(plain)):
            with pytest.raises(RemoteError):
                reader(sealed_to(identity, flipped(plain, bit)))


def test_a_signal_of_any_other_length_is_refused() -> None:
    for sealed, reader, identity in readers():
        for length in range(len(sealed)):
            with pytest.raises(Truncated):
                reader(sealed[:length])
        with pytest.raises(Oversized):
            reader(sealed + b"\0")
        with pytest.raises(Oversized):
            reader(bytes(limits.SIGNAL_BYTES + 1))
        with pytest.raises(Malformed):
            reader(crypto_box_seal(bytes(PADDED_BYTES), exchange_key(identity.public_key)))
        with pytest.raises(NotAuthentic):
            reader(bytes(limits.SIGNAL_BYTES))  # an ephemeral key of small order


@settings(repeatable, max_examples=100)
@given(st.binary(max_size=500), st.lists(st.integers() | st.binary(max_size=40), max_size=9))
def test_any_signal_is_refused_by_name(data: bytes, fields: list[Any]) -> None:
    small = [one for one in fields if not isinstance(one, int) or abs(one) < 2**63]
    for _, reader, identity in readers():
        for plain in (data, encode(small), encode([2, *small])):
            with pytest.raises(RemoteError):
                reader(sealed_to(identity, plain))
        with pytest.raises(RemoteError):
            reader(data)


# Replays ------------------------------------------------------------------------------------


def remembered(offer: Offer, number: int, issued: int) -> Offer:
    return replace(offer, digest=number.to_bytes(32), issued=issued)


def test_an_offer_counts_once() -> None:
    memory = OfferMemory()
    offer, sealed = offered()
    memory.accept(read_by(B, sealed), NOW)
    for _ in range(2):
        with pytest.raises(Replayed):
            memory.accept(read_by(B, sealed), NOW + 60)
    other, _ = offered(number=1)
    memory.accept(other, NOW + 60)
    # Sealed anew it has other bytes, but it is the same offer.
    with pytest.raises(Replayed):
        memory.accept(read_by(B, sealed_to(B, opened(B, sealed))), NOW)
    assert offer == read_by(B, sealed)


def test_memory_is_bounded_and_frees_itself() -> None:
    offer, _ = offered()
    memory = OfferMemory(capacity=10)
    for number in range(10):
        memory.accept(remembered(offer, number, NOW), NOW)
    for _ in range(3):
        with pytest.raises(RateLimited):
            memory.accept(remembered(offer, 10, NOW), NOW)
    with pytest.raises(RateLimited):
        memory.accept(remembered(offer, 10, NOW + 120), NOW + 120)
    with pytest.raises(Replayed):
        memory.accept(remembered(offer, 3, NOW), NOW + 120)
    for number in range(10, 20):
        memory.accept(remembered(offer, number, NOW + 121), NOW + 121)
    with pytest.raises(RateLimited):
        memory.accept(remembered(offer, 20, NOW + 121), NOW + 121)


def test_a_caller_that_calls_all_the_time_keeps_no_other_out() -> None:
    offer, _ = offered()
    memory = OfferMemory(capacity=10, per_caller=4)
    for number in range(4):
        memory.accept(remembered(offer, number, NOW), NOW)
    with pytest.raises(RateLimited, match="one caller"):
        memory.accept(remembered(offer, 4, NOW), NOW)
    other = replace(offer, caller_key=bytes(32))
    memory.accept(remembered(other, 5, NOW), NOW)
    memory.accept(remembered(offer, 6, NOW + 121), NOW + 121)
    assert len(memory) == 1
    for number in range(7, 10):
        memory.accept(remembered(offer, number, NOW + 121), NOW + 121)
    with pytest.raises(RateLimited, match="one caller"):
        memory.accept(remembered(offer, 10, NOW + 121), NOW + 121)


@repeatable
@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(-60, 60), st.floats(0, 120)),
        min_size=1,
        max_size=60,
    )
)
def test_whatever_is_still_in_time_is_never_accepted_twice(
    steps: list[tuple[int, int, float]],
) -> None:
    offer, _ = offered()
    memory = OfferMemory(capacity=30)
    accepted: dict[int, int] = {}
    now = float(NOW)
    for number, offset, pause_s in steps:
        now += pause_s
        issued = accepted.get(number, int(now) + offset)
        if not now - limits.CLOCK_SKEW_S <= issued <= now + limits.CLOCK_SKEW_S:
            continue  # read_offer has refused it already
        try:
            memory.accept(remembered(offer, number, issued), now)
        except Replayed:
            assert number in accepted
        except RateLimited:
            assert number not in accepted
        else:
            assert number not in accepted
            accepted[number] = issued


@repeatable
@given(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20))
def test_of_two_crossing_offers_exactly_one_counts(one: bytes, other: bytes) -> None:
    assert own_offer_wins(one, other) + own_offer_wins(other, one) == (one != other)
