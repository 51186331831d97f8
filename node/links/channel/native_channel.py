"""The data path "native": our own SCTP over DTLS records that go straight to and from the socket.

No task and no queue of its own: what arrives in one wake-up of the socket is decrypted, read by the
association, delivered, and answered before the next. Its timer is the node's beat, which it tells
when data flow.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from node.links.channel.association_config import association_config
from node.links.channel.carried import CarriedBytes
from node.links.channel.channel import (
    CLOSED_BY_PEER,
    LABEL,
    LOW_WATER_BYTES,
    STREAM,
    Channel,
    closed_by_peer,
    spoken_reason,
)
from node.links.channel.rate_watch import TRANSFER_WAITING_BYTES, RateWatch
from node.links.channel.read_waits import ReadWaits
from node.links.channel.size_search import SizeSearch
from protocol import limits
from protocol.errors import LinkClosed, RemoteError
from protocol.randomness import Random
from protocol.sctp import chunks, events
from protocol.sctp import limits as sctp_limits
from protocol.sctp.association import Association
from protocol.sctp.chunks import Init
from protocol.sctp.config import Role
from protocol.sctp.control.handshake import fresh_init
from protocol.sctp.errors import SctpMisuse, SendBufferFull
from protocol.sctp.send.pathmodel import PathModel
from protocol.sctp.send.sender import Sender

if TYPE_CHECKING:  # aiortc is imported for the first link, and an offer's INIT is wanted before
    from node.links.secure.dtls import DtlsPath

_LOW_WATER_S: Final = 0.02
"""On a fast path so much time's worth stays buffered, while the disk is asked for more."""

_LOW_WATER_SLOW_S: Final = 0.1
_LOW_WATER_LEAST_BYTES: Final = 2 * TRANSFER_WAITING_BYTES
"""On a slow one no more than this much time's worth, or so little, as what is said next waits."""

_FULL_BYTES: Final = 1000
"""Packets of less are answers, acknowledgements or requests; data that flow fill packets."""

_TIMER_SLACK: Final = 0.25
"""Of a burst: so much later it may leave to be met with those of other links."""

_BLOCKED_TIMEOUTS: Final = 3
"""So many while checks pass, and a path carries no data; one less by relays that are tried next."""


def describe_init(rng: Random) -> bytes:
    """The SCTP INIT of a channel to come, for the description of its link."""
    config = association_config(Role.CLIENT, NativeChannel.max_message_bytes, own_peer=True)
    return chunks.encode_init_value(fresh_init(config, rng))


def create_channel(
    dtls: "DtlsPath",
    rng: Random,
    *,
    own_peer: bool = False,
    inits: tuple[bytes, bytes] = (b"", b""),
    round_trip_s: float | None = None,
) -> Channel:
    """A channel over a DTLS path, which it owns from now on; raises LinkClosed if that ended.

    `own_peer`: the peer's SCTP is ours too, by its description. `inits`: the SCTP INITs of our and
    of the peer's description; if either is empty, the handshake is made. `round_trip_s` is that of
    the path, where ICE has measured it. Raises MalformedChunk.
    """
    if dtls.state != "connected":
        raise LinkClosed(CLOSED_BY_PEER)
    exchanged = (chunks.decode_init(inits[0]), chunks.decode_init(inits[1])) if all(inits) else None
    return NativeChannel(
        dtls, rng, own_peer=own_peer, exchanged=exchanged, round_trip_s=round_trip_s
    )


class NativeChannel:
    """A `Channel` on an `Association`: one negotiated, ordered and reliable data channel.

    `exchanged` has the INITs of both sides, ours first, if they came with the descriptions.
    """

    max_message_bytes = limits.MESSAGE_BYTES

    def __init__(
        self,
        dtls: "DtlsPath",
        rng: Random,
        *,
        own_peer: bool,
        exchanged: tuple[Init, Init] | None,
        round_trip_s: float | None,
    ) -> None:
        self.receiver: Callable[[bytes], None] | None = None
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self.dtls = dtls
        self._changed = asyncio.Event()
        self._beat = dtls.ice.beat
        self._flushing = False
        self._is_held_back = False
        self._held_back_from = -inf
        self._timeouts_before = 0
        self._answered_before_repeat = False
        self._exchanged = exchanged
        self._path_round_trip_s = round_trip_s
        role = Role.CLIENT if dtls.is_client else Role.SERVER
        self._association = Association(
            association_config(role, self.max_message_bytes, own_peer=own_peer),
            rng,
            partial(PathModel, probes=dtls.ice.probes),
            own_init=exchanged[0] if exchanged else None,
        )
        self._carried = CarriedBytes(self._association)
        self._size_search = SizeSearch(self._association, dtls, own_peer=own_peer)
        self._rate = RateWatch(self._beat, self._loop, self._association, dtls.ice.data_slow)
        ice = dtls.ice
        self._read_waits = ReadWaits(self._association, lambda: ice.round_trip_s, own_peer=own_peer)
        self._windows = dtls.ice.windows
        self._windows.join(self, self._association.limit_window)
        self._association.open_channel(LABEL, negotiated_id=STREAM)
        self._association.set_buffered_amount_low(STREAM, LOW_WATER_BYTES)
        # The channel is made of the DTLS path, which learns here what its end and packets go to.
        dtls.on_lost = self._end
        dtls.carry(self._received, self._flush, self._path_changed, self._carried.total)

    # The interface of a link ----------------------------------------------------------------

    @property
    def fault(self) -> RemoteError | None:
        """What the peer broke, if that has ended the channel."""
        return self._association.fault

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that wait for the network."""
        return self._association.buffered_amount(STREAM)

    @property
    def acknowledged_bytes(self) -> int:
        """What the peer has acknowledged so far, packet by packet."""
        sender = self._association.sender
        return 0 if sender is None else sender.delivered_bytes

    @property
    def round_trip_s(self) -> float | None:
        """The smoothed round trip of packets; None until one was measured."""
        return self._association.round_trip_s

    async def open(self) -> None:
        """Return once messages can be sent; raises LinkClosed, MalformedChunk."""
        if self._exchanged is None:
            self._association.connect(self._loop.time())
        else:
            now = self._loop.time()
            self._association.establish(self._exchanged[1], now, self._path_round_trip_s)
        self._flush()
        while not self._association.connected or self.closed.done():
            await self._change()

    def send(self, message: bytes) -> None:
        """Queue one message; raises LinkClosed, or ValueError if it is too long."""
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        try:
            self._association.send(STREAM, message, self._loop.time())
        except SendBufferFull:
            self._end("the peer takes less than is sent")
            raise LinkClosed("the peer takes less than is sent") from None
        except SctpMisuse as error:
            if len(message) > self.max_message_bytes:
                raise ValueError(str(error)) from None
            # The association has ended in the same burst; the event that says why comes next.
            raise LinkClosed("the association has ended") from None
        # What waits for a window, a time or the socket is flushed when that comes.
        if not (self._flushing or self._is_held_back):
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once few bytes are buffered, or no more than so many; raises LinkClosed."""
        while self.buffered_bytes > self._low_water_bytes(most_bytes) or self.closed.done():
            await self._change()

    def _low_water_bytes(self, most_bytes: int | None = None) -> int:
        sender, low = self._association.sender, LOW_WATER_BYTES
        if sender is not None:
            rate = sender.congestion.pacing_rate
            low = max(_LOW_WATER_LEAST_BYTES, int(min(low, rate * _LOW_WATER_SLOW_S)))
            low = max(low, int(min(rate * _LOW_WATER_S, self._windows.queue_bytes)))
        if most_bytes is not None:
            low = min(low, most_bytes)
        self._association.set_buffered_amount_low(STREAM, low)
        return low

    async def close(self, reason: str = "") -> None:
        """Abort SCTP with the reason, then close DTLS and ICE."""
        self._end("closed by us")
        self._association.abort(spoken_reason(reason).decode(errors="ignore"))
        self._send_what_is_due()
        await self.dtls.close()

    async def _change(self) -> None:
        """Wait for the channel to open, drain or end; raises LinkClosed if it has ended."""
        if not self.closed.done():
            self._changed.clear()
            await self._changed.wait()
        if self.closed.done():
            raise LinkClosed(self.closed.result())

    # Packets and time -----------------------------------------------------------------------

    def _received(self, packets: list[bytes]) -> None:
        if self.closed.done():
            return
        now = self._loop.time()
        self._association.receive_burst(packets, now)
        if max(map(len, packets)) >= _FULL_BYTES:
            self._beat.hold(self._read_waits.after_data(now))
        elif self._is_held_back:
            wait_s = self._read_waits.after_sack(now, self._held_back_from)
            if wait_s is not None:
                self._beat.hold(wait_s)
        elif self._hand_over_first():
            return
        self._flush()

    def _hand_over_first(self) -> bool:
        """Deliver, and flush only once those who wait for a frame have had their turn.

        So their answer leaves with the acknowledgement. False where the answer is there already,
        or none is to be expected.
        """
        if self._flushing:
            return False
        self._flushing = True  # what the application sends now leaves with the flush
        try:
            delivered = self._deliver()
        finally:
            self._flushing = False
        if delivered and not self.buffered_bytes and not self.closed.done():
            self._flushing = True
            self._loop.call_soon(self._flush)
            return True
        return False

    def _path_changed(self) -> None:
        sender = self._association.sender
        if sender is not None and not self.closed.done():
            now = self._loop.time()
            self._association.path_changed(now, self.dtls.ice.round_trip_s)
            self._size_search.path_changed(now)
            self._timeouts_before = sender.timeouts_in_row
            self._answered_before_repeat = False
            self._flush()

    def _on_timer(self) -> None:
        if self.closed.done():
            return
        association, now = self._association, self._loop.time()
        sender = association.sender
        repeats = 0 if sender is None else sender.tail_probes + sender.timeouts
        association.handle_timer(now)
        if sender is not None and sender.tail_probes + sender.timeouts > repeats:
            self._repeated(sender, now)
        if sender is not None:
            self._size_search.timed_out(sender.timeouts_in_row, now)
        self._flush()

    def _repeated(self, sender: Sender, now: float) -> None:
        """What was sent is not acknowledged, and is repeated.

        The path loses it if that answered a check before it was repeated last: one that has just
        recovered answers checks before anything is repeated by it.
        """
        ice, timeouts, since = self.dtls.ice, sender.timeouts_in_row, sender.silent_since
        if timeouts <= 1:
            self._timeouts_before = 0
        loses_data = self._answered_before_repeat and since < now
        self._answered_before_repeat = ice.agent.answered_at > since
        most = _BLOCKED_TIMEOUTS - (ice.is_relayed and self._timeouts_before > 0)
        if loses_data and timeouts - self._timeouts_before >= most:
            ice.data_lost()
        else:
            ice.doubt()  # its check opens the way for what is repeated next

    def _flush(self) -> None:
        """Hand over what happened, send what may leave now, and set the timer."""
        if self.closed.done():
            return
        self._flushing = True  # what the application sends now leaves below
        try:
            self._deliver()
            self._size_search.probe(self._loop.time())
            self._send_what_is_due()
        finally:
            self._flushing = False
        if not self.closed.done():
            self._deliver()
            was_held_back = self._is_held_back
            self._is_held_back = self._association.buffered_amount(STREAM) > 0
            if self._is_held_back and not was_held_back:
                self._held_back_from = self._loop.time()
                if not self._rate.is_running:
                    self._rate.begin()
            self._set_timer()

    def _send_what_is_due(self) -> None:
        association, dtls, now = self._association, self.dtls, self._loop.time()
        while not dtls.full:
            packets = association.datagrams_to_send(now)
            if packets:
                dtls.send_packets(packets)
            if len(packets) < sctp_limits.DATAGRAMS_PER_CALL:
                break

    def _set_timer(self) -> None:
        """Wake up at the next deadline."""
        if self.closed.done():
            return
        sender = self._association.sender
        if self._is_held_back and sender is not None:
            self._beat.leaves(_TIMER_SLACK * sender.pacer.burst_s)
        next_at = self._association.next_timer()
        at = min(self._size_search.next_at, inf if next_at is None else next_at)
        self._beat.set(self._on_timer, None if at == inf else at)

    # Events of the association --------------------------------------------------------------

    def _deliver(self) -> bool:
        """Hand over what happened; whether a message was among it."""
        delivered = False
        for event in self._association.events():
            if type(event) is events.MessageReceived:
                self._message_received(event)
                delivered = True
            else:
                self._happened(event)
        return delivered

    def _message_received(self, event: events.MessageReceived) -> None:
        if not event.binary:
            self._end("the peer sent text on a channel for bytes")
        elif self.receiver is not None and not self.closed.done():
            self._carried.received(event.data)
            self.receiver(event.data)

    def _happened(self, event: events.Event) -> None:
        now = self._loop.time()
        match event:
            case events.Connected():
                self._size_search.begin(now)
            case events.PathProbed():
                self._size_search.probed(event, now)
            case events.PathNarrowed():
                self._size_search.narrowed(event, now)
            case events.ChannelClosed():
                self._end(CLOSED_BY_PEER)
            case events.Restarted():
                self._end("the peer began anew")
            case events.Closed():
                self._end(self._why_closed(event))
        self._changed.set()

    def _why_closed(self, event: events.Closed) -> str:
        return closed_by_peer(self._association.peer_reason) if event.by_peer else event.reason

    def _end(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        self._beat.set(self._on_timer, None)
        self._rate.stop()
        self._windows.leave(self)
        self._changed.set()
