"""Which pair carries the link: nomination (RFC 8445, 8), and consent to send (RFC 7675).

The controlling side nominates the first direct pair that works, at once. It does not wait for one
of higher priority that is under way, as there nearly always is one, and nearly always dead: the
host candidates of two LANs. A relayed pair is nominated only after a delay, and left as soon as a
direct one works.

Nomination and consent are one thing here: each consent check of the controlling side carries
USE-CANDIDATE, the first one at the moment of the choice. So a lost nomination is repeated, and the
controlled side follows when the other's mapping changes. Each has a higher number than the one
before, so that one which is sent again by others is known for old.

Once a pair is selected, `PathSelector` compares it with the others that work. The controlling side
changes to a better one; both sides leave one that does not answer while another does.
"""

from collections.abc import Callable
from math import inf

from protocol import limits
from protocol.ice.checker import Checker
from protocol.ice.checklist import Checklist
from protocol.ice.core import IceCore
from protocol.ice.events import PairSelected, PathSilent
from protocol.ice.pairs import CandidatePair, PairEvent, PairOutcome, PairState
from protocol.ice.paths.doubt import PathDoubt
from protocol.ice.paths.kept import KeptPaths
from protocol.ice.paths.slots import ConsentSlots
from protocol.ice.transactions import Purpose

_SETTLED_S = 0.5
"""A nomination of lower priority counts only so long after the one before: checks of an agent that
nominates all pairs at once (RFC 5245, 8.1.1.2) come in any order."""


class Selection:
    """The selected pair of one generation.

    `hopeful` says whether a direct pair may still come; `lost` is called when the peer is gone.
    """

    def __init__(
        self,
        core: IceCore,
        checklist: Checklist,
        checker: Checker,
        hopeful: Callable[[], bool],
        lost: Callable[[], None],
    ) -> None:
        self._core = core
        self._settings = core.settings
        self._checklist = checklist
        self._checker = checker
        self._hopeful = hopeful
        self._lost = lost
        self.selected: CandidatePair | None = None
        self._nominated = False
        self._selected_at = -inf
        self._consent_at = inf
        self._ends_at = inf
        self.answered_at = -inf
        """When the selected pair was last known to work."""
        self._moved_to: CandidatePair | None = None
        self._moved_at = inf
        self.paths = KeptPaths(core, checklist, checker)
        self._slots = ConsentSlots(core)
        self._doubt = PathDoubt()
        self._decided_at = -inf
        self._followed = 0
        """The highest number of a nomination that the peer has sent."""

    @property
    def _failures(self) -> int:
        """Consent checks in a row that the selected pair has left unanswered."""
        return 0 if self.selected is None else self.selected.failures

    @property
    def is_final(self) -> bool:
        """Whether no other pair is looked for: a direct one is nominated, and works."""
        return (
            self.selected is not None
            and not self.selected.relayed
            and self._nominated
            and not self._failures
        )

    def wants(self, pair: CandidatePair) -> bool:
        """Whether this pair is to be looked for: when all is final, one of the other family is."""
        return not self.is_final or (
            self.selected is not None and self.paths.lacks(pair, self.selected)
        )

    @property
    def has_consent(self) -> bool:
        """Whether a pair is selected, and its last consent check was not left unanswered."""
        return self.selected is not None and not self._failures

    # What checks find out -------------------------------------------------------------------

    def succeeded(self, pair: CandidatePair, now: float, purpose: Purpose) -> None:
        """A check of this pair was answered: whatever it asked, that is consent as well."""
        if pair is self.selected:
            self._consent_given(now, purpose)
            self._choose(now)
        elif self._core.controlling:
            if self.selected is not None:
                self._choose(now)
            elif not pair.relayed:
                self._select(pair, now, nominated=True)
            self._follow_peer(now)
        elif pair.nominated:
            self._accept(pair, now)
        elif self.selected is not None and self._nominated:
            self._choose(now)
        elif self._is_better(pair):
            self._select(pair, now, nominated=False)

    def _is_better(self, pair: CandidatePair) -> bool:
        """Whether to leave what is selected, if anything is, for a pair that works."""
        if self._failures:
            return True
        return not pair.relayed and (self.selected is None or self.selected.relayed)

    def _choose(self, now: float) -> bool:
        """Go on by another pair, if one is better; whether that is so.

        The controlled side follows its peer, until its own path is silent or under a penalty.
        """
        selected = self.selected
        if selected is None:
            return False
        is_silent = bool(self._failures) or self._doubt.is_silent(now, self.paths.heard_at)
        if not (self._core.controlling or is_silent or self.paths.is_barred(selected, now)):
            return False
        silent_since = self._doubt.since if self._doubt.since != inf else -inf
        best = self.paths.better(selected, silent_since if is_silent else None, now)
        if best is None:
            return False
        if is_silent:
            selected.consent_unanswered()
            self.paths.bar(selected, limits.PATH_SILENT_PENALTY_S, now)
        self._select(best, now, nominated=self._core.controlling)
        if is_silent:
            self._core.tell(PathSilent(selected.base))
        return True

    def kept_unanswered(self, pair: CandidatePair) -> None:
        """A check of a pair that is kept was given up. While the selected one does not answer
        either, it tells nothing of the pair.
        """
        selected = self.selected
        if selected is None or pair is selected or selected.failures or self._doubt.since != inf:
            return
        if pair.quality.is_silent:
            self._core.tell(PathSilent(pair.base))

    def leave(self, now: float) -> bool:
        """Data do not pass by the selected pair, though checks do: go on by another that works.

        False where there is none. Either way the pair is left alone for a while.
        """
        if self.selected is None:
            return False
        self.paths.bar(self.selected, limits.PATH_PENALTY_S, now)
        has_left = self._choose(now)
        if has_left and not self._core.controlling:  # the other side nominates by its check
            self._ask_consent(now)
        return has_left

    def asked(self, pair: CandidatePair, number: int, now: float) -> None:
        """The controlling peer nominates this pair (RFC 8445, 7.3.1.5); see `_is_fresh`.

        One that has not answered for long has to answer first: the peer may have left it. One that
        lost our data or fell silent lately is not followed while that in use answers.
        """
        is_left = pair is not self.selected and self.paths.is_barred(pair, now)
        if not self._is_fresh(number) or (is_left and self.has_consent):
            return
        if pair.works(now):
            self._accept(pair, now)
            return
        pair.ask_nomination()
        if pair.state is PairState.SUCCEEDED and pair is not self.selected:
            pair.apply(PairEvent.CHECKED_AGAIN)

    def _is_fresh(self, number: int) -> bool:
        """Whether a nomination is newer than all before: others may send an old one again.

        A peer that numbers none, 0, is followed as RFC 8445 has it.
        """
        if number <= self._followed:
            return number == self._followed == 0
        self._followed = number
        for pair in self._checklist:
            pair.end_nomination()
        return True

    def _accept(self, pair: CandidatePair, now: float) -> None:
        nominated = self.selected if self._nominated else None
        is_settled = self._followed or now >= self._selected_at + _SETTLED_S
        if nominated is None or (
            pair is not nominated and (is_settled or pair.priority > nominated.priority)
        ):
            self._select(pair, now, nominated=True)

    def _select(self, pair: CandidatePair, now: float, *, nominated: bool) -> None:
        """Send by a pair that works. That it is chosen is no consent: only its answers are."""
        if self.selected is not None:
            self._checker.transactions.cancel(self.selected, consent=True)
        self.selected = pair
        self._nominated = nominated
        pair.end_nomination()
        self._doubt.end()
        self._selected_at = now
        self.answered_at = pair.answered_at
        self._ends_at = pair.consent_ends_at
        self._moved_to = None
        self._moved_at = inf
        if not pair.relayed and nominated:
            self._checker.transactions.cancel_unwanted(self.wants)
        self._core.tell(
            PairSelected(
                pair.base,
                pair.remote.address,
                pair.relayed,
                nominated,
                pair.round_trip_s,
                pair.took_s,
            )
        )
        if self._core.controlling:
            self._ask_consent(now)
        else:
            self._consent_at = max(now, self._slots.next_at(pair.answered_at))

    def role_switched(self, now: float) -> None:
        """Our role has changed: what was selected is ours to nominate, or the peer's."""
        self._followed = 0
        if self.selected is not None:
            self._select(self.selected, now, nominated=self._core.controlling)

    # Relays ---------------------------------------------------------------------------------

    def relay_at(self, direct_since: float) -> float:
        """When a relayed pair that works is to be nominated; inf if there is none, or no need.

        `direct_since` is when direct pairs began to be checked.
        """
        if self.selected is not None or not self._core.controlling:
            return inf
        pair = self.paths.best_relayed()
        if pair is None:
            return inf
        if not self._hopeful():
            return -inf
        settings = self._settings
        round_trips_s = settings.relay_delay_round_trips * (pair.round_trip_s or 0.0)
        return direct_since + max(settings.relay_delay_s, round_trips_s)

    def use_relay(self, now: float) -> None:
        """Nominate the best relayed pair that works."""
        pair = self.paths.best_relayed()
        if pair is not None:
            self._select(pair, now, nominated=True)

    # A peer whose mapping has changed ---------------------------------------------------------

    def peer_moved(self, pair: CandidatePair, now: float) -> None:
        """A check came from a new address of the peer, though a pair is selected.

        If the selected one is silent meanwhile, the link goes on by the new one.
        """
        selected = self.selected
        if selected is None or not self._core.controlling or pair.relayed:
            return
        self._moved_to = pair
        self._moved_at = now + self.paths.answer_s(selected)
        self.ask_now(now, is_sure=True)

    def _follow_peer(self, now: float) -> None:
        pair = self._moved_to
        if pair is not None and now >= self._moved_at and pair.state is PairState.SUCCEEDED:
            self._select(pair, now, nominated=True)

    # Consent --------------------------------------------------------------------------------

    def ask_now(self, now: float, *, is_sure: bool) -> None:
        """Data tell that the path may be gone, or are late alone, unless `is_sure`. Ask for consent
        now, if that is not under way, and check all other paths.

        The first time it is repeated sooner than others are. It does not make a silent peer lost
        sooner than the usual checks would.
        """
        if self.selected is None:
            return
        self._begin_doubt(now + self.paths.answer_s(self.selected), now, is_sure=is_sure)
        if self._consent_at != inf:
            wait_s = self._settings.rto_s if self._failures else self.paths.answer_s(self.selected)
            self._ask_consent(now, wait_s)

    def delayed(self, pair: CandidatePair, now: float) -> None:
        """A consent check had no answer in the time that one takes."""
        if pair is self.selected:
            self._begin_doubt(now, now, is_sure=False)
            self._choose(now)

    def _begin_doubt(self, decides_at: float, now: float, *, is_sure: bool) -> None:
        if self._doubt.begin(now, decides_at, is_sure=is_sure):
            self.paths.check_all(self.selected, now)

    def unanswered(self, pair: CandidatePair, now: float) -> None:
        """A consent check of a pair was given up."""
        if pair is not self.selected:
            return
        pair.consent_unanswered()
        if self._choose(now):
            return
        times = self._settings.consent_failures
        least_s = times * (self._slots.least_interval_s + self._settings.consent_patience_s)
        if self._failures >= times and now >= self.answered_at + least_s:
            self._lose(pair)
            return
        self._consent_at = self._slots.next_at(now)
        self._checklist.check_others_again(pair)

    def dropped(self, pair: CandidatePair, now: float) -> None:
        """A pair is gone with its base; the link goes on by another that works, if there is one.

        If none does, all are checked again, and the peer is lost when its consent would end.
        """
        if pair is not self.selected:
            return
        self.selected = None
        self._consent_at = inf
        self._doubt.end()
        others = [other for other in self.paths.others(None) if other.works(now)]
        if others:
            best = min(others, key=lambda other: self.paths.state(other).cost)
            self._select(best, now, nominated=self._core.controlling)
        else:
            self._checklist.check_others_again(pair)

    def _lose(self, pair: CandidatePair | None) -> None:
        if pair is not None:
            pair.apply(PairEvent.CONSENT_LOST)
            pair.note(PairOutcome.CONSENT_LOST)
        self.selected = None
        self._doubt.end()
        self._consent_at = self._ends_at = inf
        self._lost()

    def _consent_given(self, now: float, purpose: Purpose) -> None:
        self._doubt.end()
        self.answered_at = now
        self._ends_at = now + limits.ICE_CONSENT_S
        self._moved_to = None
        self._moved_at = inf
        # A nomination may be lost, so what measures the path puts off none that repeats it.
        if purpose is not Purpose.UPKEEP or self._consent_at == inf:
            self._consent_at = self._slots.next_at(now)

    def _ask_consent(self, now: float, wait_s: float | None = None) -> None:
        if self.selected is not None:
            self._consent_at = inf
            self._checker.ask_consent(self.selected, now, wait_s or self._settings.rto_s)

    # Time -----------------------------------------------------------------------------------

    def wake_at(self) -> float:
        """When `wake` is due; inf if nothing is waited for."""
        moved_at = self._moved_at if self._is_move_open() else inf
        decides_at = self._doubt.decides_at if self._decision_is_open else inf
        return min(self._consent_at, moved_at, self._ends_at, decides_at, self.paths.wake_at())

    @property
    def _decision_is_open(self) -> bool:
        """Whether the doubt has yet to be decided, when its time comes."""
        return self._decided_at < self._doubt.since

    def _is_move_open(self) -> bool:
        return self._moved_to is not None and self._moved_to.state is PairState.SUCCEEDED

    def wake(self, now: float) -> None:
        """Do what is due."""
        if now >= self._ends_at:
            self._lose(self.selected)
        if now >= self._doubt.decides_at and self._decision_is_open:
            self._decided_at = now
            self._choose(now)
        if now >= self._consent_at:
            self._ask_consent(now)
            self.paths.check_idle(self.selected, now)
        self.paths.wake(self.selected, now)
        if now >= self._moved_at:
            self._follow_peer(now)
