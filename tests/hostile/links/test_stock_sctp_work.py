"""The same floods as of `test_sctp_work`, on the data path "stock"."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    Chunk,
    CookieAckChunk,
    DataChunk,
    HeartbeatChunk,
    SackChunk,
    serialize_packet,
)

from node.links.link import Link
from protocol.sctp import limits
from protocol.sctp.errors import AssociationFlooded
from tests.node.links.link_network import SETTINGS, frame_of, largest_frame, linked, network, until

pytestmark = pytest.mark.usefixtures("links")

STOCK = replace(SETTINGS, data_path="stock")
RATE = 1250
"""Packets a second."""

_HEADER_BYTES = 12


def association(link: Link) -> Any:
    return link.channel._association  # type: ignore[attr-defined]


def _data(attacker: Any, tsn: int) -> Chunk:
    chunk = DataChunk(flags=7)  # whole, and not in order
    chunk.tsn, chunk.stream_id, chunk.stream_seq, chunk.protocol = tsn % 2**32, 0, 0, 53
    chunk.user_data = b"x"
    return chunk


def _sack(attacker: Any) -> Chunk:
    chunk = SackChunk()
    chunk.cumulative_tsn = attacker._last_received_tsn
    return chunk


def _ahead(attacker: Any, number: int) -> list[Chunk]:
    """Messages of one byte, in order, each once."""
    return [_data(attacker, attacker._local_tsn + 50 * number + more) for more in range(50)]


FLOODS: dict[str, Callable[[Any, int], list[Chunk]]] = {
    "heartbeats": lambda _a, _n: [HeartbeatChunk()] * limits.CONTROL_PER_PACKET,
    "a heartbeat a packet": lambda _a, _n: [HeartbeatChunk()],
    "COOKIE ACKs": lambda _a, _n: [CookieAckChunk()] * limits.CONTROL_PER_PACKET,
    "SACKs": lambda attacker, _n: [_sack(attacker)] * limits.CONTROL_PER_PACKET,
    "duplicates": lambda attacker, _n: [_data(attacker, attacker._local_tsn - 1)] * 50,
    "messages of one byte": _ahead,
}


def packet_of(attacker: Any, chunks: list[Chunk]) -> bytes:
    """Several chunks as one packet, which aiortc itself never sends."""
    alone = [serialize_packet(5000, 5000, 0, chunk)[_HEADER_BYTES:] for chunk in chunks]
    tag = attacker._remote_verification_tag

    class _Joined(Chunk):
        def __bytes__(self) -> bytes:
            return b"".join(alone)

    return serialize_packet(5000, 5000, tag, _Joined())


async def _deaf(_packet: bytes) -> None:
    return


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_peer_that_makes_work_loses_its_stock_association(kind: str) -> None:
    async with network() as peers:
        malicious, victim = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(malicious, victim)
        attacker = association(theirs)
        attacker._handle_data = _deaf  # the answers would end it first
        ours.channel.receiver = None  # no frame is read
        sent = 0
        while sent < 20 * RATE and not ours.closed.done():
            for _ in range(25):
                packet = packet_of(attacker, FLOODS[kind](attacker, sent))
                await attacker.transport._send_data(packet)
                sent += 1
            await asyncio.sleep(25 / RATE)
        assert ours.closed.done()
        assert isinstance(association(ours).fault, AssociationFlooded)
        assert victim.received == []


async def test_a_burst_is_not_read_to_its_end() -> None:
    async with network() as peers:
        malicious, victim = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(malicious, victim)
        attacker, attacked = association(theirs), association(ours)
        packet = packet_of(attacker, [HeartbeatChunk()] * limits.CONTROL_PER_PACKET)
        answered = 0
        send_chunk = attacked._send_chunk

        async def counted(chunk: Chunk) -> None:
            nonlocal answered
            answered += 1
            await send_chunk(chunk)

        attacked._send_chunk = counted
        for _ in range(2000):
            await attacked._handle_data(packet)
        await until(ours.closed.done)
        assert answered <= limits.WORK_BURST // limits.WORK_OF_CONTROL


async def test_a_peer_of_good_will_is_never_near_the_bound_of_stock() -> None:
    rng = random.Random(7)
    async with network() as peers:
        one, other = await peers.add(STOCK), await peers.add(STOCK)
        ours, theirs = await linked(one, other)
        lowest = float(limits.WORK_BURST)
        for _ in range(100):
            ours.send(largest_frame(ours))
            theirs.send(frame_of(rng.randbytes(rng.choice((1, 40, 300)))))
            await ours.drained()
            await asyncio.sleep(0.01)
            for link in (ours, theirs):
                work = association(link)._work
                lowest = min(lowest, work._left - work.charged)  # also where no burst is paid for
        assert not ours.closed.done()
        assert lowest > 0.9 * limits.WORK_BURST
