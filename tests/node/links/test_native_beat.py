"""The native data path on a line whose packets come one by one: how often it wakes a node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from node.net.udp import beat
from node.net.udp.port import Arrival
from protocol.sctp.send.fragments import Fragmenter
from simulations.internet import Internet, UniformLatency
from simulations.internet.lines import Access
from simulations.libraries.seams import virtual_libraries
from simulations.residents.bare_links import LinkEnd, open_link
from simulations.runtime.loop import VirtualLoop
from tests.node.links.link_network import until

_ROUND_TRIP_S = 0.02


@dataclass(eq=False)
class Link:
    """Two ends, and the bursts that the second one's port has handed over: when, how many."""

    sender: Any
    receiver: Any
    bursts: list[tuple[float, int]] = field(default_factory=list)
    got: list[tuple[float, bytes]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def a_link(
    loop: VirtualLoop, mbps: float, rtt_s: float = _ROUND_TRIP_S
) -> AsyncIterator[Link]:
    internet = Internet(loop, 1, UniformLatency(rtt_s))
    rate = mbps * 1e6 / 8
    with virtual_libraries(internet):
        line = Access(down_bytes_s=rate, queue_bytes=int(rate * 0.2))
        hosts = internet.add_host("sender"), internet.add_host("receiver", access=line)
        ends = await open_link(internet, hosts, "link")
        link = Link(ends[0].channel, ends[1].channel)
        _count(link, ends[1], loop)
        link.receiver.receiver = lambda message: link.got.append((loop.time(), message))
        try:
            yield link
        finally:
            await asyncio.gather(*(end.close() for end in ends))


def _count(link: Link, end: LinkEnd, loop: VirtualLoop) -> None:
    port: Any = end._ice._port
    user = port._user
    hand_over = user.burst_received

    def counted(burst: list[Arrival]) -> None:
        link.bursts.append((loop.time(), len(burst)))
        hand_over(burst)

    user.burst_received = counted


@pytest.mark.parametrize(("mbps", "packets"), [(5, 2.75), (20, 6.75), (100, 20)])
async def test_data_are_read_in_bursts_and_each_is_acknowledged_once(
    loop: VirtualLoop, mbps: float, packets: float
) -> None:
    async with a_link(loop, mbps) as link:
        counters = link.receiver._beat._counters
        before = counters.datagrams_sent
        sending = asyncio.ensure_future(_send(link, int(mbps * 4)))
        await until(lambda: len(link.got) == int(mbps * 4), 60.0)
        await sending
        steady = [burst for burst in link.bursts if burst[0] > link.bursts[0][0] + 0.2]
        assert sum(count for _, count in steady) / len(steady) >= packets
        assert max(after - at for (at, _), (after, _) in pairwise(steady)) <= 0.02
        assert (
            counters.datagrams_sent - before <= len(link.bursts) + 10
        )  # besides SACKs some checks


@pytest.mark.parametrize(("mbps", "packets"), [(5, 2.75), (20, 6.75)])
async def test_each_end_wakes_up_once_for_a_burst_on_a_slow_line(
    loop: VirtualLoop, mbps: float, packets: float
) -> None:
    async with a_link(loop, mbps) as link:
        await asyncio.sleep(1.0)  # the handshakes, while nothing waits, are over
        fired = {"sender": 0, "receiver": 0}
        for name, channel in (("sender", link.sender), ("receiver", link.receiver)):
            _count_fires(fired, name, channel._beat)
        sending = asyncio.ensure_future(_send(link, int(mbps * 10)))
        await asyncio.sleep(2.0)
        fired.update(sender=0, receiver=0)
        link.bursts.clear()
        await asyncio.sleep(3.0)
        bursts, count = len(link.bursts), sum(count for _, count in link.bursts)
        assert count / bursts >= packets
        assert bursts * 0.9 <= fired["receiver"] <= bursts * 1.05
        assert fired["sender"] <= bursts * 0.15, "SACKs wake it, and bursts leave with them"
        await until(lambda: len(link.got) == int(mbps * 10), 60.0)
        await sending


async def test_data_whose_sender_never_asks_are_read_at_once(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their SACK waits as long as it may, which counts from when they have arrived."""
    monkeypatch.setattr(Fragmenter, "ask_for_sack", lambda *_: None)
    async with a_link(loop, 20, rtt_s=0.06) as link:
        for _ in range(40):
            link.sender.send(bytes(50_000))
        await until(lambda: len(link.got) == 40, 60.0)
        assert sum(count for _, count in link.bursts) <= 1.1 * len(link.bursts)


async def _send(link: Link, messages: int) -> None:
    for _ in range(messages):
        await link.sender.drained()
        link.sender.send(bytes(50_000))


def _count_fires(fired: dict[str, int], name: str, counted: Any) -> None:
    fire = counted._fire

    def count() -> None:
        fired[name] += 1
        fire()

    counted._fire = count


async def test_one_message_on_an_idle_link_waits_for_no_beat(loop: VirtualLoop) -> None:
    async with a_link(loop, 100) as link:
        await asyncio.sleep(1.0)
        for size in (1, 100, 900, 100):
            sent_at = loop.time()
            link.sender.send(bytes(size))
            await asyncio.sleep(0.3)
            assert link.got[-1][0] - sent_at <= _ROUND_TRIP_S / 2 + (size + 200) * 8 / 100e6
        assert not link.sender._beat._held


@pytest.mark.parametrize("mbps", [5, 100])
async def test_a_transfer_takes_no_longer_than_without_a_beat(
    loop: VirtualLoop, mbps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    took: list[float] = []
    for shortest_s in (beat.HOLD_MIN_S, inf):
        monkeypatch.setattr(beat, "HOLD_MIN_S", shortest_s)
        async with a_link(loop, mbps) as link:
            await asyncio.sleep(1.0)
            began_at = loop.time()
            sending = asyncio.ensure_future(_send(link, int(mbps * 4)))
            await until(lambda: len(link.got) == int(mbps * 4), 60.0)
            await sending
            took.append(link.got[-1][0] - began_at)
            await asyncio.sleep(0.1)
            assert not link.receiver._beat._held
    with_beat_s, without_s = took
    assert with_beat_s <= without_s * 1.02 + beat.HOLD_MAX_S


async def test_a_sender_that_is_held_back_is_not_flushed_by_each_message(loop: VirtualLoop) -> None:
    async with a_link(loop, 5) as link:
        for _ in range(40):
            link.sender.send(bytes(50_000))
        await asyncio.sleep(0.5)
        assert link.sender.buffered_bytes
        flushed: list[float] = []
        flush = link.sender._flush

        def counted() -> None:
            flushed.append(loop.time())
            flush()

        link.sender._flush = counted
        for _ in range(20):
            link.sender.send(b"more")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert flushed == []
        await until(lambda: len(link.got) == 60, 60.0)


async def test_what_is_answered_at_once_leaves_with_the_acknowledgement(loop: VirtualLoop) -> None:
    async with a_link(loop, 100) as link:
        await asyncio.sleep(1.0)
        link.receiver.receiver = lambda _: link.receiver.send(b"answer")
        answers: list[bytes] = []
        link.sender.receiver = answers.append
        calls: list[None] = []
        flush = link.receiver._flush

        def counted() -> None:
            calls.append(None)
            flush()

        link.receiver._flush = counted
        link.sender.send(b"question")
        await until(lambda: answers == [b"answer"])
        assert len(calls) == 1


async def test_small_frames_are_read_one_by_one_however_many_come(loop: VirtualLoop) -> None:
    async with a_link(loop, 100) as link:
        await asyncio.sleep(1.0)
        link.bursts.clear()
        for _ in range(300):
            link.sender.send(bytes(100))
            await asyncio.sleep(0.0007)
        await asyncio.sleep(0.1)
        assert len(link.got) == 300
        assert {count for _, count in link.bursts} == {1}


async def answers_ms(loop: VirtualLoop, link: Link, size: int, pause_s: float) -> list[float]:
    """Return how long each of some requests waited for its answer, after the first ones."""
    answered, took_ms = asyncio.Event(), []
    link.receiver.receiver = lambda _: answered.set()
    link.sender.receiver = lambda _: link.sender.send(bytes(size))
    for _ in range(30):
        answered.clear()
        asked_at = loop.time()
        link.receiver.send(bytes(100))
        await answered.wait()
        took_ms.append(1000 * (loop.time() - asked_at))
        await asyncio.sleep(pause_s)
    return took_ms[10:]


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
@pytest.mark.parametrize("size", [1000, 5000, 60_000])
@pytest.mark.parametrize("rtt_s", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("mbps", [20, 100, 200])
async def test_an_answer_takes_a_round_trip_and_its_time_on_the_line(
    loop: VirtualLoop, mbps: float, rtt_s: float, size: int, pause_s: float
) -> None:
    """No read, burst or acknowledgement waits for more while a request waits for its answer."""
    async with a_link(loop, mbps, rtt_s) as link:
        took_ms = await answers_ms(loop, link, size, pause_s)
    least_ms = 1000 * rtt_s + size * 1.06 * 8 / (mbps * 1000)
    took_ms.sort()
    assert took_ms[len(took_ms) // 2] <= least_ms + 0.3
    if rtt_s > 0.005:  # else an answer takes many round trips, some of them to probe the line
        assert took_ms[-3] <= least_ms + 1.0, "but where the round trip is measured anew"
