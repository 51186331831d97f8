"""How much may be in flight and how fast it leaves: the default congestion control.

It models the path instead of reading losses as a signal: it keeps the best delivery rate
of the last rounds and the smallest round trip, and holds a little more in flight than their
product. Single losses, which radio links throw in, change nothing; a round in which many packets
are lost does (BBR, draft-ietf-ccwg-bbr, is the family). It differs from BBR in its
smaller standing window: 1.85 instead of 2 products, which halves a bottleneck with TCP CUBIC when
its queue holds two (Ware et al., IMC 2019, predict the share from window and queue), and in that it
leaves the queue empty between probes when it is alone.

Rates are bytes per second, sizes bytes of DATA chunks, times seconds.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf

from protocol.sctp.congestion import AckSample

_INITIAL_PACKETS = 10
_MINIMUM_PACKETS = 4
_TIMEOUT_PACKETS = 2
_BANDWIDTH_ROUNDS = 10
_FULL_GROWTH = 1.25
_FULL_ROUNDS = 3
_MIN_RTT_LIFETIME_S = 10.0
_MIN_RTT_TOLERANCE = 1.03
_MIN_RTT_TOLERANCE_S = 0.0003
_PROBE_RTT_S = 0.2
_EXCESS_LOSS = 0.06
_EXCESS_LOSS_PACKETS = 8
_EXCESS_CUT = 0.8
_CEILING_GROWTH = 1.1
_QUANTUM_S = 0.001
_QUANTUM_BYTES_MAX = 64 * 1024
_QUANTA = 3
_RTT_UNKNOWN_S = 0.1


class Phase(Enum):
    """What the machine is trying out."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_UP = "probe up"
    PROBE_DOWN = "probe down"
    CRUISE = "cruise"
    PROBE_RTT = "probe rtt"


@dataclass(frozen=True, slots=True)
class Gains:
    """Multiples of the estimated rate and of rate x round trip."""

    pacing: float
    window: float


GAINS: dict[Phase, Gains] = {
    Phase.STARTUP: Gains(pacing=2.77, window=2.25),
    Phase.DRAIN: Gains(pacing=0.5, window=1.35),
    Phase.PROBE_UP: Gains(pacing=1.25, window=2.1),
    Phase.PROBE_DOWN: Gains(pacing=0.8, window=1.35),
    Phase.CRUISE: Gains(pacing=1.0, window=1.35),
    Phase.PROBE_RTT: Gains(pacing=1.0, window=0.5),
}

_FOREIGN_QUEUE = 2.1
_FOREIGN_QUEUE_S = 0.01
_FOREIGN_ROUNDS = 3
_OWN_QUEUE = 1.5
_COMPETING_LIFETIME_S = 2.5
_COMPETING_WINDOW = 1.7
_CRUISE_ROUND_TRIPS = 6.0
_PROBE_ROUND_TRIPS = 3.0
_DRAIN_ROUND_TRIPS = 2.0


class PathModel:
    """The default control. `phase_offset` (any integer) sets flows that start together apart."""

    def __init__(self, packet_bytes: int, phase_offset: int = 0) -> None:
        self._packet_bytes = packet_bytes
        self._phase_offset = phase_offset
        self.phase = Phase.STARTUP
        self.min_rtt_s: float | None = None
        self._min_rtt_at = -inf
        self._rates: deque[tuple[int, float]] = deque()
        self._round = 0
        self._round_end = 0
        self._round_started = False
        self._full_rate = 0.0
        self._full_rounds = 0
        self._pipe_filled = False
        self._phase_at = 0.0
        self._cruise_s = 0.0
        self._probe_rtt_s = inf
        self._probe_rtt_until = inf
        self._acked_in_round = 0
        self._lost_in_round = 0
        self._ceiling_bytes = inf
        self._window_before_timeout = 0
        self._round_rtt_s = inf
        self._slow_rounds = 0
        self._base_rtt_s = inf
        self._suspected = False
        self.competing = False
        self.window_bytes = _INITIAL_PACKETS * packet_bytes
        self.pacing_rate = GAINS[Phase.STARTUP].pacing * self.window_bytes / _RTT_UNKNOWN_S

    @property
    def rate(self) -> float:
        """The path's delivery rate: the best of the last rounds."""
        return self._rates[0][1] if self._rates else 0.0

    @property
    def pipe_bytes(self) -> float:
        """What the path holds without a queue: rate times smallest round trip."""
        return self.rate * (self.min_rtt_s or 0.0)

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """The path carries packets of another size."""
        self._packet_bytes = packet_bytes

    def on_timeout(self) -> None:
        """Start again from a tiny window; it grows back with what is acknowledged."""
        self._window_before_timeout = max(self._window_before_timeout, self.window_bytes)
        self.window_bytes = _TIMEOUT_PACKETS * self._packet_bytes

    def on_timeout_undone(self) -> None:
        """Take the window back."""
        self.window_bytes = max(self.window_bytes, self._window_before_timeout)
        self._window_before_timeout = 0

    def on_ack(self, sample: AckSample) -> None:
        """Take the news of one SACK: estimates first, then the phase, then what follows."""
        self._count_round(sample)
        self._take_rate(sample)
        self._take_rtt(sample)
        if self._round_started:
            self._judge_queue(sample)
            self._judge_losses()
        _STEPS[self.phase](self, sample)
        self._consider_probe_rtt(sample)
        self._apply(sample)

    def _count_round(self, sample: AckSample) -> None:
        self._acked_in_round += sample.acked_bytes
        self._lost_in_round += sample.lost_bytes
        self._round_started = sample.prior_delivered >= self._round_end and sample.acked_bytes > 0
        if self._round_started:
            self._round += 1
            self._round_end = sample.delivered

    def _take_rate(self, sample: AckSample) -> None:
        rates = self._rates
        rate = sample.rate
        if rate > 0 and (not sample.app_limited or rate >= self.rate):
            while rates and rates[-1][1] <= rate:
                rates.pop()
            rates.append((self._round, rate))
        while len(rates) > 1 and rates[0][0] <= self._round - _BANDWIDTH_ROUNDS:
            rates.popleft()

    def _take_rtt(self, sample: AckSample) -> None:
        rtt_s = sample.rtt_s
        if rtt_s is None:
            return
        self._probe_rtt_s = min(self._probe_rtt_s, rtt_s)
        self._round_rtt_s = min(self._round_rtt_s, rtt_s)
        self._base_rtt_s = min(self._base_rtt_s, rtt_s)
        if self.min_rtt_s is None or rtt_s <= self.min_rtt_s:
            if self.min_rtt_s is None:
                self.pacing_rate = GAINS[Phase.STARTUP].pacing * self.window_bytes / rtt_s
            self.min_rtt_s = rtt_s
            self._min_rtt_at = sample.now
        elif rtt_s <= self.min_rtt_s * _MIN_RTT_TOLERANCE + _MIN_RTT_TOLERANCE_S:
            self._min_rtt_at = sample.now

    def _judge_queue(self, sample: AckSample) -> None:
        """Notice a queue that is not ours: suspect it by its delay, prove it by leaving it."""
        rtt_s, self._round_rtt_s = self._round_rtt_s, inf
        if rtt_s == inf or not self._pipe_filled:
            return
        foreign = rtt_s > max(
            _FOREIGN_QUEUE * self._base_rtt_s, self._base_rtt_s + _FOREIGN_QUEUE_S
        )
        self._slow_rounds = self._slow_rounds + 1 if foreign else 0
        if not self.competing and self._slow_rounds >= _FOREIGN_ROUNDS:
            self._slow_rounds = 0
            self._suspected = True

    def _judge_losses(self) -> None:
        lost, total = self._lost_in_round, self._lost_in_round + self._acked_in_round
        self._acked_in_round = self._lost_in_round = 0
        excess = lost > _EXCESS_LOSS * total and lost > _EXCESS_LOSS_PACKETS * self._packet_bytes
        if excess:
            self._pipe_filled = True
            held = min(float(self.window_bytes), self._ceiling_bytes)
            self._ceiling_bytes = max(held * _EXCESS_CUT, _MINIMUM_PACKETS * self._packet_bytes)
        elif self._ceiling_bytes != inf and self.phase is Phase.PROBE_UP:
            self._ceiling_bytes *= _CEILING_GROWTH
            if self._ceiling_bytes > 2 * GAINS[Phase.PROBE_UP].window * self.pipe_bytes:
                self._ceiling_bytes = inf

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._phase_at = now

    def _step_startup(self, sample: AckSample) -> None:
        if self._round_started and not sample.app_limited and not self._pipe_filled:
            if self.rate >= self._full_rate * _FULL_GROWTH:
                self._full_rate = self.rate
                self._full_rounds = 0
            else:
                self._full_rounds += 1
                self._pipe_filled = self._full_rounds >= _FULL_ROUNDS
        if self._pipe_filled:
            self._enter(Phase.DRAIN, sample.now)

    def _step_drain(self, sample: AckSample) -> None:
        if sample.flight_bytes <= self.pipe_bytes:
            self._enter_cruise(sample.now)

    def _enter_cruise(self, now: float) -> None:
        self._enter(Phase.CRUISE, now)
        self._phase_offset = (self._phase_offset * 5 + 3) % 8
        round_trips = _CRUISE_ROUND_TRIPS - 2 + self._phase_offset / 2
        self._cruise_s = round_trips * (self.min_rtt_s or 0.0)

    def _step_cruise(self, sample: AckSample) -> None:
        if sample.now - self._phase_at >= self._cruise_s:
            self._enter(Phase.PROBE_UP, sample.now)

    def _step_probe_up(self, sample: AckSample) -> None:
        min_rtt_s = self.min_rtt_s or 0.0
        lasted_s = sample.now - self._phase_at
        tried = sample.flight_bytes >= GAINS[Phase.PROBE_UP].pacing * self.pipe_bytes
        if lasted_s >= (
            min_rtt_s if tried or sample.lost_bytes else _PROBE_ROUND_TRIPS * min_rtt_s
        ):
            self._enter(Phase.PROBE_DOWN, sample.now)

    def _step_probe_down(self, sample: AckSample) -> None:
        lasted_s = sample.now - self._phase_at
        if sample.flight_bytes <= self.pipe_bytes or lasted_s >= _DRAIN_ROUND_TRIPS * (
            self.min_rtt_s or 0.0
        ):
            self._enter_cruise(sample.now)

    def _consider_probe_rtt(self, sample: AckSample) -> None:
        lifetime_s = _COMPETING_LIFETIME_S if self.competing else _MIN_RTT_LIFETIME_S
        expired = sample.now - self._min_rtt_at > lifetime_s
        if (
            (expired or self._suspected)
            and self.phase is not Phase.PROBE_RTT
            and self.min_rtt_s is not None
        ):
            self._enter(Phase.PROBE_RTT, sample.now)
            self._suspected = False
            self._probe_rtt_s = inf
            self._probe_rtt_until = inf

    def _step_probe_rtt(self, sample: AckSample) -> None:
        if self._probe_rtt_until == inf:
            if sample.flight_bytes <= self._target_bytes():
                self._probe_rtt_until = sample.now + max(_PROBE_RTT_S, self.min_rtt_s or 0.0)
                self._probe_rtt_s = inf
        elif sample.now >= self._probe_rtt_until:
            if self._probe_rtt_s != inf:
                self.min_rtt_s = self._probe_rtt_s
                self._judge_competition()
            self._min_rtt_at = sample.now
            if self._pipe_filled:
                self._enter_cruise(sample.now)
            else:
                self._enter(Phase.STARTUP, sample.now)

    def _judge_competition(self) -> None:
        """What remains of the delay while we hold back is not ours: then fight for a share."""
        own_s = max(_OWN_QUEUE * self._base_rtt_s, self._base_rtt_s + _FOREIGN_QUEUE_S)
        before, self.competing = self.competing, self._probe_rtt_s > own_s
        if self.competing and not before:
            self._pipe_filled = False
            self._full_rate = 0.0
            self._full_rounds = 0

    def _target_bytes(self) -> int:
        gains = GAINS[self.phase]
        if self.phase is Phase.PROBE_RTT:
            slack = 0.0
        else:
            quantum = min(self.pacing_rate * _QUANTUM_S, _QUANTUM_BYTES_MAX)
            slack = _QUANTA * max(quantum, self._packet_bytes)
        if self.competing:
            gain = gains.window if self.phase is Phase.PROBE_RTT else _COMPETING_WINDOW
            target = gain * self.pipe_bytes + slack
        else:
            target = min(gains.window * self.pipe_bytes + slack, self._ceiling_bytes)
        return max(int(target), _MINIMUM_PACKETS * self._packet_bytes)

    def _apply(self, sample: AckSample) -> None:
        rate = self.rate
        if not rate:
            self.window_bytes += sample.acked_bytes
            return
        target = self._target_bytes()
        grown = self.window_bytes + sample.acked_bytes
        if self._pipe_filled or self.phase is Phase.PROBE_RTT:
            self.window_bytes = min(grown, target)
        elif self.window_bytes < target:
            self.window_bytes = grown
        paced = GAINS[self.phase].pacing * rate
        if self._pipe_filled or paced > self.pacing_rate:
            self.pacing_rate = paced


_STEPS: dict[Phase, Callable[[PathModel, AckSample], None]] = {
    Phase.STARTUP: PathModel._step_startup,
    Phase.DRAIN: PathModel._step_drain,
    Phase.CRUISE: PathModel._step_cruise,
    Phase.PROBE_UP: PathModel._step_probe_up,
    Phase.PROBE_DOWN: PathModel._step_probe_down,
    Phase.PROBE_RTT: PathModel._step_probe_rtt,
}
