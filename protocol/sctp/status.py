"""The states of an association (RFC 9260, 4), and what each chunk may do in them."""

from collections.abc import Callable
from enum import Enum

from protocol.sctp import chunks


class AssociationState(Enum):
    """RFC 9260's names."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_PENDING = "shutdown-pending"
    SHUTDOWN_SENT = "shutdown-sent"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


_S = AssociationState
OPENING = frozenset({_S.CLOSED, _S.COOKIE_WAIT, _S.COOKIE_ECHOED})
SENDING = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_RECEIVED})
"""DATA may leave, or leave again."""
RECEIVING = frozenset({_S.ESTABLISHED, _S.SHUTDOWN_PENDING, _S.SHUTDOWN_SENT})
"""DATA may come."""
CONNECTED = SENDING | RECEIVING | {_S.SHUTDOWN_ACK_SENT}
EVERY = frozenset(AssociationState)

ALLOWED: dict[int, frozenset[AssociationState]] = {
    chunks.DATA: RECEIVING | {_S.COOKIE_ECHOED},
    chunks.INIT: EVERY,
    chunks.INIT_ACK: frozenset({_S.COOKIE_WAIT}),
    chunks.SACK: SENDING | RECEIVING,
    chunks.HEARTBEAT: CONNECTED,
    chunks.HEARTBEAT_ACK: CONNECTED,
    chunks.ABORT: EVERY,
    chunks.SHUTDOWN: SENDING | RECEIVING,
    chunks.SHUTDOWN_ACK: EVERY,
    chunks.ERROR: CONNECTED | {_S.COOKIE_ECHOED},
    chunks.COOKIE_ECHO: EVERY,
    chunks.COOKIE_ACK: frozenset({_S.COOKIE_ECHOED}),
    chunks.SHUTDOWN_COMPLETE: frozenset({_S.SHUTDOWN_ACK_SENT}),
    chunks.RECONFIG: SENDING | RECEIVING,
    chunks.PADDING: frozenset(),
    chunks.FORWARD_TSN: RECEIVING,
}
"""In other states the chunk is ignored. COOKIE ECHOED takes DATA because a COOKIE ACK may be lost
or late, and DATA under our tag proves that the peer has our cookie."""

Closed = Callable[[str, bool, bool], None]
"""Called once at the end with reason, whether by the peer, whether gracefully."""


class AssociationStatus:
    """The state that all parts of an association share."""

    __slots__ = ("over", "state")

    def __init__(self) -> None:
        self.state = AssociationState.CLOSED
        self.over = False
        """The association has ended and does not begin again."""
