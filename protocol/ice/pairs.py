"""Candidate pairs, and what moves each from one state to another (RFC 8445, 6.1.2.6).

    WAITING      ── check sent ───────> IN_PROGRESS
    IN_PROGRESS  ── answered ─────────> SUCCEEDED
    IN_PROGRESS  ── unanswered ───────> FAILED
    IN_PROGRESS  ── refused ──────────> FAILED
    IN_PROGRESS  ── triggered ────────> WAITING      its check goes out anew at once (7.3.1.4)
    FAILED       ── triggered ────────> WAITING
    WAITING      ── answered ─────────> SUCCEEDED    a late answer to an earlier check
    FAILED       ── answered ─────────> SUCCEEDED
    SUCCEEDED    ── consent lost ─────> FAILED
    any state    ── checked again ────> WAITING

No pair is frozen: with one component all pairs of a foundation have different bases or remote
addresses, so none tells enough about another to wait for it.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf

from protocol import limits
from protocol.addresses import Address
from protocol.ice.candidates import CandidateKind, RemoteCandidate, pair_priority
from protocol.ice.paths.quality import PathQuality


class PairState(Enum):
    """RFC 8445's names."""

    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PairEvent(Enum):
    """What moves a pair from one state to another."""

    CHECK_SENT = "check sent"
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    TRIGGERED = "triggered"
    CHECKED_AGAIN = "checked again"
    CONSENT_LOST = "consent lost"


_S, _E = PairState, PairEvent
PAIR_TRANSITIONS: dict[tuple[PairState, PairEvent], PairState] = {
    (_S.WAITING, _E.CHECK_SENT): _S.IN_PROGRESS,
    (_S.IN_PROGRESS, _E.UNANSWERED): _S.FAILED,
    (_S.IN_PROGRESS, _E.REFUSED): _S.FAILED,
    (_S.WAITING, _E.TRIGGERED): _S.WAITING,
    (_S.IN_PROGRESS, _E.TRIGGERED): _S.WAITING,
    (_S.FAILED, _E.TRIGGERED): _S.WAITING,
    (_S.SUCCEEDED, _E.CONSENT_LOST): _S.FAILED,
    **{(state, _E.ANSWERED): _S.SUCCEEDED for state in _S},
    **{(state, _E.CHECKED_AGAIN): _S.WAITING for state in _S},
}


class NoPairTransition(RuntimeError):
    """An event in a state that has no transition for it: a defect here, whatever the peer sent."""


class PairOutcome(Enum):
    """What came of a pair, for a person to read."""

    NOT_TRIED = "not tried"
    NO_BUDGET = "not tried: addresses that have proved nothing had got all that they may get"
    NO_ANSWER = "no answer"
    OTHER_ADDRESS = "an answer came from another address"
    REFUSED = "refused"
    ANSWERED = "answered"
    CONSENT_LOST = "answered at first, and then no more"


_O = PairOutcome
_UNANSWERED = frozenset(_O) - {_O.ANSWERED}
_REPLACED_BY = {
    _O.NO_BUDGET: frozenset({_O.NOT_TRIED}),
    _O.NO_ANSWER: frozenset({_O.NOT_TRIED, _O.NO_BUDGET}),
    _O.OTHER_ADDRESS: _UNANSWERED,
    _O.REFUSED: _UNANSWERED,
    _O.CONSENT_LOST: frozenset(_O),
}


@dataclass(frozen=True, slots=True)
class PairReport:
    """One row of `IceAgent.report`. `checks` counts datagrams; `error_code` goes with REFUSED."""

    base: Address
    base_kind: CandidateKind
    remote: Address
    remote_kind: CandidateKind
    state: PairState
    outcome: PairOutcome
    checks: int
    error_code: int | None
    round_trip_s: float | None
    mapped: Address | None
    """Where the peer saw our checks come from."""
    selected: bool


class CandidatePair:
    """A base of ours and an address of the peer. `nominated`: the peer asked for this pair, which
    has yet to answer.

    `answered_at` is when a check of it was last answered, and `failures` counts the consent checks
    that were given up since then. Nothing else gives consent to send there (RFC 7675, 5.1).
    `quality` is what all its checks have told, and `heard_at` when the peer's last one came.
    """

    __slots__ = (
        "answered_at",
        "base",
        "base_kind",
        "base_priority",
        "checks",
        "error_code",
        "failures",
        "heard_at",
        "mapped",
        "nominated",
        "outcome",
        "priority",
        "quality",
        "remote",
        "round_trip_s",
        "state",
        "took_s",
    )

    def __init__(
        self,
        base: Address,
        base_kind: CandidateKind,
        base_priority: int,
        remote: RemoteCandidate,
        controlling: bool,
    ) -> None:
        self.base = base
        self.base_kind = base_kind
        self.base_priority = base_priority
        self.remote = remote
        self.state = PairState.WAITING
        self.outcome = PairOutcome.NOT_TRIED
        self.checks = 0
        self.error_code: int | None = None
        self.round_trip_s: float | None = None
        self.took_s: float | None = None
        self.mapped: Address | None = None
        self.nominated = False
        self.answered_at = -inf
        self.failures = 0
        self.heard_at = -inf
        self.quality = PathQuality()
        self.priority = 0
        self.prioritize(remote, controlling)

    def prioritize(self, remote: RemoteCandidate, controlling: bool) -> None:
        """Take what is known of the remote candidate now, and our present role."""
        self.remote = remote
        own, theirs = self.base_priority, remote.priority
        self.priority = pair_priority(own, theirs) if controlling else pair_priority(theirs, own)

    @property
    def relayed(self) -> bool:
        """Whether a relay forwards what goes this way."""
        return CandidateKind.RELAYED in {self.base_kind, self.remote.kind}

    def apply(self, event: PairEvent) -> None:
        """Go on to the state that the event leads to. Raises NoPairTransition."""
        state = PAIR_TRANSITIONS.get((self.state, event))
        if state is None:
            raise NoPairTransition(f"{event.value} in {self.state.value}")
        self.state = state

    def check_sent(self) -> None:
        """Count one datagram."""
        self.checks += 1
        self.note(PairOutcome.NO_ANSWER)

    def answered(
        self,
        round_trip_s: float | None,
        took_s: float,
        mapped: Address,
        now: float,
        transmissions: int = 1,
    ) -> None:
        """The peer answered a check; `round_trip_s` is None where it is not certain.

        `took_s`: from the first time that the check was sent, of so many.
        """
        self.quality.answered(round_trip_s, transmissions)
        self.took_s = took_s
        self.apply(PairEvent.ANSWERED)
        self.answered_at = now
        self.failures = 0
        self.outcome = PairOutcome.ANSWERED
        self.mapped = mapped
        if round_trip_s is not None:
            self.round_trip_s = round_trip_s

    def note(self, outcome: PairOutcome, error_code: int | None = None) -> None:
        """Remember why the pair does not work; what was learned of it before may say more."""
        if self.outcome in _REPLACED_BY[outcome]:
            self.outcome = outcome
            self.error_code = error_code

    @property
    def consent_ends_at(self) -> float:
        """Until when data may go this way, if no check is answered again."""
        return self.answered_at + limits.ICE_CONSENT_S

    def works(self, now: float) -> bool:
        """Whether the last check succeeded, and lately enough to send data this way."""
        return self.state is PairState.SUCCEEDED and now < self.consent_ends_at

    def consent_unanswered(self) -> None:
        """A consent check was given up."""
        self.failures += 1

    def ask_nomination(self) -> None:
        """The controlling peer has chosen this pair, which has to answer first."""
        self.nominated = True

    def end_nomination(self) -> None:
        """The pair is selected, or the peer has chosen again since."""
        self.nominated = False

    def heard(self, now: float) -> None:
        """A check of the peer came by this pair."""
        self.heard_at = now

    def report(self, *, selected: bool) -> PairReport:
        """A row for a person."""
        return PairReport(
            self.base,
            self.base_kind,
            self.remote.address,
            self.remote.kind,
            self.state,
            self.outcome,
            self.checks,
            self.error_code,
            self.round_trip_s,
            self.mapped,
            selected,
        )
