"""How much may be in flight and how fast it leaves: the default congestion control.

It models the path instead of reading each loss as a signal: it keeps the best delivery rate and the
smallest round trip, and holds a little more in flight than their product. Single losses, which
radio links make, change nothing; rounds that lose a lot do. It is of BBR's family
(draft-ietf-ccwg-bbr) and differs in two points:

- It cruises with 1.35 products in flight and probes with 2.1. Where several of our flows share a
  bottleneck, the queue stays below a round trip, and the smaller gains more by probing than the
  larger, so that shares converge within seconds. Flows of one host measure their round trips at the
  same time, so that they do not take one another's queue for that of other hosts.
- It notices a queue that another flow keeps full, as TCP CUBIC does. Suspecting one by its delay,
  it leaves the queue for a moment; what delay remains is not ours. It then counts that delay as
  part of the path and holds 1.5 products of it, measured anew every few seconds: a window that
  leaves the competitor about half (Ware et al., IMC 2019, tell shares from windows).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from protocol.sctp.send.congestion import AckSample
from protocol.sctp.send.estimates import PathEstimate
from protocol.sctp.send.probes import RoundTripProbes

_INITIAL_PACKETS = 10
_MINIMUM_PACKETS = 4
_TIMEOUT_PACKETS = 2
_RTT_UNKNOWN_S = 0.1

_FULL_GROWTH = 1.25
_FULL_ROUNDS = 3
"""The pipe is full when the rate has not grown by a quarter for so many rounds in a row that had
enough to send."""

_ANSWER_GROWTH = 1.5
_ANSWER_QUEUE = 1.25
_ANSWER_SHARE = 1 / 16
"""Answers that fit the window leave faster until the round trip of one shows a queue, and slower
again beyond so many of the smallest; a window takes such a share of it at least."""

_EXCESS_CUT = 0.8
_CEILING_GROWTH = 1.1
_CEILING_GROWTH_MAX = 2.0
"""Each probe that is not overrun raises the ceiling by more than the one before."""

_ROOM_GROWTH = 1.1
"""Where a probe has found so much more and no queue, the rate was far from what the path bears."""

_QUANTA = 3
_QUANTUM_S = 0.001
_QUANTUM_BYTES_MAX = 64 * 1024
"""Beyond the product so many bursts may be in flight, for they are acknowledged burst by burst."""

_CRUISE_ROUND_TRIPS = 4.0
_CRUISE_STEPS = 8
_PROBE_ROUND_TRIPS = 3.0
_DRAIN_ROUND_TRIPS = 2.0
_PROBE_RTT_S = 0.1
_NO_QUEUE = 0.8
"""Of the product: what may be in flight while the round trip is measured. Beyond its gain there is
room for what has arrived and waits for its acknowledgement, or the path idles for want of news."""
_RTT_LIFETIME_S = 10.0
_RTT_LIFETIME_COMPETING_S = 2.5
_COMPETING_WINDOW = 1.5
_TRUST_S = 5.0
"""So long after a suspicion there is no other: each costs a tenth of a second."""


class Phase(StrEnum):
    """What the control is probing for, as in BBR."""

    STARTUP = "startup"
    DRAIN = "drain"
    PROBE_UP = "probe up"
    PROBE_DOWN = "probe down"
    CRUISE = "cruise"
    PROBE_RTT = "probe rtt"


@dataclass(frozen=True, slots=True)
class Gains:
    """Multiples of the rate, and of the product of rate and round trip."""

    pacing: float
    window: float


GAINS: dict[Phase, Gains] = {
    Phase.STARTUP: Gains(pacing=2.77, window=2.25),
    Phase.DRAIN: Gains(pacing=0.5, window=1.35),
    Phase.PROBE_UP: Gains(pacing=1.25, window=2.1),
    Phase.PROBE_DOWN: Gains(pacing=0.8, window=1.35),
    Phase.CRUISE: Gains(pacing=1.0, window=1.35),
    Phase.PROBE_RTT: Gains(pacing=1.0, window=0.6),
}


_PATIENT = frozenset({Phase.CRUISE, Phase.PROBE_UP})
"""In other phases every burst asks for an acknowledgement: the first may end them, or the window
has no room for what waits to be acknowledged."""


_PROBED = frozenset({Phase.PROBE_UP, Phase.PROBE_DOWN, Phase.CRUISE})
"""In these phases acknowledgements tell what a probe has found, up to a round trip after it."""


_EXACT = frozenset({Phase.STARTUP, Phase.PROBE_RTT})
"""In these phases bursts are small, for what they measure is spoilt by large ones."""


class PathModel:
    """The default control. `phase_offset` (any integer) sets flows that start together apart.

    `probes` has the flows of the same host.
    """

    def __init__(
        self, packet_bytes: int, phase_offset: int = 0, probes: RoundTripProbes | None = None
    ) -> None:
        self._packet_bytes = packet_bytes
        self._probes = probes or RoundTripProbes()
        self._probes.join(self)
        self._heard_at = -inf
        self._step = phase_offset % _CRUISE_STEPS
        self.path = PathEstimate()
        self.phase = Phase.STARTUP
        self.competing = False
        self._phase_at = 0.0
        self._full_rate = 0.0
        self._full_rounds = 0
        self._pipe_filled = False
        self._probe_rtt_until = inf
        self._trusted_until = -inf
        self._ceiling_bytes = inf
        self._ceiling_growth = _CEILING_GROWTH
        self._probed_from = inf
        self._window_before_timeout = 0
        self.window_bytes = _INITIAL_PACKETS * packet_bytes
        self.pacing_rate = GAINS[Phase.STARTUP].pacing * self.window_bytes / _RTT_UNKNOWN_S
        self.patient = False
        self.burst_share = 0.0

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """The path carries packets of another size."""
        self._packet_bytes = packet_bytes

    def for_new_path(self, now: float, round_trip_s: float | None) -> "PathModel":
        """A model without a past: half the old rate would fill a slower path's queue for long."""
        model = PathModel(self._packet_bytes, self._step, self._probes)
        if round_trip_s is not None:
            model.path.begin(now, round_trip_s)
            model.pacing_rate = GAINS[Phase.STARTUP].pacing * model.window_bytes / round_trip_s
        return model

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
        path = self.path
        self._heard_at = sample.now
        if path.min_rtt_s is None and sample.rtt_s is not None:
            self.pacing_rate = GAINS[Phase.STARTUP].pacing * self.window_bytes / sample.rtt_s
        path.add(sample, self._packet_bytes, self._rtt_lifetime_s)
        if path.round_ended:
            self._judge_losses()
        _STEPS[self.phase](self, sample)
        if path.round_ended:
            self._consider_startup(sample)
        self._consider_probe_rtt(sample.now)
        self._apply(sample)
        self.patient = self.phase in _PATIENT
        self.burst_share = 0.0 if self.phase in _EXACT else path.calm

    @property
    def _rtt_lifetime_s(self) -> float:
        return _RTT_LIFETIME_COMPETING_S if self.competing else _RTT_LIFETIME_S

    @property
    def _round_trip_s(self) -> float:
        return self.path.min_rtt_s or 0.0

    def _judge_losses(self) -> None:
        """Stay below what overran a short queue, and feel upwards again while probing."""
        if self.path.lost_in_excess:
            self._pipe_filled = True
            # After a timeout the window says nothing about what was held when this was lost.
            held = max(min(float(self.window_bytes), self._ceiling_bytes), self.path.pipe_bytes)
            self._ceiling_bytes = max(held * _EXCESS_CUT, _MINIMUM_PACKETS * self._packet_bytes)
            self._ceiling_growth = _CEILING_GROWTH
        elif self._ceiling_bytes != inf and self.phase is Phase.PROBE_UP:
            self._ceiling_bytes *= self._ceiling_growth
            self._ceiling_growth = min(self._ceiling_growth * _CEILING_GROWTH, _CEILING_GROWTH_MAX)
            if self._ceiling_bytes > 2 * GAINS[Phase.PROBE_UP].window * self.path.pipe_bytes:
                self._ceiling_bytes = inf

    # Phases ---------------------------------------------------------------------------------

    def _enter(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._phase_at = now

    def _step_startup(self, sample: AckSample) -> None:
        if self.path.round_ended and not self._pipe_filled:
            if sample.app_limited:
                self._full_rounds = 0
            elif self.path.rate >= self._full_rate * _FULL_GROWTH:
                self._full_rate = self.path.rate
                self._full_rounds = 0
            else:
                self._full_rounds += 1
                self._pipe_filled = self._full_rounds >= _FULL_ROUNDS
        if self._pipe_filled:
            self.path.forget_queue()
            self._probed_from = inf
            self._enter(Phase.DRAIN, sample.now)

    def _consider_startup(self, sample: AckSample) -> None:
        """Double the rate again where others have left the path, or it was full of them at first.

        The delay that others caused ends startup as one's own does, at whatever rate.
        """
        path = self.path
        if self.phase not in _PROBED or sample.app_limited:
            return
        has_grown = path.rate >= self._probed_from * _ROOM_GROWTH
        if has_grown and path.bore_pace and self._ceiling_bytes == inf:
            self._search_anew(path.rate)
            self._enter(Phase.STARTUP, sample.now)

    def _search_anew(self, rate: float) -> None:
        """The pipe is not full; startup ends once it is, at more than this rate."""
        self._pipe_filled = False
        self._full_rate = rate
        self._full_rounds = 0

    def _step_drain(self, sample: AckSample) -> None:
        if sample.flight_bytes <= self.path.pipe_bytes:
            self._enter(Phase.CRUISE, sample.now)

    def _step_cruise(self, sample: AckSample) -> None:
        cruise_s = (_CRUISE_ROUND_TRIPS + self._step / 2) * self._round_trip_s
        if sample.now - self._phase_at >= cruise_s:
            self._step = (self._step * 5 + 3) % _CRUISE_STEPS
            self._probed_from = self.path.rate
            self._enter(Phase.PROBE_UP, sample.now)

    def _step_probe_up(self, sample: AckSample) -> None:
        full_bytes = GAINS[Phase.PROBE_UP].pacing * self.path.pipe_bytes
        answered = sample.flight_bytes >= full_bytes or sample.lost_bytes > 0
        enough_s = self._round_trip_s * (1.0 if answered else _PROBE_ROUND_TRIPS)
        if sample.now - self._phase_at >= enough_s:
            self._enter(Phase.PROBE_DOWN, sample.now)

    def _step_probe_down(self, sample: AckSample) -> None:
        lasted_s = sample.now - self._phase_at
        drained = sample.flight_bytes <= self.path.pipe_bytes
        if drained or lasted_s >= _DRAIN_ROUND_TRIPS * self._round_trip_s:
            self._enter(Phase.CRUISE, sample.now)

    def _consider_probe_rtt(self, now: float) -> None:
        """Measure the round trip anew when it is old, or when a queue of other flows shows."""
        path = self.path
        if self.phase is Phase.PROBE_RTT or path.min_rtt_s is None:
            return
        suspected = (
            path.foreign_queue
            and self._pipe_filled
            and not self.competing
            and now >= self._trusted_until
        )
        if suspected:
            self._trusted_until = now + _TRUST_S
        if suspected or path.is_stale(now, self._rtt_lifetime_s):
            self._begin_probe_rtt(now)
            self._probes.begun(self, now)

    def probe_round_trip(self, now: float) -> None:
        """Measure the round trip now, as another flow of this host does, if this one is in use."""
        if self.phase is not Phase.PROBE_RTT and now - self._heard_at <= _PROBE_RTT_S:
            self._trusted_until = now + _TRUST_S
            self._begin_probe_rtt(now)

    def _begin_probe_rtt(self, now: float) -> None:
        self._enter(Phase.PROBE_RTT, now)
        self._probe_rtt_until = inf

    def _step_probe_rtt(self, sample: AckSample) -> None:
        if self._probe_rtt_until == inf:
            if sample.flight_bytes <= self._target_bytes():
                self._probe_rtt_until = sample.now + max(_PROBE_RTT_S, self._round_trip_s)
                self.path.begin_recent()
        elif sample.now >= self._probe_rtt_until:
            before, self.competing = self.competing, self.path.adopt_recent(sample.now)
            if self.competing and not before:
                self._search_anew(0.0)
            self._enter(Phase.CRUISE if self._pipe_filled else Phase.STARTUP, sample.now)

    # What follows ---------------------------------------------------------------------------

    def _target_bytes(self) -> int:
        gain = GAINS[self.phase].window
        pipe_bytes = self.path.pipe_bytes
        if self.phase is Phase.PROBE_RTT:
            target = min(gain * pipe_bytes + self.path.clump_bytes, _NO_QUEUE * pipe_bytes)
        else:
            pace = GAINS[self.phase].pacing * self.path.rate
            quantum = min(pace * _QUANTUM_S, _QUANTUM_BYTES_MAX)
            slack = _QUANTA * max(quantum, self._packet_bytes)
            if self.competing:
                target = _COMPETING_WINDOW * pipe_bytes + slack
            else:
                clumps = 0.0 if self.phase is Phase.STARTUP else self.path.clump_bytes
                # On average half a clump waits to be acknowledged; more room is only a queue,
                # as long as the worst of clumps fits beyond the product. Where each burst is
                # acknowledged, clumps are rare.
                rare = (1.0 - self.burst_share) * clumps
                wanted = slack + max(gain * pipe_bytes + rare, pipe_bytes + clumps)
                target = min(wanted, self._ceiling_bytes)
        return max(int(target), _MINIMUM_PACKETS * self._packet_bytes)

    def _apply(self, sample: AckSample) -> None:
        grown = self.window_bytes + sample.acked_bytes
        if self.path.min_rtt_s is None:
            # What is repeated by a new path tells no round trip, and must not wait for one.
            unknown = GAINS[Phase.STARTUP].pacing * grown / _RTT_UNKNOWN_S
            self.pacing_rate = max(self.pacing_rate, unknown)
        if not self.path.rate or self.path.min_rtt_s is None:
            self.window_bytes = grown
            return
        target = self._target_bytes()
        if self._pipe_filled or self.phase is Phase.PROBE_RTT:
            self.window_bytes = min(grown, target)
        elif self.window_bytes < target:
            self.window_bytes = grown
        paced = GAINS[self.phase].pacing * self.path.rate
        if self._pipe_filled or paced > self.pacing_rate:
            self.pacing_rate = paced
        elif self.path.round_ended:
            self._pace_answers(sample, paced)

    def _pace_answers(self, sample: AckSample, paced: float) -> None:
        """Pace what fits the window faster while that makes no queue.

        The rate of an answer is its size by more than a round trip, whatever the line carries.
        """
        if sample.app_limited and self.path.bore_pace:
            fastest = self.window_bytes / (_ANSWER_SHARE * self._round_trip_s)
            self.pacing_rate = max(min(self.pacing_rate * _ANSWER_GROWTH, fastest), paced)
        elif self.path.lost or self.path.longest_s > _ANSWER_QUEUE * self._round_trip_s:
            self.pacing_rate = max(self.pacing_rate / _ANSWER_GROWTH, paced)


_STEPS: dict[Phase, Callable[[PathModel, AckSample], None]] = {
    Phase.STARTUP: PathModel._step_startup,
    Phase.DRAIN: PathModel._step_drain,
    Phase.CRUISE: PathModel._step_cruise,
    Phase.PROBE_UP: PathModel._step_probe_up,
    Phase.PROBE_DOWN: PathModel._step_probe_down,
    Phase.PROBE_RTT: PathModel._step_probe_rtt,
}
