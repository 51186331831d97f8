"""Two ends of a link without a network: frames arrive in order, one turn of the loop later."""

import asyncio
from collections import deque
from collections.abc import Callable

from protocol.errors import LinkClosed, Malformed
from protocol.frame_types import frame_type

LOW_WATER_BYTES = 256 * 1024

Meddler = Callable[[bytes], bytes | None]
"""Sees a frame on its way; returns what arrives instead, or None for nothing."""


class MemoryLink:
    """One end. `meddler` stands between this end's `send` and the other's handlers."""

    def __init__(self, peer_id: bytes, max_frame_bytes: int) -> None:
        self.peer_id = peer_id
        self.network = b""
        self.round_trip_s: float | None = None
        self.max_frame_bytes = max_frame_bytes
        self._handlers: dict[int, Callable[[bytes], None]] = {}
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.other: MemoryLink
        self.meddler: Meddler | None = None
        self.frames_sent = 0
        self.bytes_sent = 0
        self.most_buffered_bytes = 0
        self.is_held = False
        self.bytes_per_second: float | None = None
        """How fast the line is in virtual time; None delivers at once."""
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_delivering = False
        self._moved = asyncio.Event()

    @property
    def buffered_bytes(self) -> int:
        """What was sent and has not arrived."""
        return self._queued_bytes

    def register(self, types: range, handler: Callable[[bytes], None]) -> None:
        """Give frames of these types to `handler`."""
        self._handlers.update(dict.fromkeys(types, handler))

    def serve(self, is_awaited: Callable[[], bool]) -> None:
        """No pool asks it."""

    def receive(self, frame: bytes) -> None:
        """Take a frame as if it had arrived; one of a type without a handler ends the link."""
        try:
            handler = self._handlers.get(frame_type(frame))
            if handler is None:
                raise Malformed("a frame of an unknown type")
        except Malformed as error:
            self.cut(error.name)
        else:
            handler(frame)

    def send(self, frame: bytes) -> None:
        """Queue a frame for the other end."""
        if self.closed.done():
            raise LinkClosed("the link is closed")
        assert len(frame) <= self.max_frame_bytes
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self.most_buffered_bytes = max(self.most_buffered_bytes, self._queued_bytes)
        self._deliver_soon()

    async def drained(self, most_bytes: int | None = None) -> None:
        """Wait until little is queued, or no more than so much."""
        low_bytes = LOW_WATER_BYTES if most_bytes is None else most_bytes
        while self._queued_bytes > low_bytes and not self.closed.done():
            self._moved.clear()
            await self._moved.wait()
        if self.closed.done():
            raise LinkClosed("the link is closed")

    async def close(self, reason: str = "") -> None:
        """End both ends."""
        self.cut(reason)

    def cut(self, reason: str) -> None:
        """End both ends at once; what is under way is lost."""
        for end in (self, self.other):
            if not end.closed.done():
                end.closed.set_result(reason)
                end._queue.clear()
                end._moved.set()

    def hold(self) -> None:
        """Let nothing from this end arrive until `release`."""
        self.is_held = True

    def release(self) -> None:
        """Deliver again."""
        self.is_held = False
        self._deliver_soon()

    def _deliver_soon(self) -> None:
        if self._queue and not self._is_delivering and not self.is_held:
            self._is_delivering = True
            delay_s = len(self._queue[0]) / self.bytes_per_second if self.bytes_per_second else 0.0
            asyncio.get_running_loop().call_later(delay_s, self._deliver)

    def _deliver(self) -> None:
        self._is_delivering = False
        if not self._queue or self.is_held:
            return
        frame: bytes | None = self._queue.popleft()
        assert frame is not None
        self._queued_bytes -= len(frame)
        self.frames_sent += 1
        self.bytes_sent += len(frame)
        self._moved.set()
        if self.meddler is not None:
            frame = self.meddler(frame)
        if frame is not None:
            self.other.receive(frame)
        self._deliver_soon()


def memory_link(
    left_id: bytes, right_id: bytes, max_frame_bytes: int = 65000
) -> tuple[MemoryLink, MemoryLink]:
    """The end that `left_id` has (whose peer is `right_id`), and the other one."""
    left = MemoryLink(right_id, max_frame_bytes)
    right = MemoryLink(left_id, max_frame_bytes)
    left.other, right.other = right, left
    return left, right
