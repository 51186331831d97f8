"""One direction of a connection: slow start, loss, repetition, order.

What is simulated is what the bytes above feel: a window that doubles each round trip until the line
is full, and falls to 0.7 of itself at a loss (CUBIC, RFC 9438 4.6) to grow by a segment each round
trip; a lost segment that comes again one round trip after it was sent, and all that follows it
waiting for it; a retransmission timer of 0.2 s, doubled, for one that is lost again.
Acknowledgements are never lost.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from simulations.internet.log import Fate
from simulations.internet.tcp.route import Hop
from simulations.runtime.loop import VirtualLoop

SEGMENT_BYTES: Final = 1448
"""1500 less the headers of IPv4 and TCP with timestamps."""
_EXTRA_HEADER_BYTES: Final = 24
"""What TCP's header has more than UDP's."""
_FIRST_WINDOW: Final = 10 * SEGMENT_BYTES
"""RFC 6928."""
_BETA: Final = 0.7
WINDOW_BYTES: Final = 4 * 2**20
"""What a receiver takes in before its program reads, as Linux's default of `tcp_rmem` allows."""
_TIMER_MIN_S: Final = 0.2
_TRIES_MAX: Final = 9
_SMALLER_SEGMENT_BYTES: Final = 1180
"""What a segment has behind a narrow path (RFC 4821)."""
_CHARGED_IN_FULL: Final = 8
"""So many first segments are charged as full packets: TLS's handshake has signatures, whose lengths
differ from run to run."""


class Segment:
    """Bytes on their way; without any, the end of the direction."""

    __slots__ = ("data", "is_acked", "number", "sent_at", "start", "tries")

    def __init__(self, data: bytes, start: int, number: int) -> None:
        self.data = data
        self.start = start
        self.number = number
        self.sent_at = 0.0
        self.tries = 0
        self.is_acked = False

    @property
    def length(self) -> int:
        """What it takes of the numbers of bytes."""
        return len(self.data) or 1


class Flow:
    """`deliver` gets the bytes in order, and b"" at the end; `gave_up` is called where none arrive.

    `arrives` tells whether both hosts are there now. `left` is called when less waits.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        hops: Sequence[Hop],
        *,
        back: Sequence[Hop],
        is_v6: bool,
        arrives: Callable[[], bool],
        deliver: Callable[[bytes], None],
        left: Callable[[], None],
        gave_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._hops = hops
        self._back = back
        self._is_v6 = is_v6
        self._arrives = arrives
        self._deliver = deliver
        self._left = left
        self._gave_up = gave_up
        self.unsent = bytearray()
        self.unread = 0
        self._is_ending = False
        self._is_over = False
        self._next = self._sent = self._expected = 0
        self._early: dict[int, bytes] = {}
        self._segment_bytes = SEGMENT_BYTES
        self._window: float = _FIRST_WINDOW
        self._threshold = math.inf
        self._recovered_at = -1.0
        self._in_flight = 0
        self._round_trip_s = _TIMER_MIN_S

    def write(self, data: bytes) -> None:
        """Send bytes, as fast as the window lets."""
        self.unsent += data
        self.push()

    def end(self) -> None:
        """Tell the other side, after all that was written, that nothing more comes."""
        self._is_ending = True
        self.push()

    def stop(self) -> None:
        """Send nothing any more, and repeat nothing; what is on its way arrives."""
        self._is_over = True
        self.unsent.clear()

    @property
    def is_idle(self) -> bool:
        """Whether all that was written is there."""
        return not self.unsent and not self._in_flight

    # Sending --------------------------------------------------------------------------------------

    def push(self) -> None:
        """Send what the windows of both sides let out."""
        while (self.unsent or self._is_ending) and not self._is_over:
            room = min(self._window, WINDOW_BYTES - self.unread) - self._in_flight
            if room <= 0 or (self._in_flight and room < self._segment_bytes):
                return
            data = bytes(self.unsent[: self._segment_bytes])
            del self.unsent[: len(data)]
            self._is_ending = self._is_ending and bool(data)
            self._sent += 1
            segment = Segment(data, self._next, self._sent)
            self._next += segment.length
            self._in_flight += segment.length
            self._transmit(segment)
            self._left()

    def _transmit(self, segment: Segment) -> None:
        segment.sent_at = self._loop.now
        segment.tries += 1
        self._travel((segment, 0))

    def _travel(self, at: tuple[Segment, int]) -> None:
        segment, index = at
        if index == len(self._hops):
            self._arrive(segment)
            return
        hop = self._hops[index]
        leaves, pipe = self._loop.now, hop.pipe()
        if pipe is not None:
            carried = pipe.carry(leaves, self._shape(segment), self._is_v6)
            if isinstance(carried, Fate):
                self._dropped(segment, carried)
                return
            leaves, shape = carried[0]
            if any(shape):  # a fault has changed it, so its checksum is wrong
                self._dropped(segment, Fate.LOST)
                return
        self._loop.post_at(leaves + hop.then_s, self._travel, (segment, index + 1))

    def _shape(self, segment: Segment) -> bytes:
        if segment.number <= _CHARGED_IN_FULL:
            return bytes(self._segment_bytes + _EXTRA_HEADER_BYTES)
        return bytes(len(segment.data) + _EXTRA_HEADER_BYTES)

    def _dropped(self, segment: Segment, fate: Fate) -> None:
        if fate is Fate.TOO_BIG and len(segment.data) > _SMALLER_SEGMENT_BYTES:
            self._segment_bytes = _SMALLER_SEGMENT_BYTES
            self._split(segment)
            return
        wait_s = self._round_trip_s
        if segment.tries > 1:
            wait_s = max(_TIMER_MIN_S, wait_s) * 2 ** (segment.tries - 2)
        if segment.sent_at > self._recovered_at:
            self._window = self._threshold = max(_BETA * self._window, 2 * SEGMENT_BYTES)
            self._recovered_at = self._loop.now
        self._loop.post_at(segment.sent_at + wait_s, self._again, segment)

    def _split(self, segment: Segment) -> None:
        """Send one that is too long for the path as two."""
        whole, cut = segment.data, _SMALLER_SEGMENT_BYTES
        for part, start in ((whole[:cut], 0), (whole[cut:], cut)):
            half = Segment(part, segment.start + start, segment.number)
            self._transmit(half)

    def _again(self, segment: Segment) -> None:
        if self._is_over:
            return
        if segment.tries >= _TRIES_MAX:
            self._gave_up()
            return
        self._transmit(segment)

    def _acked(self, segment: Segment) -> None:
        if segment.is_acked or self._is_over:
            return
        segment.is_acked = True
        if segment.tries == 1:
            self._round_trip_s = self._loop.now - segment.sent_at
        was_used = 2 * self._in_flight >= self._window
        self._in_flight -= segment.length
        if was_used:
            share = 1.0 if self._window < self._threshold else SEGMENT_BYTES / self._window
            self._window += share * segment.length
        self.push()
        self._left()

    # Receiving ------------------------------------------------------------------------------------

    def _arrive(self, segment: Segment) -> None:
        if not self._arrives():
            self._dropped(segment, Fate.LOST)
            return
        self._loop.post_at(self._loop.now + self._back_s(), self._acked, segment)
        if segment.start >= self._expected:
            self._early[segment.start] = segment.data
        found: list[bytes] = []
        is_end = False
        while (data := self._early.pop(self._expected, None)) is not None:
            self._expected += len(data) or 1
            is_end = not data
            found.append(data)
        if any(found):
            self._deliver(b"".join(found))
        if is_end:
            self._deliver(b"")

    def _back_s(self) -> float:
        """How long an acknowledgement takes: it waits in the lines back as other packets do."""
        waits_s = 0.0
        for hop in self._back:
            pipe = hop.pipe()
            waits_s += hop.then_s + (0.0 if pipe is None else pipe.waiting_s(self._loop.now))
        return waits_s
