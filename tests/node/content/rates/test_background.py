"""Background work rests until what it took of a core is paid for."""

import asyncio

import pytest

from node.content.rates.background import BackgroundPacer

STEP_S = 0.02
SHARE = 0.05


class Core:
    """A core whose time passes only by steps, and the loop's with it."""

    def __init__(self) -> None:
        self.used_s = 0.0

    def used(self) -> float:
        return self.used_s

    def step(self) -> float:
        self.used_s += STEP_S
        return self.used_s


async def work(pacer: BackgroundPacer, core: Core, seconds: float) -> int:
    """Steps, one after another, for so long; how many they were."""
    loop = asyncio.get_running_loop()
    until, steps = loop.time() + seconds, 0
    while loop.time() < until:
        await pacer.rest()
        pacer.measured(core.step)
        steps += 1
        assert steps < 10_000, "it never rests"
    return steps


async def test_it_takes_a_twentieth_of_a_core() -> None:
    core = Core()
    await work(BackgroundPacer(core.used), core, 60.0)
    assert core.used_s == pytest.approx(60.0 * SHARE, rel=0.06)


async def test_all_background_work_shares_it() -> None:
    core = Core()
    pacer = BackgroundPacer(core.used)
    steps = await asyncio.gather(*(work(pacer, core, 60.0) for _ in range(3)))
    assert core.used_s == pytest.approx(60.0 * SHARE, rel=0.08)
    assert min(steps) > 0.5 * max(steps)


async def test_long_rest_allows_little_at_once() -> None:
    core = Core()
    pacer = BackgroundPacer(core.used)
    await work(pacer, core, 5.0)
    await asyncio.sleep(3600.0)
    before_s = core.used_s
    await work(pacer, core, 1.0)
    assert core.used_s - before_s <= 0.05 + SHARE + 2 * STEP_S


async def test_failed_step_counts_as_well() -> None:
    core = Core()
    pacer = BackgroundPacer(core.used)
    now = asyncio.get_running_loop().time

    def fails() -> None:
        core.used_s += 1.0
        raise OSError("a disk that fails")

    with pytest.raises(OSError, match="fails"):
        pacer.measured(fails)
    began = now()
    await pacer.rest()
    assert now() - began == pytest.approx(1.0 / SHARE, rel=0.06)


async def test_waiting_for_a_disk_costs_nothing() -> None:
    core = Core()
    pacer = BackgroundPacer(core.used)
    began = asyncio.get_running_loop().time()
    for _ in range(1000):
        await pacer.rest()
        pacer.measured(lambda: None)
    assert asyncio.get_running_loop().time() == began
