"""One timer for many, each of which wakes once; and one beat for ports while data flow."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest

from node.counters import Counters
from node.net.udp import beat
from node.net.udp.beat import Beat
from node.net.udp.port import Arrival, PortUser

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


# While data flow ------------------------------------------------------------------------------

LINE_S = 0.02
"""A round trip that allows the longest beats."""


class FakePort(PortUser):
    """A port, and its user: it hands over what a test has put in, and data flow if it is so."""

    def __init__(self, beat: Beat, counters: Counters, round_trip_s: float | None = LINE_S) -> None:
        self.beat = beat
        self.counters = counters
        self.round_trip_s = round_trip_s
        self.loop = asyncio.get_running_loop()
        self.is_held = False
        self.arrived: list[Arrival] = []
        self.polled: list[float] = []
        self.read: list[tuple[float, int]] = []

    def arrive(self, size: int = 1400) -> None:
        self.arrived.append((bytes(size), size, ("192.0.2.1", 1)))
        if not self.is_held:
            self._hand_over()

    def _hand_over(self) -> None:
        burst, self.arrived = self.arrived, []
        if burst:
            self.beat.hand_over(self, self, burst)

    def burst_received(self, burst: list[Arrival]) -> None:
        self.read.append((self.loop.time(), len(burst)))
        self.counters.received(len(burst), sum(len(one[0]) for one in burst))
        self.beat.arrives(self.loop.time(), self.round_trip_s)

    def hold(self) -> None:
        assert not self.is_held
        self.is_held = True

    def poll(self) -> None:
        assert self.is_held
        self.polled.append(self.loop.time())
        self._hand_over()

    def release(self) -> None:
        assert self.is_held
        self.is_held = False
        self._hand_over()


def a_port(round_trip_s: float | None = LINE_S) -> FakePort:
    counters = Counters()
    return FakePort(Beat(counters), counters, round_trip_s)


async def flow(port: FakePort, rate: float, seconds: float) -> None:
    """Packets of 1400 bytes at a rate in bytes a second."""
    for _ in range(int(seconds * rate / 1400)):
        port.arrive()
        await asyncio.sleep(1400 / rate)


@pytest.mark.parametrize(
    ("rate", "beats_s"), [(625_000, 0.005), (2_500_000, 0.005), (12_500_000, 0.004), (2e7, 0.0025)]
)
async def test_many_packets_are_read_in_one_beat_that_follows_their_rate(
    rate: float, beats_s: float
) -> None:
    port = a_port()
    await flow(port, rate, 1.0)
    times = [at for at, _ in port.read if at > 0.3]
    between = sorted(after - before for before, after in pairwise(times))
    assert between[len(between) // 2] == pytest.approx(beats_s, rel=0.1)
    assert between[-1] <= 2 * beat.BEAT_MAX_S
    assert sum(count for _, count in port.read) >= int(rate / 1400) - beats_s * rate / 1400 - 1


async def test_the_first_packet_is_read_at_once_and_an_idle_port_is_not_polled() -> None:
    port = a_port()
    port.arrive()
    assert port.read == [(0.0, 1)]
    await asyncio.sleep(1.0)
    assert not port.is_held
    assert 0 < len(port.polled) <= 1 + beat.LASTS_S / beat.BEAT_MIN_S
    assert port.polled[-1] <= beat.LASTS_S + beat.BEAT_MAX_S
    port.arrive()
    assert port.read == [(0.0, 1), (1.0, 1)]


@pytest.mark.parametrize("round_trip_s", [None, 0.0002, 0.0039])
async def test_on_a_path_too_short_for_a_beat_every_arrival_counts(
    round_trip_s: float | None,
) -> None:
    port = a_port(round_trip_s)
    await flow(port, 12_500_000, 0.1)
    assert port.polled == []
    assert {count for _, count in port.read} == {1}


async def test_beats_are_short_beside_the_shortest_round_trip_and_give_way_to_one_too_short() -> (
    None
):
    port = a_port(0.008)
    await flow(port, 2_500_000, 0.3)
    between = [after - before for before, after in pairwise(port.polled)]
    assert max(between) <= 0.0025
    port.round_trip_s = 0.001
    port.beat.arrives(port.loop.time(), 0.001)
    assert not port.is_held
    port.round_trip_s = LINE_S
    polled = len(port.polled)
    port.arrive()
    assert len(port.polled) == polled  # the short path still wants all at once


async def test_a_rate_that_would_fill_the_kernels_buffer_is_read_at_once() -> None:
    port = a_port()
    await flow(port, 2e8, 0.2)
    assert len(port.polled) < 0.2 / beat.BEAT_MIN_S / 3
    assert max(count for _, count in port.read[-20:]) * 1400 < 2**19


async def test_a_deadline_is_never_early_and_at_most_a_beat_late() -> None:
    port = a_port()
    woke: list[tuple[float, float]] = []

    async def deadlines() -> None:
        for n in range(200):
            at = port.loop.time() + 0.0003 + 0.0001 * (n % 60)
            port.beat.set(partial(lambda at: woke.append((at, port.loop.time())), at), at)
            await asyncio.sleep(0.0037)

    await asyncio.gather(flow(port, 625_000, 0.8), deadlines())
    await asyncio.sleep(0.1)
    assert len(woke) == 200
    late = [at - due for due, at in woke]
    assert min(late) >= 0
    assert max(late) <= 1.25 * beat.BEAT_MAX_S + 1e-9


async def test_what_many_links_send_takes_one_wake_up() -> None:
    port, loop = a_port(), asyncio.get_running_loop()
    woke: list[tuple[float, int]] = []

    def send(link: int) -> None:
        woke.append((loop.time(), link))
        port.beat.leaves(loop.time(), LINE_S, 0.02)
        port.beat.set(sends[link], loop.time() + 0.0046)

    sends = [partial(send, link) for link in range(10)]
    for link in range(10):
        port.beat.set(sends[link], 0.00046 * link)
    await asyncio.sleep(1.0)
    assert len(woke) >= 10 * 0.95 / 0.005
    assert len({at for at, _ in woke}) <= 1.1 / 0.0046
    for one in sends:
        port.beat.set(one, None)


async def test_no_burst_waits_for_longer_than_its_sender_allows() -> None:
    port = a_port()
    wakes: list[float] = []

    def send() -> None:
        wakes.append(port.loop.time())
        port.beat.leaves(port.loop.time(), LINE_S, 0.002)
        port.beat.set(send, port.loop.time() + 0.0005)

    port.beat.set(send, 0.0)
    await asyncio.sleep(0.3)
    between = [after - before for before, after in pairwise(wakes)]
    assert max(between) <= 0.0021
    assert min(between[1:]) >= 0.0019
    port.beat.set(send, None)


async def test_acknowledgements_wake_a_sender_and_wait_little_for_what_arrives_beside() -> None:
    port = a_port()
    port.beat.leaves(0.0, LINE_S, 0.005)
    assert not port.is_held

    async def send() -> None:
        while port.loop.time() < 0.5:
            port.beat.leaves(port.loop.time(), LINE_S, 0.005)
            await asyncio.sleep(0.003)

    await asyncio.gather(send(), flow(port, 12_500_000, 0.5))
    between = [after - before for before, after in pairwise(port.polled)]
    assert len(between) > 300
    assert max(between[5:]) <= LINE_S / 12


async def test_a_flow_of_less_than_two_packets_in_a_beat_is_not_held() -> None:
    port = a_port(0.008)
    await flow(port, 625_000, 1.0)
    assert {count for at, count in port.read if at > 0.3} <= {1, 2}
    assert len(port.polled) < len(port.read) / 2


async def test_a_port_that_closes_is_forgotten_even_within_a_beat() -> None:
    counters = Counters()
    shared = Beat(counters)
    one, other = FakePort(shared, counters), FakePort(shared, counters)
    one.arrive()
    other.arrive()
    polled = one.poll

    def close_the_other() -> None:
        polled()
        shared.forget(other)

    one.poll = close_the_other  # type: ignore[method-assign]
    await asyncio.sleep(1.0)
    assert other.polled == []
    assert other.is_held  # it is closed: nothing is done to it any more
    assert not one.is_held


async def test_a_failing_user_stops_neither_beat_nor_deadlines() -> None:
    port, loop = a_port(), asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))
    port.arrive()
    woke: list[float] = []
    port.beat.set(lambda: woke.append(loop.time()), 0.003)

    def fail(burst: list[Arrival]) -> None:
        raise ZeroDivisionError

    port.burst_received = fail  # type: ignore[method-assign]
    port.arrive()
    await asyncio.sleep(1.0)
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert len(woke) == 1
    assert woke[0] <= 0.003 + 2 * beat.BEAT_MAX_S
    assert not port.is_held
