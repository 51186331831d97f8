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

WAIT_S = 0.01


class FakePort(PortUser):
    """A port, and its user: it hands over what a test has put in, and the next may wait so long."""

    def __init__(self, beat: Beat, counters: Counters, wait_s: float = WAIT_S) -> None:
        self.beat = beat
        self.counters = counters
        self.wait_s = wait_s
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
        self.beat.hold(self.wait_s)

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
        if self.arrived:
            self.loop.call_soon(self._hand_over)


def a_port(wait_s: float = WAIT_S) -> FakePort:
    counters = Counters()
    return FakePort(Beat(counters), counters, wait_s)


async def flow(port: FakePort, rate: float, seconds: float) -> None:
    """Packets of 1400 bytes at a rate in bytes a second."""
    for _ in range(int(seconds * rate / 1400)):
        port.arrive()
        await asyncio.sleep(1400 / rate)


@pytest.mark.parametrize(
    ("rate", "wait_s", "each_s"),
    [
        (625_000, 0.015, 0.015),
        (2_500_000, 0.006, 0.006),
        (2_500_000, 0.5, beat.HOLD_MAX_S),
        (12_500_000, 0.1, 2**16 / 12_500_000),
    ],
    ids=["slow", "faster", "longest", "what the kernel keeps"],
)
async def test_packets_wait_as_long_as_they_may_and_are_read_in_one_wake_up(
    rate: float, wait_s: float, each_s: float
) -> None:
    port = a_port(wait_s)
    await flow(port, rate, 1.0)
    times = [at for at, _ in port.read if at > 0.3]
    between = sorted(after - before for before, after in pairwise(times))
    assert between[len(between) // 2] == pytest.approx(each_s, rel=0.1)
    assert between[-1] <= 1.5 * each_s
    assert len([at for at in port.polled if at > 0.3]) == len(times), "no wake-up without a burst"


async def test_the_first_packet_is_read_at_once_and_an_idle_port_is_not_polled() -> None:
    port = a_port()
    await flow(port, 2_500_000, 0.1)
    await asyncio.sleep(2 * WAIT_S)
    polled = len(port.polled)
    assert not port.is_held
    await asyncio.sleep(1.0)
    assert len(port.polled) == polled
    now = port.loop.time()
    port.arrive()
    assert port.read[-1] == (now, 1)


async def test_bursts_with_gaps_are_read_from_their_first_packet_on() -> None:
    port = a_port(0.006)
    for _ in range(50):
        for _ in range(10):
            port.arrive()
            await asyncio.sleep(0.0003)
        await asyncio.sleep(0.017)
    assert len(port.read) <= 2 * 50 + 20, "the first wakes the loop, and the rest is read once"
    assert len(port.polled) <= 2 * 50 + 20


@pytest.mark.parametrize("wait_s", [0.0, 0.0009])
async def test_where_nothing_may_wait_every_arrival_wakes_the_node(wait_s: float) -> None:
    port = a_port(wait_s)
    await flow(port, 12_500_000, 0.1)
    assert port.polled == []
    assert {count for _, count in port.read} == {1}


async def test_a_port_waits_as_the_most_impatient_of_its_links_says() -> None:
    port = a_port(0.02)
    await flow(port, 2_500_000, 0.2)
    hold = port.beat.hold

    def hold_twice(wait_s: float) -> None:
        hold(0.003)
        hold(wait_s)

    port.beat.hold = hold_twice  # type: ignore[method-assign]
    await flow(port, 2_500_000, 0.2)
    between = [after - before for before, after in pairwise(port.polled) if before > 0.25]
    assert max(between) <= 0.0031


async def test_a_link_that_wants_all_at_once_ends_the_wait_of_its_port() -> None:
    port = a_port()
    await flow(port, 2_500_000, 0.2)
    held_before, port.wait_s = port.is_held, 0.0
    await asyncio.sleep(WAIT_S)
    port.arrive()
    assert (held_before, port.is_held) == (True, False)
    assert port.read[-1][1] == 1


async def test_a_rate_that_would_fill_the_kernels_buffer_is_read_at_once() -> None:
    port = a_port()
    await flow(port, 2e8, 0.2)
    assert len(port.polled) < 0.2 / beat.HOLD_MIN_S / 3
    assert max(count for _, count in port.read[-20:]) * 1400 < 2**17


async def test_a_flow_of_less_than_two_packets_in_a_wait_is_not_held() -> None:
    port = a_port(0.003)
    await flow(port, 625_000, 1.0)
    assert {count for at, count in port.read if at > 0.3} == {1}
    assert [at for at in port.polled if at > 0.3] == []


async def test_a_deadline_is_never_early_and_no_later_than_senders_allow() -> None:
    port = a_port()
    woke: list[tuple[float, float]] = []

    def wake(due: float) -> None:
        woke.append((due, port.loop.time()))
        port.beat.leaves(0.002)

    async def deadlines() -> None:
        for n in range(200):
            at = port.loop.time() + 0.0003 + 0.0001 * (n % 60)
            port.beat.set(partial(wake, at), at)
            await asyncio.sleep(0.0037)

    await asyncio.gather(flow(port, 625_000, 0.8), deadlines())
    await asyncio.sleep(0.1)
    assert len(woke) == 200
    late = [at - due for due, at in woke]
    assert min(late) >= 0
    assert 0.0005 < max(late) <= 0.002 + 1e-9


async def test_what_many_links_send_takes_one_wake_up() -> None:
    port, loop = a_port(), asyncio.get_running_loop()
    woke: list[tuple[float, int]] = []

    def send(link: int) -> None:
        woke.append((loop.time(), link))
        port.beat.leaves(0.003)
        port.beat.set(sends[link], loop.time() + 0.012)

    sends = [partial(send, link) for link in range(10)]
    for link in range(10):
        port.beat.set(sends[link], 0.0012 * link)
    await asyncio.sleep(1.0)
    assert len(woke) >= 10 * 0.95 / 0.015
    assert len({at for at, _ in woke}) <= 1.0 / 0.003 + 2
    assert max(after - at for (at, _), (after, _) in pairwise(woke)) <= 0.012
    for one in sends:
        port.beat.set(one, None)
    await asyncio.sleep(0.1)
    slept = loop.time()
    port.beat.set(partial(woke.append, (0.0, 0)), slept + 0.0001)
    port.beat.set(partial(woke.append, (0.0, 1)), slept + 0.0002)
    await asyncio.sleep(0.00021)
    assert woke[-1] == (0.0, 1), "nothing waits when no link sends"


async def test_a_time_that_is_put_off_costs_no_wake_up() -> None:
    port, loop = a_port(), asyncio.get_running_loop()
    fired: list[float] = []
    fire = port.beat._fire

    def counted() -> None:
        fired.append(loop.time())
        fire()

    port.beat._fire = counted  # type: ignore[method-assign]
    woke: list[float] = []

    def wake() -> None:
        woke.append(loop.time())

    port.wait_s = 0.0
    for _ in range(100):
        port.beat.set(wake, loop.time() + 0.01)
        port.arrive()
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.1)
    assert len(woke) == len(fired) == 1


async def test_a_port_that_closes_is_forgotten_even_within_a_beat() -> None:
    counters = Counters()
    shared = Beat(counters)
    one, other = FakePort(shared, counters), FakePort(shared, counters)
    await asyncio.gather(flow(one, 2_500_000, 0.1), flow(other, 2_500_000, 0.1))
    polled, before = one.poll, len(other.polled)
    assert one.is_held
    assert other.is_held

    def close_the_other() -> None:
        polled()
        shared.forget(other)

    one.poll = close_the_other  # type: ignore[method-assign]
    await asyncio.sleep(1.0)
    assert len(other.polled) == before
    assert other.is_held  # it is closed: nothing is done to it any more
    assert not one.is_held


async def test_a_failing_user_stops_neither_beat_nor_deadlines() -> None:
    port, loop = a_port(), asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))
    await flow(port, 2_500_000, 0.1)
    assert port.is_held
    woke: list[float] = []
    due = loop.time() + 0.003
    port.beat.set(lambda: woke.append(loop.time()), due)

    def fail(burst: list[Arrival]) -> None:
        raise ZeroDivisionError

    port.burst_received = fail  # type: ignore[method-assign]
    port.arrive()
    await asyncio.sleep(1.0)
    assert [type(error) for error in failed] == [ZeroDivisionError]
    assert len(woke) == 1
    assert woke[0] <= due + beat.HOLD_MAX_S
    assert not port.is_held


# Several that are due together ----------------------------------------------------------------


async def test_of_two_due_together_the_first_may_cancel_or_put_off_the_second() -> None:
    sleepers = Sleepers()

    def change() -> None:
        sleepers.set("a", None)
        sleepers.set("b", 3.0)

    sleepers.timer.set(change, 1.0)
    for name in "abc":
        sleepers.set(name, 1.0)
    await asyncio.sleep(5.0)
    assert sleepers.woke == [("c", 1.0), ("b", 3.0)]


async def test_a_time_set_earlier_again_counts_where_both_are_past() -> None:
    sleepers = Sleepers()
    fire = sleepers.timer._fire
    sleepers.timer._fire = lambda: None  # type: ignore[method-assign]
    sleepers.set("a", 1.0002)
    sleepers.set("a", 1.0001)
    await asyncio.sleep(2.0)
    fire()
    assert sleepers.woke == [("a", 2.0)]


async def test_what_was_cancelled_stays_so_when_the_one_that_did_it_fails() -> None:
    sleepers, loop = Sleepers(), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)

    def cancel_and_fail() -> None:
        sleepers.set("a", None)
        sleepers.set("b", 2.0)
        raise ZeroDivisionError

    sleepers.timer.set(cancel_and_fail, 1.0)
    for name in "abc":
        sleepers.set(name, 1.0)
    await asyncio.sleep(5.0)
    assert sleepers.woke == [("c", 1.0), ("b", 2.0)]


async def test_a_wake_that_sets_itself_for_now_lets_the_loop_go_on() -> None:
    timer, loop = Beat(Counters()), asyncio.get_running_loop()
    turns: list[str] = []

    def wake() -> None:
        turns.append("wake")
        if len(turns) < 100:
            timer.set(wake, loop.time())

    def other() -> None:
        turns.append("other")
        if len(turns) < 100:
            loop.call_at(loop.time(), other)

    timer.set(wake, 1.0)
    loop.call_at(1.0, other)
    await asyncio.sleep(2.0)
    assert "wake wake wake" not in " ".join(turns)
    assert 30 <= turns.count("wake") <= 70


# Ports that fail, close or share --------------------------------------------------------------


async def two_held() -> tuple[Beat, FakePort, FakePort]:
    counters = Counters()
    shared = Beat(counters)
    ports = FakePort(shared, counters), FakePort(shared, counters)
    await asyncio.gather(*(flow(port, 2_500_000, 0.1) for port in ports))
    assert all(port.is_held for port in ports)
    return shared, *ports


async def test_a_port_whose_poll_fails_starves_neither_ports_nor_wakes() -> None:
    shared, one, other = await two_held()
    loop = asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _loop, context: failed.append(context["exception"]))

    def fail() -> None:
        raise ZeroDivisionError

    one.poll = fail  # type: ignore[method-assign]
    one.arrived.clear()
    polled = len(other.polled)
    woke: list[float] = []
    shared.set(lambda: woke.append(loop.time()), loop.time() + 0.02)
    due = max(shared._held.values())
    await asyncio.sleep(0.1)
    assert len(failed) == 1
    assert not one.is_held
    assert not other.is_held
    assert other.polled[polled:][0] <= due
    assert len(woke) == 1


async def test_a_port_closed_by_what_it_brings_is_not_held_again() -> None:
    port = a_port()
    await flow(port, 2_500_000, 0.1)
    take = port.burst_received

    def close_and_take(burst: list[Arrival]) -> None:
        port.beat.forget(port)
        take(burst)

    port.burst_received = close_and_take  # type: ignore[method-assign]
    polled = len(port.polled)
    port.arrive()
    await asyncio.sleep(1.0)
    assert len(port.polled) == polled + 1
    assert port.beat._handle is None


@pytest.mark.parametrize("first", [True, False], ids=["named first", "named last"])
async def test_a_short_path_bounds_what_waits_beside_it_and_ends_no_hold(first: bool) -> None:
    port = a_port(0.02)
    await flow(port, 2_500_000, 0.2)
    hold = port.beat.hold

    def hold_both(wait_s: float) -> None:
        for one in (0.0, wait_s) if first else (wait_s, 0.0):
            hold(one)

    port.beat.hold = hold_both  # type: ignore[method-assign]
    await flow(port, 2_500_000, 0.2)
    between = [after - before for before, after in pairwise(port.polled) if before > 0.23]
    assert between == pytest.approx([beat.PROMPT_S] * len(between))
    assert len(between) >= 70
    port.beat.hold = hold  # type: ignore[method-assign]
    await flow(port, 2_500_000, beat.PROMPT_FOR_S + 0.2)
    between = [after - before for before, after in pairwise(port.polled)]
    assert between[-3:] == pytest.approx([0.02] * 3)


async def test_an_answer_that_is_awaited_cuts_a_hold_that_has_begun() -> None:
    port = a_port(0.025)
    await flow(port, 2_500_000, 0.2)
    while not port.is_held or min(port.beat._held.values()) - port.loop.time() < 0.01:
        await flow(port, 2_500_000, 0.001)
    asked_at, read = port.loop.time(), len(port.read)
    port.beat.prompt()
    port.arrive()
    await asyncio.sleep(0.01)
    assert port.read[read][0] == pytest.approx(asked_at + beat.PROMPT_S)


async def test_a_prompt_port_at_a_low_rate_is_not_held_at_all() -> None:
    port = a_port(0.02)
    await flow(port, 625_000, 0.3)
    port.beat.prompt()
    asked_at = port.loop.time()
    await flow(port, 625_000, 0.09)
    assert {count for at, count in port.read if at > asked_at + beat.PROMPT_S} == {1}


async def test_after_a_suspension_what_waited_is_read_once_and_holds_go_on() -> None:
    port = a_port()
    await flow(port, 2_500_000, 0.1)
    late: list[float] = []
    port.beat.set(lambda: late.append(port.loop.time()), port.loop.time() + 0.001)
    fire = port.beat._fire
    port.beat._fire = lambda: None  # type: ignore[method-assign]
    port.beat._arm()
    await asyncio.sleep(3600.0)  # the machine sleeps: its timer fires when it wakes
    port.beat._fire = fire  # type: ignore[method-assign]
    polled = len(port.polled)
    port.arrive()
    fire()
    assert (len(port.polled), len(late)) == (polled + 1, 1)
    await flow(port, 2_500_000, 0.3)
    assert port.read[-2][1] > 5
    assert max(until for until in port.beat._held.values()) <= port.loop.time() + WAIT_S


async def test_nothing_wakes_an_idle_node() -> None:
    _, one, other = await two_held()
    fired: list[float] = []
    fire, shared = one.beat._fire, one.beat

    def counted() -> None:
        fired.append(one.loop.time())
        fire()

    shared._fire = counted  # type: ignore[method-assign]
    shared._arm()
    await asyncio.sleep(1.0)
    assert len(fired) <= 4
    assert all(at < 0.1 + 2 * beat.HOLD_MAX_S for at in fired)
    assert shared._handle is None
    assert not one.is_held
    assert not other.is_held
