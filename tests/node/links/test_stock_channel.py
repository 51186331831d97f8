"""The stock data path against a peer that holds a valid link and means harm."""

import asyncio
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc.rtcsctptransport import (
    Chunk,
    DataChunk,
    ForwardTsnChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    ShutdownChunk,
    StreamAddOutgoingParam,
    StreamResetOutgoingParam,
)
from OpenSSL import SSL

from node.links.channel.stock_channel import create_channel
from node.links.link import Link
from protocol import limits
from protocol.errors import LinkClosed
from tests.node.links.link_network import (
    SETTINGS,
    Network,
    Node,
    frame_of,
    linked,
    network,
    until,
)

pytestmark = pytest.mark.leaves_nothing

STOCK = replace(SETTINGS, data_path="stock")


def association(link: Link) -> Any:
    """The association of aiortc under a link, to speak SCTP that no honest peer would."""
    return link.channel._association  # type: ignore[attr-defined]


def data(attacker: Any, offset: int, stream: int = 0, payload: int = 53, flags: int = 3) -> Chunk:
    chunk = DataChunk(flags=flags)
    chunk.tsn = (attacker._local_tsn + offset) % 2**32
    chunk.stream_id, chunk.stream_seq, chunk.protocol = stream, 0, payload
    chunk.user_data = b"x"
    return chunk


class _Raw(Chunk):
    """A chunk of any type and content."""

    def __init__(self, kind: int, body: bytes) -> None:
        super().__init__(body=body)
        self.type = kind


def _sack(attacker: Any, cumulative: int, *gaps: tuple[int, int]) -> Chunk:
    chunk = SackChunk()
    chunk.cumulative_tsn = cumulative
    chunk.gaps = list(gaps)
    return chunk


def _reset(attacker: Any, truncated: bool) -> Chunk:
    chunk = ReconfigChunk()
    last_tsn = (attacker._local_tsn - 1) % 2**32
    body = bytes(StreamResetOutgoingParam(attacker._reconfig_request_seq, 0, last_tsn, [0]))
    chunk.params.append((13, body[:5] if truncated else body))
    return chunk


HARMFUL: dict[str, Callable[[Any], Chunk]] = {
    "a parameter of length 0, which would hang": lambda _: _Raw(4, b"\0\1\0\0"),
    "data on a stream of its own": lambda attacker: data(attacker, 0, stream=5),
    "opening the channel once more": lambda attacker: data(attacker, 0, payload=50),
    "text that is not UTF-8": lambda attacker: _not_utf8(attacker),
    "text": lambda attacker: data(attacker, 0, payload=51),
    "a SACK of 65535 chunks that were never sent": lambda attacker: _sack(
        attacker, attacker._last_received_tsn, (2, 65535)
    ),
    "a SACK from the future": lambda attacker: _sack(
        attacker, (attacker._last_received_tsn + 5) % 2**32
    ),
    "skipping data": lambda _: ForwardTsnChunk(),
    "a truncated stream reset": lambda attacker: _reset(attacker, truncated=True),
    "a truncated INIT": lambda _: _Raw(1, bytes(7)),
    "a truncated SHUTDOWN": lambda _: _Raw(7, b"\0"),
    "a truncated FORWARD TSN": lambda _: _Raw(192, b"\0"),
}


def _not_utf8(attacker: Any) -> Chunk:
    chunk = data(attacker, 0, payload=51)
    assert isinstance(chunk, DataChunk)
    chunk.user_data = b"\xff"
    return chunk


async def _still_works(peers: Network, victim: Node) -> None:
    ours, _ = await linked(await peers.add(STOCK), victim)
    ours.send(frame_of(b"alive"))
    await until(lambda: b"alive" in victim.received)


@pytest.mark.parametrize("harm", HARMFUL)
async def test_a_peer_that_breaks_sctp_ends_only_its_own_link(harm: str) -> None:
    async with network() as peers:
        malicious, victim = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(malicious, victim)
        await association(theirs)._send_chunk(HARMFUL[harm](association(theirs)))
        await until(ours.closed.done)
        assert "the peer " in ours.closed.result()
        await until(theirs.closed.done)
        assert victim.received == []
        await _still_works(peers, victim)


async def test_resetting_the_stream_or_shutting_down_ends_the_link() -> None:
    async with network() as peers:
        victim = await peers.add(STOCK)
        for ending in ("reset", "shutdown"):
            theirs, ours = await linked(await peers.add(STOCK), victim)
            attacker = association(theirs)
            if ending == "reset":
                await attacker._send_chunk(_reset(attacker, truncated=False))
            else:
                await attacker._send_chunk(ShutdownChunk())
                await attacker._send_chunk(_Raw(14, b""))  # SHUTDOWN COMPLETE
            await until(ours.closed.done)


async def test_asking_for_streams_and_restarting_do_no_harm() -> None:
    async with network() as peers:
        malicious, victim = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(malicious, victim)
        chunk = ReconfigChunk()
        request = StreamAddOutgoingParam(association(theirs)._reconfig_request_seq, 65535)
        chunk.params.append((17, bytes(request)))
        await association(theirs)._send_chunk(chunk)
        ours.send(frame_of(b"1"))
        await until(lambda: malicious.received == [b"1"])
        init = InitChunk()
        init.initiate_tag, init.advertised_rwnd, init.initial_tsn = 1, 1, 1
        init.inbound_streams = init.outbound_streams = 1
        attacker = association(theirs)
        attacker._remote_verification_tag = 0  # INITs carry none
        await attacker._send_chunk(init)
        await theirs.close()
        await until(lambda: not victim.pool.links())
        await _still_works(peers, victim)


@pytest.mark.parametrize("offset", [0, 1], ids=["a message without end", "after a gap"])
async def test_incomplete_data_is_held_only_up_to_a_bound(
    offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCTP_CHUNKS_UNDELIVERED", 50)
    async with network() as peers:
        malicious, victim = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(malicious, victim)
        attacker = association(theirs)
        chunks = [data(attacker, offset + n, flags=2 if n else 2 >> offset) for n in range(51)]
        attacker._local_tsn += 1000  # so that it believes the SACKs
        for chunk in chunks[:50]:
            await attacker._send_chunk(chunk)
        ours.send(frame_of(b"still here"))
        await until(lambda: malicious.received == [b"still here"])
        await attacker._send_chunk(chunks[50])
        await until(ours.closed.done)
        assert ours.closed.result() == "the peer broke SCTP"


async def test_an_end_of_dtls_is_noticed_at_once() -> None:
    async with network() as peers:
        one, other = await peers.add(STOCK), await peers.add(STOCK)
        theirs, ours = await linked(one, other)
        dtls: Any = theirs.channel.dtls  # type: ignore[attr-defined]
        await dtls.stop()  # close_notify, without a word of SCTP
        async with asyncio.timeout(0.5):
            assert await asyncio.shield(ours.closed) == "closed by the peer"
        with pytest.raises(LinkClosed):
            ours.send(frame_of(b"late"))


async def test_a_broken_dtls_ends_the_link() -> None:
    class Broken:
        def __init__(self, whole: Any) -> None:
            self._whole = whole

        def send(self, data: bytes) -> int:
            raise SSL.Error([("", "", "protocol is shutdown")])

        def __getattr__(self, name: str) -> Any:
            return getattr(self._whole, name)

    async with network() as peers:
        one, other = await peers.add(STOCK), await peers.add(STOCK)
        ours, _ = await linked(one, other)
        dtls: Any = ours.channel.dtls  # type: ignore[attr-defined]
        dtls._ssl = Broken(dtls._ssl)
        ours.send(frame_of(b"never arrives"))
        await until(ours.closed.done)
        assert ours.closed.result() == "DTLS broke"


def test_dtls_that_has_ended_gets_no_channel() -> None:
    ended: Any = SimpleNamespace(state="closed")
    with pytest.raises(LinkClosed, match="closed by the peer"):
        create_channel(ended, random.Random(1))


async def test_a_lost_first_packet_costs_one_second_and_not_three() -> None:
    async with network() as peers:
        one, other = await peers.add(STOCK), await peers.add(STOCK)
        ours, _ = await linked(one, other)
        assert association(ours)._rto == pytest.approx(1.0)
        assert struct.pack("!L", association(ours)._local_verification_tag) != bytes(4)
