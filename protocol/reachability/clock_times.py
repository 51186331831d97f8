"""What contacts say the time is, and by how much this node's clock is off by their word.

A contact tells its time in the response to a PING; its own, and not as others corrected it, so that
no error goes round. Each network has one voice, its latest. The clock is off by the median of the
most that agree within CLOCK_AGREE_S. They settle it where they are CLOCK_AGREE_MIN networks and
more than half of all that have spoken: sybils of one network shift nothing, and a minority of
networks shifts it by no more than the others are apart. As each time is measured against the clock
as it is, and none against an earlier correction, no number of small steps adds up.

A voice says when the contact's clock would have shown zero on the monotonic one. So it counts on
while this node runs. It is of no use any more once the wall clock and the monotonic one part: then
the wall clock was set, or the monotonic one stood still while the machine slept.
"""

from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from protocol import limits
from protocol.reachability.clock_signs import ClockVerdict, ClockView

_HALF_A_SECOND = 0.5
"""Whole seconds are told: on average the clock shows so much more."""


@dataclass(frozen=True, slots=True)
class TimesView:
    """By how much this node's clock is ahead (seconds, negative: behind) of what most say.

    `said` networks say so, of `heard`; with `is_settled` they are enough.
    """

    ahead_s: float = 0.0
    said: int = 0
    heard: int = 0
    is_settled: bool = False

    @property
    def is_off(self) -> bool:
        """Whether that is more than peers put up with."""
        return abs(self.ahead_s) > limits.CLOCK_SKEW_S


class _Voice(NamedTuple):
    zero: float
    """What the contact's clock showed when the monotonic one showed 0."""
    own_zero: float
    """The same of this node's clock, when that was told."""
    at: float


class ClockTimes:
    """The times that contacts told. `now` is monotonic, `wall` seconds since 1970 by our clock."""

    def __init__(self) -> None:
        self._voices: dict[bytes, _Voice] = {}

    def note(
        self, network: bytes, seconds: int, *, asked_at: float, now: float, wall: float
    ) -> None:
        """A contact of this network, asked then, says that it is so many seconds since 1970.

        Its clock was read between both times, so a response that was held back shifts it by half of
        the round trip, of which CLOCK_ROUND_TRIP_S is the most that counts.
        """
        if now - asked_at > limits.CLOCK_ROUND_TRIP_S:
            return
        self._voices.pop(network, None)
        read_at = (asked_at + now) / 2
        self._voices[network] = _Voice(seconds + _HALF_A_SECOND - read_at, wall - now, now)
        if len(self._voices) > limits.CLOCK_VOICES:
            del self._voices[next(iter(self._voices))]

    def networks(self, now: float, wall: float) -> set[bytes]:
        """Those whose word counts."""
        return {
            network
            for network, voice in self._voices.items()
            if now - voice.at < limits.CLOCK_VOICE_S
            and abs(wall - now - voice.own_zero) <= limits.CLOCK_AGREE_S
        }

    def view(self, now: float, wall: float) -> TimesView:
        """What follows from them now."""
        heard = self.networks(now, wall)
        aheads = sorted(wall - now - self._voices[network].zero for network in heard)
        agreeing = max(_agreeing(aheads), key=_weight, default=[])
        if not agreeing:
            return TimesView()
        said = len(agreeing)
        is_settled = said >= limits.CLOCK_AGREE_MIN and 2 * said > len(aheads)
        return TimesView(median(agreeing), said, len(aheads), is_settled)


def _agreeing(aheads: list[float]) -> list[list[float]]:
    """For each the ones from it on that agree with it, of sorted ones."""
    found, end = [], 0
    for begin, first in enumerate(aheads):
        while end < len(aheads) and aheads[end] - first <= limits.CLOCK_AGREE_S:
            end += 1
        found.append(aheads[begin:end])
    return found


def _weight(agreeing: list[float]) -> tuple[int, float]:
    """The most count; of as many those that find the clock least off."""
    return len(agreeing), -abs(median(agreeing))


_VERDICTS = {
    (True, True): ClockVerdict.AHEAD,
    (True, False): ClockVerdict.BEHIND,
    (False, True): ClockVerdict.PERHAPS_AHEAD,
    (False, False): ClockVerdict.PERHAPS_BEHIND,
}
"""By whether it is certain, and whether the clock is ahead."""


def judged(times: TimesView, signs: ClockView) -> ClockView:
    """What is known of the clock, by the times that were told and by what was done with dates.

    Times that settle it say all. Else signs may blame the clock, and times say by how much; only
    times that settle it correct it.
    """
    is_ahead = times.ahead_s > 0
    if times.is_settled:
        verdict = _VERDICTS[True, is_ahead] if times.is_off else ClockVerdict.NO_SIGN
        ahead_s = times.ahead_s if times.is_off else None
        return ClockView(verdict, times.said, times.heard, ahead_s, corrected=times.is_off)
    says_off = times.is_off and 2 * times.said >= times.heard
    if signs.verdict is ClockVerdict.NO_SIGN and not says_off:
        return ClockView(heard=max(signs.heard, times.heard))
    if not says_off or signs.verdict is _VERDICTS[True, is_ahead]:
        ahead_s = times.ahead_s if says_off else None
        return ClockView(signs.verdict, signs.said, signs.heard, ahead_s)
    if signs.verdict is _VERDICTS[True, not is_ahead]:
        return ClockView(heard=max(signs.heard, times.heard))  # they contradict each other
    verdict = _VERDICTS[False, is_ahead]
    return ClockView(verdict, times.said, times.heard, times.ahead_s)
