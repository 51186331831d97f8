"""Data channels (RFC 8831, RFC 8832), stream resets (RFC 6525), and the end (RFC 9260, 9)."""

from itertools import pairwise
from random import Random

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control import datachannel, reset
from protocol.sctp.control.datachannel import ChannelTerms
from protocol.sctp.errors import SctpMisuse
from protocol.sctp.events import ChannelClosed, ChannelOpened, Closed, Connected, MessageReceived
from protocol.sctp.packets import seal
from protocol.sctp.send.outqueue import Message
from protocol.sctp.status import AssociationState
from tests.protocol.sctp.model_link import (
    Faults,
    World,
    chunks_of,
    established,
    exchange,
    join,
    make_association,
)


def raw_send(association: Association, stream_id: int, payload: int, data: bytes) -> None:
    """Queue a message past all checks, as a bad peer would."""
    association._core.queue.push(stream_id, Message(data, payload))


def messages(association: Association) -> list[bytes]:
    return [event.data for event in association.events() if isinstance(event, MessageReceived)]


def drain(one: Association, two: Association, seconds: float = 3.0) -> None:
    """Let time pass at both ends, with no delay between them."""
    now = 0.0
    while now < seconds:
        exchange(one, two, now)
        now += 0.05
        one.handle_timer(now)
        two.handle_timer(now)


@pytest.mark.parametrize(
    "terms",
    [
        ChannelTerms("plain"),
        ChannelTerms("all", "p", ordered=False, max_retransmits=0),
        ChannelTerms("timed", max_lifetime_ms=5),
    ],
)
def test_rfc_8832_both_sides_agree_on_the_terms(terms: ChannelTerms) -> None:
    client, server = established()
    stream_id = client.open_channel(
        terms.label,
        ordered=terms.ordered,
        max_retransmits=terms.max_retransmits,
        max_lifetime_ms=terms.max_lifetime_ms,
        protocol=terms.protocol,
    )
    drain(client, server)
    [ours], [theirs] = client.events(), server.events()
    assert isinstance(ours, ChannelOpened)
    assert isinstance(theirs, ChannelOpened)
    assert (ours.by_peer, theirs.by_peer) == (False, True)
    for event in (ours, theirs):
        assert event.stream_id == stream_id
        assert (event.label, event.protocol, event.ordered) == (
            terms.label,
            terms.protocol,
            terms.ordered,
        )
        assert event.max_retransmits == terms.max_retransmits
        assert event.max_lifetime_ms == terms.max_lifetime_ms


def test_rfc_8832_section_6_streams_are_even_for_the_client_and_odd_for_the_server() -> None:
    client, server = established()
    assert [client.open_channel("c") for _ in range(3)] == [0, 2, 4]
    assert [server.open_channel("s") for _ in range(3)] == [1, 3, 5]
    drain(client, server)
    assert len([event for event in client.events() if isinstance(event, ChannelOpened)]) == 6


def test_rfc_8832_section_6_unordered_messages_wait_for_the_open_to_arrive() -> None:
    client, server = established()
    stream_id = client.open_channel("c", ordered=False)
    client.send(stream_id, b"x" * 1160, 0.0)
    flags = [flags for _, flags, _ in chunks_of(client.datagrams_to_send(0.0))]
    assert len(flags) >= 2
    assert not any(flag & chunks.FLAG_UNORDERED for flag in flags)
    client, server = established()
    stream_id = client.open_channel("c", ordered=False)
    drain(client, server)
    client.send(stream_id, b"x", 5.0)
    [(_, later, _)] = chunks_of(client.datagrams_to_send(5.0))
    assert later & chunks.FLAG_UNORDERED


def test_rfc_8831_section_6_5_a_negotiated_channel_announces_nothing() -> None:
    client, server = established()
    for association in (client, server):
        assert association.open_channel("known", negotiated_id=7) == 7
        with pytest.raises(SctpMisuse):
            association.open_channel("again", negotiated_id=7)
    client.send(7, b"hello", 0.0)
    drain(client, server)
    assert server.events() == [MessageReceived(7, b"hello", True)]


def test_terms_are_checked() -> None:
    client, _ = established()
    for bad in (
        {"max_retransmits": 1, "max_lifetime_ms": 1},
        {"max_retransmits": -1},
        {"protocol": "x" * 2000},
    ):
        with pytest.raises(SctpMisuse):
            client.open_channel("c", **bad)


def test_the_number_of_channels_is_bounded_and_streams_are_used_again() -> None:
    config = AssociationConfig(Role.CLIENT, streams=4)
    client = Association(config, Random(1))
    assert [client.open_channel("c"), client.open_channel("c")] == [0, 2]
    with pytest.raises(SctpMisuse):
        client.open_channel("c")
    client, server = established()
    first = client.open_channel("c")
    drain(client, server)
    client.close_channel(first)
    drain(client, server)
    assert ChannelClosed(first) in client.events()
    client._channels._next_id = 0
    assert client.open_channel("again") == first


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x09",
        b"\x03\x00",
        datachannel.encode_open(ChannelTerms("x")) + b"more",
        datachannel.encode_open(ChannelTerms("xyz"))[:-1],
        b"\x03\x07" + datachannel.encode_open(ChannelTerms("x"))[2:],
        b"\x03\x00\0\0\0\0\0\0\0\x01\0\0\xff",
        b"\x03\x00\0\0\0\0\0\0\xff\xff\0\0" + bytes(65535),
    ],
    ids=lambda bad: f"{len(bad)} bytes",
)
def test_a_bad_open_resets_its_stream_and_harms_nobody(bad: bytes) -> None:
    client, server = established()
    stream_id = client.open_channel("good")
    drain(client, server)
    raw_send(client, 40, datachannel.PAYLOAD_CONTROL, bad or datachannel.EMPTY)
    client.send(stream_id, b"fine", 0.0)
    drain(client, server)
    assert messages(server) == [b"fine"]
    assert server.counters["refused channel"] == 1
    assert server._channels.open_ids == [stream_id]


def test_a_second_open_on_a_stream_closes_its_channel() -> None:
    """The stock library raises AssertionError here."""
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    raw_send(client, stream_id, 50, datachannel.encode_open(ChannelTerms("again")))
    drain(client, server)
    assert ChannelClosed(stream_id) in server.events()
    assert ChannelClosed(stream_id) in client.events()


def test_an_open_with_our_parity_or_one_too_many_is_refused() -> None:
    client, server = established()
    raw_send(client, 3, 50, datachannel.encode_open(ChannelTerms("wrong parity")))
    drain(client, server)
    assert server.counters["refused channel"] == 1
    client, server = established()
    for stream_id in range(0, 2 * limits.CHANNELS_MAX + 8, 2):
        raw_send(client, stream_id, 50, datachannel.encode_open(ChannelTerms("flood")))
    drain(client, server, 6.0)
    opened = [event for event in server.events() if isinstance(event, ChannelOpened)]
    assert len(opened) == limits.CHANNELS_MAX
    assert server.counters["refused channel"] == 4


def test_messages_for_no_channel_and_unknown_payloads_are_counted() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    raw_send(client, 60, datachannel.PAYLOAD_BINARY, b"nobody")
    raw_send(client, stream_id, 999, b"what")
    raw_send(client, 62, datachannel.PAYLOAD_CONTROL, datachannel.ACK)
    drain(client, server)
    assert server.events() == []
    assert server.counters["message without channel"] == 1
    assert server.counters["unknown payload protocol"] == 1


@pytest.mark.parametrize("who", ["client", "server", "both"])
def test_rfc_8831_section_6_7_closing_loses_nothing(who: str) -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    for number in range(50):
        client.send(stream_id, bytes([number]) * 3000, 0.0)
        server.send(stream_id, bytes([number]) * 3000, 0.0)
    for association in (client, server):
        if who in ("both", "client" if association is client else "server"):
            association.close_channel(stream_id)
            with pytest.raises(SctpMisuse):
                association.send(stream_id, b"too late", 0.0)
    drain(client, server)
    for association in (client, server):
        events = association.events()
        assert len([event for event in events if isinstance(event, MessageReceived)]) == 50
        assert events[-1] == ChannelClosed(stream_id)
    assert client.next_timer() == server.next_timer()


def test_a_stream_begins_at_zero_after_a_reset() -> None:
    client, server = established()
    for text in ("one", "two"):
        stream_id = client.open_channel("c", protocol=text)
        client._channels._next_id = 0
        client.send(stream_id, text, 0.0)
        drain(client, server)
        assert messages(server) == [text.encode()]
        client.close_channel(stream_id)
        drain(client, server)


def reconfig(tag: int, *parameters: tuple[int, bytes]) -> bytes:
    body = chunks.encode_chunk(chunks.RECONFIG, 0, chunks.encode_parameters(list(parameters)))
    return seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), body)


def responses(datagrams: list[bytes]) -> list[tuple[int, int]]:
    return [
        (int.from_bytes(body[:4]), int.from_bytes(body[4:8]))
        for kind, _, value in chunks_of(datagrams)
        if kind == chunks.RECONFIG
        for parameter, body in chunks.split_parameters(value)
        if parameter == chunks.PARAMETER_RESET_RESPONSE
    ]


def test_rfc_6525_section_5_2_requests_in_and_out_of_turn() -> None:
    client, server = established()
    assert client.sender is not None
    tag = server._handshake.local_tag
    sequence = client.sender.board.next_tsn & 0xFFFFFFFF
    last = (sequence - 1) & 0xFFFFFFFF

    def request(number: int, last_tsn: int) -> list[tuple[int, int]]:
        body = b"".join(value.to_bytes(4) for value in (number, 0, last_tsn)) + b"\0\x08"
        server.receive(reconfig(tag, (chunks.PARAMETER_OUTGOING_RESET, body)), 0.0)
        return responses(server.datagrams_to_send(0.0))

    assert request((sequence + 5) & 0xFFFFFFFF, last) == [((sequence + 5) & 0xFFFFFFFF, 5)]
    assert request(sequence, last) == [(sequence, 1)]
    assert request(sequence, last) == [(sequence, 1)], "a repeated request is answered again"
    following = (sequence + 1) & 0xFFFFFFFF
    assert request(following, (last + 1) & 0xFFFFFFFF) == [(following, 6)], "data is missing"
    stream_id = client.open_channel("c")
    server.receive_burst(client.datagrams_to_send(0.0), 0.0)
    assert (following, 1) in responses(server.datagrams_to_send(0.0)), stream_id


def test_rfc_6525_section_5_2_2_a_second_request_waits_for_the_first() -> None:
    client, server = established()
    server_tag = server._handshake.local_tag
    assert server.receiver is not None
    first_tsn = (server.receiver.cumulative + 1) & 0xFFFFFFFF

    def request(sequence: int, last_tsn: int, *streams: int) -> int:
        numbers = [sequence & 0xFFFFFFFF, 0, last_tsn & 0xFFFFFFFF]
        body = b"".join(number.to_bytes(4) for number in numbers)
        body += b"".join(stream.to_bytes(2) for stream in streams)
        parameters = chunks.encode_parameters([(chunks.PARAMETER_OUTGOING_RESET, body)])
        chunk = chunks.encode_chunk(chunks.RECONFIG, 0, parameters)
        server.receive(seal(chunks.COMMON_HEADER.pack(5000, 5000, server_tag), chunk), 0.0)
        [(_, _, value)] = chunks_of(server.datagrams_to_send(0.0))
        [(_, answer)] = chunks.split_parameters(value)
        return int.from_bytes(answer[4:8])

    assert request(first_tsn, first_tsn, 0) == reset.IN_PROGRESS
    assert request(first_tsn + 1, first_tsn, 2) == reset.REQUEST_IN_PROGRESS
    assert request(first_tsn, first_tsn, 0) == reset.IN_PROGRESS
    data = chunks.encode_data(3, first_tsn, 0, 0, 53, b"x")
    server.receive(seal(chunks.COMMON_HEADER.pack(5000, 5000, server_tag), data), 0.0)
    server.datagrams_to_send(0.0)
    assert request(first_tsn, first_tsn, 0) == reset.PERFORMED
    assert request(first_tsn + 1, first_tsn, 65535) == reset.WRONG_STREAM
    assert request(first_tsn + 2, first_tsn, 2) == reset.PERFORMED
    assert client.connected


def test_rfc_6525_what_we_do_not_offer_is_denied() -> None:
    client, server = established()
    assert client.sender is not None
    sequence = client.sender.board.next_tsn & 0xFFFFFFFF
    tag = server._handshake.local_tag
    for offset, kind in enumerate((14, 15, 17, 18)):
        number = (sequence + offset) & 0xFFFFFFFF
        server.receive(reconfig(tag, (kind, number.to_bytes(4) + bytes(4))), 0.0)
        assert responses(server.datagrams_to_send(0.0)) == [(number, 2)]


def test_a_peer_that_refuses_a_reset_does_not_keep_the_channel_open() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    client.close_channel(stream_id)
    asked = client.datagrams_to_send(3.0)
    [(_, _, value)] = chunks_of(asked)
    number = chunks.split_parameters(value)[0][1][:4]
    tag = client._handshake.local_tag
    client.receive(reconfig(tag, (16, number + (2).to_bytes(4))), 3.0)
    server.close_channel(stream_id)
    drain(client, server)
    assert ChannelClosed(stream_id) in client.events()


def test_a_reset_that_is_never_answered_ends_the_association() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    client.close_channel(stream_id)
    client._core.round_trip.on_sample(5.0)  # waits that double must not grow beyond all bounds
    now, requests = 3.0, []
    datagrams = client.datagrams_to_send(now)
    while (timer_at := client.next_timer()) is not None and not client.over:
        requests += [now for kind, _, _ in chunks_of(datagrams) if kind == chunks.RECONFIG]
        now = timer_at
        client.handle_timer(now)
        datagrams = client.datagrams_to_send(now)
    assert len(requests) == limits.RETRANSMITS_MAX + 1
    waits = [later - earlier for earlier, later in pairwise(requests)]
    assert max(waits) == pytest.approx(limits.RTO_MAX_S)
    assert isinstance(client.events()[-1], Closed)


def test_section_9_2_shutdown_is_graceful_on_both_sides() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    client.send(stream_id, bytes(300_000), 0.0)
    server.send(stream_id, bytes(300_000), 0.0)
    client.shutdown(0.0)
    assert client.state is AssociationState.SHUTDOWN_PENDING
    with pytest.raises(SctpMisuse):
        client.send(stream_id, b"too late", 0.0)
    drain(client, server)
    ours, theirs = client.events(), server.events()
    assert ours[-1] == Closed("The association was shut down.", False, True)
    assert theirs[-1] == Closed("The association was shut down.", True, True)
    for events in (ours, theirs):
        assert [len(event.data) for event in events if isinstance(event, MessageReceived)] == [
            300_000
        ]


def test_section_9_2_data_after_our_shutdown_repeats_it() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.send(stream_id, bytes(3000), 5.0)
    late = server.datagrams_to_send(5.0)
    client.shutdown(5.0)
    assert [kind for kind, _, _ in chunks_of(client.datagrams_to_send(5.0))] == [chunks.SHUTDOWN]
    client.receive_burst(late, 5.0)
    again = [kind for kind, _, _ in chunks_of(client.datagrams_to_send(5.0))]
    assert chunks.SACK in again
    assert chunks.SHUTDOWN in again


def test_section_9_2_both_shut_down_at_once() -> None:
    client, server = established()
    client.shutdown(0.0)
    server.shutdown(0.0)
    drain(client, server)
    for association in (client, server):
        [closed] = association.events()
        assert isinstance(closed, Closed)
        assert closed.graceful


@pytest.mark.parametrize("lost", range(4))
def test_section_9_2_any_message_of_a_shutdown_may_be_lost(lost: int) -> None:
    pair = join(
        World(), make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2)
    ).connect()
    pair.run(1)
    count = [0]
    for direction in (pair.forward, pair.backward):
        send = direction.send

        def losing(size: int, deliver: object, send: object = send) -> None:
            count[0] += 1
            if count[0] - 1 != lost:
                send(size, deliver)  # type: ignore[operator]

        direction.send = losing  # type: ignore[method-assign]
    pair.client.association.shutdown(pair.world.now)
    pair.client.flush()
    pair.run(30)
    for host in (pair.client, pair.server):
        assert isinstance(host.events[-1], Closed)
        assert host.events[-1].graceful


def test_section_9_2_a_shutdown_that_nobody_answers_ends_by_itself() -> None:
    client, _ = established()
    client.shutdown(0.0)
    now = 0.0
    while (timer_at := client.next_timer()) is not None:
        client.datagrams_to_send(now)
        now = timer_at
        client.handle_timer(now)
    assert now <= limits.SHUTDOWN_GUARD_S
    [closed] = client.events()
    assert isinstance(closed, Closed)
    assert not closed.graceful
    assert chunks_of(client.datagrams_to_send(now))[-1][0] == chunks.ABORT


def test_section_9_1_an_abort_tells_the_peer() -> None:
    client, server = established()
    client.send(client.open_channel("c"), bytes(1000), 0.0)
    client.abort("No more disk.")
    exchange(client, server)
    assert client.events() == [Closed("No more disk.", False, False)]
    assert server.events() == [Closed("The peer aborted the association (cause 12).", True, False)]
    assert client.next_timer() is None
    assert server.next_timer() is None
    client.abort()
    client.connect(0.0)
    assert client.datagrams_to_send(0.0) == []


def test_giving_up_before_the_handshake_is_over() -> None:
    association = make_association(Role.CLIENT, 1)
    association.connect(0.0)
    association.shutdown(0.0)
    assert isinstance(association.events()[-1], Closed)
    assert association.next_timer() is None


def test_section_8_4_a_shutdown_ack_for_a_dead_association_is_answered() -> None:
    client, _ = established()
    client.abort()
    client.datagrams_to_send(0.0)
    tag = client._handshake.local_tag
    ack = seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), chunks.encode_chunk(chunks.SHUTDOWN_ACK))
    client.receive(ack, 0.0)
    assert chunks_of(client.datagrams_to_send(0.0)) == [(chunks.SHUTDOWN_COMPLETE, 1, b"")]


def test_section_8_4_whoever_sends_to_a_dead_association_is_told_once_a_packet() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    client.send(stream_id, bytes(10_000), 0.0)
    late = client.datagrams_to_send(0.0)
    server.abort()
    server.datagrams_to_send(0.0)
    server.receive_burst(late, 0.0)
    answers = server.datagrams_to_send(0.0)
    assert chunks_of(answers) == [(chunks.ABORT, chunks.FLAG_TAG_REFLECTED, b"")] * len(late)
    server.receive_burst(late * 100, 0.0)
    assert len(server.datagrams_to_send(0.0)) <= limits.CONTROL_QUEUE
    client.receive_burst(answers, 0.0)
    assert client.over
    client.datagrams_to_send(0.0)
    client.receive_burst(answers, 0.0)
    assert client.datagrams_to_send(0.0) == [], "an ABORT is never answered"


def test_section_8_4_an_init_to_a_dead_association_is_refused_under_its_own_tag() -> None:
    client, server = established()
    server.abort()
    server.datagrams_to_send(0.0)
    anew = make_association(Role.CLIENT, 9)
    anew.connect(1.0)
    server.receive_burst(anew.datagrams_to_send(1.0), 1.0)
    anew.receive_burst(server.datagrams_to_send(1.0), 1.0)
    assert [type(event) for event in anew.events()] == [Closed]
    assert client.connected


def test_section_9_2_nothing_more_is_taken_from_the_application() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    client.shutdown(0.0)
    with pytest.raises(SctpMisuse):
        client.send(stream_id, b"late", 0.0)
    server.receive_burst(client.datagrams_to_send(0.0), 0.0)
    exchange(client, server)
    assert client.over
    assert server.over


def test_section_9_2_a_peer_that_begins_anew_does_not_undo_our_shutdown() -> None:
    client, server = established()
    stream_id = server.open_channel("c")
    server.send(stream_id, bytes(5000), 0.0)
    server.datagrams_to_send(0.0)
    server.shutdown(0.0)
    assert server.state is AssociationState.SHUTDOWN_PENDING
    anew = make_association(Role.CLIENT, 9)
    anew.connect(1.0)
    exchange(anew, server, 1.0)
    assert server.over
    assert [type(event) for event in anew.events()] == [Connected, Closed]
    assert client.connected


def test_nothing_is_read_after_the_end() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    client.send(stream_id, b"late", 0.0)
    late = client.datagrams_to_send(0.0)
    server.abort()
    server.datagrams_to_send(0.0)
    events = server.events()
    server.receive_burst(late, 0.0)
    assert len(events) == 1
    assert server.events() == []
    assert server.next_timer() is None


def partial_run(
    loss: float, *, ordered: bool, max_retransmits: int | None, max_lifetime_ms: int | None
) -> tuple[list[int], int]:
    """Send 300 numbered messages of three packets over a bad path; return what arrived."""
    pair = join(
        World(),
        make_association(Role.CLIENT, 1),
        make_association(Role.SERVER, 2),
        rtt_s=0.1,
    ).connect()
    pair.run(1)
    client = pair.client.association
    stream_id = client.open_channel(
        "c", ordered=ordered, max_retransmits=max_retransmits, max_lifetime_ms=max_lifetime_ms
    )
    pair.client.flush()
    pair.run(1)
    pair.forward.faults = Faults(loss=loss)
    for number in range(300):
        client.send(stream_id, number.to_bytes(2) * 1600, pair.world.now)
        pair.client.flush()
        pair.run(0.01)
    pair.forward.faults = Faults()
    pair.run(5)
    client.send(stream_id, (999).to_bytes(2) * 1600, pair.world.now)
    pair.client.flush()
    pair.run(5)
    assert client.sender is not None
    assert client.sender.board.outstanding == 0
    assert pair.server.association.receiver is not None
    assert pair.server.association.receiver.reassembly.held_bytes == 0
    arrived = [int.from_bytes(data[:2]) for data in pair.server.messages(stream_id)]
    assert all(len(data) == 3200 for data in pair.server.messages(stream_id))
    return arrived, client.sender.given_up_messages


@pytest.mark.parametrize("ordered", [True, False])
def test_rfc_3758_no_retransmission_means_that_the_lost_stays_lost(ordered: bool) -> None:
    arrived, given_up = partial_run(0.1, ordered=ordered, max_retransmits=0, max_lifetime_ms=None)
    assert arrived[-1] == 999
    assert 150 < len(arrived) < 290
    assert len(arrived) + given_up == 301
    assert len(set(arrived)) == len(arrived)
    assert not ordered or arrived == sorted(arrived)


def test_rfc_3758_some_retransmissions_mend_most() -> None:
    arrived, given_up = partial_run(0.1, ordered=True, max_retransmits=2, max_lifetime_ms=None)
    assert len(arrived) >= 297
    assert arrived == sorted(arrived)
    assert len(arrived) + given_up == 301


def test_rfc_3758_a_lifetime_bounds_how_long_is_tried() -> None:
    arrived, _ = partial_run(0.1, ordered=True, max_retransmits=None, max_lifetime_ms=50)
    lenient, _ = partial_run(0.1, ordered=True, max_retransmits=None, max_lifetime_ms=2000)
    assert len(arrived) < len(lenient)
    assert len(lenient) >= 299
    assert arrived[-1] == lenient[-1] == 999


def test_rfc_3758_what_expires_in_the_queue_never_leaves() -> None:
    client, server = established()
    stream_id = client.open_channel("c", max_lifetime_ms=100)
    drain(client, server)
    server.events()
    client.send(stream_id, b"stale", 10.0)
    client.send(stream_id, b"fresh", 10.5)
    exchange(client, server, 10.5)
    assert messages(server) == [b"fresh"]
    assert client.buffered_amount(stream_id) == 0


def test_rfc_3758_a_message_given_up_half_sent_is_skipped() -> None:
    pair = join(
        World(), make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2), rtt_s=0.1
    ).connect()
    pair.run(1)
    client = pair.client.association
    stream_id = client.open_channel("c", max_lifetime_ms=300)
    pair.client.flush()
    pair.run(1)
    pair.forward.down = True
    client.send(stream_id, bytes(500_000), pair.world.now)
    pair.client.flush()
    pair.run(2)
    pair.forward.down = False
    client.send(stream_id, b"after", pair.world.now)
    pair.client.flush()
    pair.run(10)
    assert pair.server.messages(stream_id) == [b"after"]
    assert client.sender is not None
    assert client.sender.board.outstanding == 0
    assert client.buffered_amount(stream_id) == 0


def test_rfc_3758_giving_up_never_skips_what_is_reliable() -> None:
    pair = join(
        World(), make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2), rtt_s=0.1
    ).connect()
    pair.run(1)
    client = pair.client.association
    reliable = client.open_channel("reliable")
    fickle = client.open_channel("fickle", max_retransmits=0)
    pair.client.flush()
    pair.run(1)
    pair.forward.faults = Faults(loss=0.1, reorder=0.1)
    sent = []
    for number in range(300):
        message = number.to_bytes(2) * Random(number).randrange(1, 2000)
        sent.append(message)
        client.send(reliable, message, pair.world.now)
        client.send(fickle, message, pair.world.now)
        pair.client.flush()
        pair.run(0.01)
    pair.forward.faults = Faults()
    pair.run(10)
    assert pair.server.messages(reliable) == sent
    assert 100 < len(pair.server.messages(fickle)) < 300
