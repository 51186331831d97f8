"""RFC 9260, 5: the handshake in every order, with every message lost, and with forged packets."""

from random import Random

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.chunks import Init
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.errors import SctpMisuse
from protocol.sctp.events import ChannelClosed, Closed, Connected, MessageReceived, Restarted
from protocol.sctp.packets import open_packet, seal
from protocol.sctp.status import AssociationState
from tests.protocol.sctp.model_link import (
    chunks_of,
    established,
    exchange,
    make_association,
)


def two() -> tuple[Association, Association]:
    return make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2)


def deliver(association: Association, datagrams: list[bytes], now: float = 0.0) -> list[bytes]:
    association.receive_burst(datagrams, now)
    return association.datagrams_to_send(now)


def kinds(datagrams: list[bytes]) -> list[int]:
    return [kind for kind, _, _ in chunks_of(datagrams)]


def packet(tag: int, *parts: bytes) -> bytes:
    return seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), b"".join(parts))


def init(tag: int = 77, parameters: tuple[tuple[int, bytes], ...] = (), **changes: int) -> bytes:
    values = {"window_bytes": 100_000, "outgoing_streams": 10, "incoming_streams": 10}
    values.update(changes)
    return chunks.encode_init(
        chunks.INIT, Init(tag=tag, first_tsn=1000, parameters=parameters, **values)
    )


def test_section_5_1_four_messages_when_one_side_begins() -> None:
    client, server = two()
    client.connect(0.0)
    asked = client.datagrams_to_send(0.0)
    assert open_packet(asked[0])[2] == 0, "an INIT has tag zero"
    answered = deliver(server, asked)
    assert server.state is AssociationState.CLOSED, "nothing is remembered for an INIT"
    echoed = deliver(client, answered)
    assert client.state is AssociationState.COOKIE_ECHOED
    confirmed = deliver(server, echoed)
    deliver(client, confirmed)
    assert [kinds(step) for step in (asked, answered, echoed, confirmed)] == [
        [chunks.INIT],
        [chunks.INIT_ACK],
        [chunks.COOKIE_ECHO],
        [chunks.COOKIE_ACK],
    ]
    assert client.events() == server.events() == [Connected()]
    assert client.next_timer() == server.next_timer() == limits.HEARTBEAT_S


def test_section_5_2_1_both_begin_at_once() -> None:
    client, server = two()
    client.connect(0.0)
    server.connect(0.0)
    exchange(client, server)
    assert client.events() == server.events() == [Connected()]


@pytest.mark.parametrize("lost", range(6))
@pytest.mark.parametrize("both", [True, False])
def test_section_5_1_any_one_message_may_be_lost(lost: int, both: bool) -> None:
    client, server = two()
    client.connect(0.0)
    if both:
        server.connect(0.0)
    now, count = 0.0, 0
    while not (client.connected and server.connected):
        before = count
        for sender, receiver in ((client, server), (server, client)):
            for datagram in sender.datagrams_to_send(now):
                count += 1
                if count - 1 != lost:
                    receiver.receive(datagram, now)
        if count > before:
            continue
        times = [at for at in (client.next_timer(), server.next_timer()) if at is not None]
        now = max(now, min(times)) if times else now
        assert now < 10
        client.handle_timer(now)
        server.handle_timer(now)
    exchange(client, server, now)
    assert client.events() == server.events() == [Connected()]


def test_section_5_1_data_overtaking_the_cookie_ack_establishes() -> None:
    client, server = two()
    client.connect(0.0)
    echoed = deliver(client, deliver(server, client.datagrams_to_send(0.0)))
    server.receive_burst(echoed, 0.0)
    stream_id = server.open_channel("early")
    server.send(stream_id, b"x", 0.0)
    answers = server.datagrams_to_send(0.0)
    assert kinds(answers)[0] == chunks.COOKIE_ACK
    client.receive_burst(answers[1:], 0.0)
    assert client.connected
    client.receive_burst(answers[:1], 0.0)
    assert [event for event in client.events() if isinstance(event, Connected)] == [Connected()]


def test_an_init_without_an_answer_is_given_up() -> None:
    client, _ = two()
    client.connect(0.0)
    client.open_channel("waiting")
    now, sent = 0.0, 0
    while (at := client.next_timer()) is not None:
        sent += len(client.datagrams_to_send(now))
        now = at
        client.handle_timer(now)
    assert sent == limits.INIT_RETRANSMITS_MAX + 1
    [closed] = client.events()
    assert closed == Closed("The peer does not answer the handshake.", False, False)
    with pytest.raises(SctpMisuse):
        client.open_channel("too late")
    assert client.datagrams_to_send(now) == []


def test_section_5_1_5_a_forged_or_expired_cookie_establishes_nothing() -> None:
    client, server = two()
    client.connect(0.0)
    [echo] = deliver(client, deliver(server, client.datagrams_to_send(0.0)))
    forged = bytearray(echo)
    forged[40] ^= 1
    assert deliver(server, [seal(bytes(forged[:8]), bytes(forged[12:]))]) == []
    assert server.state is AssociationState.CLOSED
    late = limits.COOKIE_LIFETIME_S + 1
    answer = deliver(server, [echo], late)
    assert kinds(answer) == [chunks.ERROR]
    assert server.state is AssociationState.CLOSED


def test_section_5_2_6_a_stale_cookie_begins_again() -> None:
    client, server = two()
    client.connect(0.0)
    [echo] = deliver(client, deliver(server, client.datagrams_to_send(0.0)))
    late = limits.COOKIE_LIFETIME_S + 1
    error = deliver(server, [echo], late)
    [(_, _, value)] = chunks_of(error)
    assert chunks.split_parameters(value) == [
        (chunks.CAUSE_STALE_COOKIE, (1_000_000).to_bytes(4))
    ], "how late it came, in microseconds (3.3.10.3)"
    again = deliver(client, error, late)
    assert kinds(again) == [chunks.INIT]
    client.receive_burst(deliver(server, again, late), late)
    exchange(client, server, late)
    assert client.connected
    assert server.connected


def test_section_5_2_2_a_second_init_changes_nothing_until_its_cookie_returns() -> None:
    client, server = established()
    answer = deliver(server, [packet(0, init())])
    assert kinds(answer) == [chunks.INIT_ACK]
    assert open_packet(answer[0])[2] == 77
    stream_id = client.open_channel("still there")
    client.send(stream_id, b"yes", 0.0)
    exchange(client, server)
    assert any(isinstance(event, MessageReceived) for event in server.events())


def test_section_5_2_4_action_a_the_peer_restarts() -> None:
    client, server = established()
    stream_id = client.open_channel("old")
    client.send(stream_id, b"old", 0.0)
    exchange(client, server)
    server.events()
    client = make_association(Role.CLIENT, 3)
    client.connect(1.0)
    exchange(client, server, 1.0)
    assert client.connected
    assert server.events() == [ChannelClosed(stream_id), Restarted()]
    stream_id = client.open_channel("new")
    client.send(stream_id, b"new", 1.0)
    exchange(client, server, 1.0)
    assert server.events()[-1] == MessageReceived(stream_id, b"new", True)


def test_section_5_2_4_action_d_a_repeated_cookie_echo_is_confirmed_again() -> None:
    client, server = two()
    client.connect(0.0)
    echo = deliver(client, deliver(server, client.datagrams_to_send(0.0)))
    first, second = deliver(server, echo), deliver(server, echo, limits.COOKIE_LIFETIME_S + 5)
    assert kinds(first) == kinds(second) == [chunks.COOKIE_ACK]
    assert server.events() == [Connected()]


def test_section_5_2_4_an_old_cookie_does_not_bring_a_dead_peer_back() -> None:
    _, server = two()
    dead_client = make_association(Role.CLIENT, 9)
    dead_client.connect(0.0)
    dead_client_echo = deliver(dead_client, deliver(server, dead_client.datagrams_to_send(0.0)))
    client = make_association(Role.CLIENT, 1)
    client.connect(0.0)
    exchange(client, server)
    server.events()
    assert deliver(server, dead_client_echo) == []
    assert server.events() == []
    stream_id = client.open_channel("alive")
    client.send(stream_id, b"x", 0.0)
    exchange(client, server)
    assert server.events()[-1] == MessageReceived(stream_id, b"x", True)


def test_section_5_2_4_action_b_the_younger_of_two_peers_is_the_one_alive() -> None:
    _, server = two()
    first = make_association(Role.CLIENT, 9)
    first.connect(0.0)
    first_echo = deliver(first, deliver(server, first.datagrams_to_send(0.0)))
    again = make_association(Role.CLIENT, 10)
    again.connect(1.0)
    again_echo = deliver(again, deliver(server, again.datagrams_to_send(1.0), 1.0), 1.0)
    deliver(server, first_echo, 1.1)
    assert kinds(deliver(server, again_echo, 1.2)) == [chunks.COOKIE_ACK]
    assert server.events() == [Connected(), Restarted()]
    assert deliver(server, first_echo, 1.3) == []
    stream_id = server.open_channel("alive")
    server.send(stream_id, b"x", 1.3)
    again.receive(packet(again.local_tag, chunks.encode_chunk(chunks.COOKIE_ACK)), 1.3)
    exchange(server, again, 1.3)
    assert again.events()[-1] == MessageReceived(stream_id, b"x", True)


def test_section_5_2_4_action_a_not_while_the_shutdown_is_acknowledged() -> None:
    client, server = established()
    anew = make_association(Role.CLIENT, 3)
    anew.connect(0.0)
    echo = deliver(anew, deliver(server, anew.datagrams_to_send(0.0)))
    client.shutdown(0.0)
    deliver(server, client.datagrams_to_send(0.0))
    assert server.state is AssociationState.SHUTDOWN_ACK_SENT
    answers = deliver(server, echo)
    assert kinds(answers) == [chunks.SHUTDOWN_ACK, chunks.ERROR]
    assert open_packet(answers[1])[2] == anew.local_tag
    causes = chunks.split_parameters(chunks_of(answers)[1][2])
    assert causes == [(chunks.CAUSE_COOKIE_WHILE_SHUTTING_DOWN, b"")]
    complete = deliver(anew, answers)
    assert kinds(complete) == [chunks.SHUTDOWN_COMPLETE]
    deliver(server, complete)
    assert server.over


def test_section_5_2_3_an_init_ack_out_of_turn_is_discarded() -> None:
    client, server = two()
    client.connect(0.0)
    answered = deliver(server, client.datagrams_to_send(0.0))
    deliver(client, deliver(server, deliver(client, answered)))
    assert client.connected
    assert deliver(client, answered) == []
    assert client.connected


def test_section_5_2_5_a_second_cookie_ack_is_discarded() -> None:
    client, _ = established()
    client.counters.clear()
    ack = packet(client.local_tag, chunks.encode_chunk(chunks.COOKIE_ACK))
    assert deliver(client, [ack]) == []
    assert client.connected
    assert client.events() == []
    assert client.counters["chunk out of turn"] == 1


def test_section_5_3_1_tags_are_random_and_never_zero() -> None:
    class Zeros(Random):
        def randbytes(self, n: int) -> bytes:
            return bytes(n)

    association = Association(AssociationConfig(Role.CLIENT), Zeros())
    assert association.local_tag != 0
    tags = {make_association(Role.CLIENT, seed).local_tag for seed in range(100)}
    assert len(tags) == 100


@pytest.mark.parametrize("window_bytes", [0, 1499, 1500])
def test_section_3_3_2_a_window_too_small_for_a_packet_is_refused(window_bytes: int) -> None:
    _, server = two()
    [answer] = deliver(server, [packet(0, init(window_bytes=window_bytes))])
    assert open_packet(answer)[2] == 77
    expected = chunks.INIT_ACK if window_bytes == 1500 else chunks.ABORT
    assert kinds([answer]) == [expected]
    assert server.state is AssociationState.CLOSED


@pytest.mark.parametrize("section", ["3.3.3 window", "3.3.10.2 cookie"])
def test_section_3_3_3_an_init_ack_that_cannot_be_used_ends_the_attempt(section: str) -> None:
    client, _ = two()
    client.connect(0.0)
    client.datagrams_to_send(0.0)
    cookie = ((chunks.PARAMETER_STATE_COOKIE, b"any"),)
    poor = Init(77, 1000, 10, 10, 1000, cookie) if "window" in section else Init(77, 2000, 9, 9, 1)
    answer = deliver(
        client,
        [packet(client.local_tag, chunks.encode_init(chunks.INIT_ACK, poor))],
    )
    [(kind, _, value)] = chunks_of(answer)
    [(cause, detail)] = chunks.split_parameters(value)
    assert kind == chunks.ABORT
    assert open_packet(answer[0])[2] == 77
    if "cookie" in section:
        assert (cause, detail) == (chunks.CAUSE_MISSING_PARAMETER, b"\0\0\0\1\0\7")
    assert [type(event) for event in client.events()] == [Closed]


def test_section_8_5_a_wrong_tag_port_or_checksum_is_dropped() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    client.send(stream_id, b"x", 0.0)
    [good] = client.datagrams_to_send(0.0)
    tag = bytes([good[4] ^ 1])
    server.receive(seal(good[:4] + tag + good[5:8], good[12:]), 0.0)
    server.receive(seal(b"\0\1" + good[2:8], good[12:]), 0.0)
    server.receive(good[:-1] + bytes([good[-1] ^ 1]), 0.0)
    assert server.counters == {
        "wrong verification tag": 1,
        "wrong port": 1,
        "malformed_chunk": 1,
        "chunk out of turn": server.counters["chunk out of turn"],
    }
    assert server.events() == []
    server.receive(good, 0.0)
    assert server.events()[-1] == MessageReceived(stream_id, b"x", True)


def test_section_8_5_1_an_abort_needs_our_tag_or_the_peers_reflected() -> None:
    for reflected in (False, True):
        client, server = established()
        client.send(client.open_channel("c"), b"x", 0.0)
        own_tag = open_packet(client.datagrams_to_send(0.0)[0])[2]
        peer_tag = server._handshake.peer.tag if server._handshake.peer else 0
        abort = chunks.encode_chunk(chunks.ABORT, 1 if reflected else 0)
        for wrong in (0, own_tag ^ 1, own_tag if reflected else peer_tag):
            server.receive(packet(wrong, abort), 0.0)
            assert not server.over
        server.receive(packet(peer_tag if reflected else own_tag, abort), 0.0)
        assert server.events() == [Closed("The peer aborted the association.", True, False)]


def test_section_3_2_unknown_chunks_follow_their_action_bits() -> None:
    for kind, goes_on, reported in (
        (0x3F, False, False),
        (0x7F, False, True),
        (0xBF, True, False),
        (0xFE, True, True),
    ):
        client, server = established()
        client.send(client.open_channel("c"), b"x", 0.0)
        [datagram] = client.datagrams_to_send(0.0)
        unknown = chunks.encode_chunk(kind, 0, b"what")
        answer = deliver(server, [seal(datagram[:8], unknown + datagram[12:])])
        assert any(isinstance(event, MessageReceived) for event in server.events()) == goes_on
        assert (chunks.ERROR in kinds(answer)) == reported


def test_section_3_2_1_unknown_parameters_follow_their_action_bits() -> None:
    parameters = ((0xC123, b"report"), (0x8123, b"skip"), (0x4123, b"last"), (0xC124, b"unread"))
    _, server = two()
    [(_, _, value)] = chunks_of(deliver(server, [packet(0, init(parameters=parameters))]))
    reports = [
        chunks.split_parameters(value)
        for kind, value in chunks.decode_init(value).parameters
        if kind == chunks.PARAMETER_UNRECOGNIZED
    ]
    assert reports == [[(0xC123, b"report")], [(0x4123, b"last")]]


def test_an_init_ack_with_unknown_parameters_is_reported_with_the_cookie() -> None:
    client, _ = two()
    client.connect(0.0)
    client.datagrams_to_send(0.0)
    tag = client.local_tag
    answer = Init(5, 100_000, 10, 10, 1, ((chunks.PARAMETER_STATE_COOKIE, b"c"), (0xC999, b"?")))
    sent = deliver(client, [packet(tag, chunks.encode_init(chunks.INIT_ACK, answer))])
    assert kinds(sent) == [chunks.COOKIE_ECHO, chunks.ERROR]


def test_section_3_3_2_an_init_must_be_alone_and_make_sense() -> None:
    _, server = two()
    for bad in (init(tag=0), init() + chunks.encode_chunk(chunks.COOKIE_ACK)):
        assert deliver(server, [packet(0, bad)]) == []
    for bad in (init(outgoing_streams=0), init(incoming_streams=0)):
        assert kinds(deliver(server, [packet(0, bad)])) == [chunks.ABORT]
    assert server.state is AssociationState.CLOSED


def test_an_init_ack_without_cookie_ends_the_attempt() -> None:
    client, _ = two()
    client.connect(0.0)
    client.datagrams_to_send(0.0)
    answer = chunks.encode_init(chunks.INIT_ACK, Init(5, 100_000, 10, 10, 1))
    sent = deliver(client, [packet(client.local_tag, answer)])
    assert kinds(sent) == [chunks.ABORT]
    assert isinstance(client.events()[0], Closed)


def test_channels_beyond_the_peers_streams_are_closed() -> None:
    config = AssociationConfig(Role.SERVER, streams=2)
    client, server = make_association(Role.CLIENT, 1), Association(config, Random(2))
    opened = [client.open_channel(str(number)) for number in range(3)]
    client.connect(0.0)
    exchange(client, server)
    assert opened == [0, 2, 4]
    assert {ChannelClosed(2), ChannelClosed(4)} <= set(client.events())
    with pytest.raises(SctpMisuse):
        client.open_channel("one more")


def test_settings_are_checked() -> None:
    for bad in (
        {"packet_bytes": 100},
        {"local_port": 0},
        {"streams": 0},
        {"max_message_bytes": 0},
        {"receive_window_bytes": 1},
        {"receive_window_bytes": 1499, "max_message_bytes": 1},
        {"send_buffer_bytes": 1},
    ):
        with pytest.raises(SctpMisuse):
            AssociationConfig(Role.CLIENT, **bad)  # type: ignore[arg-type]
