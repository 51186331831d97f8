"""The pairs beside the selected one that are checked on, so that a link can go on by one at once.

While data arrive, all of them and the selected pair are checked every PATH_CHECK_BUSY_S, or every
PATH_CHECK_SLOW_S where the link carries so little that checks may burden a slow line. On an idle
link they are checked with every consent check that comes PATH_CHECK_IDLE_S after the last: NATs
keep their mappings for 30 s and longer, and no timer wakes for it.
"""

from collections.abc import Collection
from math import inf
from typing import Final

from protocol import limits
from protocol.addresses import Address
from protocol.ice.checker import Checker
from protocol.ice.checklist import Checklist
from protocol.ice.core import IceCore
from protocol.ice.pairs import CandidatePair, PairState
from protocol.ice.paths.report import (
    JudgedPath,
    PathReason,
    PathReport,
    reason_in_use,
    reason_not_in_use,
)
from protocol.ice.paths.selector import PathClass, PathSelector, PathState

_FLOWS_S: Final = 1.0
"""Data flow for so long after some arrived."""

_IPV4: Final = 4


class KeptPaths:
    """Of one generation. `heard_at` is when data of the peer were last told to have arrived."""

    def __init__(self, core: IceCore, checklist: Checklist, checker: Checker) -> None:
        self._core = core
        self._settings = core.settings
        self._checklist = checklist
        self._checker = checker
        self._selector = PathSelector()
        self.heard_at = -inf
        self._checked_at = -inf
        self._check_at = inf
        self._carried_bytes = 0
        self._carried_before = 0  # when all were checked last

    def state(self, pair: CandidatePair) -> PathState:
        """What the selector is told of a pair."""
        remote = pair.remote.address
        return PathState(
            key=(pair.base, remote),
            path_class=self._class_of(pair),
            family=_IPV4 if pair.relayed else remote.family,
            round_trip_s=pair.quality.least_s,
            proved_at=pair.answered_at,
            barred_until=self._core.penalties.barred_until(pair.base, remote),
        )

    def _class_of(self, pair: CandidatePair) -> PathClass:
        if not pair.relayed:
            return PathClass.DIRECT
        return PathClass.STREAM if self._core.goes_by_stream(pair.base) else PathClass.RELAYED

    def report(self, selected: CandidatePair, now: float) -> list[PathReport]:
        """The selected path, and then those that are kept, the best first."""
        kept = self.kept(selected, now)
        in_use, others = self._judged(selected), [self._judged(pair) for pair in kept]
        chooses = self._core.controlling
        reason = reason_in_use(in_use, others, now, chooses=chooses)
        found = [_reported(selected, in_use.state, reason, now, selected=True)]
        for pair, one in zip(kept, others, strict=True):
            reason = reason_not_in_use(one, in_use.state, now, chooses=chooses)
            found.append(_reported(pair, one.state, reason, now, selected=False))
        return found

    def _judged(self, pair: CandidatePair) -> JudgedPath:
        return JudgedPath(self.state(pair), pair.quality.answers and not pair.failures)

    def others(self, selected: CandidatePair | None) -> list[CandidatePair]:
        """All pairs that worked when they were last checked, but for the selected one."""
        return [
            pair
            for pair in self._checklist
            if pair.state is PairState.SUCCEEDED and pair is not selected
        ]

    def best_relayed(self) -> CandidatePair | None:
        """Of the relayed pairs that work that in use before a restart, else that of the shortest
        round trip.
        """
        found = [one for one in self.others(None) if one.relayed]
        in_use = self._core.base_in_use
        return min(
            found, key=lambda one: (one.base != in_use, one.round_trip_s or 0.0), default=None
        )

    def lacks(self, pair: CandidatePair, selected: CandidatePair) -> bool:
        """Whether this pair would be the only direct path of its family."""
        direct = [one for one in (selected, *self.others(selected)) if not one.relayed]
        family = pair.remote.address.family
        return not pair.relayed and all(one.remote.address.family != family for one in direct)

    def kept(self, selected: CandidatePair | None, now: float) -> list[CandidatePair]:
        """Those that are checked on: the best of each base, PATHS_KEPT at most."""
        best: dict[Address, CandidatePair] = {}
        lately = [
            pair for pair in self.others(selected) if now - pair.answered_at < limits.ICE_CONSENT_S
        ]
        for pair in sorted(lately, key=lambda one: self.state(one).cost):
            best.setdefault(pair.base, pair)
        return list(best.values())[: limits.PATHS_KEPT]

    def has_spare(self, selected: CandidatePair, now: float) -> bool:
        """Whether the link would go on by a kept path at once if the selected one failed now."""
        return any(self._may_take_over(pair, now) for pair in self.kept(selected, now))

    def _may_take_over(self, pair: CandidatePair, now: float) -> bool:
        return not (pair.quality.is_silent or pair.failures or self.is_barred(pair, now))

    def better(
        self, selected: CandidatePair, silent_since: float | None, now: float
    ) -> CandidatePair | None:
        """The pair to change to, or None; one that answered since the selected one is silent."""
        in_use, others = self.state(selected), self.others(selected)
        if silent_since is not None:
            others = [one for one in others if one.answered_at >= silent_since]
        states = {self.state(one): one for one in others}
        best = self._selector.choose(in_use if silent_since is None else None, states, now)
        return None if best is None else states[best]

    def bar(self, pair: CandidatePair, least_s: float, now: float) -> None:
        """Leave a pair alone for a while, see `PathPenalties`."""
        self._core.penalties.bar(pair.base, pair.remote.address, least_s, now)

    def is_barred(self, pair: CandidatePair, now: float) -> bool:
        """Whether a pair is left alone at present."""
        return now < self._core.penalties.barred_until(pair.base, pair.remote.address)

    def answer_s(self, pair: CandidatePair) -> float:
        """How long an answer takes that comes at all."""
        return pair.quality.answer_s(self._settings.moved_wait_s, self._settings.rto_s)

    def second(
        self, selected: CandidatePair, bases: Collection[Address], now: float
    ) -> CandidatePair | None:
        """Of the pairs of these bases that to keep beside the selected one, the same on both sides:
        the controlling side takes the best and checks it, the other the one that was checked last.
        """
        others = [pair for pair in self.others(selected) if pair.base in bases]
        if not self._core.controlling:  # what the peer uses stays, even if it was left here
            return max(others, key=lambda pair: pair.heard_at, default=None)
        works = [pair for pair in others if self._may_take_over(pair, now)]
        best = min(works, key=lambda pair: self.state(pair).cost, default=None)
        if best is not None:
            times = self._settings.consent_transmissions
            self._checker.keep_up(best, now, self.answer_s(best), times)
        return best

    # Checks ---------------------------------------------------------------------------------

    def data_arrived(self, selected: CandidatePair | None, carried_bytes: int, now: float) -> None:
        """Data of the peer have come lately: they go by the selected pair. The link has carried so
        many bytes in all.
        """
        self.heard_at = now
        self._carried_bytes = carried_bytes
        if selected is not None:
            selected.quality.rate.note(carried_bytes, now)
        if not (kept := self.kept(selected, now)):
            return
        due_bytes = limits.PATH_CHECK_CARRIED_BYTES * (1 + len(kept))
        is_fast = carried_bytes - self._carried_before >= due_bytes
        wait_s = limits.PATH_CHECK_BUSY_S if is_fast else limits.PATH_CHECK_SLOW_S
        self._check_at = max(now, self._checked_at + wait_s)

    def check_idle(self, selected: CandidatePair | None, now: float) -> None:
        """A consent check leaves on schedule: check the others with it, unless that was lately."""
        if now - self._checked_at >= limits.PATH_CHECK_IDLE_S:
            self.check_all(selected, now)

    def check_all(self, selected: CandidatePair | None, now: float) -> None:
        """Check all others at once, and repeat it: it matters which of them works."""
        self._note_checked(now)
        for pair in self.kept(selected, now):
            wait_s = self.answer_s(pair)
            self._checker.keep_up(pair, now, wait_s, self._settings.consent_transmissions)

    def _note_checked(self, now: float) -> None:
        self._checked_at, self._carried_before = now, self._carried_bytes

    def wake_at(self) -> float:
        """When `wake` is due; inf if nothing is waited for."""
        return self._check_at

    def wake(self, selected: CandidatePair | None, now: float) -> None:
        """Measure what is kept and what is selected, while data flow."""
        if now < self._check_at:
            return
        self._check_at = inf
        kept = self.kept(selected, now)
        if not kept or selected is None or now > self.heard_at + _FLOWS_S:
            return
        self._note_checked(now)
        for pair in (selected, *kept):
            self._checker.keep_up(pair, now, self._settings.rto_s + self.answer_s(pair), 1)


def _reported(
    pair: CandidatePair, state: PathState, reason: PathReason, now: float, *, selected: bool
) -> PathReport:
    quality = pair.quality
    return PathReport(
        *(pair.base, pair.remote.address, state.path_class, selected, reason),
        *(state.round_trip_s, quality.loss, quality.rate.at(now)),
    )
