"""Rates by the hour of the day: `08:00-23:00 1M, 23:00-08:00 off`. Minutes count from midnight.

Only the clock on the wall counts: an hour that is told twice in autumn has its rate twice, and one
that is left out in spring has none.
"""

import re
from dataclasses import dataclass

from protocol import limits
from protocol.errors import BadInput
from protocol.texts.rates import Rate, rate_in

DAY_MIN = 24 * 60
_HOUR_MIN = 60
_PART = re.compile(
    r"(?P<from_h>[0-9]{1,2}):(?P<from_min>[0-9]{2})\s*-\s*(?P<to_h>[0-9]{1,2}):(?P<to_min>[0-9]{2})\s+(?P<rate>\S.*)"
)
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class DayPart:
    """A rate from a minute of the day until another, perhaps past midnight. `text` says it."""

    begins: int
    ends: int
    rate: Rate
    text: str

    def holds(self, minute: int) -> bool:
        """Whether it holds in this minute of the day."""
        if self.begins < self.ends:
            return self.begins <= minute < self.ends
        return minute >= self.begins or minute < self.ends


class DaySchedule:
    """Which rate holds when. `text` is as it was written; an empty one says nothing."""

    def __init__(self, text: str) -> None:
        """Raises BadInput for what is no schedule, and for two rates at one time."""
        self.text = text.strip()
        pieces = [piece.strip() for piece in self.text.split(",")] if self.text else []
        if len(pieces) > limits.SCHEDULE_PARTS:
            raise BadInput(f"a day has at most {limits.SCHEDULE_PARTS} parts")
        self._parts = [_part(piece) for piece in pieces]
        for place, part in enumerate(self._parts):
            for other in self._parts[:place]:
                if part.holds(other.begins) or other.holds(part.begins):
                    raise BadInput(f"{other.text!r} and {part.text!r} overlap")

    def __bool__(self) -> bool:
        return bool(self._parts)

    def says(self, minute: int) -> bool:
        """Whether a minute of the day has a rate of its own."""
        return any(part.holds(minute) for part in self._parts)

    def rate_at(self, minute: int, otherwise: Rate) -> Rate:
        """The rate in a minute of the day; `otherwise` in those of which nothing is said."""
        return next((part.rate for part in self._parts if part.holds(minute)), otherwise)


def _part(text: str) -> DayPart:
    found = _PART.fullmatch(text)
    if found is None:
        raise BadInput(
            f"{text[:_SHOWN]!r} is no part of a day with its rate, such as 08:00-23:00 1M"
        )
    begins = _minute(found["from_h"], found["from_min"], text)
    ends = _minute(found["to_h"], found["to_min"], text)
    if begins == DAY_MIN:
        raise BadInput(f"{text[:_SHOWN]!r} begins at 24:00, where the day ends: write 00:00")
    if begins == ends:
        raise BadInput(f"{text[:_SHOWN]!r} has no length; a whole day is 00:00-24:00")
    return DayPart(begins, ends, rate_in(found["rate"]), text)


def _minute(hour: str, minute: str, text: str) -> int:
    value = int(hour) * _HOUR_MIN + int(minute)
    if int(minute) >= _HOUR_MIN or value > DAY_MIN:
        raise BadInput(f"{hour}:{minute} in {text[:_SHOWN]!r} is no time of the day")
    return value
