"""How an origin keeps its word: one that fails again and again is left alone for a while."""

from protocol import limits


class OriginHealth:
    """Failures of one origin in a row, whatever mods it is asked for. `now` is monotonic seconds.

    Parts of one answer that fail together are one failure.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._rests = 0
        self._failed_at = float("-inf")
        self.rests_until = float("-inf")
        self.why = ""
        """Why it is left alone, in words."""

    def answered(self) -> None:
        """It sent something whole, right or not."""
        self._failures = 0

    def served(self) -> None:
        """What it sent was what it was asked for."""
        self._failures = self._rests = 0

    def failed(
        self, now: float, chance: float, why: str, *, for_good: bool, after_s: float = 0.0
    ) -> bool:
        """Note a failure; whether it is left alone from now on, until `rests_until`.

        `for_good`: what it does will not change by asking again. `chance` is from 0 to 1, so that
        those whom it failed together do not come back together. `after_s`: what it asks for.
        """
        if now - self._failed_at < limits.ORIGIN_RETRY_S and not for_good and not after_s:
            return now < self.rests_until
        self._failed_at = now
        self._failures += 1
        if self._failures < limits.ORIGIN_FAILURES and not for_good and not after_s:
            return False
        pause_s = min(limits.ORIGIN_REST_S * 2.0**self._rests, limits.ORIGIN_REST_MAX_S)
        self._failures, self._rests = 0, min(self._rests + 1, limits.ORIGIN_RESTS_COUNTED)
        self.why = why
        self.rests_until = max(self.rests_until, now + max(pause_s * (1 + chance) / 2, after_s))
        return True
