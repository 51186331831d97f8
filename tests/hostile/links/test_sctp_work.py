"""Linked peers whose packets cost much to read and carry nothing, for nothing that they send."""

import struct
from collections.abc import Callable
from random import Random

import pytest

from protocol.sctp import chunks, limits
from protocol.sctp.association import Association
from protocol.sctp.control.datachannel import ChannelTerms, encode_open
from protocol.sctp.errors import AssociationFlooded, MalformedChunk
from protocol.sctp.events import Closed
from tests.protocol.sctp.model_link import (
    Bottleneck,
    Faults,
    World,
    established,
    join,
)

RATE = 1250
"""Packets a second: 1.4 MB/s of full ones."""

EMPTY_HEARTBEAT = chunks.encode_chunk(chunks.HEARTBEAT, 0, struct.pack(">HH", 1, 4))
Body = Callable[[int, Association], bytes]


def _data(victim: Association, ahead: int, count: int, **form: int) -> bytes:
    """So many DATA chunks of one byte, the first so far ahead of what has arrived."""
    receiver = victim.receiver
    assert receiver is not None
    step, flags = form.get("step", 1), form.get("flags", 3)
    return b"".join(
        chunks.encode_data(
            flags, (receiver.cumulative + ahead + step * number) & 0xFFFFFFFF, 0, number, 53, b"x"
        )
        for number in range(count)
    )


def _opens(number: int, victim: Association) -> bytes:
    receiver = victim.receiver
    assert receiver is not None
    ask = encode_open(ChannelTerms(""))
    return b"".join(
        chunks.encode_data(3, (receiver.cumulative + 1 + at) & 0xFFFFFFFF, 2 * at, 0, 50, ask)
        for at in range(20)
    )


FLOODS: dict[str, Body] = {
    "unknown chunks that ask for a report": lambda _n, _v: chunks.encode_chunk(0xC1) * 280,
    "unknown chunks": lambda _n, _v: chunks.encode_chunk(0x81) * 280,
    "a few unknown chunks a packet": lambda _n, _v: chunks.encode_chunk(0xC1) * 16,
    "heartbeats": lambda _n, _v: EMPTY_HEARTBEAT * 140,
    "a few heartbeats a packet": lambda _n, _v: EMPTY_HEARTBEAT * 16,
    "COOKIE ACKs": lambda _n, _v: chunks.encode_chunk(chunks.COOKIE_ACK) * 280,
    "SACKs": lambda _n, victim: chunks.encode_sack(0, 65535, [], []) * 70,
    "INITs": lambda n, _v: chunks.encode_init(chunks.INIT, chunks.Init(n + 1, 65536, 1, 1, 1)),
    "fragments of nothing whole": lambda n, v: _data(v, 2 + 110 * n, 55, step=2, flags=2),
    "duplicates": lambda _n, victim: _data(victim, 0, 55, step=0),
    "messages of one byte": lambda _n, victim: _data(victim, 1, 55),
    "OPENs of data channels": _opens,
    "packets that are none": lambda _n, _v: b"\0\3\0\1",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_peer_that_makes_work_loses_its_association(kind: str) -> None:
    attacker, victim = established()
    now = 0.0
    for number in range(10 * RATE):
        body = FLOODS[kind](number, victim)
        packet = attacker._core.writer.seal(body)
        victim.receive(packet, now)
        answers = victim.datagrams_to_send(now)
        if victim.over:
            break
        assert len(answers) <= 1 or kind == "OPENs of data channels"
        victim.events()
        now += 1 / RATE
    assert victim.over
    assert now < 8.0
    assert isinstance(victim.fault, AssociationFlooded)
    assert str(victim.fault) == "The peer floods the link with packets that carry nothing."
    (closed,) = [event for event in victim.events() if isinstance(event, Closed)]
    assert closed.reason == str(victim.fault)


def test_one_burst_of_many_packets_ends_within_the_bound() -> None:
    """All that a socket holds comes in one burst: it is not read to its end."""
    attacker, victim = established()
    packets = [
        attacker._core.writer.seal(chunks.encode_chunk(0xC1) * 16 + _data(victim, 1, 40))
        for _ in range(2000)
    ]
    victim.receive_burst(packets, 0.0)
    assert victim.over
    assert victim._core.work.charged <= limits.WORK_BURST + limits.WORK_OF_CONTROL


def test_a_packet_of_many_control_chunks_is_refused_and_counted() -> None:
    attacker, victim = established()
    many = limits.CONTROL_PER_PACKET + 1
    victim.receive(attacker._core.writer.seal(EMPTY_HEARTBEAT * many), 0.0)
    assert victim.counters[MalformedChunk.name] == 1
    assert victim.datagrams_to_send(0.0) == []
    assert not victim.over


@pytest.mark.parametrize("count", range(1, limits.CONTROL_PER_PACKET + 1))
def test_a_packet_of_unknown_chunks_is_reported_once(count: int) -> None:
    attacker, victim = established()
    packet = attacker._core.writer.seal(chunks.encode_chunk(0xC1, 0, bytes(8)) * count)
    victim.receive(packet, 0.0)
    (answer,) = victim.datagrams_to_send(0.0)
    assert len(answer) <= len(packet) + 8


def test_peers_of_good_will_are_never_near_the_bound() -> None:
    """Loss, reordering and duplicates, both ways, with messages of every size."""
    random = Random(5)
    for own_peer in (True, False):
        client, server = established(own_peer)
        for end in (client, server):
            end.open_channel("c", negotiated_id=0)
        faults = Faults(loss=0.05, reorder=0.2, duplicate=0.05)
        pair = join(
            World(),
            client,
            server,
            forward=Bottleneck(4_000_000, 100_000),
            faults=faults,
            back_faults=faults,
        )
        lowest = float(limits.WORK_BURST)
        sent = 0
        while sent < 1500:
            sent += 1
            size = random.choice((1, 40, 300, 1200, 60_000))
            client.send(0, bytes(size), pair.world.now)
            server.send(0, bytes(40), pair.world.now)
            pair.client.flush()
            pair.server.flush()
            pair.run(0.01)
            lowest = min(lowest, client._core.work._left, server._core.work._left)
        pair.run(60)
        assert len(pair.server.messages(0)) == sent
        assert lowest > 0.9 * limits.WORK_BURST
