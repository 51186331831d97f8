"""People whose computers' clocks are off, in a world of others."""

from dataclasses import dataclass, replace

from node.environment import Environment
from simulations.residents.whole import WholeResident
from simulations.residents.world import Resident


@dataclass(slots=True)
class WrongClock(Resident):
    """A node of the overlay whose clock is ahead by so much, and can be set."""

    ahead_s: float = 0.0

    def environment(self) -> Environment:
        wall = self.world.loop.wall_time
        return replace(Resident.environment(self), wall=lambda: wall() + self.ahead_s)


@dataclass(slots=True)
class WrongClockPerson(WholeResident):
    """A whole node whose clock is ahead by so much."""

    ahead_s: float = 0.0

    def environment(self) -> Environment:
        wall = self.world.loop.wall_time
        return replace(WholeResident.environment(self), wall=lambda: wall() + self.ahead_s)
