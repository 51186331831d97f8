"""What becomes of an uncaught exception: in a simulation it ends the run.

A real loop logs it and goes on, which is how a defect hides in a thousand nodes' noise.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from simulations.errors import CallbackFailed

ExceptionHandler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

FAILURES_KEPT_MAX: Final = 100

logger = logging.getLogger("asyncio")


@dataclass(frozen=True, slots=True)
class Failure:
    """One call of the loop's exception handler: what asyncio says of it and the exception."""

    message: str
    exception: BaseException | None


class FailsStrictly(asyncio.AbstractEventLoop):
    """The exception handling of a loop. `failures` keeps the first ones, raised or logged."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.failures: list[Failure] = []
        self._unraised: Failure | None = None
        self._exception_handler: ExceptionHandler | None = None

    def set_exception_handler(self, handler: ExceptionHandler | None) -> None:
        """As asyncio's: a handler of one's own replaces strictness."""
        self._exception_handler = handler

    def get_exception_handler(self) -> ExceptionHandler | None:
        """The handler that was set, or None."""
        return self._exception_handler

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hand a failure to the handler that was set, else to the default one."""
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Strict: end the run with CallbackFailed. Otherwise, and once closed: log."""
        failure = Failure(str(context.get("message", "unnamed failure")), context.get("exception"))
        if len(self.failures) < FAILURES_KEPT_MAX:
            self.failures.append(failure)
        if self.strict and not self.is_closed():
            self._unraised = self._unraised or failure
            self.stop()
            return
        logger.error(
            "%s at virtual time %s", failure.message, self.time(), exc_info=failure.exception
        )

    def raise_failure(self) -> None:
        """Raise the first failure that strictness has not raised yet, if there is one."""
        failure, self._unraised = self._unraised, None
        if failure is not None:
            message = f"{failure.message} at {self.time()} s: {failure.exception!r}"
            raise CallbackFailed(message) from failure.exception
