"""One SCTP association over one DTLS connection, as a machine without input and output of its own.

The caller owns socket, clock and randomness:

    association.connect(now)
    association.receive_burst(datagrams, now)      what arrived since last time
    association.handle_timer(now)                  at `next_timer()`
    association.events()                           what it means to the application
    association.datagrams_to_send(now)             after each of these, until it returns none

No bytes from the peer raise anything: they are dropped and counted in `counters`, or end the
association with a Closed event.
"""

from collections.abc import Callable, Sequence

from protocol.errors import RemoteError
from protocol.randomness import Random
from protocol.sctp import chunks, limits
from protocol.sctp.chunks import Init
from protocol.sctp.config import AssociationConfig
from protocol.sctp.control.channels import Channels
from protocol.sctp.control.cookie import Peer
from protocol.sctp.control.datachannel import ChannelTerms
from protocol.sctp.control.handshake import AssociationHandshake
from protocol.sctp.control.liveness import Liveness
from protocol.sctp.control.reset import StreamReset
from protocol.sctp.control.teardown import Teardown
from protocol.sctp.core import Core
from protocol.sctp.errors import SctpMisuse, SendBufferFull
from protocol.sctp.events import BufferedAmountLow, Closed, Connected, Event, Restarted
from protocol.sctp.outbound import Outbound
from protocol.sctp.receive.inbound import Halves, Inbound
from protocol.sctp.receive.receiver import Receiver
from protocol.sctp.send.congestion import CongestionControl
from protocol.sctp.send.pathmodel import PathModel
from protocol.sctp.send.sender import Sender
from protocol.sctp.status import OPENING, AssociationEvent, AssociationState
from protocol.sctp.timers import Timer

_WRITABLE_SHARE = 4
_SENDABLE = OPENING | {AssociationState.ESTABLISHED}

CongestionFactory = Callable[[int, int], CongestionControl]
"""Makes a congestion control from packet bytes and any integer, as PathModel does."""


class Association:
    """See the module. `random` supplies tags, first TSNs and the cookie's secret.

    `own_init` is what the peer was told by signaling, for `establish`.
    """

    def __init__(
        self,
        config: AssociationConfig,
        random: Random,
        congestion: CongestionFactory = PathModel,
        own_init: Init | None = None,
    ) -> None:
        self._core = core = Core(config, random)
        self._status = core.status
        self._timers = core.timers
        self._make_congestion = congestion
        self._channels = Channels(core, self._ask_reset)
        self._liveness = Liveness(core)
        self._teardown = Teardown(core, self._end)
        self._handshake = AssociationHandshake(core, self._establish, self._give_up, own_init)
        self._inbound = Inbound(core, self._handshake, self._teardown, self._liveness)
        self._outbound = Outbound(core, self._inbound, self._teardown)
        self._early_resets: list[int] = []
        self.counters = core.counters
        """What was dropped or refused, and why."""

    # The application ------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether data can flow."""
        return self._status.state is AssociationState.ESTABLISHED

    @property
    def over(self) -> bool:
        """Whether the association has ended."""
        return self._status.over

    @property
    def state(self) -> AssociationState:
        """The state of RFC 9260."""
        return self._status.state

    @property
    def local_tag(self) -> int:
        """The verification tag that the peer's packets carry (RFC 9260, 8.5)."""
        return self._handshake.local_tag

    @property
    def sender(self) -> Sender | None:
        """The sending half with its counters, once established."""
        return None if self._inbound.halves is None else self._inbound.halves.sender

    @property
    def receiver(self) -> Receiver | None:
        """The receiving half with its counters, once established."""
        return None if self._inbound.halves is None else self._inbound.halves.receiver

    def limit_window(self, window_bytes: int) -> None:
        """Hold so much for the peer from now on; it learns that with the next SACK."""
        self._core.limit_window(window_bytes)
        if self.receiver is not None:
            self.receiver.limit_window(window_bytes)

    @property
    def round_trip_s(self) -> float | None:
        """Smoothed round-trip time, once measured."""
        return self._core.round_trip.smoothed_s

    @property
    def fault(self) -> RemoteError | None:
        """What the peer broke, if that has ended the association."""
        return self._inbound.fault

    @property
    def peer_reason(self) -> bytes:
        """What the peer gave as its reason when it aborted, unchecked; empty if it gave none."""
        return self._teardown.heard_reason

    def connect(self, now: float) -> None:
        """Begin the handshake; in WebRTC both sides do (RFC 8841, 9.3)."""
        if self._status.state is AssociationState.CLOSED and not self._status.over:
            self._handshake.start(now)

    def establish(self, peer_init: Init, now: float, round_trip_s: float | None = None) -> None:
        """Begin established, instead of `connect`: the peer has our `own_init`, and we have its.

        `round_trip_s` is the path's, where it has been measured. Raises MalformedChunk for an INIT
        that cannot be used.
        """
        if self._status.state is AssociationState.CLOSED and not self._status.over:
            if round_trip_s is not None:
                self._core.round_trip.on_sample(round_trip_s)
            self._handshake.establish(peer_init, now)

    def open_channel(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_lifetime_ms: int | None = None,
        protocol: str = "",
        negotiated_id: int | None = None,
    ) -> int:
        """Open a data channel and return its stream id; messages may be sent on it at once.

        With `negotiated_id` both applications have agreed on the stream, and nothing is announced
        to the peer (RFC 8831, 6.5). Raises SctpMisuse.
        """
        self._check_open()
        terms = ChannelTerms(label, protocol, ordered, max_retransmits, max_lifetime_ms)
        return self._channels.open(terms, negotiated_id)

    def send(self, stream_id: int, data: bytes | str, now: float) -> None:
        """Queue a message: `str` travels as text, anything else as binary.

        Raises SctpMisuse (no such channel, message too large) or SendBufferFull.
        """
        self._check_open()
        queued_bytes = self._core.queue.total_bytes + len(data)
        if queued_bytes > self._core.config.send_buffer_bytes:
            raise SendBufferFull("The send buffer is full.")
        self._channels.send(stream_id, data, now)

    def _check_open(self) -> None:
        if self._status.over or self._status.state not in _SENDABLE:
            raise SctpMisuse("The association is over, or about to be.")

    def close_channel(self, stream_id: int) -> None:
        """Close a data channel once what is queued on it has left."""
        self._channels.close(stream_id)

    def buffered_amount(self, stream_id: int) -> int:
        """Bytes queued on a stream that have not left yet."""
        return self._core.queue.buffered(stream_id)

    def set_buffered_amount_low(self, stream_id: int, size: int) -> None:
        """Ask for BufferedAmountLow whenever the stream's queued bytes fall to `size`."""
        self._core.queue.set_threshold(stream_id, size)

    @property
    def writable(self) -> bool:
        """Whether a well-behaved application goes on sending."""
        queued_bytes = self._core.queue.total_bytes
        return queued_bytes * _WRITABLE_SHARE < self._core.config.send_buffer_bytes

    def shutdown(self, now: float) -> None:
        """End gracefully: all that is queued on both sides still arrives."""
        self._teardown.shutdown(now)

    def abort(self, reason: str = "The application ended the association.") -> None:
        """End at once."""
        self._teardown.abort(reason)

    def set_packet_bytes(self, packet_bytes: int) -> None:
        """Build packets of this size from now on, after a probe has shown that they fit.

        Raises SctpMisuse.
        """
        if not limits.PACKET_BYTES_MIN <= packet_bytes <= limits.PACKET_BYTES_MAX:
            raise SctpMisuse(f"A packet cannot have {packet_bytes} bytes.")
        self._core.set_packet_bytes(packet_bytes)
        if self._inbound.halves is not None:
            self._inbound.halves.sender.set_packet_bytes(packet_bytes)

    def path_changed(self, now: float, round_trip_s: float | None = None) -> None:
        """Datagrams take another path from now on, whose round trip was measured, if it was.

        What is in flight by the path before is given that path's time, or repeated at once where
        that acknowledges nothing any more. Round trip and congestion control begin anew (RFC 8261),
        and so do probes.
        """
        self._inbound.settle()
        self._liveness.forget_probes()
        if self._inbound.halves is not None and not self._status.over:
            self._inbound.halves.sender.on_path_changed(now, round_trip_s)

    def probe_path(self, packet_bytes: int) -> None:
        """Send one packet of this size; a PathProbed event says that it came through (RFC 8899).

        Raises SctpMisuse.
        """
        if packet_bytes % 4 or not (
            limits.PACKET_BYTES_MIN <= packet_bytes <= limits.PACKET_BYTES_MAX
        ):
            raise SctpMisuse(f"A probe cannot have {packet_bytes} bytes.")
        if self._status.state is AssociationState.ESTABLISHED:
            self._liveness.probe(packet_bytes)

    def events(self) -> list[Event]:
        """Return what has happened since the last call. Untaken messages fill the window."""
        core = self._core
        for stream_id in core.queue.low:
            core.inbox.add(BufferedAmountLow(stream_id))
        core.queue.low.clear()
        if not core.inbox.events:
            return []
        events = core.inbox.drain()
        if self._inbound.halves is not None:
            self._inbound.halves.receiver.on_drained()
        return events

    # Datagrams and time ---------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> None:
        """Take one datagram."""
        self._inbound.settle()
        self._inbound.receive((datagram,), now)

    def receive_burst(self, datagrams: Sequence[bytes], now: float) -> None:
        """Take all datagrams that had arrived by `now`; a peer of ours gets at most one SACK."""
        self._inbound.settle()
        self._inbound.receive(datagrams, now)

    def datagrams_to_send(self, now: float, limit: int = limits.DATAGRAMS_PER_CALL) -> list[bytes]:
        """Return `limit` datagrams that may leave now; call again until there are none.

        Fewer: there are no more at present. A few more: the last are pieces of one chunk.
        """
        self._inbound.settle()
        return self._outbound.datagrams(now, limit)

    def next_timer(self) -> float | None:
        """When to call handle_timer, in the seconds of `now`; None: nothing is waited for."""
        self._inbound.settle()
        return self._timers.next()

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._inbound.settle()
        for timer in self._timers.take_due(now):
            if not self._status.over:
                self._on_timer(timer, now)

    def _on_timer(self, timer: Timer, now: float) -> None:
        halves = self._inbound.halves
        if timer in _EARLY_TIMERS:
            _EARLY_TIMERS[timer](self, now)
        elif halves is not None and _LATE_TIMERS[timer](halves, now) is False:
            self._teardown.abort("The peer does not answer any more.")

    def _on_heartbeat_timer(self, now: float) -> None:
        if not self._liveness.on_timer(now):
            self._teardown.abort("The peer does not answer heartbeats.")

    # Between the parts ----------------------------------------------------------------------

    def _ask_reset(self, stream_id: int) -> None:
        if self._inbound.halves is None:
            self._early_resets.append(stream_id)
        else:
            self._inbound.halves.resets.ask(stream_id)

    def _on_invalid_stream(self, stream_id: int) -> None:
        self._inbound.report(chunks.CAUSE_INVALID_STREAM, stream_id.to_bytes(2) + b"\0\0")
        self.counters["invalid stream"] += 1

    def _establish(self, peer: Peer, restarted: bool, now: float) -> None:
        """Make both halves; those for a peer that has restarted replace the old ones."""
        core = self._core
        if restarted:
            core.queue.drop_current()
            self._channels.forget_all()
            self._timers.stop_all()
        offset = int.from_bytes(core.random.randbytes(2))
        congestion = self._make_congestion(core.packet_bytes, offset)
        sender = Sender(core, congestion, self._handshake.first_tsn, peer)
        deliver, refuse = self._channels.on_message, self._on_invalid_stream
        receiver = Receiver(core, peer.first_tsn, deliver, refuse)
        resets = StreamReset(
            core,
            sender.board,
            receiver,
            peer.first_tsn,
            self._channels.on_outgoing_reset,
            self._channels.on_incoming_reset,
        )
        self._inbound.establish(Halves(sender, receiver, resets))
        self._teardown.establish(sender, receiver)
        self._channels.limit_streams(peer.incoming_streams)
        for stream_id in self._early_resets:
            resets.ask(stream_id)
        self._early_resets.clear()
        self._liveness.start(now)
        core.inbox.add(Restarted() if restarted else Connected())
        if restarted:
            self._teardown.on_restart(now)

    def _give_up(self, reason: str) -> None:
        self._end(AssociationEvent.ABORT, reason, False)

    def _end(self, event: AssociationEvent, reason: str, by_peer: bool) -> None:
        self._status.apply(event)
        self._timers.stop_all()
        graceful = event is not AssociationEvent.ABORT
        self._core.inbox.add(Closed(reason, by_peer, graceful))


_EARLY_TIMERS: dict[Timer, Callable[[Association, float], None]] = {
    Timer.HANDSHAKE: lambda self, now: self._handshake.on_timer(now),
    Timer.SHUTDOWN: lambda self, now: self._teardown.on_timer(now),
    Timer.GUARD: lambda self, now: self._teardown.abort("The shutdown took too long."),
    Timer.HEARTBEAT: Association._on_heartbeat_timer,
    Timer.PACING: lambda self, now: None,
}
"""Pacing awaits only the time: datagrams_to_send does the rest."""

_LATE_TIMERS: dict[Timer, Callable[[Halves, float], bool | None]] = {
    Timer.RETRANSMIT: lambda halves, now: halves.sender.on_retransmit_timer(now),
    Timer.PROBE: lambda halves, now: halves.sender.on_probe_timer(now),
    Timer.REORDER: lambda halves, now: halves.sender.on_reorder_timer(now),
    Timer.SACK: lambda halves, now: halves.receiver.on_sack_timer(),
    Timer.RECONFIGURE: lambda halves, now: halves.resets.on_timer(now),
}
"""Timers of an established association; False: the peer has been silent for too long."""
