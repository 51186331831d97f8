"""Executors of a loop in virtual time: what a real loop gives a thread runs here and now."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVarTuple, Unpack

from simulations.runtime.handles import Result
from simulations.runtime.network_calls import NetworkCalls

Args = TypeVarTuple("Args")


class RunsInline(NetworkCalls):
    """Executors that run everything at once, in the loop's own thread."""

    def run_in_executor(
        self,
        executor: Any,
        func: Callable[[Unpack[Args]], Result],
        *args: *Args,
    ) -> "asyncio.Future[Result]":
        """Run the function now, in this thread, and return a done future.

        The resolver's blocking calls are answered from the simulated names.
        """
        future: asyncio.Future[Result] = asyncio.Future(loop=self)
        try:
            future.set_result(self.resolver_call(func)(*args))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:  # noqa: BLE001 - it is the future's result
            future.set_exception(failure)
        return future

    def set_default_executor(self, executor: object) -> None:
        """Ignored: every executor runs inline."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's signature
        """Nothing to do: executors run inline."""
