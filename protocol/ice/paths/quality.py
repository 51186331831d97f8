"""How good one pair is: round trip, its variation and loss by its checks, and rate by its data."""

from collections import deque
from typing import Final

from protocol.ice.paths.rate import CarriedRate

_GAIN: Final = 1 / 8
_VARIATION_GAIN: Final = 1 / 4
_VARIATIONS: Final = 4
"""RFC 6298, 2: the smoothing of round trips, and how many variations an answer may take longer."""

_REMEMBERED: Final = 16
"""Datagrams of checks that the loss is measured over, and round trips of which the least counts."""

_SILENT: Final = 0b111
"""The last datagrams, which are all lost by chance once in 1000 times on a path that loses 10 %."""


class PathQuality:
    """Times are seconds. `round_trip_s` is None until one answer was to one datagram alone.

    `rate` is told what the link carries while it goes by this pair.
    """

    __slots__ = ("_answers", "_counted", "_lately_s", "rate", "round_trip_s", "variation_s")

    def __init__(self) -> None:
        self.round_trip_s: float | None = None
        self.variation_s = 0.0
        self._answers = 0  # a bit for each of the last datagrams, the latest lowest
        self._counted = 0
        self._lately_s: deque[float] = deque(maxlen=_REMEMBERED)
        self.rate = CarriedRate()

    def answered(self, round_trip_s: float | None, transmissions: int) -> None:
        """A check was answered after so many datagrams; `round_trip_s` None: after which of them
        is not known.
        """
        self.lost(transmissions - 1)
        self._count(answered=True)
        if round_trip_s is None:
            return
        self._lately_s.append(round_trip_s)
        if self.round_trip_s is None:
            self.round_trip_s, self.variation_s = round_trip_s, round_trip_s / 2
            return
        error_s = round_trip_s - self.round_trip_s
        self.variation_s += _VARIATION_GAIN * (abs(error_s) - self.variation_s)
        self.round_trip_s += _GAIN * error_s

    def lost(self, transmissions: int) -> None:
        """So many datagrams of a check had no answer."""
        for _ in range(min(transmissions, _REMEMBERED)):
            self._count(answered=False)

    def _count(self, *, answered: bool) -> None:
        self._answers = (self._answers << 1 | answered) & ((1 << _REMEMBERED) - 1)
        self._counted = min(self._counted + 1, _REMEMBERED)

    @property
    def answers(self) -> bool:
        """Whether the last datagram of a check was answered; True before there was one."""
        return not self._counted or bool(self._answers & 1)

    @property
    def is_silent(self) -> bool:
        """Whether none of the last 3 datagrams was answered."""
        return self._counted >= _SILENT.bit_count() and not self._answers & _SILENT

    @property
    def least_s(self) -> float | None:
        """The shortest of the last 16 round trips: what the path takes where no queue of our own
        data stands before a check. None as `round_trip_s`.
        """
        return min(self._lately_s, default=None)

    @property
    def loss(self) -> float:
        """The part of the last 16 datagrams that had no answer, 0 to 1."""
        if not self._counted:
            return 0.0
        return 1 - self._answers.bit_count() / self._counted

    def answer_s(self, least_s: float, unknown_s: float) -> float:
        """How long an answer takes that comes at all: two round trips, or what they vary by."""
        if self.round_trip_s is None:
            return max(least_s, 2 * unknown_s)
        varied_s = self.round_trip_s + _VARIATIONS * self.variation_s
        return max(least_s, min(2 * self.round_trip_s, varied_s), self.round_trip_s * 1.25)
