"""One timer for many: each wakes when it asked to, once, whatever the others do."""

import asyncio
from collections.abc import Callable

import pytest

from node.counters import Counters
from node.net.udp import beat
from node.net.udp.beat import Beat

pytestmark = pytest.mark.leaves_nothing


class Sleepers:
    """Callbacks that note when they woke."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.timer = Beat(Counters())
        self.woke: list[tuple[str, float]] = []
        self.wakes: dict[str, Callable[[], None]] = {}

    def set(self, name: str, at: float | None) -> None:
        wake = self.wakes.setdefault(name, lambda: self.woke.append((name, self.loop.time())))
        self.timer.set(wake, at)


async def test_each_wakes_at_its_last_time_and_in_order() -> None:
    sleepers = Sleepers()
    for name, at in (("a", 3.0), ("b", 1.0), ("c", 2.0), ("d", 1.0), ("a", 4.0), ("c", 0.5)):
        sleepers.set(name, at)
    await asyncio.sleep(10.0)
    assert sleepers.woke == [("c", 0.5), ("b", 1.0), ("d", 1.0), ("a", 4.0)]


async def test_what_is_set_to_no_time_does_not_wake() -> None:
    sleepers = Sleepers()
    sleepers.set("a", 1.0)
    sleepers.set("b", 2.0)
    sleepers.set("a", None)
    sleepers.set("never set", None)
    await asyncio.sleep(10.0)
    assert sleepers.woke == [("b", 2.0)]


async def test_one_that_wakes_may_set_its_next_time_even_a_past_one() -> None:
    timer, loop = Beat(Counters()), asyncio.get_running_loop()
    times: list[float] = []

    def wake() -> None:
        times.append(loop.time())
        if len(times) < 4:
            timer.set(wake, loop.time() - 1.0 if len(times) == 2 else loop.time() + 1.0)

    timer.set(wake, 1.0)
    await asyncio.sleep(10.0)
    assert times == [1.0, 2.0, 2.0, 3.0]


async def test_times_that_were_put_off_take_no_room_for_ever() -> None:
    sleepers = Sleepers()
    for n in range(10_000):
        sleepers.set("busy", 100.0 + n)
        sleepers.set("idle", 50.0)
    assert len(sleepers.timer._heap) <= beat._SWEPT_AT + 2 * 2 + 1
    await asyncio.sleep(20_000.0)
    assert sleepers.woke == [("idle", 50.0), ("busy", 10_099.0)]


async def test_a_wake_that_fails_keeps_no_other_from_its_own() -> None:
    sleepers, loop = Sleepers(), asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))

    def fail() -> None:
        raise ZeroDivisionError

    sleepers.timer.set(fail, 1.0)
    sleepers.set("a", 1.0)
    await asyncio.sleep(2.0)
    assert sleepers.woke == [("a", 1.0)]
    assert [type(error) for error in failed] == [ZeroDivisionError]
