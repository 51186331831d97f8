"""Hosts of a simulated internet that sleep or are dead: their code does not run.

A host that sleeps keeps its timers' virtual times: what comes due is held back and runs at the
wake, overdue, in order, as on a suspended machine whose clock went on.
"""

import asyncio
import contextvars
from collections import deque
from typing import Protocol

from simulations.runtime.handles import ReadyHandle, VirtualTimer
from simulations.runtime.waiting import live_tasks


class SuspendableHost(Protocol):
    """What the loop knows of a host: whether its code may run, and what was held back.

    `held_back` is None for a host that is dead: what comes due is thrown away.
    """

    awake: bool
    held_back: list[asyncio.Handle] | None


current_host: contextvars.ContextVar[SuspendableHost | None] = contextvars.ContextVar(
    "current_host", default=None
)
"""The simulated host that the running code belongs to; tasks and timers inherit it."""


class HoldsBackSleepers(asyncio.AbstractEventLoop):
    """The part of a loop that leaves alone what belongs to hosts that are not awake."""

    def __init__(self) -> None:
        self.sleepers: dict[SuspendableHost, None] = {}
        self._ready: deque[ReadyHandle | VirtualTimer] = deque()
        self._is_ending = False

    def fall_asleep(self, host: SuspendableHost) -> None:
        """Hold back from now on what belongs to a host that is not awake."""
        self.sleepers[host] = None

    def wake_up(self, host: SuspendableHost) -> None:
        """Make ready, in order, what was held back for a host."""
        del self.sleepers[host]
        held_back, host.held_back = host.held_back or [], []
        self._ready.extend(held_back)  # type: ignore[arg-type]

    def _holds_back(self, handle: ReadyHandle | VirtualTimer) -> bool:
        host = handle._context.get(current_host)
        if host is None or host.awake:
            return False
        if host.held_back is None:
            return True
        if self._is_ending:
            return False
        host.held_back.append(handle)
        return True

    def _wake_if_ending(self) -> None:
        """Let sleeping hosts unwind once every task was cancelled, as runners do at the end."""
        if not self.sleepers:
            return
        tasks = live_tasks(self)
        self._is_ending = bool(tasks) and all(task.cancelling() for task in tasks)
        if self._is_ending:
            for host in self.sleepers:
                self._ready.extend(host.held_back or ())  # type: ignore[arg-type]
                if host.held_back is not None:
                    host.held_back = []
