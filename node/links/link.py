"""A link to one peer: encrypted frames over a channel, each handed to the handler of its type."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from node.links.channel.channel import CLOSED_BY_PEER, Channel
from node.links.path.found_path import FoundPath, MeasuredPath
from node.links.stages import Stage, StageClock
from node.tasks import TaskOwner
from protocol import limits
from protocol.causes.tried import KnownSide
from protocol.errors import LinkClosed, Malformed, ModswarmError, Oversized, RemoteError
from protocol.frame_types import IDLE_FRAME, frame_type
from protocol.identity import PeerId, peer_id_of
from protocol.noise_session import FRAME_TAG_BYTES, NoiseHandshake, NoiseSession

_log = logging.getLogger(__name__)

FrameHandler = Callable[[bytes], None]
"""Called for each frame, in order. A RemoteError that it raises closes the link and is told to the
peer by name."""


class FrameTypesTaken(ValueError):
    """A range of frame types overlaps one that has a handler: a fault of this program."""


@dataclass(frozen=True, slots=True)
class LinkOrigin:
    """How a link came to be. `asked_at` is when its attempt began, by the loop's clock.

    `found_path` gives the path that ICE uses at present, or used last, `paths` that in use and all
    that are kept beside it. `own` and `peer` are the
    networks of both sides as their descriptions told them.
    `signaled_via` has the registrar that forwarded our offer; it is empty where the peer took the
    offer itself, and for incoming links.
    """

    peer_key: bytes
    direction: Literal["outgoing", "incoming"]
    found_path: Callable[[], FoundPath]
    paths: Callable[[], tuple[MeasuredPath, ...]]
    own: KnownSide
    peer: KnownSide
    asked_at: float
    stages: StageClock
    signaled_via: tuple[PeerId, ...] = ()


class Link:
    """Frames to and from one peer, in order; `closed` is done when no more can follow.

    Times are seconds of the loop's clock, and byte counts are of frames.
    """

    def __init__(self, channel: Channel, handshake: NoiseHandshake, origin: LinkOrigin) -> None:
        loop = asyncio.get_running_loop()
        self.peer_key = origin.peer_key
        self.peer_id: PeerId = peer_id_of(origin.peer_key)
        self.direction = origin.direction
        self.own = origin.own
        self.peer = origin.peer
        self.asked_at = origin.asked_at
        self.signaled_via = origin.signaled_via
        self.opened_at = self.last_used_at = loop.time()
        self.bytes_sent = 0
        self.bytes_received = 0
        self.max_frame_bytes = channel.max_message_bytes - FRAME_TAG_BYTES
        self.error: Exception | None = None
        """What ended the link, unless one side closed it: a peer's fault or a defect of ours."""
        self.is_closed_by_us = False
        self.closed: asyncio.Future[str] = loop.create_future()
        self._loop = loop
        self._found_path = origin.found_path
        self._paths = origin.paths
        self._stages = origin.stages
        self.channel = channel
        self._handshake = handshake
        self._session: NoiseSession | None = None
        self._opened: asyncio.Future[None] = loop.create_future()
        self._started = False
        self._handlers: dict[int, FrameHandler] = {}
        self._delivering = False
        self._early_messages: deque[bytes] = deque()
        self._early_frames: deque[bytes] = deque()
        self._early_bytes = 0
        self._queued_bytes = 0
        self._moved = 0, 0
        self._moved_at = loop.time()
        self._close_reason = ""
        self._path_watchers: list[Callable[[], None]] = []
        self._served: list[Callable[[], bool]] = []
        self._tasks = TaskOwner("link")
        self._closing: asyncio.Task[None] | None = None
        # The link is made of its channel, which learns here what takes its messages.
        channel.receiver = self._message_received
        channel.closed.add_done_callback(self._channel_closed)
        self._opened.add_done_callback(_mark_retrieved)

    async def open(self) -> None:
        """End the Noise handshake: return once the peer has proved its identity.

        The callee has done so with its answer, the caller does with its first message. Raises
        NotAuthentic or Malformed for a wrong peer, LinkClosed if the channel ends.
        """
        self._started = True
        try:
            for message in self._handshake.start():
                self.channel.send(message)
            self._go_on()
        except (RemoteError, LinkClosed) as error:
            self._fail(error)
        while self._early_messages:
            message = self._early_messages.popleft()
            self._early_bytes -= len(message) + limits.EARLY_MESSAGE_OVERHEAD_BYTES
            self._message_received(message)
        await self._opened

    def send(self, frame: bytes) -> None:
        """Queue one frame of at most `max_frame_bytes`; raises LinkClosed."""
        if self.closed.done() or self._session is None:
            raise LinkClosed(self.closed.result() if self.closed.done() else "not open yet")
        message = self._session.encrypt(frame)
        self.channel.send(message)
        self._queued_bytes += len(message)
        self.bytes_sent += len(frame)
        self._used(frame)

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once few bytes are buffered, or no more than so many; raises LinkClosed."""
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        await self.channel.drained(most_bytes)

    @property
    def is_closed_by_peer(self) -> bool:
        """Whether the peer has ended the link."""
        return self.closed.done() and self.closed.result().startswith(CLOSED_BY_PEER)

    @property
    def path(self) -> FoundPath:
        """The path that the link has at present, or had last."""
        return self._found_path()

    def watch_path(self, changed: Callable[[], None]) -> None:
        """Call `changed` each time that the link has come to another path."""
        self._path_watchers.append(changed)

    def path_changed(self) -> None:
        """The link has come to another path."""
        for changed in self._path_watchers:
            changed()

    @property
    def paths(self) -> tuple[MeasuredPath, ...]:
        """The path in use, and then those that are kept beside it, the best first: each with what
        was measured of it, and why it carries the link or does not. None once the link has ended.
        """
        return self._paths()

    @property
    def network(self) -> bytes:
        """The public network of the peer's address at present, or RELAYED."""
        return self.path.network

    @property
    def round_trip_s(self) -> float | None:
        """The smoothed round trip of the link's packets; None until one was measured."""
        return self.channel.round_trip_s

    @property
    def stage_seconds(self) -> dict[Stage, float]:
        """How long each stage took until the link was open; an incoming link has no call."""
        return self._stages.seconds(self.opened_at)

    @property
    def buffered_bytes(self) -> int:
        """Bytes that were sent and wait for the network."""
        return self.channel.buffered_bytes

    def register(self, types: range, handler: FrameHandler) -> None:
        """Give frames of these types to `handler`, once delivery has started.

        Raises FrameTypesTaken if one of the types has a handler.
        """
        if taken := self._handlers.keys() & types:
            raise FrameTypesTaken(f"frames of the types {sorted(taken)} have a handler already")
        self._handlers.update(dict.fromkeys(types, handler))

    def serve(self, is_awaited: Callable[[], bool]) -> None:
        """Take part in `is_awaited`, until the link has ended and after that."""
        self._served.append(is_awaited)

    @property
    def is_awaited(self) -> bool:
        """Whether the peer waits for what it asked for by this link."""
        return any(is_awaited() for is_awaited in self._served)

    def start_delivery(self) -> None:
        """Deliver frames from the next turn of the loop on, those that came early first.

        Every handler must be registered by then: a frame of any other type closes the link.
        """
        self._loop.call_soon(self._deliver_early)

    def stalled_for(self, now: float) -> float:
        """Seconds for which the peer has taken nothing of what waits, as far as calls could see.

        Where a path loses much, only what was lost leaves for long, and nothing of the queue.
        """
        moved = self._queued_bytes - self.buffered_bytes, self.channel.acknowledged_bytes
        if moved != self._moved or not self.buffered_bytes:
            self._moved = moved
            self._moved_at = now
        return now - self._moved_at

    async def close(self, reason: str = "") -> None:
        """Close, tell the peer why, and return once nothing is left. Queued frames are dropped."""
        self._close_reason = self._close_reason or reason
        self.is_closed_by_us = self.is_closed_by_us or not self.closed.done()
        self._end(f"closed by us: {reason}" if reason else "closed by us")
        if self._closing is None:
            self._closing = self._tasks.start(self.channel.close(self._close_reason), name="close")
        await asyncio.shield(self._closing)  # what a cancelled close left would stay open for ever

    def _message_received(self, message: bytes) -> None:
        if self.closed.done():
            return
        try:
            if not self._started:
                self._keep(self._early_messages, message)
            elif self._session is None:
                self._handshake.receive(message)
                self._go_on()
            else:
                self._frame_received(self._session.decrypt(message))
        except (RemoteError, LinkClosed) as error:
            self._fail(error)

    def _go_on(self) -> None:
        """The link is open once there is a session."""
        self._session = self._handshake.session
        if self._session is not None and not self._opened.done():
            self.opened_at = self.last_used_at = self._loop.time()
            self._opened.set_result(None)

    def _frame_received(self, frame: bytes) -> None:
        self.bytes_received += len(frame)
        self._used(frame)
        if self._delivering:
            self._deliver(frame)
        else:
            self._keep(self._early_frames, frame)

    def _used(self, frame: bytes) -> None:
        if frame != IDLE_FRAME:
            self.last_used_at = self._loop.time()

    def _keep(self, queue: deque[bytes], item: bytes) -> None:
        self._early_bytes += len(item) + limits.EARLY_MESSAGE_OVERHEAD_BYTES
        if self._early_bytes > limits.EARLY_MESSAGES_BYTES:
            raise Oversized("more frames than a link keeps before their delivery starts")
        queue.append(item)

    def _deliver_early(self) -> None:
        while self._early_frames and not self.closed.done():
            self._deliver(self._early_frames.popleft())
        self._delivering = True

    def _deliver(self, frame: bytes) -> None:
        try:
            self._handler_of(frame)(frame)
        except (RemoteError, LinkClosed) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a fault in a handler ends only its link
            _log.exception("a frame could not be handled; its link is closed")
            self._close_reason = "internal error"
            self._end("internal error", error)

    def _handler_of(self, frame: bytes) -> FrameHandler:
        handler = self._handlers.get(frame_type(frame))
        if handler is None:
            raise Malformed(f"a frame of the unknown type {frame_type(frame)}")
        return handler

    def _fail(self, error: ModswarmError) -> None:
        self._close_reason = error.name
        self._end(str(error), error)

    def _channel_closed(self, closed: asyncio.Future[str]) -> None:
        reason = closed.result() if not closed.cancelled() else "closed"
        self._end(reason, self.channel.fault)

    def _end(self, reason: str, error: Exception | None = None) -> None:
        if self.closed.done():
            return
        self.error = error
        self.closed.set_result(reason)
        self._early_messages.clear()
        self._early_frames.clear()
        if not self._opened.done():
            self._opened.set_exception(error or LinkClosed(reason))


def _mark_retrieved(future: asyncio.Future[None]) -> None:
    """Keep asyncio from reporting a failure that the time limit overtook."""
    if not future.cancelled():
        future.exception()
