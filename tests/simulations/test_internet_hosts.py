"""Hosts that sleep, lose their cable, move or crash, and what becomes of their packets."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from simulations.internet import (
    Fate,
    Internet,
    NatBehaviour,
    UniformLatency,
)
from simulations.runtime.loop import VirtualLoop
from simulations.runtime.running import run_virtually
from simulations.runtime.sleeping import current_host

OpenInbox = Callable[..., Any]
PassTime = Callable[[float], None]

PORT = 4001


def name_of(inbox: Any) -> Any:
    host = inbox.host
    return host.addresses[0], PORT


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
        assert ended == []

    if by_runner:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
    else:
        run_virtually(main(), loop)
    assert ended == ["host0", "host0", "host1", "host1"], "the dead are awaited by no runner"


def test_the_code_of_a_dead_host_ends_with_the_loop_even_if_its_cleanup_awaits() -> None:
    loop = VirtualLoop()
    ended: list[str] = []

    async def cleaning_up(name: str) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            try:
                await asyncio.sleep(1.0)
            finally:
                ended.append(name)
                await asyncio.sleep(1.0)

    async def yielding() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await cleaning_up("generator")

    async def in_a_group() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(cleaning_up("member"))
                async for _ in yielding():
                    await cleaning_up("body")
        finally:
            ended.append("group")
            await asyncio.create_task(cleaning_up("never begun"))

    async def main() -> None:
        victim = Internet(loop, 1).add_host()
        victim.create_task(in_a_group())
        await asyncio.sleep(0.5)
        victim.kill()
        gc.collect()
        assert ended == []

    run_virtually(main(), loop)
    assert sorted(ended) == ["body", "generator", "group", "member"]
    gc.collect()  # a coroutine that is left is reported here


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
    other.send(b"to no host", ("10.0.0.1", PORT))
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
