"""What the API itself refuses, and how errors travel over HTTP: a table out and a table back."""

from collections.abc import Collection
from typing import Any

from node.faces.api.details import REMADE, details_of, read_cause
from node.holders.failures import HoldersUnreachable
from node.links.failure import LinkAttemptFailed
from protocol import errors
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
from protocol.sctp.errors import SctpMisuse, SendBufferFull

CLOCK_HEADER = "Modswarm-Clock"
"""Of every answer while the clock of this computer is off by the word of contacts: a sentence."""


class BadRequest(BadInput):
    """A request whose body or parameters are not what the route takes."""


class NotJson(BadRequest):
    """A body that is not declared, or cannot be read, as JSON."""


class BodyTooLarge(BadRequest):
    """A body larger than any request of this API."""


class BodyTooSlow(BadRequest):
    """A body that has not come in time."""


class HeadTooLarge(BadRequest):
    """A head larger than any request of this API."""


class NoSuchPath(BadRequest):
    """No route has this path, with any method."""

    @classmethod
    def at_all(cls) -> "NoSuchPath":
        """The refusal that names where the paths are listed."""
        return cls("no such path in this API; GET /v1/openapi.json lists them")


class MethodNotAllowed(BadRequest):
    """The path exists, with other methods: `allowed`."""

    def __init__(self, message: str, allowed: Collection[str] = (), *, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.allowed = tuple(sorted(allowed))

    @classmethod
    def but(cls, allowed: Collection[str]) -> "MethodNotAllowed":
        """The refusal that names what the path takes."""
        return cls(f"this path takes only {', '.join(sorted(allowed))}", allowed)


class Unauthorized(LocalError):
    """No bearer token, or not this node's."""


class Forbidden(LocalError):
    """A request that only a web page would make: the API is for programs on this machine."""


class TooManyConnections(LocalError):
    """More programs are connected than the API serves."""


STATUSES: dict[type[ModswarmError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    NoSuchPath: 404,
    MethodNotAllowed: 405,
    BodyTooSlow: 408,
    BodyTooLarge: 413,
    HeadTooLarge: 431,
    TooManyConnections: 503,
    NotJson: 415,
    BadInput: 400,
    TargetExists: 409,
    errors.TooLarge: 413,
    DiskError: 507,
    errors.OutOfResources: 503,
    NotFound: 404,
    NoSources: 404,
    TimedOut: 504,
    NotRunning: 503,
    NetworkError: 502,
    RemoteError: 502,
    ModswarmError: 500,
}
"""HTTP status of an error: that of its nearest ancestor in this table."""


def http_status_of(error: ModswarmError) -> int:
    """The HTTP status under which an error is answered."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def headers_of(error: ModswarmError) -> dict[str, str]:
    """The headers that go with the HTTP status of an error (RFC 9110, 11.6.1 and 15.5.6)."""
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    return {}


def defect() -> ModswarmError:
    """What is answered when the node itself is at fault; the details stand in its log."""
    return ModswarmError("the node failed by a defect of its own; its log has the details")


ERROR_KINDS: dict[str, type[ModswarmError]] = {
    kind.name: kind
    for kind in (
        # This API's own.
        *(BadRequest, NotJson, BodyTooLarge, BodyTooSlow, HeadTooLarge, NoSuchPath),
        *(MethodNotAllowed, Unauthorized, Forbidden, TooManyConnections),
        # Of this machine.
        *(LocalError, BadInput, errors.BadLink, errors.BadAddress, errors.BadPeerId),
        *(errors.BadConfig, errors.UnsafePath, errors.BadFolder, errors.HomeError, DiskError),
        errors.FolderProblems,
        *(TargetExists, errors.TooLarge, errors.OutOfResources, errors.InsecureRandomness),
        *(SctpMisuse, SendBufferFull),
        # Of the network.
        *(NetworkError, NotFound, TimedOut, errors.Overloaded, errors.Unreachable, NoSources),
        *(HoldersUnreachable, errors.ClocksDiffer, errors.RelayFailed),
        *(errors.LinkClosed, errors.LinkFailed, LinkAttemptFailed, errors.CallFailed),
        *(errors.Busy, errors.CalleeBusy),
        *(errors.CallCrossed, NotRunning, errors.AlreadyOwned),
        # Of a peer.
        *(RemoteError, errors.Malformed, errors.Truncated, errors.Oversized),
        *(errors.UnknownVersion, errors.NotCanonical, errors.NotUnicast, errors.NotAuthentic),
        *(errors.BadSignature, errors.BadPuzzle, errors.BadKey, errors.WrongKey, errors.NotTimely),
        *(errors.Expired, errors.IssuedInFuture, errors.SequenceTooLow, errors.Replayed),
        *(errors.Unexpected, errors.UnexpectedReply, errors.BadToken, errors.NotPermitted),
        errors.OverLimit,
        *(errors.RateLimited, errors.CookieNeeded, errors.StoreFull, errors.KeyFull),
        *(
            errors.PublisherFull,
            errors.StorerFull,
            errors.BadContent,
            errors.BadManifest,
            errors.ChunkMismatch,
        ),
    )
}
"""Every error that an answer may name. A test holds it against the whole tree."""


def message_of(error: ModswarmError) -> str:
    """The error's sentence, and the notes that were added to it."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])


def as_json(error: ModswarmError) -> dict[str, Any]:
    """`{"error": {"name", "message"}}`, and `cause`, `advice` and `details` where it has them."""
    told: dict[str, Any] = {"name": error.name, "message": message_of(error)}
    if isinstance(error, LocalError) and error.advice:
        told["advice"] = error.advice
    if isinstance(error, NetworkError) and error.cause is not None:
        told |= {"cause": str(error.cause), "advice": error.cause.advice}
    details = details_of(error)
    if details is not None:
        told["details"] = details
    return {"error": told}


def from_json(answer: Any) -> ModswarmError | None:
    """The error in an answer or in a line of a stream; None if there is none.

    A name that this version does not know becomes a plain ModswarmError.
    """
    told = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(told, dict):
        return None
    kind = ERROR_KINDS.get(str(told.get("name")), ModswarmError)
    message, cause = str(told.get("message", "the node gave no reason")), read_cause(told)
    if kind.name in REMADE:
        try:
            return REMADE[kind.name](told, cause)
        except (AttributeError, KeyError, TypeError, ValueError, errors.BadPeerId):
            # Details of another version: the parent has the same status.
            kind = kind.__mro__[1]
    if issubclass(kind, NetworkError):
        return kind(message, cause=cause)
    if issubclass(kind, LocalError):
        return kind(message, advice=str(told.get("advice", "")))
    return kind(message)
