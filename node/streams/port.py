"""A stream as a port: its datagrams are framed, and dropped where too much waits.

TCP repeats what is lost and keeps the order, so one lost packet holds back all that follows it.
What bounds the harm is that little waits: a datagram that finds a full queue is dropped, as by
routers.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from node.counters import Counters
from node.streams.connection import StreamConnection
from protocol import limits
from protocol.addresses import Address
from protocol.errors import RemoteError
from protocol.rate_limit import RateLimit
from protocol.streams.forwarding import DHT
from protocol.streams.framing import ANSWER, ASK, Framed, FrameReader, frames_of

TakeFramed = Callable[[list[Framed]], None]


class StreamPort:
    """A `Port`. What is sent to `far` stays within the stream; all else names its address.

    `take` gets what arrives, `ended` is called at the end, `writable` when the port is no longer
    full. The side that `asks` finds out whether the other one is there. `used_at` is when it last
    carried something of a relay: the overlay has other ways, and would keep each stream for ever.
    """

    def __init__(
        self,
        connection: StreamConnection,
        far: Address,
        counters: Counters,
        take: TakeFramed,
        *,
        asks: bool,
        ended: Callable[[], None],
        writable: Callable[[], None],
    ) -> None:
        self.far = far
        self._connection = connection
        self._counters = counters
        self._take = take
        self._asks = asks
        self._ended = ended
        self._reader = FrameReader()
        self._frames = RateLimit(limits.STREAM_FRAMES_PER_SECOND, limits.STREAM_FRAMES_BURST)
        self._resting: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self.used_at = self._loop.time()
        self._timer = self._loop.call_later(limits.STREAM_ASKED_S, self._look)
        connection.stream_to(self._received, lost=self._lost, resumed=writable)

    # Receiving --------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._read(data)

    def _read(self, data: bytes) -> None:
        reader, now = self._reader, self._loop.time()
        try:
            framed = reader.read(data, self._frames.room(now))
        except RemoteError as error:
            self._counters.refuse(error)
            self.close()
            return
        self._frames.take(now, reader.frames)
        if reader.is_behind and self._resting is None:
            self._connection.pause_reading()
            rest_s = self._frames.wait_s(now, limits.STREAM_FRAMES_AT_LEAST)
            self._resting = self._loop.call_later(rest_s, self._go_on)
        if reader.take_asked():
            self._write(ANSWER)
        if framed:
            if not all(one.buffer[0] in DHT for one in framed):
                self.used_at = self.heard_at
            self._take(framed)

    def _go_on(self) -> None:
        self._resting = None
        self._connection.resume_reading()
        self._read(b"")

    def _look(self) -> None:
        is_silent = self._loop.time() - self.heard_at > limits.STREAM_SILENT_S
        # More than `_write` lets wait are TLS's own answers, such as those to KeyUpdate (RFC 8446,
        # 4.6.3), which a peer may ask for and never read.
        if is_silent or self._connection.waiting_bytes > 2 * limits.STREAM_QUEUE_BYTES:
            self.close()
            return
        if self._asks:
            self._write(ASK)
        self._timer = self._loop.call_later(limits.STREAM_ASKED_S, self._look)

    def _lost(self) -> None:
        self._timer.cancel()
        if self._resting is not None:
            self._resting.cancel()
        self._ended()

    # Sending ------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether as much waits as may."""
        return self._connection.full

    def _write(self, data: bytes) -> None:
        if self._connection.full:
            self._counters.refused["stream_full"] += 1
        elif data:
            self._connection.send(data)

    def send_framed(self, buffer: bytes, size: int, address: Address | None) -> None:
        """Send datagrams that are for, or from, an address; None: the other end of the stream."""
        self._write(frames_of(buffer, size, address))

    def sendto(self, data: bytes, addr: Any = None) -> None:
        """Send one datagram."""
        self.send_segments(data, len(data), addr)

    def send_segments(self, buffer: bytes, size: int, addr: Any) -> None:
        """Send a buffer as datagrams of `size` bytes each, the last of what is left."""
        to = Address(*addr[:2])
        if buffer and buffer[0] not in DHT:
            self.used_at = self._loop.time()
        self._counters.sent(len(buffer), size)
        self.send_framed(buffer, size, None if to == self.far else to)

    def send_gathered(self, parts: Sequence[bytes | memoryview], size: int, addr: Any) -> None:
        """The same for a buffer that stands in parts."""
        self.send_segments(b"".join(parts), size, addr)

    def send_whole(self, data: bytes, addr: Any) -> bool:
        """Send one datagram, which nothing fragments; False: it is longer than a stream takes."""
        self.sendto(data, addr)
        return len(data) <= limits.STREAM_DATAGRAM_BYTES

    def send_with_ttl(self, data: bytes, addr: Any, ttl: int) -> None:
        """Nothing is sent: a stream has no time to live."""

    def close(self) -> None:
        """End the stream; `ended` follows."""
        self._connection.abort()

    def is_closing(self) -> bool:
        """Whether the stream has ended."""
        return self._connection.is_ending

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`sockname` and `socket`, as asyncio's transports do."""
        return self._connection.transport.get_extra_info(name, default)
