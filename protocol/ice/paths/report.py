"""What a link tells of each of its paths, and why one of them carries it and the others do not."""

from dataclasses import dataclass
from enum import Enum

from protocol.addresses import Address
from protocol.ice.paths.selector import BETTER_BY_S, BETTER_FOR_S, PathClass, PathState


class PathReason(Enum):
    """Why a path carries its link, or why it does not, for a person to read."""

    ONLY = "no other path works"
    CLASS = "direct paths come before relayed ones, and these before streams"
    ROUND_TRIP = "the shortest round trip comes first"
    IN_USE = (
        f"the path in use stays until another is faster by {BETTER_BY_S * 1000:.0f} ms"
        f" for {BETTER_FOR_S:.0f} s"
    )
    PEER = "the peer chooses"
    UNANSWERED = "its last check had no answer"
    LEFT = "it lost data or fell silent, and is left alone for a while"


@dataclass(frozen=True, slots=True)
class PathReport:
    """One path at one moment, by the addresses of its pair.

    `round_trip_s` is the least of late, which the choice compares; None until one was measured.
    `loss` is the part of the last 16 datagrams of checks that had no answer, 0 to 1. `rate` is what
    the path carries of the link's data both ways, in bytes a second; None if nothing.
    """

    base: Address
    remote: Address
    path_class: PathClass
    selected: bool
    reason: PathReason
    round_trip_s: float | None
    loss: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class JudgedPath:
    """What reasons are made of. `answers`: whether the last check was answered."""

    state: PathState
    answers: bool

    def works(self, now: float) -> bool:
        """Whether the link could go on by this path."""
        return self.answers and now >= self.state.barred_until


def reason_in_use(
    in_use: JudgedPath, others: list[JudgedPath], now: float, *, chooses: bool
) -> PathReason:
    """Why the selected path is selected. `chooses`: whether our side chooses, and not the peer."""
    if not in_use.answers:
        return PathReason.UNANSWERED
    working = [other.state for other in others if other.works(now)]
    if not working:
        return PathReason.ONLY
    return _compared(min(working, key=lambda one: one.cost), in_use.state, chooses=chooses)


def reason_not_in_use(
    other: JudgedPath, in_use: PathState, now: float, *, chooses: bool
) -> PathReason:
    """Why another path than the selected one is not selected."""
    if now < other.state.barred_until:
        return PathReason.LEFT
    if not other.answers:
        return PathReason.UNANSWERED
    return _compared(other.state, in_use, chooses=chooses)


def _compared(other: PathState, in_use: PathState, *, chooses: bool) -> PathReason:
    """What decides between two that work."""
    if other.path_class > in_use.path_class:
        return PathReason.CLASS
    if other.cost >= in_use.cost:
        return PathReason.ROUND_TRIP
    return PathReason.IN_USE if chooses else PathReason.PEER
