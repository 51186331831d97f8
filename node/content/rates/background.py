"""What background work may take of a core: it is measured, and rests until that is paid for."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from protocol import limits
from protocol.rate_limit import RateLimit

_Result = TypeVar("_Result")


class BackgroundPacer:
    """Keeps all background work of a node within 5 % of a core, on average.

    For scrubs, caching and sealing that no person waits for: `await pacer.rest()` before each small
    step (a pack's next chunks, one file), and the step itself through `pacer.measured(step)`, in
    whatever thread it runs. Work that a person waits for never goes through it. `thread_cpu_s`
    gives the CPU seconds of the calling thread, so waiting for a disk costs nothing.
    """

    def __init__(self, thread_cpu_s: Callable[[], float]) -> None:
        self._thread_cpu_s = thread_cpu_s
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._lock = threading.Lock()
        self._used_ms = RateLimit(
            limits.BACKGROUND_CPU_MS_PER_SECOND, limits.BACKGROUND_CPU_MS_BURST
        )
        self._unpaid_s = 0.0

    def measured(self, step: Callable[[], _Result]) -> _Result:
        """Do a step, and count what it takes, also where it fails. Blocking; in any thread."""
        began_s = self._thread_cpu_s()
        try:
            return step()
        finally:
            with self._lock:
                self._unpaid_s += self._thread_cpu_s() - began_s

    def charge(self, cpu_s: float) -> None:
        """Count what a step takes that cannot be measured in one thread, as that of a link."""
        with self._lock:
            self._unpaid_s += cpu_s

    async def rest(self) -> None:
        """Wait until what was done so far is paid for; all that wait have their turns."""
        async with self._turn:
            wait_s = self._wait_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    def _wait_s(self) -> float:
        now = self._loop.time()
        with self._lock:
            spent_s, self._unpaid_s = self._unpaid_s, 0.0
        self._used_ms.spend(now, spent_s * 1000)
        return self._used_ms.wait_s(now, 0)
