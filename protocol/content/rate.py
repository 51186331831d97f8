"""How fast bytes have been coming lately, from the bytes and the times alone."""

import math

_MEMORY_S = 2.0
"""After so long what was counted weighs 1/e, unless a meter is told otherwise."""
_AGE_MIN_S = 0.25
"""The least time that a rate is measured over, so that a first burst is not taken for a rate."""


class RateMeter:
    """An exponentially weighted rate in bytes per second, right from its first seconds on."""

    __slots__ = ("_memory_s", "_started", "_sum", "_updated")

    def __init__(self, now: float, memory_s: float = _MEMORY_S) -> None:
        self._memory_s = memory_s
        self._started = now
        self._updated = now
        self._sum = 0.0

    def add(self, size: int, now: float) -> None:
        """Count `size` bytes that came just now."""
        self._decay(now)
        self._sum += size

    def rate(self, now: float) -> float:
        """Bytes per second, over the last seconds or since the start if that is shorter."""
        self._decay(now)
        age = max(now - self._started, _AGE_MIN_S)
        return self._sum / (self._memory_s * -math.expm1(-age / self._memory_s))

    def _decay(self, now: float) -> None:
        if now > self._updated:
            self._sum *= math.exp((self._updated - now) / self._memory_s)
            self._updated = now
