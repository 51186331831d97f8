"""What happens to packets on their way: rates, queues, faults, partitions."""

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
)
from simulations.internet.lines import FaultInjector, RatedLine
from simulations.runtime.loop import VirtualLoop

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
