"""How fast content may go, as the configuration has it."""

from dataclasses import dataclass, field

from protocol.rates.day_schedule import DaySchedule
from protocol.texts.rates import Rate


@dataclass(frozen=True, slots=True)
class DirectionSettings:
    """One direction. `schedule` has the rates of all peers together in the hours that it names."""

    all_peers: Rate = None
    each_peer: Rate = None
    schedule: DaySchedule = field(default_factory=lambda: DaySchedule(""))


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Both directions."""

    up: DirectionSettings = DirectionSettings()
    down: DirectionSettings = DirectionSettings()
