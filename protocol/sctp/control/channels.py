"""Data channels: which side opens which stream, and when one closes (RFC 8831, 6; RFC 8832, 6).

A channel closes by a reset of its stream in both directions. Either side begins; the other sends
what it has queued and then resets its own direction.
"""

from collections.abc import Callable

from protocol.sctp import limits
from protocol.sctp.control import datachannel
from protocol.sctp.control.datachannel import ChannelTerms
from protocol.sctp.core import Core
from protocol.sctp.errors import MalformedChunk, SctpMisuse
from protocol.sctp.events import ChannelClosed, ChannelOpened
from protocol.sctp.send.outqueue import Message

_MILLISECOND = 0.001


class _Channel:
    """One channel. `confirmed`: the peer is known to have our OPEN."""

    __slots__ = ("closing", "confirmed", "incoming_reset", "outgoing_reset", "terms")

    def __init__(self, terms: ChannelTerms, confirmed: bool) -> None:
        self.terms = terms
        self.confirmed = confirmed
        self.closing = False
        self.incoming_reset = False
        self.outgoing_reset = False


class Channels:
    """All channels of an association. `ask_reset` resets an outgoing stream."""

    def __init__(self, core: Core, ask_reset: Callable[[int], None]) -> None:
        self._config = core.config
        self._queue = core.queue
        self._inbox = core.inbox
        self._counters = core.counters
        self._work = core.work
        self._ask_reset = ask_reset
        self._channels: dict[int, _Channel] = {}
        self._streams = core.config.streams
        self._next_id = core.config.role.value

    # The application ------------------------------------------------------------------------

    def open(self, terms: ChannelTerms, negotiated_id: int | None) -> int:
        """Open a channel and return its stream; see Association.open_channel (also for errors)."""
        _check_terms(terms)
        if len(self._channels) >= limits.CHANNELS_MAX:
            raise SctpMisuse("There are too many data channels.")
        if negotiated_id is not None:
            if not 0 <= negotiated_id < self._streams or negotiated_id in self._channels:
                raise SctpMisuse(f"Stream {negotiated_id} cannot be used for a data channel.")
            self._channels[negotiated_id] = _Channel(terms, confirmed=True)
            return negotiated_id
        stream_id = self._free_id()
        self._channels[stream_id] = _Channel(terms, confirmed=False)
        self._queue.push(
            stream_id, Message(datachannel.encode_open(terms), datachannel.PAYLOAD_CONTROL)
        )
        return stream_id

    def _free_id(self) -> int:
        """Return the next stream of our parity: even for the DTLS client (RFC 8832, 6)."""
        for _ in range(limits.CHANNELS_MAX + 1):
            stream_id = self._next_id
            if stream_id >= self._streams:
                stream_id = self._config.role.value
            self._next_id = stream_id + 2
            if stream_id < self._streams and stream_id not in self._channels:
                return stream_id
        raise SctpMisuse("There is no stream left for another data channel.")

    def send(self, stream_id: int, data: bytes | str, now: float) -> None:
        """Queue one message on a channel; raises SctpMisuse."""
        channel = self._channels.get(stream_id)
        if channel is None or channel.closing:
            raise SctpMisuse(f"Stream {stream_id} has no open data channel.")
        if isinstance(data, str):
            payload = datachannel.PAYLOAD_TEXT if data else datachannel.PAYLOAD_TEXT_EMPTY
            content = data.encode() or datachannel.EMPTY
        else:
            payload = datachannel.PAYLOAD_BINARY if data else datachannel.PAYLOAD_BINARY_EMPTY
            content = bytes(data) or datachannel.EMPTY
        bound = self._config.peer_max_message_bytes
        if bound and len(content) > bound:
            raise SctpMisuse(f"The peer takes messages of at most {bound} bytes.")
        terms = channel.terms
        message = Message(content, payload, unordered=not terms.ordered and channel.confirmed)
        message.max_retransmits = terms.max_retransmits
        if terms.max_lifetime_ms is not None:
            message.expires_at = now + terms.max_lifetime_ms * _MILLISECOND
        self._queue.push(stream_id, message)

    def close(self, stream_id: int) -> None:
        """Close a channel after what is queued on it has left; nothing if there is none."""
        channel = self._channels.get(stream_id)
        if channel is not None and not channel.closing:
            channel.closing = True
            self._ask_reset(stream_id)

    @property
    def open_ids(self) -> list[int]:
        """Streams that messages can be sent on."""
        return [stream for stream, channel in self._channels.items() if not channel.closing]

    # The association ------------------------------------------------------------------------

    def limit_streams(self, streams: int) -> None:
        """The peer takes only so many streams: channels beyond are closed."""
        self._streams = min(self._streams, streams)
        for stream_id in [stream for stream in self._channels if stream >= self._streams]:
            self._queue.drop_waiting(stream_id)
            self._remove(stream_id)

    def forget_all(self) -> None:
        """The peer has restarted: its channels and ours are gone."""
        for stream_id in list(self._channels):
            self._queue.drop_waiting(stream_id)
            self._queue.reset(stream_id)
            self._remove(stream_id)

    def _remove(self, stream_id: int) -> None:
        del self._channels[stream_id]
        self._inbox.add(ChannelClosed(stream_id))

    def on_message(self, stream_id: int, payload_protocol: int, data: bytes) -> None:
        """Take a whole message from a stream."""
        binary = datachannel.BINARY_OF_PAYLOAD.get(payload_protocol)
        if binary is None:
            if payload_protocol == datachannel.PAYLOAD_CONTROL:
                self._on_control(stream_id, data)
            else:
                self._counters["unknown payload protocol"] += 1
            return
        channel = self._channels.get(stream_id)
        if channel is None:
            self._counters["message without channel"] += 1
            return
        if not channel.confirmed:
            self._confirm(stream_id, channel)
        if payload_protocol >= datachannel.PAYLOAD_TEXT_EMPTY:
            data = b""
        self._inbox.add_message(stream_id, data, binary)

    def _on_control(self, stream_id: int, data: bytes) -> None:
        self._work.note(limits.WORK_OF_CONTROL)
        channel = self._channels.get(stream_id)
        if datachannel.is_ack(data):
            if channel is not None and not channel.confirmed:
                self._confirm(stream_id, channel)
            return
        try:
            terms = datachannel.decode_open(data)
        except MalformedChunk:
            self._refuse(stream_id, channel)
            return
        ours = stream_id % 2 == self._config.role.value
        full = len(self._channels) >= limits.CHANNELS_MAX
        if channel is not None or ours or full or stream_id >= self._streams:
            self._refuse(stream_id, channel)
            return
        channel = _Channel(terms, confirmed=True)
        self._channels[stream_id] = channel
        self._queue.push(stream_id, Message(datachannel.ACK, datachannel.PAYLOAD_CONTROL))
        self._announce(stream_id, channel, by_peer=True)

    def _refuse(self, stream_id: int, channel: _Channel | None) -> None:
        """Close the stream of an OPEN that cannot be accepted (RFC 8832, 6)."""
        self._counters["refused channel"] += 1
        if channel is not None:
            self.close(stream_id)
        elif stream_id < self._streams:
            self._ask_reset(stream_id)

    def _confirm(self, stream_id: int, channel: _Channel) -> None:
        channel.confirmed = True
        self._announce(stream_id, channel, by_peer=False)

    def _announce(self, stream_id: int, channel: _Channel, *, by_peer: bool) -> None:
        terms = channel.terms
        opened = ChannelOpened(
            stream_id=stream_id,
            label=terms.label,
            protocol=terms.protocol,
            ordered=terms.ordered,
            max_retransmits=terms.max_retransmits,
            max_lifetime_ms=terms.max_lifetime_ms,
            by_peer=by_peer,
        )
        self._inbox.add(opened)

    def on_outgoing_reset(self, stream_ids: tuple[int, ...]) -> None:
        """Our direction of these streams is done."""
        for stream_id in stream_ids:
            channel = self._channels.get(stream_id)
            if channel is not None:
                channel.outgoing_reset = True
                self._finish(stream_id, channel)

    def on_incoming_reset(self, stream_ids: tuple[int, ...]) -> None:
        """The peer's direction of these streams, or of all, is done: so is ours, soon."""
        for stream_id in stream_ids or tuple(self._channels):
            channel = self._channels.get(stream_id)
            if channel is not None:
                channel.incoming_reset = True
                self.close(stream_id)
                self._finish(stream_id, channel)

    def _finish(self, stream_id: int, channel: _Channel) -> None:
        if channel.outgoing_reset and channel.incoming_reset:
            self._remove(stream_id)


def _check_terms(terms: ChannelTerms) -> None:
    if terms.max_retransmits is not None and terms.max_lifetime_ms is not None:
        raise SctpMisuse("A data channel is limited by retransmissions or by time, not by both.")
    for value in (terms.max_retransmits, terms.max_lifetime_ms):
        if value is not None and not 0 <= value <= 0xFFFFFFFF:
            raise SctpMisuse("A data channel's limit must fit 32 bits.")
    for text in (terms.label, terms.protocol):
        if len(text.encode()) > limits.LABEL_BYTES_MAX:
            raise SctpMisuse(f"A label has at most {limits.LABEL_BYTES_MAX} bytes.")
