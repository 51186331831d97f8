"""Which of a link's paths carries it: a pure choice with hysteresis.

A path counts that was proved both ways lately, and is not under a penalty. Of these

1. direct ones come before relayed ones, whose relay is asked a favour, and these before streams;
2. within such a class that of the shortest round trip comes first, where IPv6 counts for 3 ms less.

The class decides at once, and so does a path in use that counts no more. The round trip decides
where it is better by 5 ms for 5 s and in 3 measurements in a row: two paths alike are not changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from math import inf
from typing import Final

BETTER_BY_S: Final = 0.005
IPV6_BONUS_S: Final = 0.003
BETTER_FOR_S: Final = 5.0
BETTER_TIMES: Final = 3
PROVED_S: Final = 5.0
"""How long an answer speaks for a path that is to be changed to."""

_IPV6: Final = 6


class PathClass(IntEnum):
    """How a path goes; a lower number is preferred."""

    DIRECT = 0
    RELAYED = 1
    STREAM = 2


@dataclass(frozen=True, slots=True)
class PathState:
    """What the choice is made of. `key` is the same for one path each time. Times are seconds.

    `round_trip_s` is the least of late, without the queue that data of a link make on its own path.
    `proved_at` is when a check of ours was answered last, `barred_until` when a penalty ends.
    """

    key: object
    path_class: PathClass
    family: int
    round_trip_s: float | None
    proved_at: float
    barred_until: float = -inf

    def counts(self, now: float) -> bool:
        """Whether the path may be changed to."""
        return now - self.proved_at <= PROVED_S and now >= self.barred_until

    @property
    def cost(self) -> tuple[int, float]:
        """What is compared: the class, then the round trip; one that is unknown comes last."""
        bonus_s = IPV6_BONUS_S if self.family == _IPV6 else 0.0
        return self.path_class, inf if self.round_trip_s is None else self.round_trip_s - bonus_s


class PathSelector:
    """One link's. Ask it after each measurement."""

    def __init__(self) -> None:
        self._better: object = None
        self._since = inf
        self._times = 0

    def choose(
        self, current: PathState | None, others: Iterable[PathState], now: float
    ) -> PathState | None:
        """The path to change to, or None: all stays. `current` None: what was in use is gone, or
        does not answer.
        """
        best = min(
            (path for path in others if path.counts(now)), key=lambda one: one.cost, default=None
        )
        if best is None:
            self._forget()
            return None
        if current is None or now < current.barred_until or best.path_class < current.path_class:
            self._forget()
            return best
        (best_class, best_s), (class_in_use, in_use_s) = best.cost, current.cost
        if best_class > class_in_use or best_s + BETTER_BY_S > in_use_s:
            self._forget()
            return None
        return self._held(best, now)

    def _held(self, best: PathState, now: float) -> PathState | None:
        """`best`, once it has been better for long enough."""
        if self._better != best.key:
            self._better, self._since, self._times = best.key, now, 0
        self._times += 1
        if self._times < BETTER_TIMES or now < self._since + BETTER_FOR_S:
            return None
        self._forget()
        return best

    def _forget(self) -> None:
        self._better, self._since, self._times = None, inf, 0
