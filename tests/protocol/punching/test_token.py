"""Tokens left with witnesses: bounded, told for a while, and only what two saw counts."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.errors import Malformed, RateLimited
from protocol.punching.token import (
    PUNCH_TOKEN_BYTES,
    WitnessBook,
    decode_hosts,
    encode_hosts,
    punch_token,
    ready_token,
    seen_by_enough,
)
from tests.hosts import HOSTS


def test_golden_token() -> None:
    token = punch_token(bytes(range(16)), bytes(range(20)))
    assert token.hex() == "4da8634ed4906095fcda5080026a0c67"
    ready = ready_token(bytes(range(16)), bytes(range(20)))
    assert ready.hex() == "5323db44be0ee76593a4069120f9803a"
    assert len(token) == PUNCH_TOKEN_BYTES


def test_each_side_of_each_call_has_a_token_of_its_own() -> None:
    made = {
        punch_token(bytes([call]) * 16, bytes([peer]) * 20) for call in (1, 2) for peer in (1, 2)
    }
    assert len(made) == 4


@given(st.lists(HOSTS.map(str), max_size=limits.WITNESSED_HOSTS))
def test_hosts_round_trip(hosts: list[str]) -> None:
    assert decode_hosts(list(encode_hosts(hosts))) == hosts


@pytest.mark.parametrize("told", [[b""], [bytes(5)], [bytes(4)] * 3, ["1.2.3.4"], [None]])
def test_malformed_hosts(told: list[object]) -> None:
    with pytest.raises(Malformed):
        decode_hosts(told)


def test_only_what_enough_witnesses_saw_counts() -> None:
    assert seen_by_enough([["1.2.3.4", "::1"], ["1.2.3.4"]]) == {"1.2.3.4"}
    assert seen_by_enough([["1.2.3.4"], ["1.2.3.5"]]) == frozenset()
    assert seen_by_enough([["1.2.3.4"]]) == frozenset(), "one witness is none"
    assert seen_by_enough([["1.2.3.4", "1.2.3.4"]]) == frozenset(), "nor if it says so twice"
    assert seen_by_enough([]) == frozenset()
    assert seen_by_enough([["1.2.3.4"], [], ["1.2.3.4"]]) == {"1.2.3.4"}, "one may be dead"


def test_a_witness_tells_what_it_saw_for_a_while() -> None:
    book = WitnessBook()
    book.note(b"a" * 16, "1.2.3.4", 0.0)
    book.note(b"a" * 16, "1.2.3.4", 1.0)
    book.note(b"a" * 16, "::1", 2.0)
    book.note(b"a" * 16, "1.2.3.5", 3.0)
    assert book.hosts(b"a" * 16, 4.0) == ["1.2.3.4", "::1"], "no more hosts than families"
    assert book.hosts(b"b" * 16, 4.0) == []
    assert book.hosts(b"a" * 16, 1.0 + limits.WITNESSED_S) == []
    assert len(book) == 0


def test_a_token_that_is_left_again_is_told_as_long_again() -> None:
    book = WitnessBook()
    book.note(b"a" * 16, "1.2.3.4", 0.0)
    book.note(b"b" * 16, "1.2.3.4", 10.0)
    book.note(b"a" * 16, "1.2.3.4", 20.0)
    assert book.hosts(b"b" * 16, 10.0 + limits.WITNESSED_S) == []
    assert book.hosts(b"a" * 16, 19.9 + limits.WITNESSED_S) == ["1.2.3.4"]
    assert book.hosts(b"a" * 16, 20.0 + limits.WITNESSED_S) == []


def test_a_witness_keeps_no_more_than_it_has_room_for() -> None:
    book = WitnessBook(capacity=2)
    book.note(b"a" * 16, "1.2.3.4", 0.0)
    book.note(b"b" * 16, "1.2.3.4", 1.0)
    with pytest.raises(RateLimited):
        book.note(b"c" * 16, "1.2.3.4", 2.0)
    book.note(b"b" * 16, "::1", 2.0)
    book.note(b"c" * 16, "1.2.3.4", limits.WITNESSED_S)
    assert book.hosts(b"b" * 16, limits.WITNESSED_S) == ["1.2.3.4", "::1"]


def test_one_host_leaves_no_more_than_its_part() -> None:
    book = WitnessBook()
    for number in range(limits.WITNESSED_PER_HOST):
        book.note(bytes([number]) * 16, "1.2.3.4", 0.0)
    book.note(bytes(16), "1.2.3.4", 1.0)
    with pytest.raises(RateLimited):
        book.note(b"x" * 16, "1.2.3.4", 1.0)
    book.note(b"x" * 16, "1.2.3.5", 1.0)
    book.note(b"y" * 16, "1.2.3.4", limits.WITNESSED_S)


@pytest.mark.parametrize(
    ("most", "hosts"),
    [
        (16, [f"2a02:8108:1:2::{number:x}" for number in range(20)]),
        (64, [f"2a02:8108:1:{number:x}::1" for number in range(80)]),
        (256, [f"2a02:8108:{number:x}::1" for number in range(300)]),
        (64, [f"8.8.8.{number}" for number in range(80)]),
    ],
    ids=["/64", "/48", "/32", "/24"],
)
def test_one_network_leaves_no_more_than_its_part(most: int, hosts: list[str]) -> None:
    book = WitnessBook()
    for number, host in enumerate(hosts):
        try:
            book.note(number.to_bytes(16), host, 0.0)
        except RateLimited:
            assert number >= most
    assert len(book) == most
    book.note(b"x" * 16, "5.5.5.5", 1.0)
    assert len(book) == most + 1, "another network is not concerned"


def test_networks_that_fill_the_book_keep_no_other_network_out() -> None:
    book = WitnessBook()
    for number in range(limits.WITNESSED_TOKENS):
        book.note(number.to_bytes(16), f"5.{number // 64}.0.{number % 64}", number / 1000)
    assert len(book) == limits.WITNESSED_TOKENS
    honest = {number.to_bytes(16, "little"): f"8.8.{number}.8" for number in range(1, 21)}
    for token, host in honest.items():
        book.note(token, host, 2.0)
        assert book.hosts(token, 2.0) == [host]
    assert len(book) == limits.WITNESSED_TOKENS
    assert book.hosts((64 * 15 + 63).to_bytes(16), 2.0), "a network gives up its oldest tokens"
    assert book.hosts(bytes(16), 2.0) == []
    for number in range(64):
        with suppress(RateLimited):
            book.note(bytes([number]) * 16, f"5.0.0.{number}", 3.0)
    with pytest.raises(RateLimited):
        book.note(b"x" * 16, "5.0.0.200", 3.0)
    assert all(book.hosts(token, 3.0) for token in honest), "those who hold few stay"


@given(
    st.lists(
        st.tuples(st.integers(0, 9), HOSTS.map(str), st.floats(0.0, 20.0)), min_size=1, max_size=60
    )
)
def test_what_the_book_counts_is_what_it_keeps(
    left: list[tuple[int, str, float]],
) -> None:
    book = WitnessBook(capacity=4)
    now = 0.0
    for number, host, waited in left:
        now += waited
        try:
            book.note(bytes([number]) * 16, host, now)
        except RateLimited:
            continue
        assert book.hosts(bytes([number]) * 16, now)
        assert len(book) <= 4
    now += limits.WITNESSED_S + 1
    book.hosts(bytes(16), now)
    assert len(book) == 0
    for number in range(4):
        book.note(bytes([number]) * 16, f"8.8.{number}.8", now)
    assert len(book) == 4
