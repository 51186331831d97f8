"""When a SACK leaves: peers of ours ask for it, some times in a round trip; for others we count."""

from collections.abc import Callable
from itertools import pairwise
from math import inf

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.chunks import FLAG_IMMEDIATE
from protocol.sctp.packets import open_packet, seal
from protocol.sctp.timers import Timer
from tests.protocol.sctp.measure_sctp import bulk_pair
from tests.protocol.sctp.model_link import (
    Bottleneck,
    Faults,
    Pair,
    World,
    chunks_of,
    messages,
    wide_open,
)

_TSN = slice(0, 4)


def sacks(association: Association, now: float) -> int:
    """Count what leaves now."""
    datagrams = association.datagrams_to_send(now)
    return sum(kind == chunks.SACK for kind, _, _ in chunks_of(datagrams))


def asked() -> tuple[Association, Association]:
    """Two associations, after a message of the first to the second that asks for a SACK."""
    client, server = wide_open()
    for one in (client, server):
        one.open_channel("c", negotiated_id=0)
    client.send(0, b"there", 0.0)
    server.receive_burst(client.datagrams_to_send(0.0), 0.1)
    assert messages(server) == [b"there"]
    return client, server


def test_a_sack_leaves_with_the_data_that_leave_room_for_it() -> None:
    client, server = asked()
    server.send(0, b"back", 0.1)
    (answer,) = server.datagrams_to_send(0.1)
    assert [kind for kind, _, _ in chunks_of([answer])] == [chunks.SACK, chunks.DATA]
    client.receive_burst([answer], 0.2)
    assert messages(client) == [b"back"]
    client.datagrams_to_send(0.7)
    assert client.sender is not None
    assert client.sender.idle
    assert client._core.round_trip.latest_s == pytest.approx(0.2), "it counts when it came"


@pytest.mark.parametrize("left", [0, 8, 15])
def test_a_sack_follows_full_packets_that_leave_no_room_for_it(left: int) -> None:
    _, server = asked()
    server.send(0, bytes(1160 * 3 - left), 0.1)
    answers = server.datagrams_to_send(0.1)
    sizes = [len(answer) for answer in answers]
    assert sizes == [1188, 1188, 1188 - left // 4 * 4, 28]
    assert [kind for kind, _, _ in chunks_of(answers)] == [*[chunks.DATA] * 3, chunks.SACK]


def test_a_sack_is_one_of_the_datagrams_that_were_asked_for() -> None:
    _, server = asked()
    for size in (1160 * 3 - 100, 1160 * 7):  # the third packet has room, but not for a message
        server.send(0, bytes(size), 0.1)
    kinds: list[int] = []
    while answers := server.datagrams_to_send(0.1, 4):
        assert len(answers) <= 4
        kinds += [kind for kind, _, _ in chunks_of(answers)]
        if len(answers) < 4:
            break
    assert sorted(kinds) == [*[chunks.DATA] * 10, chunks.SACK]


def unasked(association: Association, count: int) -> list[bytes]:
    """Return so many full packets with data that ask for nothing."""
    stream_id = association.open_channel("c")
    association.send(stream_id, bytes(1160 * (count + 1)), 0.0)
    packets = [packet for packet in association.datagrams_to_send(0.0) if len(packet) == 1188]
    return [with_flags(packet, lambda flags: flags & ~FLAG_IMMEDIATE) for packet in packets[:count]]


def with_flags(packet: bytes, change: Callable[[int], int]) -> bytes:
    source, destination, tag, body = open_packet(packet)
    header = chunks.COMMON_HEADER.pack(source, destination, tag)
    return seal(header, body[:1] + bytes((change(body[1]),)) + body[2:])


def asking(packet: bytes) -> bytes:
    return with_flags(packet, lambda flags: flags | FLAG_IMMEDIATE)


def test_packets_that_ask_for_nothing_are_acknowledged_late_and_together() -> None:
    client, server = wide_open()
    packets = unasked(client, 9)
    server.receive_burst(packets[:4], 0.0)
    server.receive_burst(packets[4:], 0.001)
    assert sacks(server, 0.001) == 0
    due = server.next_timer()
    assert due == limits.SACK_DELAY_S <= 0.025
    server.handle_timer(due)
    assert sacks(server, due) == 1
    assert server._core.timers.at[Timer.SACK] == inf


@pytest.mark.parametrize(
    ("rtt_s", "delay_s"),
    [(0.0001, 0.002), (0.02, 0.0075), (0.04, 0.015), (0.3, 0.025), (None, 0.025)],
)
def test_they_wait_for_a_part_of_the_round_trip_where_it_is_known(
    rtt_s: float | None, delay_s: float
) -> None:
    client, server = wide_open()
    server._core.round_trip.smoothed_s = rtt_s
    server._core.round_trip.min_s = rtt_s or limits.RTO_INITIAL_S
    server.receive_burst(unasked(client, 3), 0.0)
    assert server.next_timer() == pytest.approx(delay_s)


def test_rfc_7053_one_packet_that_asks_is_enough_for_all_before_it() -> None:
    client, server = wide_open()
    packets = unasked(client, 9)
    server.receive_burst([*packets[:5], asking(packets[5]), *packets[6:]], 0.0)
    assert sacks(server, 0.0) == 1
    assert sacks(server, 0.001) == 0
    server.handle_timer(limits.SACK_DELAY_S)
    assert sacks(server, limits.SACK_DELAY_S) == 0, "everything was acknowledged"


def test_a_hole_is_told_when_it_opens_and_when_it_is_filled_and_not_in_between() -> None:
    client, server = wide_open()
    packets = unasked(client, 9)
    told = []
    for index in (0, 2, 3, 4, 7, 8, 1, 5, 6):
        server.receive(packets[index], 0.0)
        if sacks(server, 0.0):
            told.append(index)
    assert told == [2, 7, 1, 5, 6]


def test_a_packet_that_comes_twice_is_told_at_once() -> None:
    client, server = wide_open()
    packets = unasked(client, 4)
    server.receive_burst(packets[:2], 0.0)
    assert sacks(server, 0.0) == 0
    server.receive(packets[1], 0.001)
    assert sacks(server, 0.001) == 1


def test_section_6_7_a_foreign_peer_is_told_of_a_hole_with_each_packet() -> None:
    client, server = wide_open(own_peer=False)
    packets = unasked(client, 6)
    server.receive_burst([packets[0], *packets[2:]], 0.0)
    assert sacks(server, 0.0) == 4, "libwebrtc counts three of them before it repeats a packet"


# What the sender asks for -------------------------------------------------------------------


def flowing(
    mbps: float, rtt_s: float, *, wake_s: float = 0.0, faults: Faults | None = None
) -> Pair:
    """A transfer that has filled its line, whose queue holds what it begins with, for 3 s."""
    rate = mbps * 125_000
    line = Bottleneck(rate, rate * max(2 * rtt_s, 0.05))
    pair = bulk_pair(World(), line, rtt_s, wake_s=wake_s, faults=faults)
    pair.run(3)
    return pair


def counted(pair: Pair, seconds: float) -> tuple[float, float]:
    """Return SACKs and data packets a second from now on."""
    sacks, packets = pair.backward.sent, pair.forward.sent
    pair.run(seconds)
    return (pair.backward.sent - sacks) / seconds, (pair.forward.sent - packets) / seconds


@pytest.mark.parametrize("wake_s", [0.0, 0.002])
@pytest.mark.parametrize(
    ("mbps", "rtt_s", "packets_each"),
    [
        (100, 0.02, 25),
        (100, 0.05, 40),
        (20, 0.02, 6),
        (20, 0.08, 11),
        (5, 0.05, 3.5),
        (50, 0.2, 15),
    ],
)
def test_a_bulk_transfer_is_acknowledged_four_times_in_a_round_trip_and_no_more_than_needed(
    mbps: float, rtt_s: float, packets_each: float, wake_s: float
) -> None:
    pair = flowing(mbps, rtt_s, wake_s=wake_s)
    smoothed_s = [pair.client.association.round_trip_s or 0.0]
    sacks_s, packets_s = counted(pair, 3)
    smoothed_s.append(pair.client.association.round_trip_s or 0.0)
    assert sacks_s * max(*smoothed_s, rtt_s + 0.002 + wake_s) >= 4
    assert packets_s / sacks_s >= packets_each


def test_no_burst_waits_longer_than_a_quarter_of_a_round_trip_to_ask() -> None:
    pair = flowing(100, 0.04)
    asked = [pair.world.now]
    send = pair.client._send

    def noting(datagram: bytes) -> None:
        if any(
            kind == chunks.DATA and flags & FLAG_IMMEDIATE
            for kind, flags, _ in chunks_of([datagram])
        ):
            asked.append(pair.world.now)
        send(datagram)

    pair.client._send = noting  # type: ignore[method-assign]
    pair.run(2)
    waits = [later - before for before, later in pairwise(asked)]
    smoothed_s = pair.client.association.round_trip_s
    assert smoothed_s is not None
    assert smoothed_s < 0.05
    usual_s = sorted(waits)[len(waits) * 9 // 10]
    assert usual_s <= smoothed_s / 4 + 0.0005, "but where the window shrinks"
    assert len(waits) < 2 / 0.005


def test_what_arrived_is_told_within_three_eighths_of_a_round_trip() -> None:
    pair = flowing(100, 0.04)
    receiver, waiting_since, waits = pair.server.association.receiver, [0.0], []
    assert receiver is not None
    arrive, send = pair.server.arrive, pair.server._send

    def arriving(datagram: bytes) -> None:
        waiting_since[0] = waiting_since[0] or pair.world.now
        arrive(datagram)

    def sending(datagram: bytes) -> None:
        waits.append(pair.world.now - waiting_since[0])
        waiting_since[0] = 0.0
        send(datagram)

    pair.server.arrive, pair.server._send = arriving, sending  # type: ignore[method-assign]
    pair.run(4)
    assert len(waits) > 4 * 4 / 0.042
    assert max(waits[1:]) <= 0.0151


def test_few_sacks_do_not_lengthen_the_round_trip_that_is_measured() -> None:
    pair = flowing(100, 0.05)
    association = pair.client.association
    samples = []
    for _ in range(200):
        pair.run(0.01)
        assert association.round_trip_s is not None
        samples.append(association.round_trip_s)
    assert sorted(samples)[100] < 0.05 + 0.008


def test_a_transfer_whose_asking_packets_are_all_lost_at_first_goes_on_without_a_timeout() -> None:
    pair = flowing(20, 0.05)
    before = pair.server.received_bytes
    send, lost, last_at = pair.client._send, set[bytes](), [-inf]

    def losing(datagram: bytes) -> None:
        now = pair.world.now
        for kind, flags, value in chunks_of([datagram]):
            asks = kind == chunks.DATA and flags & FLAG_IMMEDIATE
            # After losses each burst asks: to lose one of each were a loss of a third.
            if asks and value[_TSN] not in lost and now - last_at[0] > 0.01:
                lost.add(value[_TSN])
                last_at[0] = now
                return
        send(datagram)

    pair.client._send = losing  # type: ignore[method-assign]
    pair.run(5)
    sender = pair.client.association.sender
    assert sender is not None
    assert len(lost) > 200
    assert sender.timeouts == 0
    assert pair.server.received_bytes - before > 0.7 * 5 * 20 * 125_000


@pytest.mark.parametrize("loss", [0.0, 0.001])
def test_a_hole_does_not_bring_a_sack_for_every_packet_behind_it(loss: float) -> None:
    sacks_s, packets_s = counted(flowing(50, 0.05, faults=Faults(loss=loss)), 3)
    assert sacks_s < 6 / 0.05 + 2.5 * loss * packets_s + 60


def test_many_losses_make_bursts_small_and_each_asks_for_a_sack() -> None:
    sacks_s, packets_s = counted(flowing(50, 0.05, faults=Faults(loss=0.01)), 3)
    assert 3.5 <= packets_s / sacks_s <= 6


def test_a_small_message_on_an_idle_association_is_acknowledged_after_a_round_trip() -> None:
    pair = bulk_pair(World(), Bottleneck(), 0.02, message=b"x")
    pair.client.source = None
    pair.run(2)
    association = pair.client.association
    stream_id = association.open_channel("small")
    pair.run(1)
    began = pair.world.now
    association.send(stream_id, bytes(100), began)
    pair.client.flush()
    sender = association.sender
    assert sender is not None
    pair.world.run(began + 1, lambda: sender.idle)
    assert pair.world.now - began < 0.0201
