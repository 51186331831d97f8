"""What an HTTP client asks a node for, and the answer: two files of a mod, and nothing else.

The files are sealed and never change, so their names are their versions: an entity tag is the name,
and a browser may keep them. Other sites' pages may read them (CORS): what is here is for all who
know the mod's id, there are no cookies or passwords that a page could misuse, and without the mod's
link nothing can be read of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.content.origins.urls import CHUNKS_SUFFIX, MANIFEST_SUFFIX
from protocol.identity import base32_bytes, base32_text

_LINE: Final = re.compile(rb"([A-Z]{1,10}) (/[!-~]{0,200}) HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*([\t -~\x80-\xff]*)")
_FILE: Final = re.compile(
    rf"/([a-z2-7]{{52}})({re.escape(MANIFEST_SUFFIX)}|{re.escape(CHUNKS_SUFFIX)})"
)
_RANGE: Final = re.compile(r"bytes=([0-9]{0,99})-([0-9]{0,99})", re.IGNORECASE)
_MOD_ID_BYTES: Final = 32
_METHODS: Final = ("GET", "HEAD", "OPTIONS")
_REASONS: Final = {
    200: "OK",
    204: "No Content",
    206: "Partial Content",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    416: "Range Not Satisfiable",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_ALWAYS: Final = (
    "Access-Control-Allow-Origin: *",
    "Access-Control-Expose-Headers: Accept-Ranges, Content-Length, Content-Range, ETag",
    "Cross-Origin-Resource-Policy: cross-origin",
    "X-Content-Type-Options: nosniff",
)
_PREFLIGHT: Final = (
    "Access-Control-Allow-Methods: GET, HEAD",
    "Access-Control-Allow-Headers: Range, If-Range",
    "Access-Control-Max-Age: 86400",
)


class HttpRefusal(Exception):
    """A request that is answered with a status alone; the connection ends."""

    def __init__(self, status: int, *fields: str) -> None:
        super().__init__(status)
        self.status = status
        self.fields = fields


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A request for a file of a mod. `asked` has the fields that decide about its range."""

    method: str
    mod_id: bytes
    is_manifest: bool
    keeps_alive: bool
    asked: Mapping[str, str]

    @property
    def tag(self) -> str:
        """The entity tag of the file."""
        kind = "m" if self.is_manifest else "c"
        return f'"{kind}-{base32_text(self.mod_id)}"'


@dataclass(frozen=True, slots=True)
class HttpPart:
    """What is sent: bytes `start` to before `end` of a file of `total`; nothing for 304 and 416."""

    status: int
    start: int
    end: int
    total: int


def read_request(head: bytes) -> FileRequest:
    """The request of which this is the head, without its empty line; raises HttpRefusal."""
    line, *lines = head.split(b"\r\n")
    found = _LINE.fullmatch(line)
    if found is None:
        raise HttpRefusal(400)
    fields = _fields(lines)
    if fields.get("content-length", "0") != "0" or "transfer-encoding" in fields:
        raise HttpRefusal(400)
    method = found[1].decode()
    if method not in _METHODS:
        raise HttpRefusal(405, f"Allow: {', '.join(_METHODS)}")
    name = _FILE.fullmatch(found[2].decode())
    if name is None:
        raise HttpRefusal(404)
    try:
        mod_id = base32_bytes(name[1], _MOD_ID_BYTES)
    except ValueError:
        raise HttpRefusal(404) from None
    says = fields.get("connection", "keep-alive" if found[3] == b"1" else "close").lower()
    return FileRequest(method, mod_id, name[2] == MANIFEST_SUFFIX, "close" not in says, fields)


def _fields(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > limits.HTTP_FIELDS:
        raise HttpRefusal(431)
    fields: dict[str, str] = {}
    for one in lines:
        found = _FIELD.fullmatch(one)
        if found is None:
            raise HttpRefusal(400)
        name = found[1].decode().lower()
        if name in fields and name in {"content-length", "host", "transfer-encoding"}:
            raise HttpRefusal(400)
        fields[name] = found[2].decode("latin-1").strip()
    return fields


def part_of(request: FileRequest, total: int) -> HttpPart:
    """What of a file of `total` bytes answers a request (RFC 9110, 13 and 14.2).

    Of several ranges none is answered alone: the file is sent whole, as it may be.
    """
    tags = request.asked.get("if-none-match", "")
    if request.tag in tags or tags == "*":
        return HttpPart(304, 0, 0, total)
    whole = HttpPart(200, 0, total, total)
    found = _RANGE.fullmatch(request.asked.get("range", "").replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return whole
    if request.asked.get("if-range", request.tag) != request.tag:
        return whole
    if not found[1]:
        start, end = max(0, total - int(found[2])), total
    else:
        start, end = int(found[1]), min(total, int(found[2] or total) + 1)
        if found[2] and int(found[2]) < start:
            return whole
    return HttpPart(416, 0, 0, total) if start >= end else HttpPart(206, start, end, total)


def file_head(request: FileRequest, part: HttpPart) -> bytes:
    """The head of the answer with a part of a file."""
    lines = [
        "Accept-Ranges: bytes",
        f"ETag: {request.tag}",
        "Cache-Control: public, max-age=31536000, immutable",
    ]
    if part.status == 206:
        lines.append(f"Content-Range: bytes {part.start}-{part.end - 1}/{part.total}")
    elif part.status == 416:
        lines.append(f"Content-Range: bytes */{part.total}")
    if part.status != 304:
        lines.append(f"Content-Length: {part.end - part.start}")
        lines.append("Content-Type: application/octet-stream")
    return _head(part.status, lines, keeps_alive=request.keeps_alive)


def preflight_head(request: FileRequest) -> bytes:
    """The answer to a browser that asks whether a page may read the file."""
    return _head(204, list(_PREFLIGHT), keeps_alive=request.keeps_alive)


def refusal_head(refusal: HttpRefusal) -> bytes:
    """The whole answer to a request that is refused."""
    return _head(refusal.status, ["Content-Length: 0", *refusal.fields], keeps_alive=False)


def _head(status: int, lines: list[str], *, keeps_alive: bool) -> bytes:
    first = f"HTTP/1.1 {status} {_REASONS[status]}"
    last = f"Connection: {'keep-alive' if keeps_alive else 'close'}"
    return "\r\n".join((first, *lines, *_ALWAYS, last, "", "")).encode()
