"""The states of an association (RFC 9260, 4), what moves it on, and what each chunk may do in them.

    CLOSED             ── ASSOCIATE ──────────────────> COOKIE-WAIT
    CLOSED             ── INITs exchanged beforehand ─> ESTABLISHED
    COOKIE-WAIT        ── INIT ACK received ──────────> COOKIE-ECHOED
    COOKIE-ECHOED      ── stale cookie reported ──────> COOKIE-WAIT
    COOKIE-ECHOED      ── COOKIE ACK received ────────> ESTABLISHED
    any state          ── COOKIE ECHO accepted ───────> ESTABLISHED
    ESTABLISHED        ── SHUTDOWN ───────────────────> SHUTDOWN-PENDING
    SHUTDOWN-PENDING   ── all data acknowledged ──────> SHUTDOWN-SENT
    ESTABLISHED        ── SHUTDOWN received ──────────> SHUTDOWN-RECEIVED
    SHUTDOWN-PENDING   ── SHUTDOWN received ──────────> SHUTDOWN-RECEIVED
    SHUTDOWN-RECEIVED  ── all data acknowledged ──────> SHUTDOWN-ACK-SENT
    SHUTDOWN-SENT      ── SHUTDOWN received ──────────> SHUTDOWN-ACK-SENT
    SHUTDOWN-SENT      ── SHUTDOWN ACK received ──────> CLOSED
    SHUTDOWN-ACK-SENT  ── SHUTDOWN ACK received ──────> CLOSED
    SHUTDOWN-ACK-SENT  ── SHUTDOWN COMPLETE received ─> CLOSED
    any state          ── ABORT ──────────────────────> CLOSED

RFC 9260's names; ASSOCIATE, SHUTDOWN and ABORT without "received" are the application's primitives.
The peers may have exchanged their INITs by signaling (as draft-hancke-tsvwg-snap does): DTLS, which
the signaling vouches for, then tells that packets are the peer's, and no cookie is needed.
A COOKIE ECHO is accepted beyond COOKIE-ECHOED when the peer has restarted (5.2.4). ABORT stands for
one received as well, and for a peer that answers no more. CLOSED is left once: an association that
ended does not begin again.
"""

from enum import Enum, StrEnum

from protocol.sctp import chunks


class AssociationState(StrEnum):
    """RFC 9260's names. Text has a fast hash, and tables are asked by state for each burst."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_PENDING = "shutdown-pending"
    SHUTDOWN_SENT = "shutdown-sent"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


class AssociationEvent(Enum):
    """What moves an association from one state to another."""

    ASSOCIATE = "ASSOCIATE"
    INITS_EXCHANGED = "INITs exchanged beforehand"
    INIT_ACK_RECEIVED = "INIT ACK received"
    STALE_COOKIE_REPORTED = "stale cookie reported"
    COOKIE_ACK_RECEIVED = "COOKIE ACK received"
    COOKIE_ECHO_ACCEPTED = "COOKIE ECHO accepted"
    SHUTDOWN = "SHUTDOWN"
    DATA_ACKNOWLEDGED = "all data acknowledged"
    SHUTDOWN_RECEIVED = "SHUTDOWN received"
    SHUTDOWN_ACK_RECEIVED = "SHUTDOWN ACK received"
    SHUTDOWN_COMPLETE_RECEIVED = "SHUTDOWN COMPLETE received"
    ABORT = "ABORT"


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
    chunks.PIECE: RECEIVING,
    chunks.FORWARD_TSN: RECEIVING,
}
"""In other states the chunk is ignored. COOKIE ECHOED takes DATA because a COOKIE ACK may be lost
or late, and DATA under our tag proves that the peer has our cookie."""

_E = AssociationEvent
TRANSITIONS: dict[tuple[AssociationState, AssociationEvent], AssociationState] = {
    (_S.CLOSED, _E.ASSOCIATE): _S.COOKIE_WAIT,
    (_S.CLOSED, _E.INITS_EXCHANGED): _S.ESTABLISHED,
    (_S.COOKIE_WAIT, _E.INIT_ACK_RECEIVED): _S.COOKIE_ECHOED,
    (_S.COOKIE_ECHOED, _E.STALE_COOKIE_REPORTED): _S.COOKIE_WAIT,
    (_S.COOKIE_ECHOED, _E.COOKIE_ACK_RECEIVED): _S.ESTABLISHED,
    **{(state, _E.COOKIE_ECHO_ACCEPTED): _S.ESTABLISHED for state in _S},
    (_S.ESTABLISHED, _E.SHUTDOWN): _S.SHUTDOWN_PENDING,
    (_S.SHUTDOWN_PENDING, _E.DATA_ACKNOWLEDGED): _S.SHUTDOWN_SENT,
    (_S.ESTABLISHED, _E.SHUTDOWN_RECEIVED): _S.SHUTDOWN_RECEIVED,
    (_S.SHUTDOWN_PENDING, _E.SHUTDOWN_RECEIVED): _S.SHUTDOWN_RECEIVED,
    (_S.SHUTDOWN_RECEIVED, _E.DATA_ACKNOWLEDGED): _S.SHUTDOWN_ACK_SENT,
    (_S.SHUTDOWN_SENT, _E.SHUTDOWN_RECEIVED): _S.SHUTDOWN_ACK_SENT,
    (_S.SHUTDOWN_SENT, _E.SHUTDOWN_ACK_RECEIVED): _S.CLOSED,
    (_S.SHUTDOWN_ACK_SENT, _E.SHUTDOWN_ACK_RECEIVED): _S.CLOSED,
    (_S.SHUTDOWN_ACK_SENT, _E.SHUTDOWN_COMPLETE_RECEIVED): _S.CLOSED,
    **{(state, _E.ABORT): _S.CLOSED for state in _S},
}


class NoTransition(RuntimeError):
    """An event in a state that has no transition for it: a defect here, whatever the peer sent."""


class AssociationStatus:
    """The state that all parts of an association share; `over` once it has ended."""

    __slots__ = ("over", "state")

    def __init__(self) -> None:
        self.state = AssociationState.CLOSED
        self.over = False

    def apply(self, event: AssociationEvent) -> AssociationState:
        """Go on to the state that the event leads to, and return it. Raises NoTransition."""
        state = TRANSITIONS.get((self.state, event))
        if state is None or self.over:
            raise NoTransition(f"{event.value} in {self.state.value}, over: {self.over}")
        self.state = state
        self.over = state is AssociationState.CLOSED
        return state
