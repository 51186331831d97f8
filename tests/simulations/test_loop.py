"""The virtual loop: its clock, its order, asyncio's semantics on it, and what it refuses."""

import asyncio
import contextvars
import itertools
import math
import socket
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.errors import CallbackFailed, SimulationError, Spinning, Stuck, TouchedRealWorld
from simulations.runtime.loop import CANCELLED_TIMERS_MIN, EPOCH_S, VirtualLoop
from simulations.runtime.running import run_virtually

# the clock


def test_time_is_virtual_and_costs_nothing(loop: VirtualLoop) -> None:
    started = time.perf_counter()
    loop.run_until_complete(asyncio.sleep(86_400.0))
    assert loop.time() == 86_400.0
    assert loop.wall_time() == EPOCH_S + 86_400.0
    assert time.perf_counter() - started < 5.0


def test_time_starts_where_it_is_told() -> None:
    loop = VirtualLoop(start_s=50.0)
    assert run_virtually(asyncio.sleep(1.0, "done"), loop) == "done"
    assert loop.time() == 51.0


def test_the_loop_says_that_it_is_virtual(loop: VirtualLoop) -> None:
    assert loop.virtual is True


def test_equal_times_run_in_the_order_of_the_calls(loop: VirtualLoop) -> None:
    order: list[int] = []
    for number in range(200):
        loop.call_at(1.0, order.append, number)
    loop.call_at(1.0, loop.stop)
    loop.run_forever()
    assert order == list(range(200))


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_timers_run_by_time_then_by_number(delays: list[int]) -> None:
    loop = VirtualLoop()
    order: list[tuple[int, int]] = []
    for number, delay in enumerate(delays):
        loop.call_later(delay, order.append, (delay, number))
    run_virtually(asyncio.sleep(9.0), loop)
    assert order == sorted((delay, number) for number, delay in enumerate(delays))


def test_consequences_run_before_the_next_timer_of_the_instant(loop: VirtualLoop) -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        loop.call_soon(order.append, "consequence")

    loop.call_at(1.0, first)
    loop.call_at(1.0, order.append, "second")
    loop.run_until_complete(asyncio.sleep(2.0))
    assert order == ["first", "consequence", "second"]


def test_a_timer_in_the_past_runs_now(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(5.0))
    times: list[float] = []
    loop.call_at(1.0, lambda: times.append(loop.time()))
    loop.run_until_complete(asyncio.sleep(1.0))
    assert times == [5.0]


def test_cancelled_timers_neither_run_nor_move_the_clock(loop: VirtualLoop) -> None:
    ran: list[str] = []
    far = loop.call_later(100.0, ran.append, "far")
    assert far.when() == 100.0
    far.cancel()
    far.cancel()
    assert far.cancelled()
    loop.run_until_complete(asyncio.sleep(1.0))
    with pytest.raises(Stuck):
        loop.run_forever()
    assert loop.time() == 1.0
    assert ran == []


def test_cancelled_timers_are_swept_out_of_the_heap(loop: VirtualLoop) -> None:
    timers = [loop.call_later(1000.0 + number, print) for number in range(4 * CANCELLED_TIMERS_MIN)]
    kept = timers[::4]
    for timer in timers:
        if timer not in kept:
            timer.cancel()
    assert loop.scheduled_count < 2 * len(kept)
    order: list[float] = []
    for timer in kept:
        loop.call_at(timer.when() + 0.5, order.append, timer.when())
    for timer in kept:
        timer.cancel()
    loop.run_until_complete(asyncio.sleep(10_000.0))
    assert order == [timer.when() for timer in kept]


def test_a_timer_at_infinity_never_runs(loop: VirtualLoop) -> None:
    loop.call_later(math.inf, pytest.fail, "it ran")
    with pytest.raises(Stuck):
        loop.run_forever()
    with pytest.raises(ValueError, match="number"):
        loop.call_later(math.nan, print)


# asyncio on it


def test_gather_timeout_shield_and_cancellation(loop: VirtualLoop) -> None:
    seen: list[str] = []

    async def worker(name: str, delay: float) -> str:
        try:
            await asyncio.sleep(delay)
        except asyncio.CancelledError:
            seen.append(f"{name} cancelled at {loop.time()}")
            raise
        return name

    async def main() -> None:
        assert list(await asyncio.gather(worker("a", 2.0), worker("b", 1.0))) == ["a", "b"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await worker("c", 10.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(worker("d", 10.0), 0.25)
        task = asyncio.create_task(worker("e", 10.0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        shielded = asyncio.ensure_future(worker("f", 1.0))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(shielded), 0.5)
        assert await shielded == "f"

    loop.run_until_complete(main())
    assert seen == ["c cancelled at 2.5", "d cancelled at 2.75", "e cancelled at 2.75"]


def test_a_task_group_cancels_in_the_order_of_creation(loop: VirtualLoop) -> None:
    order: list[int] = []

    async def wait_for_ever(number: int) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            order.append(number)

    async def fail() -> None:
        await asyncio.sleep(1.0)
        raise RuntimeError("on purpose")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(wait_for_ever(number))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        loop.run_until_complete(main())
    assert order == list(range(6))


def test_tasks_are_numbered_from_one_in_every_loop() -> None:
    async def name() -> str:
        task = asyncio.current_task()
        assert task is not None
        return task.get_name()

    assert [run_virtually(name()) for _ in range(2)] == ["Task-1", "Task-1"]


def test_an_empty_context_is_a_context(loop: VirtualLoop) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    empty = contextvars.Context()
    loop.call_soon(variable.set, 1, context=empty)
    loop.call_later(0.1, variable.set, 2, context=empty)
    loop.run_until_complete(asyncio.sleep(0))
    assert empty[variable] == 1
    loop.run_until_complete(asyncio.sleep(1.0))
    assert empty[variable] == 2


def test_executors_run_inline_and_their_futures_are_done(loop: VirtualLoop) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        future = loop.run_in_executor(None, threading.get_ident)
        assert future.done()
        assert await future == threading.get_ident()
        assert await asyncio.to_thread(sum, [1, 2]) == 3
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, fail)

    loop.run_until_complete(main())


def test_a_runner_works_on_it() -> None:
    loop = VirtualLoop()
    left: list[str] = []

    async def leftover() -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            left.append("cancelled")

    async def main() -> float:
        loop.create_task(leftover())
        await asyncio.sleep(3.0)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(main()) == 3.0
    assert left == ["cancelled"]
    assert loop.is_closed()


def test_run_cancels_what_is_left_in_the_order_of_creation() -> None:
    order: list[int] = []

    async def leftover(number: int) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            order.append(number)

    async def main() -> None:
        for number in range(40):
            asyncio.get_running_loop().create_task(leftover(number))
        await asyncio.sleep(1.0)

    run_virtually(main())
    assert order == list(range(40))


def test_asynchronous_generators_are_closed_at_the_end() -> None:
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append("closed")

    kept: list[Any] = []

    async def main() -> None:
        generator = numbers()
        kept.append(generator)
        assert await anext(generator) == 1

    run_virtually(main())
    assert closed == ["closed"]


def test_a_dropped_asynchronous_generator_is_closed_at_once(loop: VirtualLoop) -> None:
    closed: list[float] = []

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            closed.append(loop.time())

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1.0)

    loop.run_until_complete(main())
    assert closed == [0.0]


def test_stop_ends_the_run_and_the_next_run_goes_on(loop: VirtualLoop) -> None:
    ran: list[float] = []
    for at in (1.0, 2.0):
        loop.call_at(at, lambda: ran.append(loop.time()))
    loop.call_at(1.0, loop.stop)
    loop.run_forever()
    assert ran == [1.0]
    loop.call_at(3.0, loop.stop)
    loop.run_forever()
    assert ran == [1.0, 2.0]


def test_a_closed_loop_takes_nothing(loop: VirtualLoop) -> None:
    loop.close()
    for call in (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1.0, print),
        lambda: loop.run_forever(),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_a_loop_does_not_run_inside_another(loop: VirtualLoop) -> None:
    async def main() -> None:
        other = VirtualLoop()
        for inner in (loop, other):
            with pytest.raises(RuntimeError, match="run"):
                inner.run_forever()
        other.close()

    loop.run_until_complete(main())


# stuck and spinning


def test_stuck_lists_what_waits_and_where(loop: VirtualLoop) -> None:
    async def deep() -> None:
        await asyncio.Event().wait()

    async def waits_for_ever() -> None:
        await deep()

    async def main() -> None:
        task = asyncio.create_task(waits_for_ever(), name="the lonely one")
        await asyncio.sleep(1.0)
        await task

    with pytest.raises(Stuck) as caught:
        run_virtually(main(), loop)
    text = str(caught.value)
    assert "at 1.0 s" in text
    assert "the lonely one" in text
    assert text.index("waits_for_ever") < text.index("deep")
    assert "test_loop.py" in text


def test_stuck_on_a_bare_future(loop: VirtualLoop) -> None:
    with pytest.raises(Stuck, match="only the future itself"):
        loop.run_until_complete(loop.create_future())


def test_spinning_is_told_from_waiting() -> None:
    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    async def busy_but_sane() -> None:
        for _ in range(40):
            for _ in range(400):
                await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    run_virtually(busy_but_sane(), VirtualLoop(spin_limit=1000))
    with pytest.raises(Spinning, match="1000 rounds"):
        run_virtually(spin(), VirtualLoop(spin_limit=1000))


# failures


def test_an_exception_in_a_callback_ends_the_run_with_its_traceback(loop: VirtualLoop) -> None:
    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    loop.call_later(1.0, fail)
    with pytest.raises(CallbackFailed, match=r"at 1\.0 s") as caught:
        run_virtually(asyncio.sleep(2.0), loop)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.__cause__.__traceback__ is not None


def test_an_exception_that_was_not_retrieved_ends_the_run(loop: VirtualLoop) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.create_task(fail())  # noqa: RUF006 - forgotten on purpose
        await asyncio.sleep(10.0)

    with pytest.raises(CallbackFailed, match="never retrieved"):
        run_virtually(main(), loop)
    assert loop.time() < 10.0


def test_a_failure_between_runs_is_raised_at_the_latest_by_close() -> None:
    loop = VirtualLoop()
    loop.call_exception_handler({"message": "late", "exception": ValueError()})
    with pytest.raises(CallbackFailed, match="late"):
        loop.close()
    assert loop.is_closed()


def test_without_strictness_failures_are_logged_and_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = VirtualLoop(strict=False)

    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    loop.call_later(1.0, fail)
    run_virtually(asyncio.sleep(2.0), loop)
    assert [type(failure.exception) for failure in loop.failures] == [ZeroDivisionError]
    assert "at virtual time 1.0" in caplog.text


def test_a_handler_of_ones_own_replaces_strictness(loop: VirtualLoop) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: contexts.append(context))
    loop.call_later(1.0, lambda: 1 // 0)
    loop.run_until_complete(asyncio.sleep(2.0))
    assert isinstance(contexts[0]["exception"], ZeroDivisionError)


def test_keyboard_interrupt_goes_straight_out(loop: VirtualLoop) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_later(1.0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()


# the wall


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.create_unix_connection(asyncio.Protocol, "/run/x"),
        lambda loop: loop.create_unix_server(asyncio.Protocol, "/run/x"),
        lambda loop: loop.add_signal_handler(2, print),
        lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
        lambda _: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        lambda _: socket.getaddrinfo("localhost", 1),
        lambda loop: loop.run_in_executor(None, socket.gethostbyaddr, "127.0.0.1").result(),
    ],
)
def test_the_real_world_is_refused_and_the_culprit_named(loop: VirtualLoop, call: Any) -> None:
    async def culprit() -> None:
        with pytest.raises(TouchedRealWorld, match=r"asked for by .*test_loop\.py"):
            call(loop)

    loop.run_until_complete(culprit())


def test_the_wall_stands_only_while_a_virtual_loop_runs(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(1.0))
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def test_other_threads_may_not_call_in_but_may_use_sockets(loop: VirtualLoop) -> None:
    outcomes: list[BaseException | None] = []

    def elsewhere() -> None:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
        try:
            loop.call_soon_threadsafe(print)
        except TouchedRealWorld as refusal:
            outcomes.append(refusal)

    async def main() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    loop.run_until_complete(main())
    assert len(outcomes) == 1


def test_a_loop_without_an_internet_says_so(loop: VirtualLoop) -> None:
    async def main() -> None:
        with pytest.raises(SimulationError, match="no simulated internet"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.0.0.1", 1))

    loop.run_until_complete(main())
