"""The deadlines of one association: a handful, so a list beats a heap."""

from enum import IntEnum
from math import inf


class Timer(IntEnum):
    """What may be waited for; RFC 9260's name where it has one."""

    HANDSHAKE = 0
    """T1-init and T1-cookie."""
    SHUTDOWN = 1
    """T2-shutdown."""
    GUARD = 2
    """T5-shutdown-guard."""
    RETRANSMIT = 3
    """T3-rtx, and the probe of a closed window."""
    PROBE = 4
    """Tail loss probe (RFC 8985, 7)."""
    REORDER = 5
    """RACK's wait for a packet that may only be late (RFC 8985, 6)."""
    SACK = 6
    """A delayed SACK is due."""
    HEARTBEAT = 7
    RECONFIGURE = 8
    PACING = 9
    """The next packets may leave."""


class Timers:
    """Deadlines by kind, in the seconds of `now`."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: list[float] = [inf] * len(Timer)

    def stop(self, timer: Timer) -> None:
        """Wait no longer for this."""
        self.at[timer] = inf

    def stop_all(self) -> None:
        """Wait for nothing."""
        self.at = [inf] * len(Timer)

    def running(self, timer: Timer) -> bool:
        """Whether this is being waited for."""
        return self.at[timer] != inf

    def next(self) -> float | None:
        """Return the earliest deadline, or None."""
        earliest = min(self.at)
        return None if earliest == inf else earliest

    def take_due(self, now: float) -> list[Timer]:
        """Stop and return what is due, in the order of the kinds."""
        due = [timer for timer in Timer if self.at[timer] <= now]
        for timer in due:
            self.at[timer] = inf
        return due
