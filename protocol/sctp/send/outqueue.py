"""Messages waiting to be sent: one queue per stream, served in turn, a message at a time.

Without I-DATA the fragments of a message must have consecutive TSNs (RFC 9260, 6.9), so streams
take turns between messages and not within one.
"""

from collections import deque
from dataclasses import dataclass
from math import inf

from protocol.sctp.serial import SSN_MASK


@dataclass(slots=True, eq=False)
class Message:
    """One message of the application. It may be given up when `partial` (RFC 3758)."""

    data: bytes
    payload_protocol: int
    unordered: bool = False
    expires_at: float = inf
    max_retransmits: int | None = None

    @property
    def partial(self) -> bool:
        """Whether it may be given up."""
        return self.max_retransmits is not None or self.expires_at != inf


class OutQueue:
    """What is queued. The message being cut into fragments is `message`; the sender moves `offset`.

    `low` collects streams whose queued bytes fell to their threshold.
    """

    __slots__ = (
        "_buffered",
        "_next_sequence",
        "_streams",
        "_thresholds",
        "_turns",
        "low",
        "message",
        "offset",
        "sequence",
        "stream_id",
        "total_bytes",
    )

    def __init__(self) -> None:
        self._streams: dict[int, deque[Message]] = {}
        self._turns: deque[int] = deque()
        self._buffered: dict[int, int] = {}
        self._thresholds: dict[int, int] = {}
        self._next_sequence: dict[int, int] = {}
        self.total_bytes = 0
        self.low: list[int] = []
        self.message: Message | None = None
        self.stream_id = 0
        self.sequence = 0
        self.offset = 0

    def push(self, stream_id: int, message: Message) -> None:
        """Queue a message at the end of its stream."""
        waiting = self._streams.get(stream_id)
        if waiting is None:
            self._streams[stream_id] = deque((message,))
            self._turns.append(stream_id)
        else:
            waiting.append(message)
        size = len(message.data)
        self.total_bytes += size
        self._buffered[stream_id] = self._buffered.get(stream_id, 0) + size

    def buffered(self, stream_id: int) -> int:
        """Bytes of a stream that have not left yet."""
        return self._buffered.get(stream_id, 0)

    def holds(self, stream_id: int) -> bool:
        """Whether a stream still has something to send for the first time."""
        current = self.message is not None and self.stream_id == stream_id
        return current or stream_id in self._streams

    @property
    def empty(self) -> bool:
        """Whether there is nothing to send for the first time."""
        return self.message is None and not self._turns

    def set_threshold(self, stream_id: int, size: int) -> None:
        """Put the stream on `low` whenever its queued bytes fall to `size`."""
        self._thresholds[stream_id] = size

    def begin_message(self, now: float) -> Message | None:
        """Make the next message current and return it; expired ones are dropped unsent."""
        while self._turns:
            stream_id = self._turns.popleft()
            waiting = self._streams[stream_id]
            message = waiting.popleft()
            if waiting:
                self._turns.append(stream_id)
            else:
                del self._streams[stream_id]
            if message.expires_at <= now:
                self.took(stream_id, len(message.data))
                continue
            self.message, self.stream_id, self.offset = message, stream_id, 0
            self.sequence = self._take_sequence(stream_id, message)
            return message
        return None

    def _take_sequence(self, stream_id: int, message: Message) -> int:
        if message.unordered:
            return 0
        sequence = self._next_sequence.get(stream_id, 0)
        self._next_sequence[stream_id] = (sequence + 1) & SSN_MASK
        return sequence

    def took(self, stream_id: int, size: int) -> None:
        """So many bytes of the stream have left, or were given up."""
        before = self._buffered[stream_id]
        after = before - size
        self.total_bytes -= size
        if after:
            self._buffered[stream_id] = after
        else:
            del self._buffered[stream_id]
        threshold = self._thresholds.get(stream_id)
        if threshold is not None and before > threshold >= after:
            self.low.append(stream_id)

    def end_message(self) -> None:
        """The current message has left completely, or its rest was given up."""
        self.message = None

    def drop_current(self) -> None:
        """Give up what is left of the current message."""
        if self.message is not None:
            self.took(self.stream_id, len(self.message.data) - self.offset)
            self.message = None

    def drop_waiting(self, stream_id: int) -> None:
        """Forget what a stream has not begun to send."""
        waiting = self._streams.pop(stream_id, None)
        if waiting is not None:
            self._turns.remove(stream_id)
            self.took(stream_id, sum(len(message.data) for message in waiting))

    def reset(self, stream_id: int) -> None:
        """Number the stream's messages from zero again (RFC 6525, 5.2.7)."""
        self._next_sequence.pop(stream_id, None)
        self._thresholds.pop(stream_id, None)
