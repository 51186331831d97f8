"""Round-trip time: smoothed, smallest, and the timeout that follows from it (RFC 9260, 6.3)."""

from protocol.sctp import limits

_ALPHA = 1 / 8
_BETA = 1 / 4
_GRANULARITY_S = 0.001
ROUND_TRIP_S_MIN = 0.00001
"""Below what clocks resolve; never zero, as rates are divided by it."""


class RoundTrip:
    """Estimates in seconds. `smoothed_s` is None before the first sample."""

    __slots__ = ("_backoff", "_rto_min_s", "_variation_s", "latest_s", "min_s", "smoothed_s")

    def __init__(self, rto_min_s: float) -> None:
        self._rto_min_s = rto_min_s
        self.begin(None)

    def begin(self, round_trip_s: float | None) -> None:
        """Estimate anew, for a path of which so much is known, and with no back-off."""
        self._variation_s = 0.0
        self._backoff = 0
        self.smoothed_s: float | None = None
        self.latest_s = limits.RTO_INITIAL_S
        self.min_s = limits.RTO_INITIAL_S
        if round_trip_s is not None:
            self.on_sample(round_trip_s)

    def on_sample(self, sample_s: float) -> None:
        """Take one round trip of a packet that was sent once (Karn)."""
        self.latest_s = sample_s
        if self.smoothed_s is None:
            self.smoothed_s = self.min_s = sample_s
            self._variation_s = sample_s / 2
        else:
            self._variation_s += _BETA * (abs(self.smoothed_s - sample_s) - self._variation_s)
            self.smoothed_s += _ALPHA * (sample_s - self.smoothed_s)
            self.min_s = min(self.min_s, sample_s)

    @property
    def usual_s(self) -> float:
        """The smoothed round trip, queues included; before the first sample that of a timeout."""
        return self.min_s if self.smoothed_s is None else self.smoothed_s

    def back_off(self) -> None:
        """Double the timeout, up to its bound."""
        self._backoff = min(self._backoff + 1, limits.RETRANSMITS_MAX)

    def reset_backoff(self) -> None:
        """The peer takes data again."""
        self._backoff = 0

    @property
    def rto_s(self) -> float:
        """Retransmission timeout, with back-off."""
        if self.smoothed_s is None:
            base_s = limits.RTO_INITIAL_S
        else:
            spread_s = max(4 * self._variation_s, _GRANULARITY_S)
            base_s = max(self.smoothed_s + spread_s, self._rto_min_s)
        return min(base_s * (1 << self._backoff), limits.RTO_MAX_S)

    @property
    def probe_timeout_s(self) -> float:
        """Wait before a tail loss probe (RFC 8985, 7.2)."""
        if self.smoothed_s is None:
            return limits.RTO_INITIAL_S
        return 2 * self.smoothed_s + 2 * _GRANULARITY_S
