"""Spreads packets over the round trip, in small bursts.

A token bucket in bytes. Each wake-up of a machine costs more than a packet, so packets leave in
bursts: ten of them, as every router takes at once, or what a quarter of the round trip brings if
that is less; on fast lines what one or two milliseconds bring.

An acknowledgement wakes the sender anyway: with it a burst leaves as soon as most of it is earned,
and a timer brings it only when no acknowledgement has come for somewhat longer than a burst takes.
So acknowledgements are the clock of bursts, and each end wakes up once for a burst. What could not
leave in time because the caller came late may leave at once, up to a few milliseconds' worth; time
in which the window was shut or nothing waited is no credit, for all that would leave with the first
acknowledgement after it.

Some queues are short. So bursts have that size only on a path that has borne it: after losses they
shrink to a millisecond's worth.
"""

from math import inf

_BURST_PACKETS_MAX = 10
"""RFC 6928 lets so many leave at once even where nothing is known of the path."""
_BURST_SHARE_MAX = 1 / 4
"""A burst of packets is at most so much of a round trip: each is acknowledged."""
_BURST_SHARE = 1 / 8
_BURST_S_MIN = 0.001
_BURST_S_MAX = 0.002
"""On fast lines a burst is so much of a round trip, within these."""
_BURST_PACKETS_MIN = 2
_BURST_BYTES_MAX = 64 * 1024
_EARLY = 0.6
_LATE = 1.4
"""Of a burst: what must be earned to leave at all, and when a timer makes it leave. More is not
earned, except by lateness."""
CATCH_UP_S = 0.01
_ROUNDING_BYTES = 1.0
"""Sums of rates and times may be so far off, and something must have been earned at all."""


class Pacer:
    """Allows so many bytes at a time. `rate` is in bytes per second."""

    __slots__ = ("_at", "_packet_bytes", "_restarted", "_tokens", "burst_bytes", "rate")

    def __init__(self) -> None:
        self._packet_bytes = 0
        self._tokens = 0.0
        self._restarted = False
        self._at = -inf
        self.rate = inf
        self.burst_bytes = float(_BURST_BYTES_MAX)

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """A packet's chunks have at most so many bytes."""
        self._packet_bytes = packet_bytes

    def set_rate(self, rate: float, round_trip_s: float, share: float) -> None:
        """Send at this rate from now on, over a path of this round trip, its queue included.

        `share`, from 0 to 1, is how much the path bears of the largest bursts.
        """
        self.rate = rate
        packets_bytes = min(
            _BURST_PACKETS_MAX * self._packet_bytes, rate * round_trip_s * _BURST_SHARE_MAX
        )
        burst_s = min(max(_BURST_SHARE * round_trip_s, _BURST_S_MIN), _BURST_S_MAX)
        least_bytes = max(rate * _BURST_S_MIN, _BURST_PACKETS_MIN * self._packet_bytes)
        most_bytes = max(packets_bytes, rate * burst_s, least_bytes)
        burst_bytes = least_bytes + share * (most_bytes - least_bytes)
        self.burst_bytes = min(burst_bytes, _BURST_BYTES_MAX / _LATE)

    @property
    def burst_s(self) -> float:
        """Seconds from one burst to the next."""
        return 0.0 if self.rate == inf else self.burst_bytes / self.rate

    def restart(self) -> None:
        """Nothing is in flight: what leaves at once where nothing is known may leave now."""
        self._tokens = max(self._tokens, float(_BURST_PACKETS_MAX * self._packet_bytes))
        self._restarted = True

    def allowance(self, now: float, late_s: float, waiting_bytes: int) -> float:
        """Bytes that may leave now, of so many that wait; the caller comes so late."""
        if self.rate == inf:
            return inf
        deepest = _LATE * self.burst_bytes + self.rate * min(max(late_s, 0.0), CATCH_UP_S)
        if self._restarted:
            self._restarted = False
            deepest = max(deepest, _BURST_PACKETS_MAX * self._packet_bytes)
        self._tokens = min(self._tokens + (now - self._at) * self.rate, deepest)
        self._at = now
        return 0.0 if self.exhausted(waiting_bytes) else self._tokens

    def exhausted(self, waiting_bytes: int) -> bool:
        """Whether nothing of so many bytes may leave yet."""
        missing_bytes = self._least(_EARLY, waiting_bytes) - self._tokens
        return missing_bytes >= _ROUNDING_BYTES and self.rate != inf

    def _least(self, bursts: float, waiting_bytes: int) -> float:
        return max(min(bursts * self.burst_bytes, waiting_bytes), _ROUNDING_BYTES)

    def spend(self, size: int) -> None:
        """So many bytes have left."""
        self._tokens -= size

    def next_burst_at(self, now: float, waiting_bytes: int) -> float:
        """When the next burst leaves without an acknowledgement, of so many bytes that wait."""
        if self.rate == inf:
            return now
        return now + max(self._least(_LATE, waiting_bytes) - self._tokens, 0.0) / self.rate
