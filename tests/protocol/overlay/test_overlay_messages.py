"""Requests and responses: their bytes, their bounds, and errors as codes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import errors, limits
from protocol.addresses import Address
from protocol.codec import encode
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.errors import Malformed, Oversized, RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    Code,
    Method,
    Pong,
    Request,
    Response,
    code_of,
    decode_body,
    decode_found,
    decode_pong,
    encode_found,
    encode_pong,
    encode_request,
    encode_response,
)
from tests.hosts import HOSTS
from tests.protocol.overlay.message_bodies import COUNTER_MAX, EPOCH, TOKEN, TRANSACTION

repeatable = settings(deadline=None, derandomize=True)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "messages.json").read_text())


def plain(told: Any) -> Any:
    """A value as the vectors tell it: bytes as {"hex": ...}."""
    if isinstance(told, dict):
        return bytes.fromhex(told["hex"])
    return [plain(item) for item in told] if isinstance(told, list) else told


@pytest.mark.parametrize("golden", VECTORS["requests"], ids=lambda golden: golden["name"])
def test_golden_request(golden: dict[str, Any]) -> None:
    told = {name: bytes.fromhex(golden[name]) for name in ("transaction", "epoch", "token", "body")}
    arguments = plain(golden["arguments"])
    body = encode_request(
        told["transaction"],
        Method(golden["method"]),
        epoch=told["epoch"],
        counter=golden["counter"],
        token=told["token"],
        flags=golden["flags"],
        arguments=arguments,
    )
    assert body.hex() == golden["body"]
    assert decode_body(told["body"]) == Request(
        told["transaction"],
        golden["method"],
        told["epoch"],
        golden["counter"],
        told["token"],
        golden["flags"],
        arguments,
        len(body),
    )


@pytest.mark.parametrize("golden", VECTORS["responses"], ids=lambda golden: golden["name"])
def test_golden_response(golden: dict[str, Any]) -> None:
    transaction, token = bytes.fromhex(golden["transaction"]), bytes.fromhex(golden["token"])
    code, observed = Code(golden["code"]), Address(*golden["observed"])
    result = plain(golden["result"])
    body = encode_response(transaction, code, token=token, observed=observed, result=result)
    assert body.hex() == golden["body"]
    assert decode_body(bytes.fromhex(golden["body"])) == Response(
        transaction, code, token, observed, result
    )


@pytest.mark.parametrize("name", ["pong", "pong, asked over IPv6"])
def test_golden_pong(name: str) -> None:
    (golden,) = (one["result"] for one in VECTORS["responses"] if one["name"] == name)
    assert encode_pong(1_790_000_000.9) == golden
    assert decode_pong(golden) == Pong(2, 1_790_000_000)


@pytest.mark.parametrize(("wall", "told"), [(-5.0, 0), (1e12, 2**32 - 1)])
def test_a_clock_that_shows_no_time_of_this_age_is_told_within_bounds(
    wall: float, told: int
) -> None:
    assert decode_pong(encode_pong(wall)).seconds == told


@pytest.mark.parametrize(
    "result", [[], [2], [2, 1, 1], [2, -1], [2, 2**32], [0, 1], [2, b"1"], [2, 1.5], [2, True]]
)
def test_what_is_no_pong_is_malformed(result: list[Any]) -> None:
    with pytest.raises(Malformed):
        decode_pong(result)


def test_golden_found() -> None:
    golden = {one["name"]: plain(one["result"]) for one in VECTORS["responses"]}
    contacts4 = [Contact(bytes.fromhex(text)) for text in VECTORS["contacts4"]]
    contacts6 = [Contact(bytes.fromhex(text)) for text in VECTORS["contacts6"]]
    whole = golden["found contacts of both families, records and a registration"]
    found = decode_found(whole)
    assert found.contacts == contacts4 + contacts6
    assert found.values == [b"r" * 150, b"q" * 151]
    assert (found.total, found.registration_proof) == (7, bytes(range(104)))
    mixed = [contacts6[0], contacts4[0], contacts4[1], contacts6[1], contacts4[2]]
    values = [b"r" * 150, b"q" * 151, *[b"x" * 1000] * 5]
    assert (
        encode_found(
            mixed,
            values,
            skip=0,
            registration_proof=bytes(range(104)),
            max_bytes=DATAGRAM_BODY_BYTES,
        )
        == whole
    )
    nothing = golden["found nothing"]
    assert (
        encode_found([], [], skip=0, registration_proof=b"", max_bytes=DATAGRAM_BODY_BYTES)
        == nothing
    )
    assert decode_found(nothing) == ([], [], 0, b"")


SCALARS = st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.booleans() | st.none()
ARGUMENTS = st.lists(SCALARS | st.lists(SCALARS, max_size=5), max_size=8)
ADDRESSES = st.builds(lambda ip, port: Address(str(ip), port), HOSTS, st.integers(1, 65535))
EIGHT = st.binary(min_size=8, max_size=8)
MAYBE_TOKENS = st.just(b"") | EIGHT


@repeatable
@given(
    EIGHT,
    st.sampled_from(Method),
    EIGHT,
    st.integers(0, COUNTER_MAX),
    MAYBE_TOKENS,
    st.integers(0, 255),
    ARGUMENTS,
)
def test_a_request_comes_back(
    transaction: bytes,
    method: Method,
    epoch: bytes,
    counter: int,
    token: bytes,
    flags: int,
    arguments: list[Any],
) -> None:
    body = encode_request(
        transaction,
        method,
        epoch=epoch,
        counter=counter,
        token=token,
        flags=flags,
        arguments=arguments,
    )
    assert decode_body(body) == Request(
        transaction, method, epoch, counter, token, flags, arguments, len(body)
    )


@repeatable
@given(EIGHT, st.sampled_from(Code), MAYBE_TOKENS, ADDRESSES, ARGUMENTS)
def test_a_response_comes_back(
    transaction: bytes, code: Code, token: bytes, observed: Address, result: list[Any]
) -> None:
    body = encode_response(transaction, code, token=token, observed=observed, result=result)
    assert decode_body(body) == Response(transaction, code, token, observed, result)


GOOD_BODIES = [
    bytes.fromhex(one["body"]) for kind in ("requests", "responses") for one in VECTORS[kind]
]


@settings(repeatable, max_examples=400)
@given(
    st.binary(max_size=200)
    | ARGUMENTS.map(encode)
    | st.builds(lambda kind, rest: encode([kind, *rest]), st.integers(-1, 2), ARGUMENTS)
    | st.builds(
        lambda body, place, byte: (
            body[: place % len(body)] + bytes((byte,)) + body[place % len(body) + 1 :]
        ),
        st.sampled_from(GOOD_BODIES),
        st.integers(0, 2**16),
        st.integers(0, 255),
    )
)
def test_any_body_is_a_message_or_refused_by_name(body: bytes) -> None:
    try:
        message = decode_body(body)
    except Malformed:
        return
    result = message.arguments if isinstance(message, Request) else message.result
    try:
        decode_found(result)
    except Malformed:
        return


@pytest.mark.parametrize("body", GOOD_BODIES[:2] + GOOD_BODIES[-2:])
def test_a_body_cut_at_any_length_is_malformed(body: bytes) -> None:
    for length in range(len(body)):
        with pytest.raises(Malformed):
            decode_body(body[:length])
    with pytest.raises(Malformed):
        decode_body(body + b"\0")


REQUEST = [0, TRANSACTION, 1, EPOCH, 1, TOKEN, 0, [], bytes(10)]
RESPONSE = [1, TRANSACTION, 0, TOKEN, b"\x01\x02\x03\x04\x00\x50", []]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, 2),
        (0, False),
        (0, None),
        (1, bytes(7)),
        (1, bytes(9)),
        (1, "transact"),
        (2, b"\x01"),
        (2, True),
        (3, bytes(7)),
        (4, -1),
        (4, COUNTER_MAX + 1),
        (5, bytes(7)),
        (5, bytes(9)),
        (5, None),
        (6, None),
        (7, b""),
        (8, None),
    ],
)
def test_a_request_with_a_wrong_field_is_malformed(place: int, wrong: object) -> None:
    assert isinstance(decode_body(encode(REQUEST)), Request)
    with pytest.raises(Malformed):
        decode_body(encode([*REQUEST[:place], wrong, *REQUEST[place + 1 :]]))


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (0, True),
        (1, bytes(7)),
        (2, None),
        (3, bytes(9)),
        (4, b""),
        (4, b"\x01\x02\x03\x04\x00\x00"),
        (4, "1.2.3.4"),
        (5, None),
    ],
)
def test_a_response_with_a_wrong_field_is_malformed(place: int, wrong: object) -> None:
    assert isinstance(decode_body(encode(RESPONSE)), Response)
    with pytest.raises(Malformed):
        decode_body(encode([*RESPONSE[:place], wrong, *RESPONSE[place + 1 :]]))


def test_a_body_has_the_size_of_a_datagram() -> None:
    with pytest.raises(Oversized):
        decode_body(bytes(DATAGRAM_BODY_BYTES + 1))


@pytest.mark.parametrize(
    "result",
    [
        [],
        [b"", b"", [], 0],
        [b"", b"", [], 0, 1],
        [b"", b"", [1], 0, bytes(104)],
        [b"", b"", [], -1, bytes(104)],
        [b"", b"", [], limits.STORE_VALUES_PER_KEY + 1, bytes(104)],
        [b"x", b"", [], 0, bytes(104)],
        [b"", b"x" * 38, [], 0, bytes(104)],
        [bytes(38 * 21), b"", [], 0, bytes(104)],
        [b"", b"", [b""] * (limits.VALUES_PER_REPLY + 1), 0, bytes(104)],
        ["", b"", [], 0, bytes(104)],
    ],
)
def test_a_malformed_find(result: list[Any]) -> None:
    with pytest.raises(Malformed):
        decode_found(result)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BadToken, Code.BAD_TOKEN),
        (errors.WrongKey, Code.WRONG_KEY),
        (errors.BadSignature, Code.NOT_AUTHENTIC),
        (errors.BadPuzzle, Code.NOT_AUTHENTIC),
        (errors.NotAuthentic, Code.NOT_AUTHENTIC),
        (errors.Expired, Code.EXPIRED),
        (errors.IssuedInFuture, Code.ISSUED_IN_FUTURE),
        (errors.SequenceTooLow, Code.SEQUENCE_TOO_LOW),
        (errors.StoreFull, Code.STORE_FULL),
        (errors.KeyFull, Code.KEY_FULL),
        (errors.PublisherFull, Code.PUBLISHER_FULL),
        (errors.RateLimited, Code.RATE_LIMITED),
        (errors.Truncated, Code.MALFORMED),
        (errors.NotCanonical, Code.MALFORMED),
        (errors.Replayed, Code.REFUSED),
        (errors.UnexpectedReply, Code.REFUSED),
    ],
)
def test_each_error_travels_as_its_code(error: type[RemoteError], code: Code) -> None:
    assert code_of(error("why")) is code
