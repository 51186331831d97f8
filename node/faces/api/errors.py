"""What the API itself refuses, and under which status of HTTP each error is answered.

`details` writes errors as JSON and reads them; the command line needs that only where one came.
"""

from collections.abc import Collection

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


class BadSdp(BadRequest):
    """A page's offer that is no SDP of one data channel, or lacks what a link needs."""


class BadPageOffer(BadRequest):
    """A page's offer that no identity has signed for this node and this time, or an old one."""


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
    errors.DownloadCancelled: 409,
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


def message_of(error: ModswarmError) -> str:
    """The error's sentence, and the notes that were added to it."""
    return "; ".join([str(error), *getattr(error, "__notes__", ())])
