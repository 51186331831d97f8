"""Running a coroutine in virtual time, from its start until nothing of it is left."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from simulations.runtime.collector import collecting_rarely
from simulations.runtime.handles import Result
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.waiting import live_tasks


def run_virtually(main: Coroutine[Any, Any, Result], loop: VirtualLoop | None = None) -> Result:
    """Run `main` to its end, cancel what is left in the order of its creation, close the loop.

    The loop is a new one unless it is given, as where an internet was built on it before.
    `asyncio.Runner` works too, but cancels what is left in the order of a set.
    """
    loop = loop or VirtualLoop()
    with collecting_rarely():
        try:
            return loop.run_until_complete(main)
        finally:
            try:
                if not loop.is_closed():
                    _cancel_the_rest(loop)
                    loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()


def _cancel_the_rest(loop: VirtualLoop) -> None:
    left = live_tasks(loop)
    if not left:
        return
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and (failure := task.exception()) is not None:
            loop.call_exception_handler(
                {
                    "message": f"{task.get_name()} failed while it was cancelled",
                    "exception": failure,
                }
            )
