"""One timer of the loop for all that wake at times of their own, such as the ICE of every link.

Nearly every wake is put off before it comes, so a timer of the loop for each would be set and
cancelled in vain.
"""

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

Wake = Callable[[], None]

_SWEPT_AT: Final = 64
"""A heap of fewer entries is not worth a search for those that no longer matter."""


class SharedTimer:
    """Calls each `wake` at the time last set for it, in the loop's own clock."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._times: dict[Wake, float] = {}
        self._heap: list[tuple[float, int, Wake]] = []
        self._entries = 0
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = inf

    def set(self, wake: Wake, at: float | None) -> None:
        """Call `wake` once, then and not before; None: not at all."""
        if at is None:
            self._times.pop(wake, None)
        elif self._times.get(wake) != at:
            self._times[wake] = at
            self._entries += 1
            heappush(self._heap, (at, self._entries, wake))
            if len(self._heap) > _SWEPT_AT + 2 * len(self._times):
                self._sweep()
            if at < self._fires_at:
                self._arm(at)

    def _sweep(self) -> None:
        times = self._times
        self._heap = [entry for entry in self._heap if times.get(entry[2]) == entry[0]]
        heapify(self._heap)

    def _arm(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = at
        self._handle = self._loop.call_at(at, self._fire)

    def _fire(self) -> None:
        """Have each that is due called by the loop, so that none can keep another from it."""
        now, times, heap = self._loop.time(), self._times, self._heap
        while heap and heap[0][0] <= now:
            at, _, wake = heappop(heap)
            if times.get(wake) == at:
                del times[wake]
                self._loop.call_soon(wake)
        while heap and times.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        self._handle, self._fires_at = None, inf
        if heap:
            self._arm(heap[0][0])
