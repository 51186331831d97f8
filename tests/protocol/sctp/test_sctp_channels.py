"""Data channels: opening, terms, messages, closing (RFC 8831, RFC 8832)."""

from random import Random

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.control import datachannel
from protocol.sctp.control.datachannel import ChannelTerms
from protocol.sctp.errors import SctpMisuse
from protocol.sctp.events import ChannelClosed, ChannelOpened, MessageReceived
from tests.protocol.sctp.model_link import (
    chunks_of,
    drain,
    established,
    messages,
    raw_send,
)


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
def test_a_bad_open_resets_its_stream_and_no_other(bad: bytes) -> None:
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
        if stream_id == limits.CHANNELS_MAX:
            drain(client, server)
    drain(client, server, start_s=4.0)
    opened = [event for event in server.events() if isinstance(event, ChannelOpened)]
    assert len(opened) == limits.CHANNELS_MAX
    assert server.counters["refused channel"] == 4


def test_messages_for_no_channel_and_unknown_payloads_are_counted() -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    raw_send(client, 60, datachannel.PAYLOAD_BINARY, b"no channel")
    raw_send(client, stream_id, 999, b"what")
    raw_send(client, 62, datachannel.PAYLOAD_CONTROL, datachannel.ACK)
    drain(client, server)
    assert server.events() == []
    assert server.counters["message without channel"] == 1
    assert server.counters["unknown payload protocol"] == 1


@pytest.mark.parametrize("closing", ["client", "server", "both"])
def test_rfc_8831_section_6_7_closing_loses_nothing(closing: str) -> None:
    client, server = established()
    stream_id = client.open_channel("c")
    drain(client, server)
    server.events()
    for number in range(50):
        client.send(stream_id, bytes([number]) * 3000, 0.0)
        server.send(stream_id, bytes([number]) * 3000, 0.0)
    for association in (client, server):
        if closing in ("both", "client" if association is client else "server"):
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
