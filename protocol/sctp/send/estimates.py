"""Estimates of the path: delivery rate, round trip, loss, and whether other flows fill its queue.

Rates are bytes per second, sizes bytes of DATA chunks, times seconds.
"""

from collections import deque
from math import inf

from protocol.sctp.send.congestion import AckSample

_RATE_ROUNDS = 10
_FRESH_SHARE = 1.03
_FRESH_S = 0.0003
"""A round trip so close to the smallest confirms it: there was no queue."""

_LITTLE_QUEUE = 1.125
"""Of the smallest round trip."""

_FOREIGN_QUEUE = 2.1
_FOREIGN_ROUNDS = 3
_FOREIGN_S = 0.1
_OWN_QUEUE = 1.5
_QUEUE_MIN_S = 0.01
"""Our own flows hold a round trip below 2 of the smallest ever seen; one beyond `_FOREIGN_QUEUE`
for some rounds and a tenth of a second, and by 10 ms more than what we hold for clumps, means a
queue of other flows."""

_NOISE_PACKETS = 2.5
_STEADY_WEIGHT = 1 / 8
_MANY_LOSSES = 0.05
"""Rates that differ by so many packets in their time are one rate, an average of several; but not
where a larger share is lost, for each sample lacks what was, and only the best are near the rate.
"""

_EXCESS_LOSS = 0.06
_EXCESS_LOSS_PACKETS = 8
"""More in one round than radio links lose, and more than chance: the queue was overrun."""

_CALM_CUT = 1 / 2
_CALM_GAIN = 1 / 128
_CALM_LOSS = 0.005
"""By a round with a loss, and by one without: some of each ten rounds probe for a longer queue, and
what these lose must count for longer than until the next. Where so small a share is lost, bursts
have no part in it."""

_CLUMP_LIFETIME_S = 1.0
_CLUMP_S_MAX = 0.02
"""Acknowledgements that come in clumps, because a machine was busy elsewhere or a radio slept, say
nothing for as long as this. What they then say at once must fit the window, or the path idles."""

_IDLE_S = 1.0
_PROOF_LIFETIME_S = 30.0
_FIRST_PROOF_S = 3.0
"""A round trip never measured without our own queue may be mostly queue; a flow that began earlier
would lose its share to it."""


class PathEstimate:
    """Reads samples. The flags ending in a round are about the round that has just ended.

    `rate` is the best delivery rate of the last rounds, `min_rtt_s` the smallest round trip since
    `confirmed_at`, `base_rtt_s` the smallest ever. `clump_bytes` is by how much acknowledgements
    have been ahead of the rate, of late and at most. `calm`, from 0 to 1, is how long few packets
    have been lost.
    """

    __slots__ = (
        "_acked_bytes",
        "_clump_from",
        "_clump_sum",
        "_clumps",
        "_clumps_from",
        "_heard_at",
        "_loss_share",
        "_lost_bytes",
        "_not_above_in",
        "_rates",
        "_round",
        "_round_end",
        "_round_rtt_s",
        "_round_slowest_s",
        "_slow_from",
        "_slow_rounds",
        "_steady_rate",
        "base_rtt_s",
        "calm",
        "clump_bytes",
        "confirmed_at",
        "foreign_queue",
        "longest_s",
        "lost",
        "lost_in_excess",
        "min_rtt_s",
        "proved_at",
        "recent_rtt_s",
        "round_ended",
    )

    def __init__(self) -> None:
        self._loss_share = 0.0
        self._steady_rate = 0.0
        self._not_above_in = 0
        self._rates: deque[tuple[int, float]] = deque()
        self._round = 0
        self._round_end = 0
        self._round_rtt_s = inf
        self._round_slowest_s = 0.0
        self.longest_s = 0.0
        self._slow_rounds = 0
        self._slow_from = 0.0
        self._acked_bytes = 0
        self._lost_bytes = 0
        self._heard_at = -inf
        self._clump_from = 0.0
        self._clump_sum = 0
        self._clumps = (0.0, 0.0)
        self._clumps_from = -inf
        self.clump_bytes = 0.0
        self.calm = 1.0
        self.min_rtt_s: float | None = None
        self.base_rtt_s = inf
        self.confirmed_at = -inf
        self.proved_at = inf
        self.recent_rtt_s = inf
        self.round_ended = False
        self.lost = False
        self.lost_in_excess = False
        self.foreign_queue = False

    @property
    def rate(self) -> float:
        """Delivery rate, zero before the first sample."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def pipe_bytes(self) -> float:
        """What the path holds without a queue: rate times smallest round trip."""
        return self.rate * (self.min_rtt_s or 0.0)

    def begin(self, now: float, round_trip_s: float) -> None:
        """Nothing is known of the path but what another measured of its round trip."""
        self._add_rtt(round_trip_s, now)

    def add(self, sample: AckSample, packet_bytes: int, lifetime_s: float) -> None:
        """Take a sample; after a pause the smallest round trip stays valid for a moment."""
        if sample.now - self._heard_at > _IDLE_S:
            self.confirmed_at = max(self.confirmed_at, sample.now - lifetime_s + _IDLE_S)
        self._heard_at = sample.now
        self._acked_bytes += sample.acked_bytes
        self._lost_bytes += sample.lost_bytes
        self.round_ended = sample.prior_delivered >= self._round_end and sample.acked_bytes > 0
        if sample.rtt_s is not None:
            self._add_rtt(sample.rtt_s, sample.now)
        if self.round_ended:
            self._round += 1
            self._round_end = sample.delivered
            self._judge_round(packet_bytes, sample.now)
        self._add_rate(sample, packet_bytes)
        self._add_clump(sample)

    def _add_rtt(self, rtt_s: float, now: float) -> None:
        self.recent_rtt_s = min(self.recent_rtt_s, rtt_s)
        self._round_rtt_s = min(self._round_rtt_s, rtt_s)
        self._round_slowest_s = max(self._round_slowest_s, rtt_s)
        self.base_rtt_s = min(self.base_rtt_s, rtt_s)
        if self.min_rtt_s is None:
            self.proved_at = now - _PROOF_LIFETIME_S + _FIRST_PROOF_S
        if self.min_rtt_s is None or rtt_s <= self.min_rtt_s:
            self.min_rtt_s = rtt_s
            self.confirmed_at = now
        elif rtt_s <= self.min_rtt_s * _FRESH_SHARE + _FRESH_S:
            self.confirmed_at = now

    def _add_rate(self, sample: AckSample, packet_bytes: int) -> None:
        rates, rate = self._rates, sample.rate
        if rate > 0 and self._loss_share < _MANY_LOSSES:
            rate = self._without_noise(sample, packet_bytes)
        if rate > 0 and (not sample.app_limited or rate >= self.rate):
            while rates and rates[-1][1] <= rate:
                rates.pop()
            rates.append((self._round, rate))
        while len(rates) > 1 and rates[0][0] <= self._round - _RATE_ROUNDS:
            rates.popleft()

    def _without_noise(self, sample: AckSample, packet_bytes: int) -> float:
        """Average what differs by less than reading explains.

        Packets that are read together count one too many or too few. The best rate would be one
        with too many, and a line that is sent more than it carries queues it. One SACK that is late
        makes those after it too high: in a round with a rate that is not, they are averaged too.
        What the application limits is below the path's rate, so the higher is nearer.
        """
        change = sample.rate - self._steady_rate
        over_bytes = max(sample.delivered - sample.prior_delivered, 1)
        within = _NOISE_PACKETS * packet_bytes / over_bytes * sample.rate
        if change <= within:
            self._not_above_in = self._round
        lasts = sample.app_limited or self._round > self._not_above_in
        news = change < -within or (change > within and lasts)
        self._steady_rate += change if news else change * _STEADY_WEIGHT
        return self._steady_rate

    def _add_clump(self, sample: AckSample) -> None:
        """Compare what has been acknowledged with what the rate would have brought since."""
        now, rate = sample.now, self.rate
        expected = rate * (now - self._clump_from)
        if self._clump_sum <= expected:
            self._clump_sum, self._clump_from, expected = 0, now, 0.0
        self._clump_sum += sample.acked_bytes
        if now - self._clumps_from > _CLUMP_LIFETIME_S:
            self._clumps = (self._clumps[1], 0.0)
            self._clumps_from = now
        ahead = min(self._clump_sum - expected, _CLUMP_S_MAX * rate)
        before, latest = self._clumps
        self._clumps = (before, max(latest, ahead))
        self.clump_bytes = max(self._clumps)

    def _judge_round(self, packet_bytes: int, now: float) -> None:
        lost, total = self._lost_bytes, self._lost_bytes + self._acked_bytes
        self.lost_in_excess = lost > max(_EXCESS_LOSS * total, _EXCESS_LOSS_PACKETS * packet_bytes)
        self.lost = lost > 0
        self._loss_share += _STEADY_WEIGHT * (lost / max(total, 1) - self._loss_share)
        self.calm = (
            self.calm * _CALM_CUT
            if self._loss_share > _CALM_LOSS and lost
            else min(self.calm + _CALM_GAIN, 1.0)
        )
        self._acked_bytes = self._lost_bytes = 0
        own_s = self.clump_bytes / self.rate if self.rate else 0.0
        if inf > self._round_rtt_s > self._beyond(_FOREIGN_QUEUE) + own_s:
            self._slow_rounds += 1
        else:
            self._slow_rounds, self._slow_from = 0, now
        for_long = now - self._slow_from >= _FOREIGN_S
        self.foreign_queue = self._slow_rounds >= _FOREIGN_ROUNDS and for_long
        self._round_rtt_s = inf
        self.longest_s, self._round_slowest_s = self._round_slowest_s, 0.0

    @property
    def bore_pace(self) -> bool:
        """Whether nothing was lost in the round that has ended, and little queued."""
        return not self.lost and 0.0 < self.longest_s <= _LITTLE_QUEUE * (self.min_rtt_s or 0.0)

    def _beyond(self, share: float) -> float:
        return max(share * self.base_rtt_s, self.base_rtt_s + _QUEUE_MIN_S)

    def is_stale(self, now: float, lifetime_s: float) -> bool:
        """Whether the smallest round trip should be measured again, with our queue gone."""
        return now - self.confirmed_at > lifetime_s or now - self.proved_at > _PROOF_LIFETIME_S

    def forget_queue(self) -> None:
        """The delay seen so far may have been that of our own queue."""
        self._slow_rounds = 0
        self.foreign_queue = False

    def begin_recent(self) -> None:
        """Let `recent_rtt_s` be about what comes now."""
        self.recent_rtt_s = inf

    def adopt_recent(self, now: float) -> bool:
        """Take the smallest measured since; True: it contains a queue of other flows."""
        self.forget_queue()
        self.confirmed_at = self.proved_at = now
        if self.recent_rtt_s == inf:
            return False
        self.min_rtt_s = self.recent_rtt_s
        return self.recent_rtt_s > self._beyond(_OWN_QUEUE)
