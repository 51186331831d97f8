"""asyncio in virtual time: the clock jumps to the next event, and one seed gives one history.

Why a loop of its own rather than asyncio's with a faked selector: asyncio's timer heap is not
first-in first-out for equal times, so it reorders packets that left together; it asks the
operating system at every turn; and a packet's delivery would cost a handle, a context and two trips
through queues. Here timers and packets stand in one heap, ordered by (time, number), and a packet's
entry is called directly.

Rules of the clock. `time()` moves only when nothing is ready; then it jumps to the first entry of
the heap, whose consequences all run before the next entry does, even one of the same instant.
"""

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import math
import sys
import threading
import weakref
from asyncio import events
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from typing import Any, Final, TypeVarTuple, Unpack, cast

from simulations.errors import Spinning, Stuck
from simulations.runtime.abandoned import abandon, forget, unwind_generator
from simulations.runtime.failures import FailsStrictly
from simulations.runtime.handles import ReadyHandle, Result, VirtualTask, VirtualTimer
from simulations.runtime.inline import RunsInline
from simulations.runtime.realworld import GUARD, RefusesRealWorld, refuse
from simulations.runtime.sleeping import HoldsBackSleepers, current_host
from simulations.runtime.waiting import describe_waiting, live_tasks

Args = TypeVarTuple("Args")
HeapEntry = tuple[float, int, Callable[[Any], object] | None, Any]

SPIN_LIMIT: Final = 5_000_000
"""Rounds of callbacks at one instant that pass for work; a real spin takes seconds to get here."""
CANCELLED_TIMERS_MIN: Final = 512
"""Below this number of cancelled timers a sweep of the heap costs more than it frees."""
EPOCH_S: Final = 1_790_000_000.0
"""Seconds since 1970 at virtual time zero: any fixed date at which certificates are valid."""


class VirtualLoop(RunsInline, HoldsBackSleepers, FailsStrictly, RefusesRealWorld):
    """An asyncio event loop whose clock is virtual.

    `strict` makes an uncaught exception end the run with CallbackFailed; otherwise it is
    logged. `now` is the virtual time, for readers that cannot afford the call of `time()`.
    """

    virtual: Final = True

    def __init__(self, *, start_s: float = 0.0, strict: bool = True, spin_limit: int = SPIN_LIMIT):
        RunsInline.__init__(self)
        HoldsBackSleepers.__init__(self)
        FailsStrictly.__init__(self, strict=strict)
        self.now = start_s
        self._spin_limit = spin_limit
        self._rounds = 0
        self._is_abandoning = False
        self._buried: list[asyncio.Task[Any]] = []
        self._heap: list[HeapEntry] = []
        self._next_number = itertools.count().__next__
        self._next_task_number = itertools.count(1).__next__
        self._cancelled_timers = 0
        self._stopping = False
        self._closed = False
        self._debug = False
        self._thread: int | None = None
        self._task_factory: Any = None
        self._async_generators: weakref.WeakValueDictionary[int, AsyncGenerator[Any, Any]] = (
            weakref.WeakValueDictionary()
        )

    # the clock and its callbacks

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.now

    def wall_time(self) -> float:
        """Seconds since 1970, virtual: what `time.time` is to a real node."""
        return EPOCH_S + self.now

    def call_soon(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Run the callback at this instant, after what is already ready."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if context is None:  # an empty context is false, and is not none
            context = contextvars.copy_context()
        handle = ReadyHandle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As `call_soon`; from another thread it is refused, as it would break determinism."""
        if self._thread not in {None, threading.get_ident()}:
            refuse("a callback from another thread")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run the callback after `delay` virtual seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run the callback at virtual time `when`; equal times run in the order of the calls."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if context is None:
            context = contextvars.copy_context()
        timer = VirtualTimer(when, callback, args, self, context)
        if when < math.inf:
            timer._scheduled = True
            heapq.heappush(self._heap, (when, self._next_number(), None, timer))
        elif math.isnan(when):
            raise ValueError("a timer's time must be a number")
        return timer

    def post_at(self, when: float, action: Callable[[Any], object], argument: object) -> None:
        """Call `action(argument)` at `when`, without handle, context or cancelling: for packets."""
        heapq.heappush(self._heap, (when, self._next_number(), action, argument))

    @property
    def scheduled_count(self) -> int:
        """Timers and packets in the heap, cancelled timers that were not swept out yet included."""
        return len(self._heap)

    def timer_cancelled(self) -> None:
        """Count a cancelled timer in the heap, and sweep them out once they are most of it."""
        self._cancelled_timers += 1
        if self._cancelled_timers > CANCELLED_TIMERS_MIN and self._cancelled_timers * 2 > len(
            self._heap
        ):
            self._heap[:] = [
                entry for entry in self._heap if entry[2] is not None or not entry[3]._cancelled
            ]
            heapq.heapify(self._heap)
            self._cancelled_timers = 0

    # running

    def run_forever(self) -> None:
        """Run until `stop()`; Stuck if nothing is left to happen before that."""
        self._check_can_run()
        with self._being_current():
            self._run()
        self.raise_failure()

    @contextlib.contextmanager
    def _being_current(self) -> Iterator[None]:
        """What runs inside the `with` block finds this loop running, and meets the wall."""
        old_hooks = sys.get_asyncgen_hooks()
        self._thread = threading.get_ident()
        sys.set_asyncgen_hooks(self._async_generator_born, self._async_generator_dropped)
        events._set_running_loop(self)
        GUARD.raise_wall()
        try:
            yield
        finally:
            GUARD.lower_wall()
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*old_hooks)
            self._thread = None
            self._stopping = False

    def run_until_complete(
        self, future: Generator[Any, None, Result] | Awaitable[Result]
    ) -> Result:
        """Run until the future is done, and return its result or raise its exception."""
        self._check_can_run()
        self._wake_if_ending()
        is_new = not asyncio.isfuture(future)
        awaited = asyncio.ensure_future(cast("Awaitable[Result]", future), loop=self)
        if is_new:
            awaited._log_destroy_pending = False  # type: ignore[attr-defined]
        awaited.add_done_callback(self._stop_at_end)
        try:
            self.run_forever()
        except BaseException:
            if is_new and awaited.done() and not awaited.cancelled():
                awaited.exception()  # it was seen: another error is already on its way
            raise
        finally:
            awaited.remove_done_callback(self._stop_at_end)
        if not awaited.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return awaited.result()

    def _stop_at_end(self, _future: "asyncio.Future[Any]") -> None:
        self._stopping = True

    def _run(self) -> None:
        while True:
            try:
                self._run_events()
            except (KeyboardInterrupt, SystemExit, Stuck, Spinning):
                raise
            except BaseException as failure:  # noqa: BLE001 - a loop hands on whatever it caught
                self.call_exception_handler(
                    {"message": "Exception in callback", "exception": failure}
                )
            if self._stopping:
                return

    def _run_events(self) -> None:
        """The main loop: every callback, timer and packet passes here. It returns to stop."""
        ready, heap = self._ready, self._heap
        while True:
            if ready:
                self._run_ready()
            if self._stopping:
                return
            if not heap:
                raise Stuck(
                    f"nothing is left to happen at {self.now} s, and this waits:\n"
                    + describe_waiting(self)
                )
            when, _, action, argument = heapq.heappop(heap)
            if action is None and argument._cancelled:
                self._cancelled_timers -= 1
                continue
            if when > self.now:
                self.now = when
                self._rounds = 0
            if action is None:
                argument._scheduled = False
                ready.append(argument)
            else:
                action(argument)

    def _run_ready(self) -> None:
        ready = self._ready
        while ready:
            for _ in range(len(ready)):
                handle = ready.popleft()
                if handle._cancelled or (self.sleepers and self._holds_back(handle)):
                    continue
                handle._context.run(handle._callback, *handle._args)  # type: ignore[arg-type, misc]
            del handle  # a failed task's traceback may keep this frame, and so the task, alive
            if self._stopping:
                return
            self._rounds += 1
            if self._rounds > self._spin_limit:
                raise Spinning(self._describe_spin())

    def _describe_spin(self) -> str:
        upcoming = ", ".join(repr(handle) for handle in itertools.islice(self._ready, 3))
        return f"{self._spin_limit} rounds of callbacks at {self.now} s; next would be {upcoming}"

    def _check_can_run(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        if events._get_running_loop() is not None:
            raise RuntimeError("Cannot run the event loop while another loop is running")

    def stop(self) -> None:
        """End the run after the callbacks that are ready now."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether the loop runs."""
        return self._thread is not None

    def is_closed(self) -> bool:
        """Whether the loop was closed."""
        return self._closed

    def close(self) -> None:
        """Drop everything that is scheduled; a failure that no run has raised is raised here.

        Tasks that are still there end without a word, those of dead hosts among them.
        """
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        self._abandon_the_rest()
        self._closed = True
        self._ready.clear()
        self._heap.clear()
        self.raise_failure()

    def bury(self, tasks: Sequence["asyncio.Task[Any]"]) -> None:
        """Keep tasks of a dead host as they are until the loop is closed: their cleanup is code."""
        self._buried += tasks
        forget(tasks)  # no runner is to cancel or await them

    def _abandon_the_rest(self) -> None:
        with self._being_current():
            self._is_abandoning = True
            while left := self._buried + live_tasks(self):  # a cleanup may start new ones
                self._buried = []
                forget(left)
                abandon(left)

    async def shutdown_asyncgens(self) -> None:
        """Close the asynchronous generators that are still open, oldest first."""
        generators = [self._async_generators[key] for key in sorted(self._async_generators)]
        self._async_generators.clear()
        for generator in generators:
            try:
                await generator.aclose()
            except Exception as failure:  # noqa: BLE001 - handed on, as asyncio does
                self.call_exception_handler(
                    {"message": f"an error occurred closing {generator!r}", "exception": failure}
                )

    def _async_generator_born(self, generator: AsyncGenerator[Any, Any]) -> None:
        self._async_generators[self._next_task_number()] = generator

    def _async_generator_dropped(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._is_abandoning:
            unwind_generator(generator)
        elif not self._closed:
            self.call_soon(self.create_task, generator.aclose())

    # tasks and futures

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, Result] | Coroutine[Any, Any, Result],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[Result]":
        """A task of this loop; unnamed ones are numbered from 1 in every run."""
        if self._closed:
            raise RuntimeError("Event loop is closed")
        if self._task_factory is not None:
            made: asyncio.Task[Result] = self._task_factory(self, coro, context=context)
            return made
        number = self._next_task_number()
        label = f"Task-{number}" if name is None else str(name)
        host = current_host.get() if context is None else context.get(current_host)
        return VirtualTask(coro, sequence=number, host=host, loop=self, name=label, context=context)

    def set_task_factory(self, factory: Any) -> None:
        """As asyncio's; tasks made by a factory lose the fixed order of sets."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """The task factory, or None."""
        return self._task_factory

    def get_debug(self) -> bool:
        """Whether debugging is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Make asyncio's tasks and futures remember where they were made."""
        self._debug = enabled
