"""How the processor time of some work divides among its stages, each a function that is wrapped."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock


class Stages:
    """Seconds of each stage, without those of stages that it calls; of all threads together."""

    def __init__(self) -> None:
        self.cpu_s: Counter[str] = Counter()
        self.waited_s: Counter[str] = Counter()
        """What a stage took beyond its processor time: for the disk, a lock or a processor."""
        self._lock = threading.Lock()
        self._thread = threading.local()

    def percent(self) -> dict[str, float]:
        """Of the processor time of all stages, that of each; the largest first."""
        total = sum(self.cpu_s.values())
        return {stage: round(100 * s / total, 1) for stage, s in self.cpu_s.most_common()}

    @contextlib.contextmanager
    def wrapping(self, *functions: tuple[Any, str, str]) -> Iterator[None]:
        """Time these while inside: the owner of each function, its name, and the stage."""
        with contextlib.ExitStack() as patches:
            for owner, name, stage in functions:
                wrapped = self._wrapped(getattr(owner, name), stage)
                patches.enter_context(mock.patch.object(owner, name, wrapped))
            yield

    def _wrapped(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            with self._timing(stage):
                result = function(*arguments, **options)
            return self._steps(result, stage) if isinstance(result, Iterator) else result

        return timed

    def _steps(self, steps: Iterator[Any], stage: str) -> Iterator[Any]:
        while True:
            with self._timing(stage):
                step = next(steps, self)
            if step is self:
                return
            yield step

    @contextlib.contextmanager
    def _timing(self, stage: str) -> Iterator[None]:
        outer = getattr(self._thread, "inner", (0.0, 0.0))
        self._thread.inner = (0.0, 0.0)
        began = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            cpu, wall = time.thread_time() - began[0], time.perf_counter() - began[1]
            inner_cpu, inner_wall = self._thread.inner
            self._thread.inner = outer[0] + cpu, outer[1] + wall
            with self._lock:
                self.cpu_s[stage] += cpu - inner_cpu
                self.waited_s[stage] += wall - inner_wall - (cpu - inner_cpu)
