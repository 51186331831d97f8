"""Linked peers that use the streams that SCTP has, of which a link takes one."""

import gc
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from random import Random

import pytest

from node.links.channel.association_config import association_config
from protocol import limits as node_limits
from protocol.sctp import chunks
from protocol.sctp.association import Association
from protocol.sctp.config import Role
from protocol.sctp.control import datachannel
from protocol.sctp.send.pathmodel import PathModel
from protocol.sctp.serial import TSN_MASK
from tests.protocol.sctp.model_link import exchange, wide_open

STREAMS = range(1, 65535, 8)
PER_PACKET = 64
HELD_BYTES = 1 << 16
"""Eight bytes for each stream, where an entry of a dictionary has a hundred."""

Body = Callable[[int, Iterable[int]], bytes]


def linked(*, own_peer: bool) -> tuple[Association, Association]:
    """A peer without bounds, and the association of a link."""
    peer, _ = wide_open(own_peer)
    peer = Association(peer._core.config, Random(1), PathModel)
    config = association_config(Role.SERVER, node_limits.MESSAGE_BYTES, own_peer=own_peer)
    victim = Association(config, Random(2), PathModel)
    victim.open_channel("modswarm", negotiated_id=0)
    peer.connect(0.0)
    exchange(peer, victim)
    assert victim.connected
    victim.events()
    return peer, victim


def _data(next_tsn: int, streams: Iterable[int], sequence: int, flags: int, data: bytes) -> bytes:
    return b"".join(
        chunks.encode_data(flags, (next_tsn + at) & TSN_MASK, stream, sequence, 53, data)
        for at, stream in enumerate(streams)
    )


def _opens(next_tsn: int, streams: Iterable[int]) -> bytes:
    ask = datachannel.encode_open(datachannel.ChannelTerms(""))
    kind = datachannel.PAYLOAD_CONTROL
    return b"".join(
        chunks.encode_data(3, (next_tsn + at) & TSN_MASK, stream, 0, kind, ask)
        for at, stream in enumerate(streams)
    )


def _skips(next_tsn: int, streams: Iterable[int]) -> bytes:
    named = b"".join(struct.pack("!HH", stream, 9) for stream in streams)
    return chunks.encode_chunk(chunks.FORWARD_TSN, 0, struct.pack("!L", next_tsn) + named)


FORMS: dict[str, Body] = {
    "OPENs of data channels": _opens,
    "messages": lambda tsn, streams: _data(tsn, streams, 0, 3, b"x"),
    "messages before their turn": lambda tsn, streams: _data(tsn, streams, 9, 3, b"x"),
    "messages without an end": lambda tsn, streams: _data(tsn, streams, 0, 2, b"x"),
    "skips": _skips,
}


@pytest.mark.parametrize("own_peer", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_streams_that_a_link_does_not_take_are_not_remembered(form: str, own_peer: bool) -> None:
    peer, victim = linked(own_peer=own_peer)
    receiver, now = victim.receiver, 0.0
    assert receiver is not None
    gc.collect()
    tracemalloc.start()
    try:
        for at in range(0, len(STREAMS), PER_PACKET):
            streams = STREAMS[at : at + PER_PACKET]
            body = FORMS[form]((receiver.cumulative + 1) & TSN_MASK, streams)
            now += 0.1
            victim.receive(peer._core.writer.seal(body), now)
            assert len(victim.datagrams_to_send(now)) <= 2
            assert victim.events() == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not victim.over
    assert held < HELD_BYTES
    assert receiver.reassembly.held_count == 0
