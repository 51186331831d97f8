"""What happens to packets on their way: rates, queues, faults, partitions, sleep, moves."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.internet import (
    Access,
    Burst,
    Dependence,
    Fate,
    Faults,
    Internet,
    NatBehaviour,
    UniformLatency,
)
from simulations.internet.lines import FaultInjector, RatedLine
from simulations.runtime.loop import VirtualLoop, current_host, run_virtually

OpenInbox = Callable[..., Any]
PassTime = Callable[[float], None]

PORT = 4001


def name_of(inbox: Any) -> Any:
    host = inbox.host
    return host.addresses[0], PORT


# lines


def test_a_rated_line_serialises_packets(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    sender = open_inbox(internet.add_host(access=Access(up_bytes_s=100_000)))
    receiver = open_inbox(internet.add_host())
    for number in range(4):
        sender.send(bytes([number]) * 972, name_of(receiver))
    pass_time(1.0)
    assert receiver.times == pytest.approx([0.06, 0.07, 0.08, 0.09])
    assert [data[0] for data in receiver.data] == [0, 1, 2, 3]


def test_a_slow_receiver_queues_what_several_send(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    receiver = open_inbox(internet.add_host(access=Access(down_bytes_s=100_000)))
    senders = [open_inbox(internet.add_host()) for _ in range(3)]
    for sender in senders:
        sender.send(bytes(972), name_of(receiver))
    pass_time(1.0)
    assert receiver.times == pytest.approx([0.06, 0.07, 0.08])


def test_the_queue_drops_its_tail(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    line = Access(up_bytes_s=100_000, queue_bytes=10_000)
    sender = open_inbox(internet.add_host(access=line))
    receiver = open_inbox(internet.add_host())
    for number in range(30):
        sender.send(bytes([number]) * 972, name_of(receiver))
    pass_time(1.0)
    assert [data[0] for data in receiver.data] == list(range(10))
    assert internet.carrier.dropped[Fate.QUEUE_FULL] == 20


@given(
    st.lists(st.tuples(st.floats(0, 0.02), st.integers(29, 1500)), max_size=60),
    st.integers(1500, 20_000),
)
def test_a_line_keeps_order_rate_and_bound(
    arrivals: list[tuple[float, int]], queue_bytes: int
) -> None:
    line, now, last, carried = RatedLine(100_000.0, queue_bytes), 0.0, 0.0, 0
    for gap, size in arrivals:
        now += gap
        leaves = line.carry(now, size)
        if leaves is None:
            continue
        carried += size
        assert leaves >= last + size / 100_000.0 - 1e-9
        assert leaves - now <= queue_bytes / 100_000.0 + 1500 / 100_000.0 + 1e-9
        last = leaves
    assert last >= carried / 100_000.0 - 1e-9


@pytest.mark.parametrize(("first_byte", "ms_each"), [(22, 15), (20, 15), (23, 2), (0xD0, 2)])
def test_handshake_datagrams_are_charged_as_full_packets(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, first_byte: int, ms_each: int
) -> None:
    sender = open_inbox(internet.add_host(access=Access(up_bytes_s=100_000)))
    receiver = open_inbox(internet.add_host())
    for _ in range(3):
        sender.send(bytes([first_byte]) + bytes(171), name_of(receiver))
    pass_time(1.0)
    expected = [0.05 + ms_each * count / 1000 for count in (1, 2, 3)]
    assert receiver.times == pytest.approx(expected)


def test_the_line_of_a_box_is_shared_by_its_hosts(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    home = internet.add_nat(access=Access(up_bytes_s=100_000, down_bytes_s=50_000))
    insiders = [open_inbox(internet.add_host(behind=home), PORT + n) for n in range(2)]
    outside = open_inbox(internet.add_host())
    for inbox in insiders:
        inbox.send(bytes(972), name_of(outside))
    pass_time(1.0)
    assert outside.times == pytest.approx([0.06, 0.07])
    for source in outside.sources:
        outside.send(bytes(972), source)
    pass_time(1.0)
    assert [inbox.times[0] for inbox in insiders] == pytest.approx([1.07, 1.09])


# order and faults


def test_packets_that_leave_together_keep_their_order(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    for number in range(200):
        a.send(bytes([number]), name_of(b))
    pass_time(1.0)
    assert [data[0] for data in b.data] == list(range(200))


def test_jitter_spreads_packets_without_reordering_a_flow(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    internet.carrier.set_faults(None, jitter_s=0.040)
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    for number in range(100):
        loop.call_later(number * 0.005, a.send, bytes([number]), name_of(b))
    pass_time(2.0)
    assert [data[0] for data in b.data] == list(range(100))
    delays = [at - number * 0.005 for number, at in enumerate(b.times)]
    assert min(delays) < 0.065
    assert max(delays) > 0.080
    assert all(0.05 <= delay <= 0.0900001 for delay in delays)


def test_uniform_loss(internet: Internet, open_inbox: OpenInbox, pass_time: PassTime) -> None:
    internet.carrier.set_faults(Faults(loss=0.2))
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    for _ in range(5000):
        a.send(b"x", name_of(b))
    pass_time(1.0)
    assert 900 < internet.carrier.dropped[Fate.LOST] < 1100
    assert len(b.heard) == 5000 - internet.carrier.dropped[Fate.LOST]


def test_bursts_lose_neighbours(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    internet.carrier.set_faults(Faults(burst=Burst(enter=0.01, leave=0.2)))
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    for number in range(20_000):
        a.send(number.to_bytes(4, "big"), name_of(b))
    pass_time(1.0)
    arrived = {int.from_bytes(data, "big") for data in b.data}
    lost = [number for number in range(20_000) if number not in arrived]
    # Gilbert and Elliott: the share inside is enter / (enter + leave), a burst 1 / leave long
    assert len(lost) / 20_000 == pytest.approx(0.01 / 0.21, rel=0.25)
    bursts = sum(number - 1 in arrived for number in lost)
    assert len(lost) / bursts == pytest.approx(5.0, rel=0.25)


def test_reordering_delays_a_share(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    internet.carrier.set_faults(Faults(reorder=0.1, reorder_delay_s=0.030))
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    for number in range(1000):
        a.send(number.to_bytes(4, "big"), name_of(b))
    pass_time(1.0)
    assert len(b.heard) == 1000
    late = [time for time in b.times if time == pytest.approx(0.08)]
    assert len(late) + sum(time == pytest.approx(0.05) for time in b.times) == 1000
    assert 70 < len(late) < 130


def test_duplicates_arrive_twice(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    internet.carrier.set_faults(Faults(duplicate=1.0))
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    a.send(b"one", name_of(b))
    a.send(b"two", name_of(b))
    pass_time(1.0)
    assert b.data == [b"one", b"one", b"two", b"two"]


@given(st.binary(min_size=1, max_size=300), st.integers(0, 1000))
def test_corruption_flips_one_bit(data: bytes, seed: int) -> None:
    injector = FaultInjector(Faults(corrupt=1.0), random.Random(seed))
    [(delay, damaged)] = injector.strike(data)
    difference = int.from_bytes(data, "big") ^ int.from_bytes(damaged, "big")
    assert delay == 0.0
    assert len(damaged) == len(data)
    assert difference.bit_count() == 1


@given(st.integers(0, 1000), st.integers(0, 40))
def test_corruption_does_not_depend_on_a_handshakes_length(seed: int, more: int) -> None:
    damaged = []
    for length in (100, 100 + more):
        rng = random.Random(seed)
        [(_, hit)] = FaultInjector(Faults(corrupt=1.0), rng).strike(b"\x16" + bytes(length))
        damaged.append((hit[:64], rng.getstate()))
    assert damaged[0] == damaged[1]


@pytest.mark.parametrize(("size", "arrives"), [(1252, True), (1253, False)])
def test_a_black_hole_swallows_large_packets(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, size: int, arrives: bool
) -> None:
    internet.carrier.set_faults(Faults(mtu_bytes=1280))
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    a.send(bytes(size), name_of(b))
    pass_time(1.0)
    assert bool(b.heard) is arrives
    assert a.errors == []
    assert internet.carrier.dropped[Fate.TOO_BIG] == (not arrives)


def test_faults_of_one_hosts_line_spare_the_others(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    lossy = open_inbox(internet.add_host(access=Access(faults_up=Faults(loss=1.0))))
    deaf = open_inbox(internet.add_host(access=Access(faults_down=Faults(loss=1.0))))
    fine = open_inbox(internet.add_host())
    lossy.send(b"from lossy", name_of(fine))
    fine.send(b"to lossy", name_of(lossy))
    fine.send(b"to deaf", name_of(deaf))
    deaf.send(b"from deaf", name_of(fine))
    pass_time(1.0)
    assert (lossy.data, deaf.data, fine.data) == ([b"to lossy"], [], [b"from deaf"])
    internet.set_access(deaf.host, None)
    fine.send(b"again", name_of(deaf))
    pass_time(1.0)
    assert deaf.data == [b"again"]


@pytest.mark.parametrize("bad", [{"loss": 1.5}, {"corrupt": -0.1}])
def test_shares_are_shares(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Faults(**bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        Access(up_bytes_s=0)


# partitions


def test_a_partition_cuts_also_what_is_on_its_way(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b, c = (open_inbox(internet.add_host()) for _ in range(3))
    a.send(b"in flight before", name_of(b))
    internet.carrier.partition([a.host])
    a.send(b"during", name_of(b))
    c.send(b"same side", name_of(b))
    pass_time(0.02)
    a.send(b"in flight at the healing", name_of(b))
    internet.carrier.heal()
    a.send(b"after", name_of(b))
    pass_time(1.0)
    assert b.data == [b"in flight before", b"same side", b"after"]
    assert internet.carrier.dropped[Fate.PARTITIONED] == 2


def test_a_packet_that_arrives_in_a_partition_is_lost(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b, c = (open_inbox(internet.add_host()) for _ in range(3))
    a.send(b"x", name_of(b))
    pass_time(0.02)
    internet.carrier.partition([a.host, c.host], [b.host])
    a.send(b"y", name_of(c))
    pass_time(1.0)
    assert (b.data, c.data) == ([], [b"y"])


def test_a_partition_reaches_behind_boxes(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    home = internet.add_nat(NatBehaviour(filtering=Dependence.ENDPOINT_INDEPENDENT))
    inside = open_inbox(internet.add_host(behind=home))
    outside = open_inbox(internet.add_host())
    inside.send(b"x", name_of(outside))
    pass_time(1.0)
    internet.carrier.partition([inside.host])
    outside.send(b"y", outside.sources[0])
    pass_time(1.0)
    assert inside.data == []


# hosts that come and go


def test_a_sleeping_host_runs_nothing_and_hears_nothing(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    sleeper, other = (open_inbox(internet.add_host()) for _ in range(2))
    host = sleeper.host
    ticks: list[tuple[str, float]] = []

    async def tick(name: str, every_s: float) -> None:
        for _ in range(4):
            await asyncio.sleep(every_s)
            ticks.append((name, loop.time()))

    tasks = [host.create_task(tick("a", 1.0)), host.create_task(tick("b", 1.5))]
    awake = loop.create_task(tick("awake", 2.0))
    pass_time(1.1)
    host.sleep()
    host.sleep()
    other.send(b"lost", name_of(sleeper))
    pass_time(4.9)
    assert [tick for tick in ticks if tick[0] != "awake"] == [("a", 1.0)]
    assert internet.carrier.dropped[Fate.HOST_ABSENT] == 1
    host.wake()
    host.wake()
    other.send(b"heard", name_of(sleeper))
    loop.run_until_complete(asyncio.gather(*tasks, awake))
    assert [tick for tick in ticks if tick[0] == "a"] == [("a", t) for t in (1.0, 6.0, 7.0, 8.0)]
    assert [tick for tick in ticks if tick[0] == "b"] == [("b", t) for t in (6.0, 7.5, 9.0, 10.5)]
    assert [tick for tick in ticks if tick[0] == "awake"] == [
        ("awake", t) for t in (2.0, 4.0, 6.0, 8.0)
    ]
    assert sleeper.data == [b"heard"]


@pytest.mark.parametrize("by_runner", [True, False])
def test_a_run_ends_while_hosts_sleep_or_are_dead(by_runner: bool) -> None:
    loop = VirtualLoop()
    internet = Internet(loop, 1)
    ended: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            ended.append(name)

    async def overdue(name: str) -> None:
        try:
            await asyncio.sleep(1.0)
        finally:
            ended.append(name)

    kept: list[asyncio.Task[None]] = []

    async def main() -> None:
        sleeper, victim = internet.add_host(), internet.add_host()
        for host in (sleeper, victim):
            kept.extend(host.create_task(work(host.name)) for work in (wait, overdue))
        await asyncio.sleep(0.5)
        sleeper.sleep()
        internet.crash(victim)
        await asyncio.sleep(1.0)

    if by_runner:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
    else:
        run_virtually(main(), loop)
    assert ended == ["host0", "host0"]


def test_overdue_timers_run_at_the_wake_in_the_order_they_came_due(
    loop: VirtualLoop, internet: Internet, pass_time: PassTime
) -> None:
    host = internet.add_host()
    order: list[int] = []
    with host.running():
        timers = [loop.call_later(10.0 - number, order.append, number) for number in range(10)]
    host.sleep()
    pass_time(20.0)
    timers[4].cancel()
    host.wake()
    pass_time(0.0)
    assert order == [9, 8, 7, 6, 5, 3, 2, 1, 0]


async def test_what_a_datagram_sets_off_belongs_to_the_sockets_host(
    loop: VirtualLoop, internet: Internet, pass_time: PassTime
) -> None:
    host = internet.add_host(addresses=["10.0.0.1"])
    seen: list[object] = []

    class Starter(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(current_host.get())

        def datagram_received(self, data: bytes, addr: Any) -> None:
            loop.call_later(1.0, lambda: seen.append(current_host.get()))

    transport, _ = await loop.create_datagram_endpoint(Starter, local_addr=("10.0.0.1", PORT))
    transport.sendto(b"x", ("10.0.0.1", PORT))
    await asyncio.sleep(2.0)
    assert current_host.get() is None
    assert seen == [host, host]


def test_an_unplugged_host_runs_on_unheard(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    a.host.unplug()
    ran: list[float] = []
    with a.host.running():
        loop.call_later(0.5, lambda: ran.append(loop.time()))
    a.send(b"out", name_of(b))
    b.send(b"in", name_of(a))
    pass_time(1.0)
    assert (a.data, b.data, ran) == ([], [], [0.5])
    a.host.plug()
    a.send(b"out", name_of(b))
    pass_time(1.0)
    assert b.data == [b"out"]


@pytest.mark.parametrize("where", ["host", "box"])
def test_a_firewall_blocks_udp_both_ways(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime, where: str
) -> None:
    box = internet.add_nat(NatBehaviour(blocks_udp=where == "box"))
    inside = open_inbox(internet.add_host(behind=box))
    neighbour = open_inbox(internet.add_host(behind=box))
    outside = open_inbox(internet.add_host())
    if where == "host":
        inside.host.block_udp()
    inside.send(b"out", name_of(outside))
    neighbour.send(b"in", name_of(inside))
    outside.send(b"in", (box.address(), PORT))
    pass_time(1.0)
    assert outside.data == []
    assert inside.data == ([b"in"] if where == "box" else [])
    if where == "host":
        inside.host.block_udp(blocked=False)
        inside.send(b"out", name_of(outside))
        pass_time(1.0)
        assert outside.data == [b"out"]


def test_a_moved_host_is_dead_at_its_old_address(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    mobile = internet.add_nat(site=0)
    host = internet.add_host(addresses=["10.0.0.1"])
    everywhere = open_inbox(host, 4001, "0.0.0.0")
    specific = open_inbox(host, 4002, "10.0.0.1")
    other = open_inbox(internet.add_host())
    other.send(b"in flight", ("10.0.0.1", 4001))
    internet.move(host, behind=mobile)
    everywhere.send(b"here I am", name_of(other))
    specific.send(b"mute", name_of(other))
    other.send(b"to the old one", ("10.0.0.1", 4001))
    pass_time(1.0)
    assert everywhere.heard == []
    assert other.data == [b"here I am"]
    assert other.sources[0][0] == mobile.address()
    assert internet.carrier.dropped[Fate.STALE_ADDRESS] == 1
    other.send(b"to the new one", other.sources[0])
    pass_time(1.0)
    assert everywhere.data == [b"to the new one"]
    internet.move(host, ["10.0.0.1"])
    specific.send(b"back", name_of(other))
    pass_time(1.0)
    assert other.data[-1] == b"back"


def test_a_move_leaves_the_boxs_mapping_stale(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    wifi, mobile = internet.add_nat(), internet.add_nat()
    host = internet.add_host(behind=wifi)
    inbox = open_inbox(host, PORT, "0.0.0.0")
    other = open_inbox(internet.add_host())
    inbox.send(b"x", name_of(other))
    pass_time(1.0)
    internet.move(host, behind=mobile)
    other.send(b"y", other.sources[0])
    pass_time(1.0)
    assert inbox.data == []
    assert internet.carrier.dropped[Fate.UNROUTABLE] == 1


def test_a_crash_ends_all_code_and_sockets_without_a_word(
    loop: VirtualLoop, internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    old = internet.add_host("victim", ["10.0.0.1"])
    dead = open_inbox(old)
    other = open_inbox(internet.add_host())
    ran: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10.0)
        finally:
            ran.append("cleanup")

    old.create_task(work())
    with old.running():
        loop.call_later(0.5, ran.append, "timer")
    pass_time(0.1)
    new = internet.crash(old)
    assert (new.name, new.addresses, internet.hosts[new.index]) == ("victim", ["10.0.0.1"], new)
    other.send(b"to nobody", ("10.0.0.1", PORT))
    old.wake()
    pass_time(20.0)
    assert ran == []
    assert (dead.heard, dead.lost) == ([], [])
    dead.send(b"from the grave", name_of(other))
    pass_time(1.0)
    assert dead.transport.is_closing()
    assert other.heard == []
    reborn = open_inbox(new)
    other.send(b"welcome back", ("10.0.0.1", PORT))
    pass_time(1.0)
    assert reborn.data == [b"welcome back"]


def test_bytes_are_counted_by_host(
    internet: Internet, open_inbox: OpenInbox, pass_time: PassTime
) -> None:
    a, b = (open_inbox(internet.add_host()) for _ in range(2))
    a.send(bytes(100), name_of(b))
    a.send(bytes(50), name_of(b))
    pass_time(1.0)
    assert (a.host.sent_bytes, b.host.received_bytes) == (150, 150)


def test_hosts_of_one_home_are_near_and_share_its_site() -> None:
    loop = VirtualLoop()
    internet = Internet(loop, 1, UniformLatency(0.1))
    home = internet.add_nat()
    a, b = internet.add_host(behind=home), internet.add_host(behind=home)
    assert a.site == b.site == home.site
    assert a.behind is home
    loop.close()
