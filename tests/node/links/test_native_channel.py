"""The native data path: with itself, with the stock one, and with peers that mean harm."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.links.channel.native_channel import NativeChannel, create_channel
from node.links.channel.stock_channel import StockChannel
from node.net.udp.port import Arrival, split
from protocol.addresses import Address
from protocol.errors import LinkClosed
from protocol.sctp import chunks, limits
from protocol.sctp.packets import seal
from tests.node.links.channel_pair import End, channels
from tests.node.links.link_network import (
    SETTINGS,
    frame_of,
    linked,
    network,
    until,
)

pytestmark = pytest.mark.leaves_nothing

PAIRS = [("native", "native"), ("native", "stock"), ("stock", "native")]
SIZES = [0, 1, 3, 4, 1100, 1171, 1172, 1173, 1400, 1416, 1417, 16_384, 65_535, 65_536, 262_144]

pairs = pytest.mark.parametrize(("caller", "callee"), PAIRS, ids=map(" to ".join, PAIRS))


@pytest.mark.real_loop
@pairs
async def test_messages_of_every_size_go_both_ways_in_order(
    caller: str, callee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (NativeChannel, StockChannel):
        monkeypatch.setattr(kind, "max_message_bytes", max(SIZES))
    rng = random.Random(1)
    messages = [rng.randbytes(size) for size in SIZES * 2]
    async with channels(caller, callee) as (one, other):
        for message in messages:
            one.channel.send(message)
            other.channel.send(message[::-1])
        await until(lambda: len(one.received) == len(other.received) == len(messages), 30.0)
        assert other.received == messages
        assert one.received == [message[::-1] for message in messages]
        await until(lambda: not one.channel.buffered_bytes)


@pytest.mark.real_loop
async def test_ipv6_carries_as_well_as_ipv4() -> None:
    async with channels(address="::1") as (one, other):
        messages = [random.Random(n).randbytes(50_000) for n in range(40)]
        for message in messages:
            one.channel.send(message)
            other.channel.send(message)
        await until(lambda: len(one.received) == len(other.received) == len(messages))
        assert one.received == other.received == messages
        assert ":" in one.dtls.ice.found_path().remote.host


@pairs
async def test_links_between_both_kinds_of_node_carry_frames_and_say_why_they_end(
    caller: str, callee: str
) -> None:
    async with network() as peers:
        one = await peers.add(replace(SETTINGS, data_path=caller))
        other = await peers.add(replace(SETTINGS, data_path=callee))
        ours, theirs = await linked(one, other)
        texts = [b"", b"a", bytes(ours.max_frame_bytes - 2), *(b"%d" % n for n in range(100))]
        for text in texts:
            ours.send(frame_of(text))
            theirs.send(frame_of(text))
        await until(lambda: len(one.received) == len(other.received) == len(texts))
        assert one.received == other.received == texts
        await ours.close("enough")
        await until(theirs.closed.done)
        assert theirs.closed.result() == "closed by the peer: enough"


@pairs
async def test_only_our_own_software_batches_its_acknowledgements(caller: str, callee: str) -> None:
    async with channels(caller, callee) as (one, other):
        for end, peer in ((one, other), (other, one)):
            if end.data_path == "native":
                own_peer = end.association._core.config.own_peer
                assert own_peer is (peer.data_path == "native")


async def test_a_sender_that_waits_is_held_back_and_released() -> None:
    async with channels() as (one, other):
        for _ in range(80):
            one.channel.send(bytes(65_536))
        waiting = asyncio.ensure_future(one.channel.drained())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
        assert one.channel.buffered_bytes <= 4 * 2**20
        await until(lambda: len(other.received) == 80)


async def test_on_a_fast_path_more_stays_buffered_than_on_a_slow_one() -> None:
    async with channels() as (one, _):
        channel: Any = one.channel
        control = SimpleNamespace(pacing_rate=1e6)
        channel._association = SimpleNamespace(
            sender=SimpleNamespace(congestion=control),
            set_buffered_amount_low=lambda _stream, _size: None,
            abort=channel._association.abort,
            datagrams_to_send=channel._association.datagrams_to_send,
        )
        assert channel._low_water_bytes() == 100_000
        control.pacing_rate = 1e4
        assert channel._low_water_bytes() == 32 * 1024
        control.pacing_rate = 1e7
        assert channel._low_water_bytes() == 256 * 1024
        control.pacing_rate = 1e8
        assert channel._low_water_bytes() == 2_000_000
        control.pacing_rate = float("inf")
        assert channel._low_water_bytes() == 4 * 2**20


async def test_a_message_that_is_too_long_is_refused_and_a_full_buffer_ends_the_channel() -> None:
    async with channels() as (one, other):
        with pytest.raises(ValueError, match="65536 bytes"):
            one.channel.send(bytes(65_537))
        other.dtls._receive = None
        for _ in range(limits.SEND_BUFFER_BYTES // 65_536):
            one.channel.send(bytes(65_536))
        with pytest.raises(LinkClosed, match="takes less than is sent"):
            one.channel.send(b"one more")
        assert one.channel.closed.done()
        with pytest.raises(LinkClosed):
            one.channel.send(b"late")
        with pytest.raises(LinkClosed):
            await one.channel.drained()


def sent_by(end: End) -> list[bytes]:
    """What this end sends from now on."""
    packets: list[bytes] = []
    dtls: Any = end.dtls
    send = dtls.send_packets

    def sending(some: list[bytes]) -> None:
        packets.extend(some)
        send(some)

    dtls.send_packets = sending
    return packets


async def test_the_answer_to_a_frame_leaves_in_one_datagram_with_the_acknowledgement() -> None:
    """Also if a task gives it, that the frame has woken."""
    async with channels() as (one, other):
        await asyncio.sleep(5.0)
        came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        other.channel.receiver = came.set_result

        async def answer() -> None:
            other.channel.send(await came + b" back")

        answering = asyncio.ensure_future(answer())
        packets = sent_by(other)
        one.channel.send(b"there")
        await until(lambda: one.received == [b"there back"])
        await answering
        kinds = [kind for kind, _, _ in chunks.split_chunks(packets[0][12:])]
        assert kinds == [chunks.SACK, chunks.DATA]
        assert len(packets) == 1


async def test_a_frame_is_handed_on_before_it_is_acknowledged() -> None:
    """What waits for a frame does not wait for the accounts."""
    async with channels() as (one, other):
        await asyncio.sleep(5.0)
        other.channel.receiver = other.channel.send
        packets, unacknowledged = sent_by(one), []

        def received(_: bytes) -> None:
            unacknowledged.append((len(packets), one.association.sender.board.outstanding))

        one.channel.receiver = received
        one.channel.send(b"there")
        await until(lambda: len(packets) == 2)
        assert unacknowledged == [(1, 1)]
        assert one.association.sender.idle


# The path ----------------------------------------------------------------------------------


def packet_bytes(end: End) -> int:
    return int(end.association._core.packet_bytes)


LARGEST = limits.PACKET_BYTES_MAX
"""What a loopback interface carries."""


@pytest.mark.real_loop
async def test_packets_grow_to_what_the_path_carries() -> None:
    async with channels() as (one, other):
        await until(lambda: packet_bytes(one) == packet_bytes(other) == LARGEST)
        message = random.Random(4).randbytes(65_536)
        one.channel.send(message)
        await until(lambda: other.received == [message])


@pytest.mark.real_loop
async def test_only_between_nodes_of_one_machine_packets_grow_beyond_ethernet() -> None:
    async with channels() as (one, _):
        await until(lambda: packet_bytes(one) == LARGEST)
        ice: Any = one.dtls.ice
        assert ice.is_loopback
        pair = ice._pair
        elsewhere = replace(pair, remote=Address("192.0.2.1", 4000))
        for ice._pair in (replace(pair, relayed=True), elsewhere):
            assert not ice.is_loopback
            dtls: Any = one.dtls
            dtls._data_receiver = None
            channel = NativeChannel(
                dtls, random.Random(1), own_peer=True, exchanged=None, round_trip_s=None
            )
            channel._size_search._size.start(0.0)
            assert channel._size_search._size.due(0.0) == 1432
        ice._pair = pair


def narrow(end: End, most: int) -> list[int]:
    """From now on nothing larger leaves this end; returns the sizes of what was lost."""
    lost: list[int] = []
    port = end.port
    sends: dict[str, Any] = {name: getattr(port, name) for name in ("send_segments", "send_whole")}

    def send_segments(buffer: bytes, size: int, addr: Any) -> None:
        for datagram in split(buffer, size):
            if len(datagram) <= most:
                sends["send_segments"](datagram, len(datagram), addr)
            else:
                lost.append(len(datagram))

    def send_whole(data: bytes, addr: Any) -> bool:
        if len(data) > most:
            lost.append(len(data))
            return True
        return bool(sends["send_whole"](data, addr))

    port.send_segments, port.send_whole = send_segments, send_whole
    return lost


async def test_a_path_that_becomes_narrow_is_noticed_and_searched_again() -> None:
    async with channels() as (one, other):
        await until(lambda: packet_bytes(one) == packet_bytes(other) == LARGEST)
        lost = narrow(one, 1400)
        sent: list[bytes] = []
        for number in range(8):
            sent.append(number.to_bytes(5000))
            one.channel.send(sent[-1])
            # A timeout, of a second where no round trip is known; then in pieces.
            await until(lambda: len(other.received) == len(sent), 1.1)
        assert other.received == sent, "in pieces"
        assert len(lost) >= 4
        assert packet_bytes(one) == 1188
        one.port.send_segments = type(one.port).send_segments.__get__(one.port)
        one.port.send_whole = type(one.port).send_whole.__get__(one.port)
        await until(lambda: packet_bytes(one) == LARGEST, 120.0)


async def test_where_probes_cannot_be_kept_whole_packets_stay_small() -> None:
    async with network() as peers:
        one, other = await peers.add(), await peers.add()
        ours, _ = await linked(one, other)
        channel: Any = ours.channel
        channel.dtls.send_whole = lambda _: False
        channel._size_search._size.start(asyncio.get_running_loop().time())
        channel._size_search._size.packet_bytes = 1188
        channel._size_search._size.start(asyncio.get_running_loop().time())
        channel._flush()
        assert channel._size_search._size.next_at == float("inf")
        ours.send(frame_of(b"all the same"))
        await until(lambda: other.received == [b"all the same"])


async def test_losses_reordering_and_duplicates_change_nothing() -> None:
    rng = random.Random(3)
    async with channels() as (one, other):
        user = other.port._user
        take = user.burst_received

        def bad_path(burst: list[Arrival]) -> None:
            datagrams = [
                (one, len(one), source)
                for buffer, size, source in burst
                for one in split(buffer, size)
                for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 1, 1, 2)))
            ]
            rng.shuffle(datagrams)
            if datagrams:
                take(datagrams)

        user.burst_received = bad_path
        messages = [rng.randbytes(rng.randrange(40_000)) for _ in range(60)]
        for message in messages:
            one.channel.send(message)
        await until(lambda: len(other.received) == len(messages), 30.0)
        assert other.received == messages


@pytest.mark.real_loop
async def test_a_full_socket_holds_packets_back_until_it_takes_them() -> None:
    async with channels() as (one, other):
        port = one.port
        port._queue.append((b"", 0, ("127.0.0.1", 9)))  # as after EAGAIN
        one.channel.send(b"held back")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert one.association._core.queue.total_bytes == len(b"held back")
        port._queue.clear()
        port._user.resume_writing()
        await until(lambda: other.received == [b"held back"])


# Peers that mean harm -----------------------------------------------------------------------


def _packet(attacker: End, *parts: bytes) -> bytes:
    """An SCTP packet with the right ports, tag and checksum, and whatever in it."""
    return seal(attacker.association._core.writer.header, b"".join(parts))


def _data(attacker: End, ahead: int, flags: int, payload: bytes, stream: int = 0) -> bytes:
    tsn = (attacker.association.sender.board.next_tsn + ahead) & 0xFFFFFFFF
    return chunks.encode_data(flags, tsn, stream, 0, 53, payload)


HARMLESS: dict[str, Callable[[End], bytes]] = {
    "less than a header": lambda _: b"\x13\x88\x13\x88",
    "noise": lambda _: random.Random(4).randbytes(1400),
    "a wrong checksum": lambda end: _packet(end, _data(end, 0, 3, b"x"))[:-1] + b"y",
    "a chunk of length 0": lambda end: _packet(end, b"\0\0\0\0"),
    "a chunk that overruns its packet": lambda end: _packet(end, b"\0\3\xff\xff" + bytes(20)),
    "a parameter of length 0": lambda end: _packet(end, b"\4\0\0\x08\0\1\0\0"),
    "data on a stream that there is not": lambda end: _packet(end, _data(end, 0, 3, b"x", 9)),
    "the end of a message that never began": lambda end: _packet(end, _data(end, 60_000, 1, b"x")),
    "an INIT inside the association": lambda end: _packet(end, b"\1\0\0\x14" + bytes(16)),
    "an unknown chunk": lambda end: _packet(end, b"\xbf\0\0\x08abcd"),
    "a truncated FORWARD TSN": lambda end: _packet(end, b"\xc0\0\0\5\0\0\0\0"),
    "a reset of nothing": lambda end: _packet(end, b"\x82\0\0\x0c\0\x0d\0\x08\0\0\0\0"),
}


@pytest.mark.parametrize("harm", HARMLESS)
async def test_broken_packets_change_nothing(harm: str) -> None:
    async with channels() as (attacker, victim):
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        attacker.channel.receiver = heard.set_result
        attacker.dtls.send_packets([HARMLESS[harm](attacker)] * 3)
        victim.channel.send(b"still here")
        assert await heard == b"still here"
        assert not victim.channel.closed.done()
        assert victim.received == []


HARMFUL: dict[str, tuple[Callable[[End], bytes], str]] = {
    "a SACK of what was never sent": (
        lambda end: _packet(
            end,
            chunks.encode_sack((end.association.receiver.cumulative + 5) & 0xFFFFFFFF, 1 << 20, ()),
        ),
        "never sent",
    ),
    "an ABORT": (lambda end: _packet(end, b"\6\0\0\4"), "closed by the peer"),
    "an ABORT with a reason": (
        lambda end: _packet(end, b"\6\0\0\x0c\0\x0c\0\x08\x1bno\n"),
        "closed by the peer: no",
    ),
    "text": (
        lambda end: _packet(end, chunks.encode_data(3, _next(end), 0, 0, 51, b"hello")),
        "sent text",
    ),
    "a message that is too long": (lambda end: _packet(end, _long(end)), "larger than what"),
}


def _next(end: End) -> int:
    return int(end.association.sender.board.next_tsn) & 0xFFFFFFFF


def _long(end: End) -> bytes:
    """The middle of a message without an end, in packets before this one."""
    first = end.association.sender.board.next_tsn
    piece = bytes(1400)
    packets = [
        _packet(end, chunks.encode_data(2 if n == 0 else 0, (first + n) % 2**32, 0, 0, 53, piece))
        for n in range(47)
    ]
    end.dtls.send_packets(packets)
    return chunks.encode_data(0, (first + 47) % 2**32, 0, 0, 53, piece)


@pytest.mark.parametrize("harm", HARMFUL)
async def test_a_peer_that_breaks_sctp_ends_its_own_link_and_nothing_else(harm: str) -> None:
    make, reason = HARMFUL[harm]
    async with channels() as (attacker, victim):
        attacker.dtls.send_packets([make(attacker)])
        await until(victim.channel.closed.done)
        assert reason in victim.channel.closed.result()
        assert victim.received == []
        with pytest.raises(LinkClosed):
            victim.channel.send(b"late")


async def test_an_answer_to_what_came_with_an_abort_finds_the_channel_closed() -> None:
    async with channels() as (attacker, victim):
        refused: list[str] = []

        def answer(message: bytes) -> None:
            with pytest.raises(LinkClosed):
                victim.channel.send(message)
            refused.append("refused")

        victim.channel.receiver = answer
        message = chunks.encode_data(3, _next(attacker), 0, 0, 53, b"1234")
        attacker.dtls.send_packets([_packet(attacker, message + b"\6\0\0\4")])
        await until(victim.channel.closed.done)
        assert refused == ["refused"]
        assert victim.channel.closed.result() == "closed by the peer"


# DTLS ---------------------------------------------------------------------------------------


async def test_an_end_of_dtls_is_noticed_at_once() -> None:
    async with channels() as (one, other):
        await one.dtls.stop()  # close_notify, without a word of SCTP
        async with asyncio.timeout(0.5):
            assert await asyncio.shield(other.channel.closed) == "closed by the peer"


async def test_a_broken_dtls_ends_the_channel() -> None:
    async with channels() as (one, _):
        ssl: Any = one.dtls._ssl
        ssl.shutdown()  # OpenSSL seals nothing any more
        one.channel.send(b"never arrives")
        await until(one.channel.closed.done)
        assert one.channel.closed.result() == "DTLS broke"


def test_dtls_that_has_ended_gets_no_channel() -> None:
    ended: Any = SimpleNamespace(state="closed")
    with pytest.raises(LinkClosed, match="closed by the peer"):
        create_channel(ended, random.Random(1))


async def test_what_was_in_the_queue_before_the_channel_is_not_lost() -> None:
    async with channels() as (one, other):
        records: Any = one.dtls._records
        sealed = records.seal([_packet(one, _data(one, 0, 3, b"through the queue"))])
        other.dtls.ice.dtls_received(sealed)
        await until(lambda: other.received == [b"through the queue"])
