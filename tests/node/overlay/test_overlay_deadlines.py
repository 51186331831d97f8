"""Many time limits on one timer, in virtual time."""

import asyncio

from node.overlay.rpc.deadlines import Deadlines


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


async def test_each_expires_at_its_time_whatever_the_order_of_setting() -> None:
    recorder = Recorder()
    for key, at in ((b"b", 2.0), (b"c", 3.0), (b"a", 1.0), (b"d", 3.0)):
        recorder.set(key, at)
    await asyncio.sleep(10)
    assert recorder.expired == [(b"a", 1.0), (b"b", 2.0), (b"c", 3.0), (b"d", 3.0)]


async def test_what_is_settled_does_not_expire_and_does_not_delay_the_rest() -> None:
    recorder = Recorder()
    for number in range(100):
        recorder.set(bytes([number]), 1.0 + number / 100)
    recorder.pending -= {bytes([number]) for number in range(100) if number not in (50, 99)}
    await asyncio.sleep(10)
    assert recorder.expired == [(bytes([50]), 1.5), (bytes([99]), 1.99)]


async def test_one_may_be_set_while_another_expires() -> None:
    recorder = Recorder()
    recorder.set(b"first", 1.0)

    def follow(key: bytes) -> None:
        recorder._expire(key)
        if key == b"first":
            recorder.set(b"second", 1.5)

    recorder.deadlines._expired = follow
    await asyncio.sleep(10)
    assert recorder.expired == [(b"first", 1.0), (b"second", 1.5)]


async def test_cleared_means_silent() -> None:
    recorder = Recorder()
    recorder.set(b"never", 1.0)
    recorder.deadlines.clear()
    await asyncio.sleep(10)
    assert recorder.expired == []


async def test_answered_requests_cost_no_timer_each() -> None:
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
    assert timers == 1
