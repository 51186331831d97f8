"""Whether a node is public: rounds of dial-backs, and how the verdict follows from them.

A dial-back comes from a host that this node has neither sent to nor heard from lately, so no NAT
or firewall lets it in by mistake: its arrival cannot be forged, while many nodes may keep one
from being sent. So a few arrivals weigh more than as many misses.
"""

from enum import Enum

from protocol import limits
from protocol.reachability.network_view import Verdict


class Trial(Enum):
    """How one dial-back ended."""

    ARRIVED = "arrived"
    FAMILIAR = "familiar"
    """It arrived, from another port of a host that this node sent to lately: some filters let in
    these only."""
    MISSED = "missed"
    """A contact says that it was sent, and it did not arrive."""
    VOID = "void"
    """It was not sent."""


class RoundOutcome(Enum):
    """What a round of dial-backs found, or what else changes a verdict."""

    PUBLIC = "public"
    NOT_PUBLIC = "not public"
    UNDECIDED = "undecided"
    NO_PORT_FILTER = "no port filter"
    """Undecided, but what hosts sent from ports that nothing was sent to came in."""
    MOVED = "moved"
    """No round: this machine's addresses, or its router's mapping, changed."""


class DialbackRound:
    """One round: `wanted` says how many dial-backs to ask for now, `outcome` how it ended.

    PUBLIC when DIALBACKS_PUBLIC have arrived; NOT_PUBLIC when none of the first DIALBACKS did, or
    fewer than that of DIALBACKS_MAX; otherwise it ends when so many have ended without a result
    that DIALBACK_TRIES are used up, when the first DIALBACKS_VOID have none, or if there are fewer
    than DIALBACKS `contacts` to ask: NO_PORT_FILTER where more familiar ones came than were missed,
    else UNDECIDED.
    """

    def __init__(self, contacts: int) -> None:
        self._tries_left = limits.DIALBACK_TRIES if contacts >= limits.DIALBACKS else 0
        self._under_way = 0
        self._arrived = 0
        self._missed = 0
        self._familiar = 0

    def wanted(self) -> int:
        """How many more dial-backs to ask for now."""
        if self.outcome is not None:
            return 0
        have = self._arrived + self._missed + self._under_way
        goal = limits.DIALBACKS_MAX if self._missed and self._came_in else limits.DIALBACKS
        at_once = limits.DIALBACKS - self._under_way
        return max(0, min(goal - have, at_once, self._may_start))

    @property
    def _came_in(self) -> int:
        return self._arrived + self._familiar

    @property
    def _may_start(self) -> int:
        """How many more may be asked for, as far as is known now."""
        if self._arrived or self._missed:
            return self._tries_left
        return self._tries_left - (limits.DIALBACK_TRIES - limits.DIALBACKS_VOID)

    def started(self) -> None:
        """One dial-back is asked for."""
        self._tries_left -= 1
        self._under_way += 1

    def ended(self, trial: Trial) -> None:
        """One ended."""
        self._under_way -= 1
        self._arrived += trial is Trial.ARRIVED
        self._missed += trial is Trial.MISSED
        self._familiar += trial is Trial.FAMILIAR

    @property
    def outcome(self) -> RoundOutcome | None:
        """How the round ended; None while it goes on."""
        if self._arrived >= limits.DIALBACKS_PUBLIC:
            return RoundOutcome.PUBLIC
        ended = self._arrived + self._missed
        if ended >= (limits.DIALBACKS_MAX if self._came_in else limits.DIALBACKS):
            return RoundOutcome.NOT_PUBLIC
        if self._may_start > 0 or self._under_way:
            return None
        if self._familiar > self._missed:
            return RoundOutcome.NO_PORT_FILTER
        return RoundOutcome.UNDECIDED


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
    (VerdictState.UNKNOWN, RoundOutcome.NO_PORT_FILTER): VerdictState.UNKNOWN,
    (VerdictState.UNKNOWN, RoundOutcome.MOVED): VerdictState.UNKNOWN,
    (VerdictState.PUBLIC, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.PUBLIC, RoundOutcome.NOT_PUBLIC): VerdictState.DOUBTED,
    (VerdictState.PUBLIC, RoundOutcome.UNDECIDED): VerdictState.PUBLIC,
    (VerdictState.PUBLIC, RoundOutcome.NO_PORT_FILTER): VerdictState.PUBLIC,
    (VerdictState.PUBLIC, RoundOutcome.MOVED): VerdictState.DOUBTED,
    (VerdictState.DOUBTED, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.DOUBTED, RoundOutcome.NOT_PUBLIC): VerdictState.NOT_PUBLIC,
    (VerdictState.DOUBTED, RoundOutcome.UNDECIDED): VerdictState.UNKNOWN,
    (VerdictState.DOUBTED, RoundOutcome.NO_PORT_FILTER): VerdictState.UNKNOWN,
    (VerdictState.DOUBTED, RoundOutcome.MOVED): VerdictState.DOUBTED,
    (VerdictState.NOT_PUBLIC, RoundOutcome.PUBLIC): VerdictState.PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.NOT_PUBLIC): VerdictState.NOT_PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.UNDECIDED): VerdictState.NOT_PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.NO_PORT_FILTER): VerdictState.NOT_PUBLIC,
    (VerdictState.NOT_PUBLIC, RoundOutcome.MOVED): VerdictState.NOT_PUBLIC,
}

_LONGER = {RoundOutcome.UNDECIDED: 2, RoundOutcome.NO_PORT_FILTER: 4}
"""By how much each pause is longer than the last one, where it stays unknown what a node is: where
it has learned that hardly a firewall can be there, it goes on as a public one meanwhile."""

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
        self.may_filter_ports = True
        """Whether there may be a firewall that lets in only the endpoints that were sent to."""

    @property
    def verdict(self) -> Verdict:
        """Whether this node is public, as far as it knows."""
        return _VERDICTS[self._state]

    def note(self, outcome: RoundOutcome) -> bool:
        """Take an outcome; whether the verdict changed."""
        before = self.verdict
        self._state = _NEXT[self._state, outcome]
        self.was_tested |= outcome is not RoundOutcome.MOVED
        self.may_filter_ports = outcome is not RoundOutcome.NO_PORT_FILTER
        self.next_round_s = self._pause_s(outcome)
        return self.verdict is not before

    def _pause_s(self, outcome: RoundOutcome) -> float:
        if outcome is RoundOutcome.MOVED:
            return 0.0
        if self._state is VerdictState.DOUBTED:
            return limits.VERDICT_DOUBTED_S
        if self._state is VerdictState.UNKNOWN:
            longer = max(_LONGER[outcome] * self.next_round_s, limits.VERDICT_RETRY_S)
            return min(longer, limits.VERDICT_RETRY_MAX_S)
        return limits.VERDICT_S
