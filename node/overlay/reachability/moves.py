"""Notices within seconds that this machine has other addresses, or that it slept."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from node.environment import Environment
from protocol import limits


class _Look(NamedTuple):
    """What was seen at one time: IP literals, and what both clocks said."""

    hosts: list[str]
    wall: float
    at: float


class Moves:
    """Looks at the host's addresses and both clocks; `moved` is told whether the host slept.

    Some systems stop the monotonic clock during sleep, so that the wall clock runs ahead; on the
    others it is the pause between two looks that was too long.
    """

    def __init__(self, environment: Environment, moved: Callable[[bool], None]) -> None:
        self._environment = environment
        self._moved = moved
        self._next: asyncio.TimerHandle | None = None
        self._before: _Look | None = None

    def start(self) -> None:
        """Look every HOST_CHECKED_S, until closed."""
        self._look_after(self._now())

    def look(self) -> None:
        """Look now as well: a link was silent, and what contacts see is not to be forgotten soon
        after they were asked.
        """
        if self._next is not None and self._before is not None:
            self._next.cancel()
            self._look(self._before)

    def close(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_after(self, before: _Look) -> None:
        # A timer: to wake a task would cost more than what is looked at.
        loop = asyncio.get_running_loop()
        self._before = before
        self._next = loop.call_later(limits.HOST_CHECKED_S, self._look, before)

    def _look(self, before: _Look) -> None:
        now = self._now()
        self._look_after(now)
        late_s = max(now.at - before.at, now.wall - before.wall) - limits.HOST_CHECKED_S
        slept = late_s > limits.CLOCK_JUMP_S
        if slept or set(now.hosts) != set(before.hosts):
            self._moved(slept)

    def _now(self) -> _Look:
        here = self._environment
        return _Look(here.host_addresses(), here.wall(), asyncio.get_running_loop().time())
