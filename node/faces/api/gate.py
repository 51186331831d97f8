"""The gate of the control API: a connection is served once it has shown the token, and not before.

It serves one request, so that every head has passed here, and none that is not plain: what aiohttp
itself would refuse, it answers as text and logs as an error.

Every program on this machine can connect. Until the head of a request with the token is there, a
connection costs one small object here, is closed at its deadline, and gives way, the oldest first,
where too many wait. So programs without the token keep none out that has it.
"""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

from node.faces.api import details, errors, guard
from node.faces.api.routes import METHODS, methods_at
from protocol.errors import ModswarmError

HEAD_BYTES = 16 * 1024
"""Of a request without its body; those of browsers and proxies stay below half of it."""

REQUEST_BYTES = 64 * 1024
"""Of a body. Requests name a path and a link at most."""

HEAD_S = 5.0
"""From the connection to the end of its first head, or of the refusal."""

ARRIVALS = 64
"""Connections that are taken in one turn of the loop, and wait in the kernel for it."""

WAITING = 2 * ARRIVALS
"""Connections that have not shown the token: each is read before so many others have come."""

SERVED = 64
"""Connections of programs with the token; they are of the node's owner, and run wild by mistake."""

_HEAD_END = b"\r\n\r\n"
_PREFLIGHT = "OPTIONS"
_HEAD_METHOD = b"HEAD "
"""An answer to it has no body (RFC 9110, 9.3.2)."""
HEADERS = 64
"""Of a request; browsers send about 20, and aiohttp refuses more than 128."""

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-~]*) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_BODY_LENGTH = re.compile(r"0*([0-9]+)")
_LENGTH_DIGITS = len(str(REQUEST_BYTES))
_ENCODINGS = ("transfer-encoding", "content-encoding")
_EXPECTED = "100-continue"
_TOO_LARGE = f"the request has more than {HEAD_BYTES} bytes before its body"

MakeHandler = Callable[[], asyncio.Protocol]


class Gate:
    """Tells connections with the token from others. `serve` makes what serves one HTTP connection.

    `served` says how many connections it serves now. Pages of `origins` may ask for links.
    """

    def __init__(
        self,
        token: str,
        serve: MakeHandler,
        served: Callable[[], int],
        origins: Collection[str] = (),
    ) -> None:
        self._token = token
        self.origins = origins
        self._serve = serve
        self._served = served
        self._waiting: dict[Knock, None] = {}

    def __len__(self) -> int:
        """Connections that wait here."""
        return len(self._waiting)

    def knock(self) -> "Knock":
        """The protocol of a new connection."""
        return Knock(self)

    def close(self) -> None:
        """End the connections that wait here."""
        for knock in list(self._waiting):
            knock.end()

    def admit(self, knock: "Knock") -> None:
        """Let a connection wait; the one that has waited longest makes room."""
        if len(self._waiting) >= WAITING:
            oldest = next(iter(self._waiting))
            oldest.refuse(errors.TooManyConnections("too many connections: try again"))
            oldest.end()
        self._waiting[knock] = None

    def forget(self, knock: "Knock") -> None:
        """It waits no more."""
        self._waiting.pop(knock, None)

    def handler_for(self, headers: Mapping[str, str], path: str) -> asyncio.Protocol:
        """What serves a connection that shows these headers, for this path.

        Raises Forbidden, Unauthorized, TooManyConnections.
        """
        guard.check_request(headers, self._token, path, self.origins)
        if self._served() >= SERVED:
            raise errors.TooManyConnections(f"{SERVED} connections are open already: close some")
        return self._serve()


class Knock(asyncio.Protocol):
    """A connection from its beginning until it is served, refused or lost."""

    _transport: asyncio.Transport
    _deadline: asyncio.TimerHandle

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._head = b""
        self._origin = ""
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the head of its first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._deadline = asyncio.get_running_loop().call_later(HEAD_S, self.end)
        self._gate.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end has closed, or we have."""
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Take a part of the head; what follows a refusal is not looked at."""
        if self._refused:
            return
        self._head += data
        end = self._head.find(_HEAD_END)
        if end > HEAD_BYTES or (end < 0 and len(self._head) > HEAD_BYTES):
            self.refuse(errors.HeadTooLarge(_TOO_LARGE))
        elif end >= 0:
            self._show(self._head[:end])

    def _show(self, head: bytes) -> None:
        try:
            line, *lines = head.split(b"\r\n")
            method, path = _method_and_path(line)
            headers = _headers(lines)
            guard.check_page(headers, path, self._gate.origins)
            self._origin = headers.get("origin", "")
            if method == _PREFLIGHT and self._origin:
                guard.check_host(headers)
                self._write(_permission(self._origin))
                return
            handler = self._gate.handler_for(headers, path)
            _check_method(method, path)
            _check_body(headers)
        except ModswarmError as error:
            self.refuse(error)
            return
        self._leave()
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(self._head)

    def refuse(self, error: ModswarmError) -> None:
        """Answer with an error; the other end may read it until the deadline, and closes."""
        if not self._refused:
            answer = _answer(error, self._origin)
            if self._head.startswith(_HEAD_METHOD):
                answer = answer[: answer.index(_HEAD_END) + len(_HEAD_END)]
            self._write(answer)

    def _write(self, answer: bytes) -> None:
        """The last that is written here; what comes is not looked at any more."""
        self._refused = True
        self._head = b""
        self._transport.write(answer)
        self._transport.write_eof()

    def end(self) -> None:
        """Close at once, without waiting for the other end."""
        self._leave()
        if self._refused:
            self._transport.close()
        else:
            self._transport.abort()

    def _leave(self) -> None:
        self._deadline.cancel()
        self._gate.forget(self)


def _method_and_path(line: bytes) -> tuple[str, str]:
    """What a request's first line asks for; raises BadRequest."""
    parts = _REQUEST_LINE.fullmatch(line)
    if parts is None:
        raise errors.BadRequest("that is no request of HTTP 1.1 for a path that begins with /")
    return parts[1].decode(), unquote(parts[2].decode().partition("?")[0])


def _check_method(method: str, path: str) -> None:
    """Raise MethodNotAllowed or NoSuchPath for a method of no route: aiohttp knows not all."""
    if method in METHODS:
        return
    allowed = methods_at(path)
    raise errors.MethodNotAllowed.but(allowed) if allowed else errors.NoSuchPath.at_all()


def _headers(lines: Sequence[bytes]) -> dict[str, str]:
    """The headers by their names in lower case; raises BadRequest unless each stands there once."""
    if len(lines) > HEADERS:
        raise errors.HeadTooLarge(f"the request has more than {HEADERS} headers")
    found: dict[str, str] = {}
    for header in lines:
        parts = _HEADER.fullmatch(header)
        if parts is None:
            raise errors.BadRequest(f"{header[:40].decode('latin-1')!a} is no HTTP header")
        name = parts[1].decode().lower()
        if name in found:
            raise errors.BadRequest(f"the header {name[:40]} stands there twice")
        found[name] = parts[2].rstrip(b" \t").decode(errors="surrogateescape")
    return found


def _check_body(headers: Mapping[str, str]) -> None:
    """Raise BadRequest unless the body, if there is one, is sent as it is, with its length.

    Raises BodyTooLarge before any of it is read.
    """
    for name in _ENCODINGS:
        if name in headers:
            raise errors.BadRequest(f"send the body as it is, with Content-Length, without {name}")
    length = _BODY_LENGTH.fullmatch(headers.get("content-length", "0"))
    if length is None:
        raise errors.BadRequest("the Content-Length is no number of bytes")
    if len(length[1]) > _LENGTH_DIGITS or int(length[1]) > REQUEST_BYTES:
        raise errors.BodyTooLarge(f"the body is larger than {REQUEST_BYTES} bytes")
    if headers.get("expect", _EXPECTED).lower() != _EXPECTED:
        raise errors.BadRequest(f"the only expectation that is met is {_EXPECTED}")


def _shown_to(origin: str) -> dict[str, str]:
    return guard.cross_origin_headers(origin) if origin else {}


def _permission(origin: str) -> bytes:
    """What a browser is told before a page of a permitted origin asks."""
    lines = ["HTTP/1.1 204 No Content", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in guard.preflight_headers(origin).items()]
    return "\r\n".join(lines).encode() + _HEAD_END


def _answer(error: ModswarmError, origin: str) -> bytes:
    status = HTTPStatus(errors.http_status_of(error))
    body = json.dumps(details.as_json(error)).encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in errors.headers_of(error).items()),
        *(f"{name}: {value}" for name, value in _shown_to(origin).items()),
    ]
    return "\r\n".join(lines).encode() + _HEAD_END + body
