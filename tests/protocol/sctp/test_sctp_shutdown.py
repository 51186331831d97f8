"""How an association ends: SHUTDOWN, ABORT, and packets after the end (RFC 9260, 8.4 and 9)."""

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.config import Role
from protocol.sctp.errors import SctpMisuse
from protocol.sctp.events import Closed, Connected, MessageReceived
from protocol.sctp.packets import seal
from protocol.sctp.status import AssociationState
from tests.protocol.sctp.model_link import (
    World,
    chunks_of,
    drain,
    established,
    exchange,
    join,
    make_association,
)


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


def test_section_9_2_a_shutdown_without_an_answer_ends_by_itself() -> None:
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
    tag = client.local_tag
    ack = seal(chunks.COMMON_HEADER.pack(5000, 5000, tag), chunks.encode_chunk(chunks.SHUTDOWN_ACK))
    client.receive(ack, 0.0)
    assert chunks_of(client.datagrams_to_send(0.0)) == [(chunks.SHUTDOWN_COMPLETE, 1, b"")]


def test_section_8_4_each_packet_to_a_dead_association_is_answered_once() -> None:
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
