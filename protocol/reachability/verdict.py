"""Whether a node is public: rounds of dial-backs, and how the verdict follows from them.

A dial-back comes from an address that this node has sent nothing to lately, so nothing that
forwards or filters lets it in by mistake: its arrival cannot be forged, while anybody may keep
one from being sent. So a few arrivals weigh more than as many misses.
"""

from enum import Enum

from protocol import limits
from protocol.reachability.network_view import Verdict


class Trial(Enum):
    """How one dial-back ended."""

    ARRIVED = "arrived"
    MISSED = "missed"
    """A contact says that it was sent, and it did not arrive."""
    VOID = "void"
    """It was not sent, or by a contact whose datagrams would come in anyway."""


class RoundOutcome(Enum):
    """What a round of dial-backs found, or what else changes a verdict."""

    PUBLIC = "public"
    NOT_PUBLIC = "not public"
    UNDECIDED = "undecided"
    MOVED = "moved"
    """No round: this machine's addresses, or its router's mapping, changed."""


class DialbackRound:
    """One round: `wanted` says how many dial-backs to ask for now, `outcome` how it ended.

    PUBLIC when DIALBACKS_PUBLIC have arrived; NOT_PUBLIC when none of the first DIALBACKS did, or
    fewer than that of DIALBACKS_MAX; UNDECIDED when so many have ended without a result that
    DIALBACK_TRIES are used up, when the first DIALBACKS_VOID say nothing, or if there are fewer
    than DIALBACKS `contacts` to ask.
    """

    def __init__(self, contacts: int) -> None:
        self._tries_left = limits.DIALBACK_TRIES if contacts >= limits.DIALBACKS else 0
        self._under_way = 0
        self._arrived = 0
        self._missed = 0
        self._void = 0

    def wanted(self) -> int:
        """How many more dial-backs to ask for now."""
        if self.outcome is not None:
            return 0
        have = self._arrived + self._missed + self._under_way
        goal = limits.DIALBACKS_MAX if self._arrived and self._missed else limits.DIALBACKS
        at_once = limits.DIALBACKS - self._under_way
        return max(0, min(goal - have, at_once, self._tries_left))

    def started(self) -> None:
        """One dial-back is asked for."""
        self._tries_left -= 1
        self._under_way += 1

    def ended(self, trial: Trial) -> None:
        """One ended."""
        self._under_way -= 1
        self._arrived += trial is Trial.ARRIVED
        self._missed += trial is Trial.MISSED
        self._void += trial is Trial.VOID
        if self._void >= limits.DIALBACKS_VOID and not (self._arrived or self._missed):
            self._tries_left = 0

    @property
    def outcome(self) -> RoundOutcome | None:
        """How the round ended; None while it goes on."""
        if self._arrived >= limits.DIALBACKS_PUBLIC:
            return RoundOutcome.PUBLIC
        ended = self._arrived + self._missed
        if ended >= (limits.DIALBACKS_MAX if self._arrived else limits.DIALBACKS):
            return RoundOutcome.NOT_PUBLIC
        if not self._tries_left and not self._under_way:
            return RoundOutcome.UNDECIDED
        return None


class VerdictState(Enum):
    """A verdict, and whether one more round may overturn it."""

    UNKNOWN = Verdict.UNKNOWN
    PUBLIC = Verdict.PUBLIC
    DOUBTED = "still public, until another round says no as well"
    NOT_PUBLIC = Verdict.NOT_PUBLIC


_NEXT: dict[tuple[VerdictState, RoundOutcome], VerdictState] = {
    (VerdictState.UNKNOWN, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.UNKNOWN, RoundOutcome.NOT_PUBLIC): VerdictState.NOT_PUBLIC,
    (VerdictState.UNKNOWN, RoundOutcome.UNDECIDED): VerdictState.UNKNOWN,
    (VerdictState.UNKNOWN, RoundOutcome.MOVED): VerdictState.UNKNOWN,
    (VerdictState.PUBLIC, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.PUBLIC, RoundOutcome.NOT_PUBLIC): VerdictState.DOUBTED,
    (VerdictState.PUBLIC, RoundOutcome.UNDECIDED): VerdictState.PUBLIC,
    (VerdictState.PUBLIC, RoundOutcome.MOVED): VerdictState.DOUBTED,
    (VerdictState.DOUBTED, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.DOUBTED, RoundOutcome.NOT_PUBLIC): VerdictState.NOT_PUBLIC,
    (VerdictState.DOUBTED, RoundOutcome.UNDECIDED): VerdictState.UNKNOWN,
    (VerdictState.DOUBTED, RoundOutcome.MOVED): VerdictState.DOUBTED,
    (VerdictState.NOT_PUBLIC, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.NOT_PUBLIC): VerdictState.NOT_PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.UNDECIDED): VerdictState.NOT_PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.MOVED): VerdictState.NOT_PUBLIC,
}

_VERDICTS = {
    VerdictState.UNKNOWN: Verdict.UNKNOWN,
    VerdictState.PUBLIC: Verdict.PUBLIC,
    VerdictState.DOUBTED: Verdict.PUBLIC,
    VerdictState.NOT_PUBLIC: Verdict.NOT_PUBLIC,
}


class VerdictMachine:
    """The verdict for one address family; `note` takes what each round found.

    `next_round_s`: when to make the next round, after the one that was noted last.
    """

    def __init__(self) -> None:
        self._state = VerdictState.UNKNOWN
        self.next_round_s = 0.0
        self.was_tested = False
        """Whether any round has ended."""

    @property
    def verdict(self) -> Verdict:
        """Whether this node is public, as far as it knows."""
        return _VERDICTS[self._state]

    def note(self, outcome: RoundOutcome) -> bool:
        """Take an outcome; whether the verdict changed."""
        before = self.verdict
        self._state = _NEXT[self._state, outcome]
        self.was_tested |= outcome is not RoundOutcome.MOVED
        self.next_round_s = self._pause_s(outcome)
        return self.verdict is not before

    def _pause_s(self, outcome: RoundOutcome) -> float:
        if outcome is RoundOutcome.MOVED:
            return 0.0
        if self._state is VerdictState.DOUBTED:
            return limits.VERDICT_DOUBTED_S
        if self._state is VerdictState.UNKNOWN:
            longer = max(2 * self.next_round_s, limits.VERDICT_RETRY_S)
            return min(longer, limits.VERDICT_S)
        return limits.VERDICT_S
