"""Datagrams of the peer: checked, taken apart, and each chunk given to the part it is for.

A transfer consists of packets that begin with a DATA chunk and hold nothing else; these take a
short way. Everything else goes through the table of handlers, after the table of `status.ALLOWED`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google_crc32c import extend

from protocol.errors import RemoteError
from protocol.sctp import chunks, limits
from protocol.sctp.control.handshake import AssociationHandshake
from protocol.sctp.control.liveness import Liveness
from protocol.sctp.control.reset import StreamReset
from protocol.sctp.control.teardown import Teardown
from protocol.sctp.core import Core
from protocol.sctp.errors import AssociationFlooded, MalformedChunk, ProtocolViolation
from protocol.sctp.events import PathProbed
from protocol.sctp.packets import open_packet
from protocol.sctp.receive.receiver import Receiver
from protocol.sctp.receive.work import WORK_OF_KIND
from protocol.sctp.send.sender import Sender
from protocol.sctp.status import ALLOWED, OPENING, AssociationState

_unpack_packet = chunks.PACKET_HEADER.unpack_from
_unpack_data = chunks.DATA_HEADER.unpack_from
_pack_checksum = chunks.CHECKSUM.pack
_SMALLEST = chunks.PACKET_HEADER.size
_PLAIN_DATA = chunks.DATA
_DATA_HEADER_BYTES = chunks.DATA_HEADER_BYTES
_ESTABLISHED = AssociationState.ESTABLISHED


@dataclass(slots=True)
class Halves:
    """The sending and the receiving half, and stream resets, of an established association."""

    sender: Sender
    receiver: Receiver
    resets: StreamReset


class Inbound:
    """Reads datagrams. `halves` are None until the association is established."""

    def __init__(
        self, core: Core, handshake: AssociationHandshake, teardown: Teardown, liveness: Liveness
    ) -> None:
        self._core = core
        self._status = core.status
        self._own_peer = core.config.own_peer
        self._handshake = handshake
        self._teardown = teardown
        self._liveness = liveness
        self._work = core.work
        self.halves: Halves | None = None
        self.fault: RemoteError | None = None
        """What the peer broke, if that has ended the association."""
        self._expect_tag()

    def establish(self, halves: Halves) -> None:
        """Give data to these from now on, from packets under the tag of the handshake."""
        self.halves = halves
        self._expect_tag()

    def _expect_tag(self) -> None:
        """Prepare the comparison that every packet of the peer must pass."""
        config = self._core.config
        self._header = chunks.COMMON_HEADER.pack(
            config.remote_port, config.local_port, self._handshake.local_tag
        )
        self._start_value = extend(0, self._header + b"\0\0\0\0")
        self._sack = b""
        self._sack_at = 0.0
        self._answered = False

    def receive(self, datagrams: Sequence[bytes], now: float) -> None:
        """Take what had arrived by `now`."""
        status, own_peer = self._status, self._own_peer
        for datagram in datagrams:
            halves = self.halves
            if halves is None or status.state is not _ESTABLISHED or len(datagram) < _SMALLEST:
                self._receive_any(datagram, now)
                continue
            header, checksum, kind, flags, length, tsn, stream, sequence, payload = _unpack_packet(
                datagram
            )
            body = datagram[12:]
            if header != self._header or checksum != _pack_checksum(
                extend(self._start_value, body)
            ):
                self._receive_any(datagram, now)
            elif (length + 3) & ~3 != len(body):
                few = chunks.split_data(body) if kind == _PLAIN_DATA else None
                if few is None:
                    self._receive_chunks(body, self._handshake.local_tag, now)
                else:
                    self._receive_data(few, halves.receiver)
            elif kind == _PLAIN_DATA and length > _DATA_HEADER_BYTES:
                receiver = halves.receiver
                try:
                    receiver.on_data(flags, tsn, stream, sequence, payload, body[16:length])
                except ProtocolViolation as error:
                    self._violated(error, error.cause)
                receiver.packets += 1
                if not own_peer:
                    self._after_data(receiver)
            elif kind == chunks.SACK:
                self._note_sack(body[4:length])
            else:
                self._receive_chunks(body, self._handshake.local_tag, now)
        self._after_burst(len(datagrams), now)

    def _receive_data(self, few: list[chunks.DataChunk], receiver: Receiver) -> None:
        """Take a packet of some chunks with data."""
        self._work.note(len(few))
        try:
            for flags, tsn, stream, sequence, payload, data in few:
                receiver.on_data(flags, tsn, stream, sequence, payload, data)
        except ProtocolViolation as error:
            self._violated(error, error.cause)
        receiver.packets += 1
        if not self._own_peer:
            self._after_data(receiver)

    def _after_burst(self, packets: int, now: float) -> None:
        halves = self.halves
        if halves is None or self._status.over:
            self._sack = b""
            return
        try:
            self._work.settle(packets, self._progress(halves), now)
        except AssociationFlooded as error:
            self._violated(error, chunks.CAUSE_USER_ABORT)
            return
        self._answered = False
        self._liveness.heard(now)
        halves.receiver.after_burst(now)
        self._sack_at = now

    def _progress(self, halves: Halves) -> int:
        """Bytes that came, in whole messages or not, and those of ours that have arrived.

        Those of chunks in pieces count twice, as they make more packets.
        """
        receiver = halves.receiver
        received = self._core.inbox.delivered_bytes + receiver.reassembly.held_bytes
        return received + receiver.pieces.joined_bytes + halves.sender.delivered_bytes

    def settle(self) -> None:
        """Take the SACK that came in the last burst, as of then.

        It concerns what leaves next, and not the messages that came with it, which so go first.
        """
        sack, halves = self._sack, self.halves
        if not sack or halves is None:
            return
        self._sack = b""
        if self._status.state not in ALLOWED[chunks.SACK]:
            return
        try:
            halves.sender.on_sack(sack, self._sack_at)
        except ProtocolViolation as error:
            self._violated(error, error.cause)
        except MalformedChunk as error:
            self._refused(error)

    def _note_sack(self, value: bytes) -> None:
        """Keep the newest SACK of a burst: it repeats what the earlier ones said."""
        if not self._sack or chunks.sack_age(self._sack, value) >= 0:
            self._sack = value

    def _after_data(self, receiver: Receiver) -> None:
        """A foreign peer gets a SACK for every second packet, at once."""
        receiver.after_packet()
        writer = self._core.writer
        if receiver.sack_due and len(writer.control) < limits.CONTROL_QUEUE:
            writer.queue(receiver.sack())

    def _violated(self, error: RemoteError, cause: int) -> None:
        self._core.counters[error.name] += 1
        self.fault = error
        self._teardown.abort(str(error), cause)

    def _refused(self, error: MalformedChunk) -> None:
        """Count a packet that the peer has sealed for us, and that is none."""
        self._core.counters[error.name] += 1
        self._work.note(limits.WORK_OF_REFUSAL)

    def _receive_any(self, datagram: bytes, now: float) -> None:
        """Take a packet that is not plainly the peer's next one (RFC 9260, 8.4 and 8.5.1)."""
        if self.fault is not None:  # what ended it may be followed by much of the same
            return
        counters, config = self._core.counters, self._core.config
        try:
            source, destination, tag, body = open_packet(datagram)
        except MalformedChunk as error:
            counters[error.name] += 1
            return
        if (source, destination) != (config.remote_port, config.local_port):
            counters["wrong port"] += 1
        elif not self._tag_fits(body[0], body[1], tag):
            counters["wrong verification tag"] += 1
        else:
            self._receive_chunks(body, tag, now)

    def _tag_fits(self, kind: int, flags: int, tag: int) -> bool:
        if kind == chunks.INIT:
            return tag == 0
        if kind == chunks.COOKIE_ECHO:
            return True
        if kind == chunks.SHUTDOWN_ACK and self._status.state in OPENING:
            return True
        reflecting = kind in (chunks.ABORT, chunks.SHUTDOWN_COMPLETE)
        if reflecting and flags & chunks.FLAG_TAG_REFLECTED:
            peer = self._handshake.peer
            return peer is not None and tag == peer.tag
        return tag == self._handshake.local_tag

    def _receive_chunks(self, body: bytes, tag: int, now: float) -> None:
        """Take the chunks of a packet in turn; what follows a bad one is not read."""
        try:
            parts = chunks.split_chunks(body)
            if len(parts) > 1 and any(kind == chunks.INIT for kind, _, _ in parts):
                raise MalformedChunk("An INIT is not alone in its packet.")
            had_data, self._answered = False, False
            for kind, flags, value in parts:
                had_data = had_data or kind in (chunks.DATA, chunks.PIECE)
                self._work.charge(WORK_OF_KIND.get(kind, limits.WORK_OF_CONTROL))
                if not self._receive_chunk(kind, flags, value, tag, now):
                    break
            if had_data:
                self._after_bundle(now)
        except MalformedChunk as error:
            self._refused(error)
        except ProtocolViolation as error:
            self._violated(error, error.cause)
        except AssociationFlooded as error:
            self._violated(error, chunks.CAUSE_USER_ABORT)

    def _after_bundle(self, now: float) -> None:
        if self.halves is not None:
            self.halves.receiver.packets += 1
            if not self._own_peer:
                self._after_data(self.halves.receiver)
            self._teardown.on_data(now)

    def _receive_chunk(self, kind: int, flags: int, value: bytes, tag: int, now: float) -> bool:
        """Take one chunk; whether to go on with the next (RFC 9260, 3.2)."""
        allowed, status = ALLOWED.get(kind), self._status
        if allowed is None:
            if kind & chunks.ACTION_REPORT:
                unknown = chunks.encode_chunk(kind, flags, value)
                self.report(chunks.CAUSE_UNRECOGNIZED_CHUNK, unknown)
            return bool(kind & chunks.ACTION_SKIP)
        if status.over and kind != chunks.SHUTDOWN_ACK:
            self._teardown.refuse(kind, value, tag)
            return False
        if kind == chunks.COOKIE_ECHO:
            return self._handshake.on_cookie_echo(value, tag, now)
        if status.state not in allowed:
            self._core.counters["chunk out of turn"] += 1
            return True
        if status.state is AssociationState.COOKIE_ECHOED and kind == chunks.DATA:
            self._handshake.on_cookie_ack(now)
        _HANDLERS[kind](self, flags, value, tag, now)
        return True

    def report(self, cause: int, value: bytes) -> None:
        """Tell the peer about an error that does not end the association; one of a packet."""
        if self._handshake.peer is not None and not (self._answered or self._status.over):
            self._answered = True
            self._core.writer.queue(chunks.encode_error(cause, value))

    def _on_data(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if len(value) <= 12:
            raise ProtocolViolation("A DATA chunk has no data.", chunks.CAUSE_NO_USER_DATA)
        header = b"\0\0\0\0" + value[:12]
        _, _, _, tsn, stream, sequence, payload = _unpack_data(header)
        if self.halves is not None:
            self.halves.receiver.on_data(flags, tsn, stream, sequence, payload, value[12:])

    def _on_piece(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if self.halves is not None:
            self.halves.receiver.on_piece(value)

    def _on_sack(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._note_sack(value)

    def _on_init(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if self._status.state is AssociationState.SHUTDOWN_ACK_SENT:
            self._teardown.repeat_shutdown_ack()
        else:
            self._handshake.on_init(value, now)

    def _on_init_ack(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._handshake.on_init_ack(value, now)

    def _on_cookie_ack(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._handshake.on_cookie_ack(now)

    def _on_heartbeat(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if not self._answered:  # a peer of good will has one in a packet
            self._answered = True
            self._liveness.on_heartbeat(value)

    def _on_heartbeat_ack(self, flags: int, value: bytes, tag: int, now: float) -> None:
        packet_bytes = self._liveness.on_heartbeat_ack(value)
        if packet_bytes is not None:
            self._core.inbox.add(PathProbed(packet_bytes))

    def _on_abort(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._teardown.on_abort(value)

    def _on_shutdown(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._teardown.on_shutdown(value, now)

    def _on_shutdown_ack(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._teardown.on_shutdown_ack(tag)

    def _on_shutdown_complete(self, flags: int, value: bytes, tag: int, now: float) -> None:
        self._teardown.on_shutdown_complete()

    def _on_error(self, flags: int, value: bytes, tag: int, now: float) -> None:
        for cause, _ in chunks.split_parameters(value):
            known = cause <= chunks.CAUSE_PROTOCOL_VIOLATION
            self._core.counters[f"error cause {cause if known else 'unknown'}"] += 1
            if cause == chunks.CAUSE_STALE_COOKIE:
                self._handshake.on_stale_cookie(now)

    def _on_reconfig(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if self.halves is not None:
            self.halves.resets.on_reconfig(value, now)

    def _on_forward_tsn(self, flags: int, value: bytes, tag: int, now: float) -> None:
        if self.halves is not None:
            self.halves.receiver.on_forward_tsn(value)


_HANDLERS: dict[int, Callable[[Inbound, int, bytes, int, float], None]] = {
    chunks.DATA: Inbound._on_data,
    chunks.PIECE: Inbound._on_piece,
    chunks.INIT: Inbound._on_init,
    chunks.INIT_ACK: Inbound._on_init_ack,
    chunks.SACK: Inbound._on_sack,
    chunks.HEARTBEAT: Inbound._on_heartbeat,
    chunks.HEARTBEAT_ACK: Inbound._on_heartbeat_ack,
    chunks.ABORT: Inbound._on_abort,
    chunks.SHUTDOWN: Inbound._on_shutdown,
    chunks.SHUTDOWN_ACK: Inbound._on_shutdown_ack,
    chunks.ERROR: Inbound._on_error,
    chunks.COOKIE_ACK: Inbound._on_cookie_ack,
    chunks.SHUTDOWN_COMPLETE: Inbound._on_shutdown_complete,
    chunks.RECONFIG: Inbound._on_reconfig,
    chunks.FORWARD_TSN: Inbound._on_forward_tsn,
}
