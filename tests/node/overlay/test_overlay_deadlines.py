"""Many time limits on one timer, in virtual time."""

import asyncio

from node.overlay.rpc.deadlines import Deadlines
from simulations.residents.world import run_virtually


class Recorder:
    """Deadlines with the keys that are pending, and when each expired."""

    def __init__(self) -> None:
        self.pending: set[bytes] = set()
        self.expired: list[tuple[bytes, float]] = []
        self.deadlines = Deadlines(self.pending.__contains__, self._expire)

    def set(self, key: bytes, at: float) -> None:
        self.pending.add(key)
        self.deadlines.set(key, at)

    def _expire(self, key: bytes) -> None:
        self.pending.remove(key)
        self.expired.append((key, asyncio.get_running_loop().time()))


def test_each_expires_at_its_time_whatever_the_order_of_setting() -> None:
    async def main() -> list[tuple[bytes, float]]:
        recorder = Recorder()
        for key, at in ((b"b", 2.0), (b"c", 3.0), (b"a", 1.0), (b"d", 3.0)):
            recorder.set(key, at)
        await asyncio.sleep(10)
        return recorder.expired

    assert run_virtually(main()) == [(b"a", 1.0), (b"b", 2.0), (b"c", 3.0), (b"d", 3.0)]


def test_what_is_settled_does_not_expire_and_does_not_delay_the_rest() -> None:
    async def main() -> list[tuple[bytes, float]]:
        recorder = Recorder()
        for number in range(100):
            recorder.set(bytes([number]), 1.0 + number / 100)
        recorder.pending -= {bytes([number]) for number in range(100) if number not in (50, 99)}
        await asyncio.sleep(10)
        return recorder.expired

    assert run_virtually(main()) == [(bytes([50]), 1.5), (bytes([99]), 1.99)]


def test_one_may_be_set_while_another_expires() -> None:
    async def main() -> list[tuple[bytes, float]]:
        recorder = Recorder()
        recorder.set(b"first", 1.0)

        def follow(key: bytes) -> None:
            recorder._expire(key)
            if key == b"first":
                recorder.set(b"second", 1.5)

        recorder.deadlines._expired = follow
        await asyncio.sleep(10)
        return recorder.expired

    assert run_virtually(main()) == [(b"first", 1.0), (b"second", 1.5)]


def test_cleared_means_silent() -> None:
    async def main() -> list[tuple[bytes, float]]:
        recorder = Recorder()
        recorder.set(b"never", 1.0)
        recorder.deadlines.clear()
        await asyncio.sleep(10)
        return recorder.expired

    assert run_virtually(main()) == []


def test_answered_requests_cost_no_timer_each() -> None:
    async def main() -> int:
        recorder = Recorder()
        loop, timers = asyncio.get_running_loop(), 0
        call_at = loop.call_at

        def counting(*words: object, **options: object) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return call_at(*words, **options)  # type: ignore[arg-type]

        loop.call_at = counting  # type: ignore[method-assign]
        for number in range(1000):
            key = number.to_bytes(2)
            recorder.set(key, loop.time() + 5.0)
            recorder.pending.discard(key)
            await asyncio.sleep(0)
        return timers

    assert run_virtually(main()) == 1
