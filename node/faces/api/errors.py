"""What the API itself refuses, and how errors travel over HTTP: one table out, the tree back in."""

from collections.abc import Iterator
from typing import Any

from protocol.errors import (
    BadInput,
    DiskError,
    LocalError,
    ModswarmError,
    NetworkError,
    NoSources,
    NotFound,
    NotRunning,
    RemoteError,
    TargetExists,
    TimedOut,
)


class BadRequest(BadInput):
    """A request whose body or parameters are not what the route takes."""


class NotJson(BadRequest):
    """A body that is not declared, or cannot be read, as JSON."""


class BodyTooLarge(BadRequest):
    """A body larger than any request of this API."""


class NoSuchPath(BadRequest):
    """No route has this path, or not with this method."""


class MethodNotAllowed(BadRequest):
    """The path exists, with other methods."""


class Unauthorized(LocalError):
    """No bearer token, or not this node's."""


class Forbidden(LocalError):
    """A request that only a web page would make: the API is for programs on this machine."""


STATUSES: dict[type[ModswarmError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    NoSuchPath: 404,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    NotJson: 415,
    BadInput: 400,
    TargetExists: 409,
    DiskError: 507,
    NotFound: 404,
    NoSources: 404,
    TimedOut: 504,
    NotRunning: 503,
    NetworkError: 502,
    RemoteError: 502,
    ModswarmError: 500,
}
"""HTTP status of an error: that of its nearest ancestor in this table."""


def status_of(error: ModswarmError) -> int:
    """The HTTP status under which an error is answered."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def defect() -> ModswarmError:
    """What is answered when the node itself is at fault; the details stand in its log."""
    return ModswarmError("the node failed in a way that nobody foresaw; its log has the details")


def as_json(error: ModswarmError) -> dict[str, Any]:
    """`{"error": {"name", "message"}}`."""
    return {"error": {"name": error.name, "message": str(error)}}


def from_json(answer: Any) -> ModswarmError | None:
    """The error in an answer or in a line of a stream; None if there is none.

    A name that this version does not know becomes a plain ModswarmError.
    """
    told = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(told, dict):
        return None
    kinds = {kind.name: kind for kind in _descendants(ModswarmError)}
    kind = kinds.get(str(told.get("name")), ModswarmError)
    return kind(str(told.get("message", "the node gave no reason")))


def _descendants(kind: type[ModswarmError]) -> Iterator[type[ModswarmError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)
