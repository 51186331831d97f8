"""Messages in datagrams: what fits, and that no answer is longer than its request."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.addresses import Address
from protocol.codec import encode
from protocol.datagrams import DATAGRAM_BODY_BYTES
from protocol.description import Description
from protocol.errors import Truncated
from protocol.identity import Identity
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import (
    ANSWER_BYTES,
    REFUSAL_BYTES,
    Code,
    Method,
    Request,
    decode_body,
    decode_found,
    encode_found,
    encode_pong,
)
from protocol.signaling import AnswerStatus, make_answer, make_offer
from tests.protocol.descriptions import largest_description
from tests.protocol.overlay.message_bodies import (
    COUNTER_MAX,
    EPOCH,
    TOKEN,
    TRANSACTION,
    V6,
    requested,
    responded,
)

repeatable = settings(deadline=None, derandomize=True)


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
        Method.PING: ([], encode_pong(2.0**40)),
        Method.FIND_NODE: ([target, 3], found),
        Method.FIND_VALUE: ([target, 1, 0, 3], found),
        Method.STORE: ([target, no_record], []),
        Method.REGISTER: ([no_record], [1200]),
        Method.KEEPALIVE: ([], [True]),
        Method.LEAVE: ([], []),
        Method.SIGNAL: ([target, bytes(300), 20], []),
        Method.WITNESS: ([bytes(16)], []),
        Method.WITNESSED: ([bytes(16)], [[bytes(16)] * limits.WITNESSED_HOSTS]),
        Method.DELIVER: ([short_offer(), 20], [longest_answer()]),
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
    longest = largest_description(Address("2001:db8::1", 65535))
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
    largest: list[tuple[Method, list[Any]]] = [
        (Method.STORE, [bytes(20), bytes(limits.RECORD_BYTES)]),
        (Method.SIGNAL, [bytes(20), bytes(limits.SIGNAL_BYTES), limits.ROUND_TRIP_MS_MAX]),
        (Method.DELIVER, [bytes(limits.SIGNAL_BYTES), limits.ROUND_TRIP_MS_MAX]),
    ]
    for method, arguments in largest:
        for token in (b"", TOKEN):
            body = requested(method, arguments, token=token, counter=COUNTER_MAX, flags=1)
            assert isinstance(decode_body(body), Request)
    assert len(responded([bytes(limits.SIGNAL_BYTES)], where=V6)) <= DATAGRAM_BODY_BYTES
