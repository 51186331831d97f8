"""RFC 9260, 6: data, acknowledgements, windows, timeouts; and the pitfalls of naive senders."""

from random import Random

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.errors import SctpMisuse, SendBufferFull
from protocol.sctp.events import BufferedAmountLow, Closed, MessageReceived
from protocol.sctp.packets import open_packet, seal
from tests.protocol.sctp.model_link import (
    Faults,
    World,
    chunks_of,
    established,
    exchange,
    join,
    make_association,
    wide_open,
)


def sacks(datagrams: list[bytes]) -> list[tuple[int, int, tuple[int, ...], tuple[int, ...]]]:
    return [chunks.decode_sack(value) for kind, _, value in chunks_of(datagrams) if kind == 3]


def data_packets(association: Association, count: int) -> list[bytes]:
    """Return so many packets of one DATA chunk each, as they leave."""
    stream_id = association.open_channel("c")
    size = 1188 - 12 - 16
    association.send(stream_id, bytes(size * count), 0.0)
    datagrams = association.datagrams_to_send(0.0)
    return [datagram for datagram in datagrams if len(datagram) == 1188]


@pytest.mark.parametrize("size", [0, 1, 4, 1159, 1160, 1161, 2320, 65536, 1 << 20])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_section_6_9_messages_of_every_size(size: int, text: bool, ordered: bool) -> None:
    client, server = wide_open()
    stream_id = client.open_channel("c", ordered=ordered)
    exchange(client, server)
    content = Random(size).randbytes(size)
    message = content.hex()[:size] if text else content
    client.send(stream_id, message, 0.0)
    exchange(client, server)
    [event] = [event for event in server.events() if isinstance(event, MessageReceived)]
    expected = message.encode() if isinstance(message, str) else message
    assert event == MessageReceived(stream_id, expected, not text)


def test_section_6_10_short_messages_share_packets_and_none_is_too_long() -> None:
    client, server = wide_open()
    stream_id = client.open_channel("c")
    exchange(client, server)
    messages = [bytes([number % 256]) * (number % 900) for number in range(200)]
    for message in messages:
        client.send(stream_id, message, 0.0)
    datagrams = [datagram for _ in range(20) for datagram in client.datagrams_to_send(0.0)]
    total = sum(16 + (max(len(message), 1) + 3 & ~3) for message in messages)
    assert max(map(len, datagrams)) <= 1188
    assert len(datagrams) <= total / (1188 - 12) + 3
    server.receive_burst(datagrams, 0.0)
    assert [event.data for event in server.events() if isinstance(event, MessageReceived)] == (
        messages
    )


def test_a_call_builds_no_more_than_its_limit() -> None:
    client, _ = wide_open()
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(500_000), 0.0)
    assert [len(client.datagrams_to_send(0.0, limit)) for limit in (1, 7, 64)] == [1, 7, 64]


def test_section_6_2_a_foreign_peer_gets_a_sack_for_every_second_packet() -> None:
    client, server = wide_open(own_peer=False)
    packets = data_packets(client, 10)
    server.receive_burst(packets[:9], 0.0)
    assert len(sacks(server.datagrams_to_send(0.0))) == 4
    assert server.next_timer() == pytest.approx(limits.SACK_DELAY_S)
    server.handle_timer(limits.SACK_DELAY_S)
    assert len(sacks(server.datagrams_to_send(limits.SACK_DELAY_S))) == 1


def test_section_6_2_1_gaps_and_duplicates_are_reported() -> None:
    client, server = wide_open()
    packets = data_packets(client, 10)
    server.receive_burst([packets[index] for index in (0, 2, 3, 6)], 0.0)
    [(first, _, gaps, again)] = sacks(server.datagrams_to_send(0.0))
    assert (gaps, again) == ((2, 3, 6, 6), ())
    server.receive_burst([packets[index] for index in (3, 1, 9)], 0.0)
    [(second, _, gaps, again)] = sacks(server.datagrams_to_send(0.0))
    assert second == (first + 3) & 0xFFFFFFFF
    assert gaps == (3, 3, 6, 6)
    assert again == ((first + 3) & 0xFFFFFFFF,)


def test_section_6_the_i_bit_marks_the_end_of_what_is_queued() -> None:
    client, server = wide_open(own_peer=False)
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(5000), 0.0)
    flags = [flags for kind, flags, _ in chunks_of(client.datagrams_to_send(0.0)) if kind == 0]
    assert [bool(flag & chunks.FLAG_IMMEDIATE) for flag in flags] == [False] * 5 + [True]
    server.receive(data_packets(client, 3)[0], 0.0)


def test_section_6_1_the_peers_window_is_respected_and_a_shut_one_probed() -> None:
    world = World()
    pair = join(
        world,
        make_association(Role.CLIENT, 1),
        make_association(Role.SERVER, 2, receive_window_bytes=100_000, max_message_bytes=50_000),
    ).connect()
    pair.run(1)
    stream_id = pair.client.association.open_channel("c")
    pair.run(1)
    held: list[MessageReceived] = []
    server = pair.server.association
    take = server.events
    server.events = list  # type: ignore[method-assign]
    for number in range(40):
        pair.client.association.send(stream_id, bytes([number]) * 10_000, world.now)
    pair.client.flush()
    pair.run(30)
    assert server.receiver is not None
    assert server.receiver.window_bytes == 0
    assert server._core.inbox.undrained_bytes <= 100_000 + 15_000
    assert not pair.client.association.over
    assert server.receiver.dropped_chunks >= 3, "what a shut window is probed with is not kept"
    sent_before = pair.forward.sent
    pair.run(60)
    assert 1 <= pair.forward.sent - sent_before <= 20, "probes continue, rarely"
    server.events = take  # type: ignore[method-assign]
    pair.server.flush()
    pair.run(20)
    held += [event for event in pair.server.events if isinstance(event, MessageReceived)]
    assert [event.data[0] for event in held] == list(range(40))


def test_the_window_opens_by_an_announcement_and_not_by_a_probe_alone() -> None:
    client, server = established(receive_window_bytes=2 << 20)
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(1 << 20), 0.0)
    now = 0.0
    while client.buffered_amount(stream_id):
        now += 0.01
        server.receive_burst(client.datagrams_to_send(now), now)
        client.receive_burst(server.datagrams_to_send(now), now)
    client.send(stream_id, bytes(1 << 20), now)
    while (receiver := server.receiver) is not None and receiver.window_bytes > 300_000:
        now += 0.01
        server.receive_burst(client.datagrams_to_send(now), now)
        client.receive_burst(server.datagrams_to_send(now), now)
    assert server.datagrams_to_send(now) == []
    server.events()
    [(_, window, _, _)] = sacks(server.datagrams_to_send(now))
    assert window > 1_000_000


def test_the_application_is_told_when_to_go_on() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    client.set_buffered_amount_low(stream_id, 1000)
    client.send(stream_id, bytes(20_000), 0.0)
    assert client.buffered_amount(stream_id) == 20_000 + 13
    assert client.events() == []
    exchange(client, server)
    now = 0.0
    while client.buffered_amount(stream_id):
        now += 0.05
        exchange(client, server, now)
    assert BufferedAmountLow(stream_id) in client.events()
    config = AssociationConfig(Role.CLIENT, send_buffer_bytes=10_000)
    small = Association(config, Random(1))
    stream_id = small.open_channel("c")
    writable = [small.writable]
    small.send(stream_id, bytes(9_000), 0.0)
    assert [*writable, small.writable] == [True, False]
    with pytest.raises(SendBufferFull):
        small.send(stream_id, bytes(2_000), 0.0)


def test_the_peers_message_bound_is_kept() -> None:
    config = AssociationConfig(Role.CLIENT, peer_max_message_bytes=100)
    association = Association(config, Random(1))
    stream_id = association.open_channel("c")
    association.send(stream_id, bytes(100), 0.0)
    with pytest.raises(SctpMisuse):
        association.send(stream_id, bytes(101), 0.0)
    with pytest.raises(SctpMisuse):
        association.send(stream_id + 2, b"no channel", 0.0)


@pytest.mark.parametrize("fragmented", [False, True])
def test_a_message_larger_than_agreed_ends_the_association(fragmented: bool) -> None:
    client, server = wide_open()
    stream_id = client.open_channel("c")
    server._inbound.halves.receiver.reassembly._max_message_bytes = 5000  # type: ignore[union-attr]
    client.send(stream_id, bytes(6000), 0.0)
    datagrams = client.datagrams_to_send(0.0)
    server.receive_burst(datagrams[1:] if fragmented else datagrams, 0.0)
    server.receive_burst(datagrams[:1], 0.0)
    [closed] = [event for event in server.events() if isinstance(event, Closed)]
    assert closed.reason == "A message is larger than what we accept."
    assert chunks_of(server.datagrams_to_send(0.0))[0][0] == chunks.ABORT


def bad_data(server: Association, *parts: bytes) -> list[bytes]:
    """Give the server a packet under its tag; return its answers."""
    tag = server.local_tag
    server.receive(seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), b"".join(parts)), 0.0)
    return server.datagrams_to_send(0.0)


def next_tsn(server: Association) -> int:
    assert server.receiver is not None
    return (server.receiver.cumulative + 1) & 0xFFFFFFFF


def test_section_3_3_1_data_without_data_is_a_violation() -> None:
    _, server = established()
    answer = bad_data(server, chunks.encode_data(3, next_tsn(server), 0, 0, 53, b""))
    [(kind, _, value)] = chunks_of(answer)
    assert (kind, chunks.split_parameters(value)[0][0]) == (6, chunks.CAUSE_NO_USER_DATA)


def test_section_6_9_fragments_that_contradict_each_other_are_a_violation() -> None:
    _, server = established()
    tsn = next_tsn(server)
    bad_data(
        server,
        chunks.encode_data(chunks.FLAG_FIRST, tsn, 0, 0, 53, b"a"),
        chunks.encode_data(chunks.FLAG_LAST, (tsn + 1) & 0xFFFFFFFF, 2, 0, 53, b"b"),
    )
    assert isinstance(server.events()[0], Closed)


def test_section_6_2_1_acknowledging_the_unsent_is_a_violation() -> None:
    _, server = established()
    assert server.sender is not None
    unsent = server.sender.board.next_tsn
    answer = bad_data(server, chunks.encode_sack(unsent & 0xFFFFFFFF, 1000, []))
    assert chunks_of(answer)[0][0] == chunks.ABORT


def test_section_6_5_a_stream_that_does_not_exist_is_reported_and_its_tsn_acknowledged() -> None:
    _, server = established()
    tsn = next_tsn(server)
    answer = bad_data(server, chunks.encode_data(3, tsn, 65535, 0, 53, b"x"))
    kinds = [kind for kind, _, _ in chunks_of(answer)]
    assert chunks.ERROR in kinds
    assert next_tsn(server) == (tsn + 1) & 0xFFFFFFFF
    assert not server.over


def test_tsns_too_far_ahead_and_too_many_islands_are_dropped() -> None:
    _, server = established()
    tsn = next_tsn(server)
    receiver = server.receiver
    assert receiver is not None
    for offset in range(1, 2 * limits.GAPS_MAX + 100, 2):
        receiver.on_data(3, (tsn + offset) & 0xFFFFFFFF, 0, 0, 53, b"x")
    assert receiver.gaps == limits.GAPS_MAX
    assert receiver.dropped_chunks == 50
    receiver.on_data(3, (tsn + 70_000) & 0xFFFFFFFF, 0, 0, 53, b"x")
    assert receiver.dropped_chunks == 51
    assert len(receiver.sack()) <= 1000


def test_truncated_gap_reports_are_not_taken_for_losses() -> None:
    """A peer that reports few gap blocks (libwebrtc: 20) hides what it has behind them."""
    client, server = wide_open()
    packets = data_packets(client, 60)
    client.receive_burst([], 0.05)
    tsn = next_tsn(server)
    shown = [offset for block in range(2, 22, 2) for offset in (block, block)]
    sack = chunks.encode_sack((tsn - 1) & 0xFFFFFFFF, 1 << 20, shown)
    for now in (0.05, 0.1, 0.2):
        bad = seal(chunks.COMMON_HEADER.pack(5000, 5000, client.local_tag), sack)
        client.receive(bad, now)
        client.handle_timer(now)
    assert client.sender is not None
    lost = client.sender.board.lost
    assert len(packets) >= 50
    assert len(lost) == 10
    assert max(lost) < client.sender.board.cumulative + 21


def test_the_newest_sack_of_a_burst_counts() -> None:
    client, server = wide_open(own_peer=False)
    packets = data_packets(client, 20)
    server.receive_burst(packets, 0.1)
    answers = server.datagrams_to_send(0.1)
    assert len(answers) >= 10
    for order in (answers, answers[5:] + answers[:5]):
        client.receive_burst(order, 0.1)
        client.next_timer()
        assert client.sender is not None
        assert client.sender.board.outstanding == 1, "all but the message's last chunk"


def test_a_shut_window_that_takes_probes_is_probed_ever_more_rarely() -> None:
    client, server = wide_open()
    data_packets(client, 3)
    stream_id = client.open_channel("more")
    client.send(stream_id, bytes(100_000), 0.0)
    tag, now, probes = client.local_tag, 0.1, []
    assert client.sender is not None
    while now < 60:
        acknowledged = (client.sender.board.next_tsn - 1) & 0xFFFFFFFF
        sack = chunks.encode_sack(acknowledged, 0, [])
        client.receive(seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), sack), now)
        if client.datagrams_to_send(now):
            probes.append(now)
        timer_at = client.next_timer()
        assert timer_at is not None
        now = max(now, timer_at)
        client.handle_timer(now)
        if client.datagrams_to_send(now):
            probes.append(now)
    assert 5 <= len(probes) <= 20
    assert not server.over


def test_holes_of_one_stream_do_not_delay_another() -> None:
    client, server = wide_open()
    streams = [client.open_channel(str(number)) for number in range(3)]
    exchange(client, server)
    server.events()
    for number in range(9):
        client.send(streams[number % 3], bytes([number]) * 1160, 0.0)
    datagrams = client.datagrams_to_send(0.0)
    lost = [datagram for datagram in datagrams if chunks_of([datagram])[0][2][12:13] == b"\0"]
    server.receive_burst([datagram for datagram in datagrams if datagram not in lost], 0.0)
    early = [event.data[0] for event in server.events() if isinstance(event, MessageReceived)]
    assert sorted(early) == [1, 2, 4, 5, 7, 8]
    server.receive_burst(lost, 0.0)
    late = [event.data[0] for event in server.events() if isinstance(event, MessageReceived)]
    assert late == [0, 3, 6]


def test_streams_take_turns() -> None:
    client, server = wide_open()
    streams = [client.open_channel(str(number)) for number in range(2)]
    exchange(client, server)
    server.events()
    for _ in range(20):
        client.send(streams[0], bytes(20_000), 0.0)
    client.send(streams[1], b"not starved", 0.0)
    exchange(client, server)
    order = [event.stream_id for event in server.events() if isinstance(event, MessageReceived)]
    assert order.index(streams[1]) <= 2


def test_tsn_and_stream_numbers_wrap() -> None:
    class NearTheEnd(Random):
        def randbytes(self, n: int) -> bytes:
            return b"\xff\xff\xff\xf0" if n == 4 else super().randbytes(n)

    config = AssociationConfig(Role.CLIENT, own_peer=True)
    client = Association(config, NearTheEnd(1))
    server = make_association(Role.SERVER, 2)
    pair = join(
        World(), client, server, faults=Faults(loss=0.02, reorder=0.1), rtt_s=0.002
    ).connect()
    pair.run(1)
    stream_id = client.open_channel("c")
    count = 70_000

    sent = [0]

    def feed() -> None:
        """As many tiny messages as a peer takes for long."""
        while sent[0] < min(count, 3000 * pair.world.now) and client.connected:
            client.send(stream_id, sent[0].to_bytes(4), pair.world.now)
            sent[0] += 1
        pair.client.flush()
        pair.world.at(pair.world.now + 0.01, feed)

    feed()
    pair.world.run(200, lambda: pair.server.received_messages == count)
    assert [int.from_bytes(data) for data in pair.server.messages(stream_id)] == list(range(count))
    assert client.sender is not None
    assert client.sender.board.next_tsn > 2**32


def test_a_path_probe_says_what_fits() -> None:
    from protocol.sctp.events import PathProbed

    client, server = established()
    client.probe_path(1440)
    [datagram] = client.datagrams_to_send(0.0)
    assert len(datagram) == 1440
    server.receive(datagram, 0.0)
    exchange(client, server)
    assert client.events() == [PathProbed(1440)]
    client.set_packet_bytes(1440)
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(5000), 0.0)
    assert max(map(len, client.datagrams_to_send(0.0))) == 1440
    for bad in (100, 1441, 100_000):
        with pytest.raises(SctpMisuse):
            client.probe_path(bad)


def test_every_datagram_has_a_valid_checksum_and_our_ports() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(10_000), 0.0)
    for datagram in client.datagrams_to_send(0.0):
        assert open_packet(datagram)[:2] == (5000, 5000)
        server.receive(datagram, 0.0)
    assert server.counters["malformed_chunk"] == 0
