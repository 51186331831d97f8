"""What an HTTP server may answer to a request for a manifest, or for a range of a mod's chunks.

An answer is judged by its status and its header fields before a byte of its body is taken
(RFC 9110: 206 in 15.3.7, 416 in 15.5.17, Content-Range in 14.4). Nothing here trusts it: the bytes
are verified as a peer's are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocol import limits
from protocol.content.origins.layout import ChunkRange
from protocol.errors import BadAnswer, OriginFailed
from protocol.texts.amounts import size_text

_CONTENT_RANGE: Final = re.compile(
    r"bytes +([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", re.IGNORECASE
)
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_OK, _PARTIAL = 200, 206
_NOT_THERE: Final = frozenset({404, 410})
_UNSATISFIABLE, _TOO_MANY, _UNAVAILABLE, _SERVER_FAULT = 416, 429, 503, 500
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SAYS: Final = {
    401: "it asks for a password",
    403: "it does not allow it (403)",
    405: "it takes no GET (405)",
    407: "a proxy before it asks for a password",
    429: "it has had too many requests (429)",
    451: "it may not serve it (451)",
    503: "it is overloaded (503)",
}


class NotThere(Exception):
    """The server has no such file: it does not serve this mod. Nothing is wrong with it."""


class RangeBody(Enum):
    """What of the file the body of an answer has."""

    PART = "the range, from its first byte on"
    WHOLE = "all of the file: the server answers no ranges"


@dataclass(frozen=True, slots=True)
class ManifestAnswer:
    """`size` is None if the server does not say it. `has_ranges`: it says that it answers them."""

    size: int | None
    has_ranges: bool


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """`size`: the bytes that may be taken of the body, from the range's first on."""

    body: RangeBody
    size: int


HeaderFields = Mapping[str, str]
"""Header fields by name, in any case."""


def manifest_answer(status: int, fields: HeaderFields) -> ManifestAnswer:
    """Judge an answer to a GET of a manifest; raises NotThere, OriginFailed, BadAnswer."""
    _check_status(status, {_OK}, "a manifest")
    _check_encoding(fields)
    size = _length(fields)
    if size == 0:
        raise BadAnswer("its manifest is empty: upload the exported files again")
    if size is not None and size > limits.MANIFEST_BYTES:
        raise BadAnswer(f"its manifest has {size_text(size)}, more than any can have")
    return ManifestAnswer(size, fields.get("Accept-Ranges", "").strip().lower() == "bytes")


def range_answer(
    status: int,
    fields: HeaderFields,
    asked: ChunkRange,
    total: int,
    what: str = "file of chunks",
) -> RangeAnswer:
    """Judge an answer to a GET of `asked` of a file of `total` bytes; `what`: what it has.

    Raises NotThere, OriginFailed, BadAnswer.
    """
    if status == _UNSATISFIABLE:
        raise BadAnswer(f"its {what} is shorter than the mod's {size_text(total)} (416)")
    _check_status(status, {_OK, _PARTIAL}, "a range")
    _check_encoding(fields)
    size = _length(fields)
    if status == _OK:
        _check_total(size, total, what)
        return RangeAnswer(RangeBody.WHOLE, total)
    found = _CONTENT_RANGE.fullmatch(fields.get("Content-Range", "").strip())
    if found is None:
        raise BadAnswer("it answers a range without saying which (no Content-Range)")
    first, last = int(found[1]), int(found[2])
    _check_total(None if found[3] == "*" else int(found[3]), total, what)
    if first != asked.start or not first <= last <= asked.last_byte:
        raise BadAnswer(
            f"it answers the bytes {first} to {last} where {asked.start} to {asked.last_byte} were"
            " asked for"
        )
    if size is not None and size != last - first + 1:
        raise BadAnswer(f"it announces {size} bytes for a range of {last - first + 1}")
    return RangeAnswer(RangeBody.PART, last - first + 1)


def retry_after_s(fields: HeaderFields) -> float:
    """How long a server that is overloaded asks to be left alone, within bounds; 0: it does not."""
    text = fields.get("Retry-After", "").strip()
    return min(float(text), limits.ORIGIN_REST_MAX_S) if _LENGTH.fullmatch(text) else 0.0


def _check_status(status: int, allowed: set[int], what: str) -> None:
    if status in allowed:
        return
    if status in _NOT_THERE:
        raise NotThere
    says = _SAYS.get(status) or f"it answers {status}, not {what}"
    if status >= _SERVER_FAULT or status == _TOO_MANY:
        raise OriginFailed(says)
    raise BadAnswer(says)


def _check_encoding(fields: HeaderFields) -> None:
    """Bytes that a server changes on the way have other ranges, and mostly no length."""
    encoding = fields.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        raise BadAnswer(
            f"it compresses what it sends ({encoding[:20]!r}) though that was not asked for: switch"
            " that off for .manifest and .chunks"
        )


def _length(fields: HeaderFields) -> int | None:
    text = fields.get("Content-Length", "").strip()
    if not text:
        return None
    if not _LENGTH.fullmatch(text):
        raise BadAnswer("it announces a length that is no number")
    return int(text)


def _check_total(size: int | None, total: int, what: str) -> None:
    if size is not None and size != total:
        raise BadAnswer(
            f"its {what} has {size} bytes and the mod's {total}: it was not uploaded whole"
        )
