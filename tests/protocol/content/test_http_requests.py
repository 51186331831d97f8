"""What HTTP clients may ask of a node: two files of a mod, whole or in one range."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.content.origins.http_places import HttpPlace, HttpPlaces
from protocol.content.origins.requests import (
    FileRequest,
    HttpPart,
    HttpRefusal,
    file_head,
    part_of,
    preflight_head,
    read_request,
)
from protocol.content.origins.urls import file_names

MANIFEST, CHUNKS = file_names(bytes(range(32)))
TAG = f'"c-{CHUNKS.partition(".")[0]}"'


def head(
    method: str = "GET", path: str = f"/{CHUNKS}", *fields: str, version: str = "1.1"
) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/{version}", "Host: a", *fields)).encode()


def asked(*fields: str) -> FileRequest:
    return read_request(head("GET", f"/{CHUNKS}", *fields))


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ((), (200, 0, 100)),
        (("Range: bytes=0-9",), (206, 0, 10)),
        (("Range: bytes=90-",), (206, 90, 100)),
        (("Range: bytes=90-500",), (206, 90, 100)),
        (("Range: bytes=-10",), (206, 90, 100)),
        (("Range: bytes=-500",), (206, 0, 100)),
        (("Range: Bytes=90-91",), (206, 90, 92)),
        ((f"Range: bytes=90-{'9' * 40}",), (206, 90, 100)),
        ((f"Range: bytes=-{'9' * 40}",), (206, 0, 100)),
        ((f"Range: bytes={'9' * 40}-",), (416, 0, 0)),
        (("Range: bytes=100-",), (416, 0, 0)),
        (("Range: bytes=-0",), (416, 0, 0)),
        (("Range: bytes=9-8",), (200, 0, 100)),
        (("Range: bytes=-",), (200, 0, 100)),
        (("Range: bytes=0-1,5-6",), (200, 0, 100)),
        (("Range: lines=0-1",), (200, 0, 100)),
        (("Range: bytes=0-9", f"If-Range: {TAG}"), (206, 0, 10)),
        (("Range: bytes=0-9", 'If-Range: "other"'), (200, 0, 100)),
        (("Range: bytes=0-9", "If-Range: Sat, 28 Nov 2026 15:00:00 GMT"), (200, 0, 100)),
        ((f"If-None-Match: {TAG}",), (304, 0, 0)),
        ((f'If-None-Match: "a", W/{TAG}',), (304, 0, 0)),
        (("If-None-Match: *",), (304, 0, 0)),
        (('If-None-Match: "a"',), (200, 0, 100)),
    ],
)
def test_a_range_is_answered_as_it_was_asked(
    fields: tuple[str, ...], part: tuple[int, int, int]
) -> None:
    found = part_of(asked(*fields), 100)
    assert (found.status, found.start, found.end) == part


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        *((head("POST"), 405), (head("DELETE"), 405), (head("get"), 400), (head("GET", "/"), 404)),
        *((head("GET", "/index.html"), 404), (head("GET", f"/x/{CHUNKS}"), 404)),
        *((head("GET", f"/{CHUNKS}?a"), 404), (head("GET", f"/{CHUNKS.upper()}"), 404)),
        *((head("GET", "/../identity.key"), 404), (head("GET", f"/{CHUNKS}/.."), 404)),
        *((head("GET", f"/{CHUNKS}%00"), 404), (head("GET", f"/b{CHUNKS[1:]}.x"), 404)),
        *((head("GET", f"http://a/{CHUNKS}"), 400), (head(version="2.0"), 400), (b"", 400)),
        (head("GET", f"/{CHUNKS}", "Content-Length: 5"), 400),
        (head("GET", f"/{CHUNKS}", "Transfer-Encoding: chunked"), 400),
        (head("GET", f"/{CHUNKS}", "Host: b"), 400),
        (head("GET", f"/{CHUNKS}", "a field without a colon"), 400),
        (head("GET", f"/{CHUNKS}", *(f"x{one}: a" for one in range(100))), 431),
    ],
)
def test_anything_else_is_refused(request_head: bytes, status: int) -> None:
    with pytest.raises(HttpRefusal) as refused:
        read_request(request_head)
    assert refused.value.status == status


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_refusal(data: bytes) -> None:
    for candidate in (data, head() + b"\r\n" + data):
        with contextlib.suppress(HttpRefusal):
            request = read_request(candidate)
            for total in (1, 100, 2**40):
                part = part_of(request, total)
                assert 0 <= part.start <= part.end <= total
                answer = file_head(request, part)
                assert answer.count(b"\r\n\r\n") == 1
                assert answer.endswith(b"\r\n\r\n")


def test_an_answer_says_what_it_has_and_that_pages_may_read_it() -> None:
    answer = file_head(asked("Range: bytes=5-9"), HttpPart(206, 5, 10, 100)).decode()
    for line in (
        *("HTTP/1.1 206 Partial Content", "Content-Range: bytes 5-9/100", "Content-Length: 5"),
        *(f"ETag: {TAG}", "Access-Control-Allow-Origin: *", "Connection: keep-alive"),
    ):
        assert line in answer.splitlines()
    assert "Credentials" not in answer
    assert "Cookie" not in answer
    closing = file_head(read_request(head(version="1.0")), HttpPart(416, 0, 0, 100)).decode()
    assert "Content-Range: bytes */100" in closing
    assert "Connection: close" in closing
    preflight = preflight_head(read_request(head("OPTIONS"))).decode()
    assert "Access-Control-Allow-Headers: Range, If-Range" in preflight


def taken(places: HttpPlaces, party: bytes, count: int, *, busy: bool) -> list[HttpPlace]:
    found = []
    for _ in range(count):
        place, _ = places.take(party, 0.0)
        assert place is not None
        place.is_busy = busy
        found.append(place)
    return found


def test_a_network_has_few_places_and_its_idle_connections_go_first() -> None:
    places = HttpPlaces()
    served = taken(places, b"a", limits.HTTP_CLIENTS_PER_NETWORK, busy=True)
    assert places.take(b"a", 1.0) == (None, None)
    served[3].is_busy = False
    place, goes = places.take(b"a", 1.0)
    assert place is not None
    assert goes is served[3]
    place.is_busy = True
    assert places.take(b"a", limits.HTTP_KEPT_S)[1] is served[0], "it has had its place for long"
    assert places.take(b"b", 1.0)[1] is None


def test_where_all_is_full_idle_ones_go_and_then_those_of_who_has_most() -> None:
    places = HttpPlaces()
    each = limits.HTTP_CLIENTS_PER_NETWORK
    networks = [bytes([number]) for number in range(limits.HTTP_CLIENTS // each)]
    served = [taken(places, network, each, busy=True) for network in networks]
    assert len(places) == limits.HTTP_CLIENTS
    served[2][5].is_busy = False
    assert places.take(b"new", 1.0)[1] is served[2][5]
    assert places.take(b"newer", 1.0)[1] is not None
    assert len(places) == limits.HTTP_CLIENTS
    few = HttpPlaces()
    for number in range(limits.HTTP_CLIENTS):
        taken(few, number.to_bytes(2), 1, busy=True)
    assert few.take(b"other", 1.0) == (None, None), "no one has more than another"
    place, goes = few.take(b"other", limits.HTTP_KEPT_S)
    assert place is not None
    assert goes is not None
    assert goes.party == bytes(2)
    place.is_busy = True
    assert few.take(b"other", limits.HTTP_KEPT_S) == (None, None), "it has a place"
