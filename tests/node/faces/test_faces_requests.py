"""Requests of every kind get JSON with the status that HTTP has for them (RFC 9110, RFC 9112)."""

import asyncio
import json
import random
from pathlib import Path

import pytest

from node.faces.api.gate import HEAD_BYTES, HEADERS, REQUEST_BYTES
from node.faces.api.server import ControlServer
from node.machine.control_file import read_control
from tests.node.faces.fake_node import served

pytestmark = pytest.mark.real_loop

METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"),
    *("PROPFIND", "M-SEARCH", "PRI", "QUERY", "get", "A" * 40, "!"),
)
ALLOWED = {
    "/v1/status": {"GET"},
    "/v1/openapi.json": {"GET"},
    "/v1/mods": {"GET", "POST"},
    f"/v1/mods/{'a' * 52}": {"DELETE"},
    "/v1/mods/%20": {"DELETE"},
    "/v1/connect": {"POST"},
    "/v1/st%61tus": {"GET"},
}
NOWHERE = ("/", "/v1", "/v1/status/", "//v1/status", "/v1/mods/", "/v1/openapi-json", "/v1/%00")


class Answer:
    """What came back: status, headers by their lower-case names, body."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        line, *lines = head.decode().split("\r\n")
        self.version, status, _ = line.split(" ", 2)
        self.status = int(status)
        self.headers = {
            name.lower(): value for name, _, value in (one.partition(": ") for one in lines)
        }

    def error(self) -> str:
        """The name of the error; the answer must be JSON that its length fits."""
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        assert int(self.headers["content-length"]) == len(self.body)
        told = json.loads(self.body)["error"]
        assert told["message"]
        return str(told["name"])


async def asked(
    server: ControlServer, token: str, line: str, *more: str, body: bytes = b""
) -> Answer:
    """The answer to a request as it stands there."""
    host, _, port = server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    lines = (line, "Host: 127.0.0.1", f"Authorization: Bearer {token}", *more)
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return Answer(data)


def token_in(folder: Path) -> str:
    control = read_control(folder)
    assert control is not None
    return control[1]


@pytest.mark.parametrize("method", METHODS)
async def test_a_method_that_a_path_does_not_take_is_405_with_those_that_it_takes(
    tmp_path: Path, method: str
) -> None:
    async with served(tmp_path) as (node, server):
        for path, allowed in ALLOWED.items():
            if method in allowed:
                continue
            answer = await asked(server, token_in(tmp_path), f"{method} {path}?x=1 HTTP/1.1")
            assert answer.status == 405, path
            assert answer.headers["allow"] == ", ".join(sorted(allowed))
            if method == "HEAD":
                assert answer.headers["content-type"].startswith("application/json")
                assert answer.body == b""
            else:
                assert answer.error() == "method_not_allowed"
        assert node.asked == []


@pytest.mark.parametrize("method", METHODS)
async def test_a_path_that_is_not_there_is_404_with_any_method(tmp_path: Path, method: str) -> None:
    async with served(tmp_path) as (_, server):
        for path in NOWHERE:
            answer = await asked(server, token_in(tmp_path), f"{method} {path} HTTP/1.1")
            assert answer.status == 404, path
            assert "allow" not in answer.headers
            if method != "HEAD":
                assert answer.error() == "no_such_path"


@pytest.mark.parametrize("method", ["GET", "BREW", "PATCH", "CONNECT"])
async def test_without_the_token_nothing_is_told_of_paths_and_methods(
    tmp_path: Path, method: str
) -> None:
    async with served(tmp_path) as (_, server):
        for path in ("/v1/status", "/v1/nothing"):
            answer = await asked(server, "0" * 64, f"{method} {path} HTTP/1.1")
            assert (answer.status, answer.error()) == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "allow" not in answer.headers


@pytest.mark.parametrize(
    "line",
    [
        *("GET * HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT 127.0.0.1:80 HTTP/1.1"),
        *("GET http://127.0.0.1/v1/status HTTP/1.1", "GET /v1/status HTTP/2.0", "GET /v1/status"),
        *("GET /v1/status HTTP/0.9", "G\u00cbT /v1/status HTTP/1.1", "GET  /v1/status HTTP/1.1"),
    ],
)
async def test_what_is_no_request_of_this_api_is_400(tmp_path: Path, line: str) -> None:
    async with served(tmp_path) as (_, server):
        answer = await asked(server, token_in(tmp_path), line)
        assert (answer.status, answer.error()) == (400, "bad_request")


@pytest.mark.parametrize("line", ["POST /v1/mods", "GET /v1/status", "POST /v1/nothing"])
@pytest.mark.parametrize(
    "length", [str(REQUEST_BYTES + 1), "0" * 20 + str(REQUEST_BYTES + 1), "9" * 5000]
)
async def test_a_body_that_is_too_large_is_413_before_it_has_come(
    tmp_path: Path, line: str, length: str
) -> None:
    async with served(tmp_path) as (node, server):
        more = ("Content-Type: application/json", f"Content-Length: {length}")
        answer = await asked(server, token_in(tmp_path), f"{line} HTTP/1.1", *more, body=b"{")
        assert (answer.status, answer.error()) == (413, "body_too_large")
        assert node.asked == []


@pytest.mark.parametrize(
    "more",
    [
        (f"X: {'x' * HEAD_BYTES}",),
        tuple(f"X{number}: x" for number in range(HEADERS)),
    ],
)
async def test_a_head_that_is_too_large_is_431(tmp_path: Path, more: tuple[str, ...]) -> None:
    async with served(tmp_path) as (_, server):
        answer = await asked(server, token_in(tmp_path), "GET /v1/status HTTP/1.1", *more)
        assert (answer.status, answer.error()) == (431, "head_too_large")
        answer = await asked(server, token_in(tmp_path), f"GET /{'x' * HEAD_BYTES} HTTP/1.1")
        assert (answer.status, answer.error()) == (431, "head_too_large")


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_first_line_says_the_answer_is_json(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    visible = [chr(code) for code in range(0x21, 0x7F)]
    pieces = [
        *visible,
        "%",
        "//",
        "/v1/",
        "status",
        "mods",
        "?",
        "&",
        "#",
        "[",
        "%2e",
        "%ff",
        "..",
        ":",
    ]
    async with served(tmp_path) as (_, server):
        for _ in range(150):
            target = "".join(rng.choices(pieces, k=rng.randrange(12)))
            method = rng.choice([*METHODS, "".join(rng.choices(visible, k=3))])
            line = f"{method} /{target} HTTP/1.{rng.randrange(2)}"
            answer = await asked(server, token_in(tmp_path), line)
            assert answer.headers["content-type"].startswith("application/json"), line
            if method != "HEAD":
                assert answer.status == 200 or answer.error(), line
