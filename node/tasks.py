"""Owners of tasks, and calls in threads.

No task of a node is an orphan: each has an owner that ends and awaits it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from protocol import limits
from protocol.errors import ModswarmError

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class TaskOwner:
    """Starts tasks and ends them all; what they raise is logged, never lost.

    A named error of the project ends its task quietly. Anything else is a defect: it is logged as
    an error, and the first of them are kept in `defects`, which tests and simulations expect to be
    empty.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._closed = False
        self.defects: list[BaseException] = []

    def start(self, coroutine: Coroutine[Any, Any, _Result], *, name: str) -> asyncio.Task[_Result]:
        """Run a coroutine until it ends or the owner does; raises RuntimeError once closed."""
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self._name} is closed")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}: {name}")
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, ModswarmError):
            _log.info("%s: %s", task.get_name(), error)
        elif error is not None:
            if len(self.defects) < limits.DEFECTS_KEPT:
                self.defects.append(error)
            _log.error("%s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._tasks)


async def in_thread(call: Callable[[], _Result]) -> _Result:
    """What a blocking call returns or raises; it runs in a thread of the loop's own.

    The call is made even if the caller is cancelled, which then waits until the thread has ended:
    so it may close what the thread uses, and a call that gives something back is not left out.
    """
    running = asyncio.get_running_loop().run_in_executor(None, call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # the caller wants no result, and the loop is not to tell of this one
        raise
