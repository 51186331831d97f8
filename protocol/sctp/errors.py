"""What can go wrong in an association.

    ModswarmError
    ├── LocalError    SctpMisuse       the application asked for what cannot be done
    │                 SendBufferFull   it sends faster than the path carries
    └── RemoteError
        ├── Malformed    MalformedChunk       bytes that are no chunk: dropped and counted
        ├── Unexpected   ProtocolViolation    the association cannot go on: ABORT
        └── OverLimit    AssociationFlooded   much was sent that carries nothing: ABORT

Only the first two leave the package; the others are counted or end the association with an event.
"""

from protocol.errors import LocalError, Malformed, OverLimit, Unexpected


class SctpMisuse(LocalError):
    """The application asked for something that this association cannot do."""


class SendBufferFull(LocalError):
    """More is queued than the send buffer holds; wait for BufferedAmountLow."""


class MalformedChunk(Malformed):
    """Bytes that do not have the form of the chunk or parameter that they claim to be."""


class ProtocolViolation(Unexpected):
    """The peer broke a rule after which the association has no meaning.

    `cause` is the error cause code for the ABORT (RFC 9260, 3.3.10).
    """

    def __init__(self, message: str, cause: int = 13) -> None:
        super().__init__(message)
        self.cause = cause


class AssociationFlooded(OverLimit):
    """The peer sent much that carries nothing: control chunks, duplicates, tiny messages."""

    def __init__(self) -> None:
        super().__init__("The peer floods the link with packets that carry nothing.")
