"""Runs a coroutine on a loop whose clock jumps to the next timer, with executors inline."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Arguments = TypeVarTuple("_Arguments")


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting, tells the loop how long it would have waited."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        self.loop.elapsed_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """One thread, no waiting."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.elapsed_s

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[_Arguments]], _T],
        *args: *_Arguments,
    ) -> "asyncio.Future[_T]":
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  (it is the caller's)
            future.set_exception(error)
        return future


def run_virtually(scenario: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end; the real time that passes is only what the work takes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)
