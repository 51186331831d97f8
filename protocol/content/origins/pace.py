"""When an origin is asked for the next range: as the one before comes to its end, and not before.

Ranges that come side by side share the line, and the last of them has only its part of it when the
others have come. One after another, each over a connection of its own, they leave no pause if the
next is asked for while as much is still to come as the line brings until its answer does. Short
ranges are asked for side by side by the same rule.
"""

from typing import Final

from protocol import limits
from protocol.content.rate import RateMeter

_ANSWERS: Final = 2
"""Times the time of an answer: a new connection takes a round trip more. More overlap costs more
than it brings: two connections that begin at once lose packets to one another.
"""
_MORE_S: Final = 0.02
"""For what else a server and this node have to do."""


class RangePace:
    """What was asked for and is to come, and how fast it comes. Times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._meter = RateMeter(now)
        self._to_come = 0
        self._answer_s: float | None = None

    def asked(self, size: int) -> None:
        """A range of so many bytes was asked for."""
        self._to_come += size

    def settled(self, size: int) -> None:
        """So many bytes of it have come, or do not come."""
        self._to_come -= size

    def answered(self, seconds: float) -> None:
        """An answer began so long after it was asked for."""
        known = self._answer_s
        self._answer_s = seconds if known is None else min(known, seconds)

    def came(self, size: int, now: float) -> None:
        """So many bytes came."""
        self._meter.add(size, now)

    def turn_bytes(self, now: float) -> int:
        """What a range brings in about half a turn, where other downloads wait for theirs."""
        return int(self._meter.rate(now) * limits.ORIGIN_TURN_S / 2)

    def wants(self, now: float) -> bool:
        """Whether the next range should be asked for."""
        ahead_s = _ANSWERS * (self._answer_s or 0.0) + _MORE_S
        return self._to_come < max(limits.RANGE_AHEAD_BYTES, self._meter.rate(now) * ahead_s)
