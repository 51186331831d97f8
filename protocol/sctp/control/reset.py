"""Streams that start again at zero, which is how data channels close (RFC 6525; RFC 8831, 6.7).

One request of ours is in flight at a time. A request of the peer waits until everything sent before
it has arrived; the response says so, and a second one says that it is done.
"""

from collections.abc import Callable
from struct import Struct

from protocol.sctp import chunks, limits
from protocol.sctp.core import Core
from protocol.sctp.errors import MalformedChunk
from protocol.sctp.receive.receiver import Receiver
from protocol.sctp.send.scoreboard import Scoreboard
from protocol.sctp.serial import TSN_HALF, TSN_MASK
from protocol.sctp.timers import Timer

NOTHING_TO_DO = 0
PERFORMED = 1
DENIED = 2
WRONG_STREAM = 3
REQUEST_IN_PROGRESS = 4
BAD_SEQUENCE = 5
IN_PROGRESS = 6

_OUTGOING = Struct("!LLL")
_RESPONSE = Struct("!LL")
_SEQUENCE = Struct("!L")

StreamsReset = Callable[[tuple[int, ...]], None]


class StreamReset:
    """Resets in both directions.

    `outgoing_done` is called with our streams that may be numbered from zero, or whose reset the
    peer refuses; `incoming_done` with the peer's; an empty list means all.
    """

    def __init__(
        self,
        core: Core,
        board: Scoreboard,
        receiver: Receiver,
        peer_first_tsn: int,
        outgoing_done: StreamsReset,
        incoming_done: StreamsReset,
    ) -> None:
        self._streams = core.config.streams
        self._queue = core.queue
        self._writer = core.writer
        self._timers = core.timers
        self._round_trip = core.round_trip
        self._board = board
        self._receiver = receiver
        self._outgoing_done = outgoing_done
        self._incoming_done = incoming_done
        self._next_request = board.next_tsn & TSN_MASK
        self._expected = peer_first_tsn
        self._wanted: dict[int, None] = {}
        self._asked: tuple[int, ...] = ()
        self._request = b""
        self._attempts = 0
        self._last_answer: tuple[int, int] | None = None
        self._deferred: tuple[int, int, tuple[int, ...]] | None = None

    # Ours -----------------------------------------------------------------------------------

    def ask(self, stream_id: int) -> None:
        """Reset an outgoing stream once everything queued on it has left."""
        self._wanted[stream_id] = None

    def advance(self, now: float) -> None:
        """Send the next request if there is one and none is in flight; finish the peer's."""
        if self._deferred is not None:
            self._finish_deferred()
        if not self._wanted or self._asked:
            return
        ready = [stream for stream in self._wanted if not self._queue.holds(stream)]
        ready = ready[: limits.RESET_STREAMS_PER_REQUEST]
        if not ready:
            return
        for stream_id in ready:
            del self._wanted[stream_id]
        self._asked = tuple(ready)
        fixed = _OUTGOING.pack(
            self._next_request,
            (self._expected - 1) & TSN_MASK,
            (self._board.next_tsn - 1) & TSN_MASK,
        )
        streams = b"".join(stream_id.to_bytes(2) for stream_id in ready)
        parameter = (chunks.PARAMETER_OUTGOING_RESET, fixed + streams)
        self._request = _reconfig(parameter)
        self._attempts = 0
        self._send_request(now)

    def _send_request(self, now: float) -> None:
        self._writer.queue(self._request)
        wait_s = self._round_trip.rto_s * 2**self._attempts
        self._timers.at[Timer.RECONFIGURE] = now + min(wait_s, limits.RTO_MAX_S)

    def on_timer(self, now: float) -> bool:
        """No answer yet. False: the peer never answers."""
        self._attempts += 1
        self._send_request(now)
        return self._attempts <= limits.RETRANSMITS_MAX

    def _on_response(self, value: bytes, now: float) -> None:
        if len(value) < _RESPONSE.size:
            raise MalformedChunk("A reset response is too short.")
        sequence, result = _RESPONSE.unpack_from(value)
        if not self._asked or sequence != self._next_request:
            return
        if result == IN_PROGRESS:
            self._attempts = 0
            self._timers.at[Timer.RECONFIGURE] = now + self._round_trip.rto_s
            return
        self._timers.stop(Timer.RECONFIGURE)
        self._next_request = (self._next_request + 1) & TSN_MASK
        done, self._asked = self._asked, ()
        for stream_id in done:
            self._queue.reset(stream_id)
        self._outgoing_done(done)

    # The peer's -----------------------------------------------------------------------------

    def on_reconfig(self, value: bytes, now: float) -> None:
        """Read a RE-CONFIG chunk; raises MalformedChunk."""
        for kind, body in chunks.split_parameters(value):
            if kind == chunks.PARAMETER_RESET_RESPONSE:
                self._on_response(body, now)
            elif kind == chunks.PARAMETER_OUTGOING_RESET:
                self._on_outgoing_reset(body)
            elif kind in _REFUSED:
                self._refuse(body)

    def _on_outgoing_reset(self, value: bytes) -> None:
        if len(value) < _OUTGOING.size or len(value) % 2:
            raise MalformedChunk("A reset request has an impossible length.")
        sequence, _, last_tsn = _OUTGOING.unpack_from(value)
        if not self._is_new(sequence):
            return
        tail = value[_OUTGOING.size :]
        streams = tuple(
            int.from_bytes(tail[position : position + 2]) for position in range(0, len(tail), 2)
        )
        if any(stream_id >= self._streams for stream_id in streams):
            self._answer(sequence, WRONG_STREAM)
            return
        self._deferred = (sequence, last_tsn, streams)
        if not self._finish_deferred():
            self._answer(sequence, IN_PROGRESS)

    def _is_new(self, sequence: int) -> bool:
        """Whether a request is the next one; all others are answered here."""
        if sequence == self._expected and self._deferred is not None:
            self._answer(sequence, REQUEST_IN_PROGRESS, remember=False)
            return False
        if sequence == self._expected:
            self._expected = (sequence + 1) & TSN_MASK
            return True
        if self._last_answer is not None and sequence == self._last_answer[0]:
            self._answer(*self._last_answer)
        else:
            self._answer(sequence, BAD_SEQUENCE, remember=False)
        return False

    def _finish_deferred(self) -> bool:
        if self._deferred is None:
            return False
        sequence, last_tsn, streams = self._deferred
        if 0 < (last_tsn - self._receiver.cumulative) & TSN_MASK < TSN_HALF:
            return False
        self._deferred = None
        self._receiver.reassembly.reset(streams)
        self._answer(sequence, PERFORMED)
        self._incoming_done(streams)
        return True

    def _refuse(self, value: bytes) -> None:
        if len(value) < _SEQUENCE.size:
            raise MalformedChunk("A reconfiguration request is too short.")
        (sequence,) = _SEQUENCE.unpack_from(value)
        if self._is_new(sequence):
            self._answer(sequence, DENIED)

    def _answer(self, sequence: int, result: int, *, remember: bool = True) -> None:
        if remember:
            self._last_answer = (sequence, result)
        parameter = (chunks.PARAMETER_RESET_RESPONSE, _RESPONSE.pack(sequence, result))
        self._writer.queue(_reconfig(parameter))


_REFUSED = frozenset(
    {
        chunks.PARAMETER_INCOMING_RESET,
        chunks.PARAMETER_TSN_RESET,
        chunks.PARAMETER_ADD_OUTGOING,
        chunks.PARAMETER_ADD_INCOMING,
    }
)
"""Data channels have no use for these: all streams exist from the start."""


def _reconfig(parameter: tuple[int, bytes]) -> bytes:
    return chunks.encode_chunk(chunks.RECONFIG, 0, chunks.encode_parameters([parameter]))
