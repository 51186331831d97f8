"""Spreads packets over the round trip, in small bursts.

A token bucket in bytes. Bursts keep the number of wake-ups bounded: about one a millisecond, not
one a packet. What could not leave in time because the caller came late may leave at once, up to a
few milliseconds' worth; more would be the burst that pacing exists to avoid.
"""

from math import inf

_BURST_S = 0.001
CATCH_UP_S = 0.01
_BURST_PACKETS_MIN = 2
_CATCH_UP_PACKETS_MIN = 4
_BURST_BYTES_MAX = 64 * 1024


class Pacer:
    """Allows so many bytes at a time. `rate` is in bytes per second."""

    __slots__ = ("_at", "_packet_bytes", "_tokens", "burst_bytes", "rate")

    def __init__(self, packet_bytes: int) -> None:
        self._packet_bytes = packet_bytes
        self._tokens = 0.0
        self._at = -inf
        self.rate = inf
        self.burst_bytes = float(_BURST_BYTES_MAX)

    def set_rate(self, rate: float) -> None:
        """Send at this rate from now on."""
        self.rate = rate
        burst_bytes = min(rate * _BURST_S, _BURST_BYTES_MAX)
        self.burst_bytes = max(burst_bytes, _BURST_PACKETS_MIN * self._packet_bytes)

    def allowance(self, now: float) -> float:
        """Bytes that may leave now."""
        if self.rate == inf:
            return inf
        deepest = max(self.rate * CATCH_UP_S, _CATCH_UP_PACKETS_MIN * self._packet_bytes)
        self._tokens = min(self._tokens + (now - self._at) * self.rate, deepest)
        self._at = now
        return self._tokens

    @property
    def exhausted(self) -> bool:
        """Whether nothing more may leave before the next burst."""
        return self._tokens <= 0 and self.rate != inf

    def spend(self, size: int) -> None:
        """So many bytes have left."""
        self._tokens -= size

    def next_burst_at(self, now: float) -> float:
        """When the next burst may leave."""
        if self.rate == inf:
            return now
        return now + max(self.burst_bytes - self._tokens, 0.0) / self.rate
