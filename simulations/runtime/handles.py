"""asyncio's handles and tasks without what virtual time has no use for, and with a fixed order.

Two reasons not to use asyncio's own. Its handles ask the loop about debugging at every turn, and a
simulation makes millions of them. And a task's hash is its memory address, so a set of tasks
(`asyncio.TaskGroup`, `asyncio.wait`) is cancelled or returned in another order in every process.
"""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")


class TimerOwner(Protocol):
    """What a timer tells when it is cancelled."""

    def timer_cancelled(self) -> None:
        """One timer in the heap is cancelled now."""
        ...


class ReadyHandle(asyncio.Handle):
    """A callback that runs at the present instant."""

    __slots__ = ()
    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None  # type: ignore[assignment]
    _context: Context

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context):
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Never run the callback."""
        self._cancelled = True
        self._callback = None
        self._args = None

    def __repr__(self) -> str:
        if self._cancelled:
            return f"<{type(self).__name__} cancelled>"
        return f"<{type(self).__name__} {self._callback!r}>"


class VirtualTimer(asyncio.TimerHandle):
    """A callback that runs when virtual time reaches `when()`."""

    __slots__ = ("_owner",)
    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None  # type: ignore[assignment]
    _context: Context
    _when: float
    _scheduled: bool

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        owner: TimerOwner,
        context: Context,
    ) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._owner = owner
        self._context = context
        self._cancelled = False
        self._scheduled = False

    def cancel(self) -> None:
        """Never run the callback; it leaves the heap when it is due, or by a sweep."""
        if self._cancelled:
            return
        self._cancelled = True
        self._callback = None
        self._args = None
        if self._scheduled:
            self._owner.timer_cancelled()

    def __repr__(self) -> str:
        state = "cancelled" if self._cancelled else repr(self._callback)
        return f"<VirtualTimer when={self._when} {state}>"


class VirtualTask(asyncio.Task[Result]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    __slots__ = ("host", "sequence")
    sequence: int
    host: object

    def __init__(
        self,
        coro: Generator[Any, None, Result] | Any,
        *,
        sequence: int,
        host: object,
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        context: Context | None,
    ) -> None:
        self.host = host
        self.sequence = sequence  # before asyncio puts the task into a set
        super().__init__(coro, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self.sequence
