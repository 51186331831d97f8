"""Ways to end: SHUTDOWN, which loses nothing, and ABORT, which does not wait (RFC 9260, 9)."""

from collections.abc import Callable

from protocol.sctp import chunks, limits
from protocol.sctp.core import Core
from protocol.sctp.receive.receiver import Receiver
from protocol.sctp.send.sender import Sender
from protocol.sctp.serial import TSN_MASK
from protocol.sctp.status import CONNECTED, OPENING, AssociationEvent, AssociationState
from protocol.sctp.timers import Timer

_GRACEFUL = "The association was shut down."
_AWAITING_SACKS = frozenset({AssociationState.SHUTDOWN_PENDING, AssociationState.SHUTDOWN_RECEIVED})
_UNANSWERED = frozenset({chunks.ABORT, chunks.SHUTDOWN_COMPLETE, chunks.COOKIE_ACK, chunks.ERROR})
"""Answering these could go on for ever between two that are over."""


Ended = Callable[[AssociationEvent, str, bool], None]
"""Called once with what ends the association, the reason, and whether the peer ended it."""


class Teardown:
    """Ends the association, and calls `ended`."""

    def __init__(self, core: Core, ended: Ended) -> None:
        self._status = core.status
        self._writer = core.writer
        self._timers = core.timers
        self._round_trip = core.round_trip
        self._ended = ended
        self._attempts = 0
        self._by_peer = False
        self._wanted = False
        self.heard_reason = b""
        self._sender: Sender | None = None
        self._receiver: Receiver | None = None

    def establish(self, sender: Sender, receiver: Receiver) -> None:
        """The halves whose work a shutdown must wait for."""
        self._sender, self._receiver = sender, receiver

    def shutdown(self, now: float) -> None:
        """End once everything queued on both sides has arrived."""
        self._wanted = True
        if self._status.state is AssociationState.ESTABLISHED:
            self._status.apply(AssociationEvent.SHUTDOWN)
            self._timers.at[Timer.GUARD] = now + limits.SHUTDOWN_GUARD_S
            self.advance(now)
        elif self._status.state in OPENING and not self._status.over:
            self.abort("The association was given up before it was established.")

    def on_restart(self, now: float) -> None:
        """The peer has restarted, which undoes its own shutdown but not ours."""
        self._by_peer = False
        if self._wanted:
            self.shutdown(now)

    def abort(self, reason: str, cause: int = chunks.CAUSE_USER_ABORT) -> None:
        """End at once and say so to the peer."""
        if self._status.over:
            return
        if self._status.state in CONNECTED or self._status.state is AssociationState.COOKIE_ECHOED:
            self._writer.control.clear()
            self._writer.queue(chunks.encode_abort(cause, reason.encode()))
        self._ended(AssociationEvent.ABORT, reason, False)

    def advance(self, now: float) -> None:
        """Take the next step if the last of our data has been acknowledged."""
        if self._status.state in _AWAITING_SACKS and self._sender is not None and self._sender.idle:
            self._begin_step(AssociationEvent.DATA_ACKNOWLEDGED, now)

    def _begin_step(self, event: AssociationEvent, now: float) -> None:
        self._status.apply(event)
        self._attempts = 0
        self._timers.at[Timer.GUARD] = now + limits.SHUTDOWN_GUARD_S
        self._send_step(now)

    def _send_step(self, now: float) -> None:
        if self._status.state is AssociationState.SHUTDOWN_SENT and self._receiver is not None:
            self._writer.queue(chunks.encode_shutdown(self._receiver.cumulative & TSN_MASK))
        else:
            self._writer.queue(chunks.encode_chunk(chunks.SHUTDOWN_ACK))
        self._timers.at[Timer.SHUTDOWN] = now + self._round_trip.rto_s

    def on_timer(self, now: float) -> None:
        """The peer has not answered SHUTDOWN or SHUTDOWN ACK."""
        self._attempts += 1
        if self._attempts > limits.RETRANSMITS_MAX:
            self.abort("The peer does not answer the shutdown.")
            return
        self._round_trip.back_off()
        self._send_step(now)

    def on_shutdown(self, value: bytes, now: float) -> None:
        """The peer has nothing more to send."""
        if self._sender is None:
            return
        self._sender.on_shutdown_tsn(chunks.decode_shutdown(value), now)
        self._by_peer = True
        if self._status.state is AssociationState.SHUTDOWN_SENT:
            self._begin_step(AssociationEvent.SHUTDOWN_RECEIVED, now)
        elif self._status.state is not AssociationState.SHUTDOWN_RECEIVED:
            self._status.apply(AssociationEvent.SHUTDOWN_RECEIVED)
            self.advance(now)

    def on_data(self, now: float) -> None:
        """Data still comes after our SHUTDOWN: its TSN has moved, so send it again (9.2)."""
        if self._status.state is AssociationState.SHUTDOWN_SENT:
            self._send_step(now)

    def repeat_shutdown_ack(self) -> None:
        """The peer has lost our SHUTDOWN ACK and begins anew (9.2)."""
        self._writer.queue(chunks.encode_chunk(chunks.SHUTDOWN_ACK))

    def on_shutdown_ack(self, packet_tag: int) -> None:
        """Both sides are done; also answered for an association that is over (8.4, 8.5.1)."""
        complete = chunks.SHUTDOWN_COMPLETE
        if self._status.state in (
            AssociationState.SHUTDOWN_SENT,
            AssociationState.SHUTDOWN_ACK_SENT,
        ):
            self._writer.queue(chunks.encode_chunk(complete))
            self._ended(AssociationEvent.SHUTDOWN_ACK_RECEIVED, _GRACEFUL, self._by_peer)
        elif self._status.over or self._status.state in OPENING:
            reflected = chunks.encode_chunk(complete, chunks.FLAG_TAG_REFLECTED)
            self._writer.queue_with_tag(packet_tag, reflected)

    def refuse(self, kind: int, value: bytes, packet_tag: int) -> None:
        """Tell a peer that still sends to an association that is over (8.4)."""
        if kind == chunks.INIT:
            tag = chunks.decode_init(value).tag
            if tag:
                self._writer.queue_with_tag(tag, chunks.encode_abort(chunks.CAUSE_OUT_OF_RESOURCE))
        elif kind not in _UNANSWERED:
            abort = chunks.encode_chunk(chunks.ABORT, chunks.FLAG_TAG_REFLECTED)
            self._writer.queue_with_tag(packet_tag, abort)

    def on_shutdown_complete(self) -> None:
        """The peer is done."""
        self._ended(AssociationEvent.SHUTDOWN_COMPLETE_RECEIVED, _GRACEFUL, self._by_peer)

    def on_abort(self, value: bytes) -> None:
        """The peer ends at once."""
        causes = chunks.split_parameters(value)
        reason = "The peer aborted the association"
        if causes:
            self.heard_reason = dict(causes).get(chunks.CAUSE_USER_ABORT, b"")
            reason += f" (cause {causes[0][0]})"
        self._ended(AssociationEvent.ABORT, reason + ".", True)
