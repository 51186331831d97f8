"""Links whose messages are carried as flows: for worlds of so many links that packets are too dear.

A packet costs the real SCTP, DTLS and the simulated path some 0.3 ms, so a world in which 4 GB move
would take an hour. Here SCTP and the records of DTLS are left out: calls, ICE and DTLS's handshakes
go by packets as ever, then messages travel whole, in segments, over the same rated lines.

A host's line to the network serves its links in turn, a segment each. A link has so much under way
as was acknowledged, from ten packets on, as a slow start allows. A receiver's line is never asked
to hold more than what is under way to it and AHEAD_S: what delay-bounding congestion control comes
near to, here without probing and loss. Headers take what they take of full packets.
"""

import asyncio
import contextlib
import contextvars
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from node.links.channel import native_channel
from node.links.channel.channel import LOW_WATER_BYTES, Channel, closed_by_peer, spoken_reason
from node.links.secure.dtls import DtlsPath
from protocol import limits
from protocol.errors import LinkClosed, RemoteError
from protocol.randomness import Random
from simulations.internet import Host, Internet
from simulations.internet.lines import Pipe
from simulations.internet.log import Fate, Kind
from simulations.runtime.sleeping import current_host

SEGMENT_BYTES: Final = 16 * 1024
PAYLOAD_SHARE: Final = 0.94
"""Of a full IP packet, what is left for messages under UDP, DTLS and SCTP."""
FIRST_WINDOW_BYTES: Final = 12_000
WINDOW_BYTES_MAX: Final = 4 * 2**20
SEND_BUFFER_BYTES: Final = 8 * 2**20
AHEAD_S: Final = 0.02


@dataclass(slots=True)
class _Segment:
    """Bytes that travel together, and the messages that end in them."""

    size: int
    ended: list[bytes]


class FlowChannel:
    """A `Channel` between two simulated hosts. Made by `FlowLinks`."""

    max_message_bytes = limits.MESSAGE_BYTES

    def __init__(self, flows: "FlowLinks", dtls: DtlsPath, host: Host, number: int) -> None:
        self.receiver: Callable[[bytes], None] | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.dtls = dtls
        self.host = host
        self.number = number
        self.context = contextvars.copy_context()
        self.window_bytes = FIRST_WINDOW_BYTES
        self.under_way_bytes = 0
        self._flows = flows
        self._queue: deque[bytes] = deque()
        self._cut_bytes = 0
        """Of the first message in the queue, what has left."""
        self._queued_bytes = 0
        self._changed = asyncio.Event()
        # The channel is made of the DTLS path, which learns here what its end goes to.
        dtls.on_lost = self.end

    @property
    def fault(self) -> RemoteError | None:
        """None: there is no packet that could be wrong."""
        return None

    @property
    def buffered_bytes(self) -> int:
        """See Channel."""
        return self._queued_bytes

    @property
    def acknowledged_bytes(self) -> int:
        """Nothing: what has left is not lost."""
        return 0

    @property
    def round_trip_s(self) -> float | None:
        """That of the hosts' distance."""
        return self._flows.round_trip_s(self)

    async def open(self) -> None:
        """See Channel: what the peer is sent before it is ready waits for it."""
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        self.dtls.ice.peer_heard()

    def send(self, message: bytes) -> None:
        """See Channel."""
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        if self._queued_bytes + len(message) > SEND_BUFFER_BYTES:
            self.end("the peer takes less than is sent")
            raise LinkClosed("the peer takes less than is sent")
        self._queue.append(message)
        self._queued_bytes += len(message)
        self._flows.wake(self)

    async def drained(self, most_bytes: int | None = None) -> None:
        """See Channel."""
        low = LOW_WATER_BYTES if most_bytes is None else min(most_bytes, LOW_WATER_BYTES)
        while self._queued_bytes > low and not self.closed.done():
            self._changed.clear()
            await self._changed.wait()
        if self.closed.done():
            raise LinkClosed(self.closed.result())

    async def close(self, reason: str = "") -> None:
        """See Channel."""
        self.end("closed by us")
        self._flows.closes(self, closed_by_peer(spoken_reason(reason)))
        await self.dtls.close()

    def end(self, reason: str) -> None:
        """Nothing is carried any more."""
        if not self.closed.done():
            self.closed.set_result(reason)
        self._queue.clear()
        self._queued_bytes = 0
        self._changed.set()

    def cut(self) -> _Segment:
        """What leaves next, once something waits."""
        segment = _Segment(0, [])
        while self._queue and segment.size < SEGMENT_BYTES:
            message = self._queue[0]
            size = min(SEGMENT_BYTES - segment.size, len(message) - self._cut_bytes)
            segment.size += size
            self._cut_bytes += size
            if self._cut_bytes == len(message):
                segment.ended.append(self._queue.popleft())
                self._cut_bytes = 0
        self._queued_bytes -= segment.size
        self.under_way_bytes += segment.size
        self._changed.set()
        return segment

    def acknowledged(self, size: int) -> None:
        """So much arrived: as much more may be under way."""
        self.under_way_bytes -= size
        self.window_bytes = min(self.window_bytes + size, WINDOW_BYTES_MAX)

    def take(self, segment: _Segment) -> None:
        """A segment arrived."""
        for message in segment.ended:
            if self.receiver is not None and not self.closed.done():
                self.context.run(self.receiver, message)


@dataclass(slots=True)
class _Line:
    """The two directions of a host's line, as far as flows use it."""

    ready: OrderedDict[FlowChannel, None] = field(default_factory=OrderedDict)
    """Links with something to send, the one whose turn it is first."""
    busy: bool = False
    coming_bytes: int = 0
    """Under way to this host."""
    waiting: OrderedDict[FlowChannel, None] = field(default_factory=OrderedDict)
    """Links of others that wait until fewer are."""


class FlowLinks:
    """Carries the messages of all links of an internet whose channels it makes."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet
        self._loop = internet.loop
        self._lines: dict[Host, _Line] = {}
        self._half: dict[frozenset[bytes], FlowChannel] = {}
        """Channels that wait for their other end, by what both descriptions say of them."""
        self._peers: dict[FlowChannel, FlowChannel] = {}
        self._made = 0

    def create_channel(
        self,
        dtls: DtlsPath,
        rng: Random,
        *,
        own_peer: bool = False,
        inits: tuple[bytes, bytes] = (b"", b""),
        round_trip_s: float | None = None,
    ) -> Channel:
        """A channel over a DTLS path, which it owns from now on; raises LinkClosed if that ended.

        `inits`, which name the link at both ends, are needed: both ends are of this module.
        """
        if dtls.state != "connected":
            raise LinkClosed("closed by the peer")
        host = current_host.get()
        assert isinstance(host, Host), "a link's end is on no simulated host"
        assert all(inits), "flows link nodes that describe their SCTP"
        self._made += 1
        channel = FlowChannel(self, dtls, host, self._made)
        names = frozenset(inits)
        peer = self._half.pop(names, None)
        if peer is None or peer.closed.done():
            self._half[names] = channel
        else:
            self._peers[channel], self._peers[peer] = peer, channel
            channel.closed.add_done_callback(partial(self._forget, channel))
            peer.closed.add_done_callback(partial(self._forget, peer))
            self.wake(peer)
        return channel

    def round_trip_s(self, channel: FlowChannel) -> float | None:
        """Between the ends of a link; None until both are there."""
        peer = self._peers.get(channel)
        return None if peer is None else 2 * self._one_way_s(channel, peer)

    def wake(self, channel: FlowChannel) -> None:
        """A link may have something that can be sent now."""
        if channel in self._peers and channel.buffered_bytes:
            line = self._line(channel.host)
            line.ready[channel] = None
            if not line.busy:
                self._serve(channel.host)

    def closes(self, channel: FlowChannel, told: str) -> None:
        """A link's end tells the other one why it closes."""
        peer = self._peers.pop(channel, None)
        if peer is not None:
            at = self._loop.now + self._one_way_s(channel, peer)
            self._loop.call_at(at, peer.end, told, context=peer.context)

    def _forget(self, channel: FlowChannel, _: object) -> None:
        self._line(channel.host).ready.pop(channel, None)
        peer = self._peers.get(channel)
        if peer is not None:
            self._line(peer.host).waiting.pop(channel, None)

    def _serve(self, host: Host) -> None:
        """Let the next link send a segment, if one can."""
        line = self._line(host)
        line.busy = False
        while line.ready:
            channel, _ = line.ready.popitem(last=False)
            peer = self._peers.get(channel)
            if peer is None or channel.closed.done() or not channel.buffered_bytes:
                continue
            if channel.under_way_bytes >= channel.window_bytes:
                continue  # what is acknowledged wakes it
            if not self._has_room(peer.host, self._one_way_s(channel, peer)):
                self._line(peer.host).waiting[channel] = None
                continue
            self._send(channel, peer, line)
            return

    def _send(self, channel: FlowChannel, peer: FlowChannel, line: _Line) -> None:
        segment = channel.cut()
        self._line(peer.host).coming_bytes += segment.size
        if channel.buffered_bytes:
            line.ready[channel] = None
        leaves = _booked(channel.host.up, self._loop.now, segment.size)
        line.busy = True
        channel.host.sent_bytes += segment.size
        self._loop.post_at(leaves, self._serve, channel.host)
        arrives = leaves + self._one_way_s(channel, peer)
        self._loop.post_at(arrives, self._arrived, (channel, peer, segment))

    def _arrived(self, way: tuple[FlowChannel, FlowChannel, _Segment]) -> None:
        at = _booked(way[1].host.down, self._loop.now, way[2].size)
        self._loop.post_at(at, self._taken, way)

    def _taken(self, way: tuple[FlowChannel, FlowChannel, _Segment]) -> None:
        channel, peer, segment = way
        self._internet.log.add(
            self._loop.now, channel.number, peer.number, Kind.DTLS, Fate.DELIVERED
        )
        line = self._line(peer.host)
        line.coming_bytes -= segment.size
        if peer.host.barred is None:
            peer.host.received_bytes += segment.size
            peer.take(segment)
            at = self._loop.now + self._one_way_s(channel, peer)
            self._loop.post_at(at, self._acknowledged, (channel, segment.size))
        while line.waiting and self._has_room(peer.host, 0.0):
            waits, _ = line.waiting.popitem(last=False)
            self.wake(waits)

    def _acknowledged(self, acknowledged: tuple[FlowChannel, int]) -> None:
        channel, size = acknowledged
        channel.acknowledged(size)
        self.wake(channel)

    def _has_room(self, host: Host, one_way_s: float) -> bool:
        """Whether a host's line can be asked to take more."""
        rate = None if host.down is None else host.down.rate_bytes_s
        return rate is None or self._line(host).coming_bytes < rate * (2 * one_way_s + AHEAD_S)

    def _one_way_s(self, channel: FlowChannel, peer: FlowChannel) -> float:
        return self._internet.carrier.one_way_s(channel.host, peer.host)

    def _line(self, host: Host) -> _Line:
        line = self._lines.get(host)
        if line is None:
            line = self._lines[host] = _Line()
        return line


def _booked(pipe: Pipe | None, now: float, payload_bytes: int) -> float:
    """When the last bit of so much leaves a line that it is put on now."""
    return now if pipe is None else pipe.book(now, payload_bytes / PAYLOAD_SHARE)


@contextlib.contextmanager
def flow_links(internet: Internet) -> Iterator[None]:
    """Let all links that are made meanwhile carry their messages as flows.

    Enter it before the first link, as nodes look up once what makes their channels.
    """
    original = native_channel.create_channel
    native_channel.create_channel = FlowLinks(internet).create_channel
    try:
        yield
    finally:
        native_channel.create_channel = original
