"""Requests and responses: their bytes, their bounds, and that they amplify nothing."""

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
from protocol.description import Description, IceCandidate
from protocol.errors import Malformed, Oversized, RemoteError, Truncated
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    ANSWER_BYTES,
    REFUSAL_BYTES,
    Code,
    Method,
    Request,
    Response,
    code_of,
    decode_body,
    decode_found,
    encode_found,
    encode_request,
    encode_response,
)
from protocol.signaling import AnswerStatus, make_answer, make_offer
from tests.hosts import HOSTS

repeatable = settings(deadline=None, derandomize=True)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "messages.json").read_text())
V4, V6 = Address("192.0.2.7", 4001), Address("2001:db8::7", 65535)
TRANSACTION, EPOCH, TOKEN = bytes(8), bytes(8), b"t" * 8
COUNTER_MAX = 2**63


def plain(told: Any) -> Any:
    """A value as the vectors tell it: bytes as {"hex": ...}."""
    if isinstance(told, dict):
        return bytes.fromhex(told["hex"])
    return [plain(item) for item in told] if isinstance(told, list) else told


def requested(
    method: Method, arguments: list[Any], *, token: bytes = b"", counter: int = 1, flags: int = 0
) -> bytes:
    return encode_request(
        TRANSACTION,
        method,
        epoch=EPOCH,
        counter=counter,
        token=token,
        flags=flags,
        arguments=arguments,
    )


def responded(result: list[Any], *, code: Code = Code.OK, where: Address = V4) -> bytes:
    return encode_response(TRANSACTION, code, token=TOKEN, observed=where, result=result)


# Golden vectors -----------------------------------------------------------------------------


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


# Round trips and nonsense -------------------------------------------------------------------

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


# What fits ----------------------------------------------------------------------------------


def contacts_of(v4: int, v6: int) -> list[Contact]:
    found = [
        Contact.at(number.to_bytes(32), Address(f"198.51.100.{number}", 65535))
        for number in range(v4)
    ]
    found += [
        Contact.at(number.to_bytes(32), Address(f"2001:db8:1:2:3:4:5:{number:x}", 65535))
        for number in range(100, 100 + v6)
    ]
    return sorted(found, key=lambda contact: contact.number)


@repeatable
@given(
    st.lists(st.integers(1, limits.RECORD_BYTES), max_size=40),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 50),
    st.integers(REFUSAL_BYTES, DATAGRAM_BODY_BYTES),
)
def test_what_was_found_fits_and_is_the_first_that_does(
    sizes: list[int], v4: int, v6: int, skip: int, room: int
) -> None:
    values = [bytes((number % 256,)) * size for number, size in enumerate(sizes)]
    nearest = contacts_of(v4, v6)
    result = encode_found(nearest, values, skip=skip, registration_proof=bytes(104), max_bytes=room)
    found = decode_found(result)
    assert found.values == values[skip : skip + len(found.values)]
    assert found.total == len(values)
    sent = sorted(found.contacts, key=lambda contact: contact.number)
    assert sent == nearest[: len(sent)]
    if found.values or found.contacts:
        assert len(responded(result, where=V6)) <= room
    # Nothing was left out that had room: the frame is 64 bytes, and 3 for each value.
    assert bool(found.registration_proof) == (room >= 64 + 104)
    left = room - 64 - len(found.registration_proof) - sum(len(one) + 3 for one in found.values)
    if len(found.values) < min(len(values[skip:]), limits.VALUES_PER_REPLY):
        assert len(values[skip + len(found.values)]) + 3 > left
    left -= sum(len(one.packed) for one in found.contacts)
    if len(sent) < min(len(nearest), limits.CONTACTS_PER_REPLY):
        assert len(nearest[len(sent)].packed) > left


def test_a_whole_table_s_worth_of_contacts_fits_a_datagram() -> None:
    for v4, v6, expected in ((20, 0, 20), (0, 20, 20), (10, 10, 20)):
        result = encode_found(
            contacts_of(v4, v6), [], skip=0, registration_proof=b"", max_bytes=DATAGRAM_BODY_BYTES
        )
        assert len(decode_found(result).contacts) == expected
    longest = encode_found(
        contacts_of(20, 0),
        [bytes(1000)],
        skip=0,
        registration_proof=b"",
        max_bytes=DATAGRAM_BODY_BYTES,
    )
    assert len(decode_found(longest).values) == 1


def test_the_frame_around_what_was_found_is_counted() -> None:
    # Values, contacts and a total long enough that each header is the longest it can be.
    values, nearest = [bytes(300)] * 2 + [bytes(1000)] * 300, contacts_of(9, 9)
    full = 0
    for room in range(REFUSAL_BYTES, DATAGRAM_BODY_BYTES + 1):
        result = encode_found(
            nearest, values, skip=0, registration_proof=bytes(104), max_bytes=room
        )
        packed4, packed6, sent, *_ = result
        size = len(responded(result, where=V6))
        assert size <= max(room, 60)
        full += min(len(packed4), len(packed6)) > 0 and len(sent) == 2
    assert full > 100


def test_every_value_is_on_some_page() -> None:
    values = [number.to_bytes(2) * 75 for number in range(100)]
    got: list[bytes] = []
    while len(got) < len(values):
        result = encode_found(
            contacts_of(20, 0),
            values,
            skip=len(got),
            registration_proof=b"",
            max_bytes=DATAGRAM_BODY_BYTES,
        )
        page = decode_found(result)
        assert page.values
        assert page.total == len(values)
        got += page.values
    assert got == values


# No amplification ---------------------------------------------------------------------------


def test_a_request_without_a_token_is_as_long_as_its_longest_answer() -> None:
    assert set(ANSWER_BYTES) == set(Method)
    for method, answer_bytes in ANSWER_BYTES.items():
        for size in range(0, 1000, 7):
            body = requested(method, [bytes(size)])
            unpadded = len(requested(method, [bytes(size)], token=TOKEN)) - len(TOKEN)
            assert len(body) >= answer_bytes
            assert len(body) <= max(answer_bytes + 1, unpadded)
            assert len(body) <= DATAGRAM_BODY_BYTES


def test_padding_reaches_every_length_but_one_exactly() -> None:
    over = set()
    for size in range(ANSWER_BYTES[Method.DELIVER]):
        over.add(len(requested(Method.DELIVER, [bytes(size)])) - ANSWER_BYTES[Method.DELIVER])
    assert 0 in over
    assert {one for one in over if one < 0} == set()


def test_the_answer_to_each_request_fits_its_own_padding() -> None:
    target, no_record = bytes(20), bytes(150)
    found = encode_found(
        contacts_of(20, 20),
        [no_record] * 9,
        skip=0,
        registration_proof=bytes(104),
        max_bytes=DATAGRAM_BODY_BYTES,
    )
    arguments: dict[Method, tuple[list[Any], list[Any]]] = {
        Method.PING: ([], [1]),
        Method.FIND_NODE: ([target, 3], found),
        Method.FIND_VALUE: ([target, 1, 0, 3], found),
        Method.STORE: ([target, no_record], []),
        Method.REGISTER: ([no_record], [1200]),
        Method.KEEPALIVE: ([], [True]),
        Method.SIGNAL: ([target, bytes(300)], []),
        Method.DELIVER: ([bytes(6), short_offer()], [longest_answer()]),
    }
    for method, (asked, answer) in arguments.items():
        assert len(responded(answer, where=V6)) <= len(requested(method, asked)), method


class Zeros:
    def randbytes(self, n: int, /) -> bytes:
        return bytes(n)

    def getrandbits(self, k: int, /) -> int:
        return 0

    def random(self) -> float:
        return 0.0


CALLER, CALLEE = Identity(b"a" * 32), Identity(b"b" * 32)
SHORT = Description("u" * 4, "p" * 22, bytes(32), 0, ())


def short_offer() -> bytes:
    _, sealed = make_offer(CALLER, CALLEE.public_key, CALLEE.peer_id, SHORT, now=1e9, rng=Zeros())
    return sealed


def longest_answer() -> bytes:
    offer, _ = make_offer(CALLER, CALLEE.public_key, CALLEE.peer_id, SHORT, now=1e9, rng=Zeros())
    candidates = (IceCandidate(0, Address("2001:db8::1", 65535)),) * limits.CANDIDATES
    longest = Description("u" * 32, "p" * 32, bytes(32), 1, candidates)
    return make_answer(CALLEE, offer, AnswerStatus.ACCEPTED, longest, rng=Zeros())


def test_a_refusal_is_never_longer_than_any_request_that_is_read() -> None:
    longest = max(len(responded([], code=code, where=V6)) for code in Code)
    assert longest == REFUSAL_BYTES
    for token in (b"", TOKEN):
        fields = [0, TRANSACTION, 1, EPOCH, 1, token, 0, [], b""]
        short = encode(fields)
        for size in range(REFUSAL_BYTES - len(short)):
            fields[-1] = bytes(size)
            with pytest.raises(Truncated):
                decode_body(encode(fields))
        fields[-1] = bytes(REFUSAL_BYTES - len(short))
        assert isinstance(decode_body(encode(fields)), Request)
    for method in Method:
        assert isinstance(decode_body(requested(method, [], token=TOKEN)), Request)


def test_a_request_in_a_datagram_has_room_for_the_largest_record_and_signal() -> None:
    largest = [
        (Method.STORE, [bytes(20), bytes(limits.RECORD_BYTES)]),
        (Method.SIGNAL, [bytes(20), bytes(limits.SIGNAL_BYTES)]),
        (Method.DELIVER, [bytes(18), bytes(limits.SIGNAL_BYTES)]),
    ]
    for method, arguments in largest:
        for token in (b"", TOKEN):
            body = requested(method, arguments, token=token, counter=COUNTER_MAX, flags=1)
            assert isinstance(decode_body(body), Request)
    assert len(responded([bytes(limits.SIGNAL_BYTES)], where=V6)) <= DATAGRAM_BODY_BYTES


# Errors as codes ----------------------------------------------------------------------------


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
