"""Programs of this machine without the token cannot exhaust the control API.

The attackers connect and say nothing, drip a head, send a huge one, or send a slow body that no
token announces. Meanwhile each request with the token is answered.
"""

import asyncio
import contextlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from node.faces.api import gate
from node.faces.api.gate import Gate
from node.machine.control_file import read_control
from tests.node.faces.fake_node import served

TOKEN = "t" * 64


class Wire(asyncio.Transport):
    """A connection in memory: what was written to it, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.protocol: Any = None
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.written += b"|"

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connection_lost(None)

    abort = close


class Served(asyncio.Protocol):
    """What serves: it keeps what it got."""

    def __init__(self) -> None:
        self.got = b""

    def data_received(self, data: bytes) -> None:
        self.got += data


class Door:
    """A gate, and the connections to it."""

    def __init__(self) -> None:
        self.served: list[Served] = []
        self.gate = Gate(TOKEN, self._serve, lambda: len(self.served))

    def _serve(self) -> Served:
        self.served.append(Served())
        return self.served[-1]

    def connect(self, data: bytes = b"") -> Wire:
        wire = Wire()
        wire.protocol = self.gate.knock()
        wire.protocol.connection_made(wire)
        if data:
            wire.protocol.data_received(data)
        return wire


def head(token: str = TOKEN, host: str = "127.0.0.1", more: str = "") -> bytes:
    lines = f"GET /v1/status HTTP/1.1\r\nHost: {host}\r\nauthorization: Bearer {token}\r\n"
    return f"{lines}{more}\r\n".encode()


async def test_a_head_with_the_token_is_served_whole_however_it_is_cut() -> None:
    door = Door()
    for cut in range(len(head())):
        wire = door.connect(head()[:cut])
        wire.protocol.data_received(head()[cut:] + b"body")
        assert isinstance(wire.protocol, Served)
        assert wire.protocol.got == head() + b"body"
        door.served.clear()
    await asyncio.sleep(2 * gate.HEAD_S)
    assert len(door.gate) == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (head("x"), b"401"),
        (head(""), b"401"),
        (b"\r\n\r\n", b"400"),
        (b"GARBAGE\r\n\r\n", b"400"),
        (head().replace(b" /v1", b" v1"), b"400"),
        (head().replace(b"/1.1", b"/2"), b"400"),
        (head(host="evil.example"), b"403"),
        (head(more="Origin: null\r\n"), b"403"),
        (b"x" * (gate.HEAD_BYTES + 1), b"431"),
        (head(more=f"X: {'x' * gate.HEAD_BYTES}\r\n"), b"431"),
    ],
)
async def test_without_the_right_to_ask_nothing_is_served(data: bytes, status: bytes) -> None:
    door = Door()
    wire = door.connect(data)
    assert wire.written.startswith(b"HTTP/1.1 " + status)
    assert wire.written.endswith(b"}}|")
    for _ in range(100):
        wire.protocol.data_received(b"a slow body")
    assert wire.written.count(b"HTTP/1.1") == 1
    assert door.served == []
    await asyncio.sleep(2 * gate.HEAD_S)
    assert wire.is_closed
    assert len(door.gate) == 0


async def test_a_head_has_a_deadline_that_dripping_does_not_move() -> None:
    door = Door()
    silent, dripping = door.connect(), door.connect()
    for number in range(10):
        assert silent.is_closed == dripping.is_closed == (number * 0.6 > gate.HEAD_S)
        await asyncio.sleep(0.6)
        if not dripping.is_closed:
            dripping.protocol.data_received(b"x")
    assert silent.is_closed
    assert dripping.is_closed
    assert (silent.written, dripping.written) == (b"", b"")


async def test_those_that_wait_longest_make_room() -> None:
    door = Door()
    crowd = [door.connect() for _ in range(5 * gate.WAITING)]
    assert len(door.gate) == gate.WAITING
    assert [wire.is_closed for wire in crowd] == [True] * (4 * gate.WAITING) + [
        False
    ] * gate.WAITING
    assert crowd[0].written.startswith(b"HTTP/1.1 503")
    for _ in range(gate.WAITING):
        assert isinstance(door.connect(head()).protocol, Served)
        door.served.clear()
    door.gate.close()
    assert all(wire.is_closed for wire in crowd)


async def test_one_that_came_before_a_whole_turn_of_others_is_still_read() -> None:
    door = Door()
    ours = door.connect(head()[:10])
    for _ in range(gate.ARRIVALS):
        door.connect()
    ours.protocol.data_received(head()[10:])
    assert isinstance(ours.protocol, Served)


async def test_served_connections_are_bounded_too() -> None:
    door = Door()
    for _ in range(gate.SERVED):
        door.connect(head())
    refused = door.connect(head())
    assert refused.written.startswith(b"HTTP/1.1 503")
    assert len(door.served) == gate.SERVED


SILENCE = b""
DRIPPED_HEAD = b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HUGE_HEAD = b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 10_000
SLOW_BODY = (
    b"POST /v1/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: 60000\r\n\r\n{"
)


async def knock(address: str, said: bytes, attackers: list[socket.socket]) -> None:
    """One more connection, which says this and stays."""
    attacker = socket.socket()
    attacker.setblocking(False)
    attackers.append(attacker)
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    await loop.sock_connect(attacker, (host, int(port)))
    with contextlib.suppress(ConnectionError):
        await loop.sock_sendall(attacker, said)


async def status_line(address: str, token: str) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head(token, more="Connection: close\r\n"))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n")[0]


@pytest.mark.real_loop
@pytest.mark.parametrize("said", [SILENCE, DRIPPED_HEAD, HUGE_HEAD, SLOW_BODY])
async def test_requests_with_the_token_are_answered_under_attack(
    tmp_path: Path, said: bytes
) -> None:
    attackers: list[socket.socket] = []
    async with served(tmp_path) as (node, server):
        control = read_control(tmp_path)
        assert control is not None
        try:
            for _ in range(3 * gate.WAITING):
                await knock(server.address, said, attackers)
            for _ in range(20):
                assert await status_line(*control) == b"HTTP/1.1 200 OK"
                await knock(server.address, said, attackers)
        finally:
            for attacker in attackers:
                attacker.close()
        assert node.asked == [("status",)] * 20


@pytest.mark.real_loop
async def test_a_long_url_is_answered_and_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path) as (_, server):
        control = read_control(tmp_path)
        assert control is not None
        host, _, port = server.address.rpartition(":")
        for characters, status in ((9_000, b"404"), (gate.HEAD_BYTES + 1, b"431")):
            reader, writer = await asyncio.open_connection(host, int(port))
            asked = head(control[1]).replace(b"/v1/status", b"/" + b"a" * characters)
            writer.write(asked)
            writer.write(asked * 3)  # one request is served of a connection
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert answer.count(b"HTTP/1.1") == 1
            writer.close()
            await writer.wait_closed()
    assert "Traceback" not in caplog.text


@pytest.mark.real_loop
async def test_a_slow_body_of_a_program_with_the_token_has_a_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.faces.api.server._BODY_S", 0.05)
    async with served(tmp_path) as (_, server):
        control = read_control(tmp_path)
        assert control is not None
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v1/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {control[1]}\r\n"
            "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.real_loop
async def test_what_is_no_plain_request_is_refused_in_json_and_is_no_error_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = "".join(f"X-{number}: y\r\n" for number in range(gate.HEADERS))
    async with served(tmp_path) as (node, server):
        control = read_control(tmp_path)
        assert control is not None
        for more, status in (
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"400"),
            ("Transfer-Encoding: chunked\r\n", b"400"),
            ("Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"400"),
            ("Content-Length: 2\r\nContent-Length: 3\r\n", b"400"),
            ("Content-Length: x\r\n", b"400"),
            ("Content-Length: +2\r\n", b"400"),
            ("Content-Type: a/b\r\nContent-Type: a/b\r\n", b"400"),
            ("Expect: 200-ok\r\n", b"400"),
            ("no header\r\n", b"400"),
            (" folded: a\r\n", b"400"),
            ("X : y\r\n", b"400"),
            ("X: \0\r\n", b"400"),
            ("X: \n\r\n", b"400"),
            (many, b"431"),
        ):
            host, _, port = server.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(head(control[1], more=more) + b"zz\r\n{}\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 " + status), (more, answer)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
            writer.close()
            await writer.wait_closed()
        assert node.asked == []
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
