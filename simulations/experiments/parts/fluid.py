"""The fluid bound: the least time in which all getters of a mod can have it, whatever they do.

Kumar and Ross (2006) give it for getters that are all there: the longest of the time in which the
sharer's line sends the mod once, of that in which the slowest getter's line takes it, and of that
in which all lines that send, the sharer's among them, send it to everybody. Getters that come and
go move two of these: one's line takes only while it is there, and at each moment only the lines of
those send that are there. The sharer is always there.

It holds for chunks as well, since these can do no more than a fluid. With getters that come and go
it need not be reached by any way to share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

ALWAYS: Final = ((0.0, inf),)


@dataclass(frozen=True, slots=True)
class FluidGetter:
    """A getter's line, in units of the mod's size a second, and when it is there.

    `sessions` are seconds since the beginning, in order, and do not overlap.
    """

    up: float
    down: float
    sessions: Sequence[tuple[float, float]] = ALWAYS


def fluid_bound_s(size: float, sharer_up: float, getters: Sequence[FluidGetter]) -> float:
    """The least seconds until all have it; infinite if sessions end before it can be."""
    everything = [(one.sessions, one.up) for one in getters]
    return max(
        size / sharer_up,
        *(_reached_s(size, [(one.sessions, one.down)]) for one in getters),
        _reached_s(len(getters) * size, [(ALWAYS, sharer_up), *everything]),
    )


def _reached_s(size: float, lines: Sequence[tuple[Sequence[tuple[float, float]], float]]) -> float:
    """When lines that are there in these sessions have carried so much together."""
    changes = sorted(
        change
        for sessions, rate in lines
        for since, until in sessions
        for change in ((since, rate), (until, -rate))
    )
    now = rate = carried = 0.0
    for at, change in changes:
        there = carried + rate * (at - now) if rate > 0 else carried
        if there >= size:
            return now + (size - carried) / rate
        now, carried, rate = at, there, rate + change
        if rate < _NOTHING:
            rate = 0.0
    return inf


_NOTHING: Final = 1e-9
"""What is left of a rate once all of its parts have gone, by rounding."""
