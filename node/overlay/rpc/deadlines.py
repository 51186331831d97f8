"""Time limits of many requests on one timer of the loop.

Nearly every request is answered long before its limit. A timer for each would be made and
cancelled for nothing, so here one timer waits for the earliest limit that may still matter. The
limit of a request that was answered is dropped when its time comes.
"""

import asyncio
import heapq
import math
from collections.abc import Callable


class Deadlines:
    """Calls `expired(key)` once a key's time has come, unless `is_pending(key)` says it is settled.

    Times are seconds of the loop's clock. Keys with the same deadline expire in the order in which
    they were set.
    """

    def __init__(
        self, is_pending: Callable[[bytes], bool], expired: Callable[[bytes], None]
    ) -> None:
        self._is_pending = is_pending
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[float, int, bytes]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf

    def set(self, key: bytes, at: float) -> None:
        """Let `key`, which is set at most once, expire at `at`."""
        self._number += 1
        heapq.heappush(self._queue, (at, self._number, key))
        if at < self._armed_for:
            self._arm(at)

    def clear(self) -> None:
        """Forget every deadline."""
        self._queue.clear()
        self._arm(math.inf)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = at
        self._timer = self._loop.call_at(at, self._due) if at < math.inf else None

    def _due(self) -> None:
        self._armed_for = math.inf
        self._timer = None
        queue = self._queue
        now = self._loop.time()
        while queue:
            at, _, key = queue[0]
            pending = self._is_pending(key)
            if pending and at > now:
                break
            heapq.heappop(queue)
            if pending:
                self._expired(key)
        if queue and queue[0][0] < self._armed_for:
            self._arm(queue[0][0])
