"""Stream resets, by which channels close (RFC 6525)."""

from itertools import pairwise

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.control import reset
from protocol.sctp.events import ChannelClosed, Closed
from protocol.sctp.packets import seal
from tests.protocol.sctp.model_link import (
    chunks_of,
    drain,
    established,
)


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
    tag = server.local_tag
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
    server_tag = server.local_tag
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
    tag = server.local_tag
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
    tag = client.local_tag
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
