"""The data path "stock": aiortc's SCTP as a channel, behind checks of what a peer sends.

A packet is checked and its work charged before aiortc reads it; see `protocol/sctp/receive/work`.

aiortc's SCTP does not notice the end of DTLS, gives no reason when it closes, and loses the
exceptions of its tasks. It is kept as the reference for our own.
"""

import asyncio
import logging
import struct
from collections.abc import Callable
from itertools import takewhile

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpCapabilities, RTCSctpTransport
from aiortc.exceptions import InvalidStateError
from aiortc.rtcsctptransport import AbortChunk, Chunk, DataChunk, SackChunk
from aiortc.utils import uint32_gte
from OpenSSL import SSL

from node.links.channel.channel import (
    CLOSED_BY_PEER,
    LABEL,
    LOW_WATER_BYTES,
    SCTP_PORT,
    STREAM,
    Channel,
    closed_by_peer,
    spoken_reason,
)
from node.links.channel.sctp_guard import check_packet
from node.links.secure.dtls import DtlsPath
from protocol import limits
from protocol.errors import LinkClosed, Malformed, Oversized, RemoteError
from protocol.randomness import Random
from protocol.sctp.limits import SEND_BUFFER_BYTES
from protocol.sctp.receive.work import WorkBudget

_log = logging.getLogger(__name__)

_FIRST_TIMEOUT_S = 1.0
"""RTO.Initial of RFC 9260, 16; aiortc still waits 3 s for a lost INIT, as RFC 4960 did."""

_USER_INITIATED_ABORT = 12
"""The cause of an ABORT that bears the application's reason (RFC 9260, 3.3.10.12)."""

_STOCK_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
)
"""What aiortc's SCTP raises on packets that it does not expect."""


def describe_init(_rng: Random) -> bytes:
    """Nothing: aiortc's SCTP begins with its handshake."""
    return b""


def create_channel(
    dtls: DtlsPath,
    rng: Random,
    *,
    own_peer: bool = False,
    inits: tuple[bytes, bytes] = (b"", b""),
    round_trip_s: float | None = None,
) -> Channel:
    """A channel over a DTLS path, which it owns from now on; raises LinkClosed if that ended.

    It is the same for every peer, `own_peer` or not; `inits` and `round_trip_s` it does not use.
    """
    if dtls.state != "connected":
        raise LinkClosed(CLOSED_BY_PEER)
    return StockChannel(dtls, rng)


class _Association(RTCSctpTransport):
    """aiortc's association: checks before it parses, and reports why it ended."""

    def __init__(self, dtls: DtlsPath, rng: Random, ended: Callable[[str], None]) -> None:
        super().__init__(dtls, SCTP_PORT)
        self._ended = ended
        self.fault: RemoteError | None = None
        self._work = WorkBudget()
        self._progress = 0
        self._close_reason = b""
        self._rto = _FIRST_TIMEOUT_S
        self._local_partial_reliability = False
        # aiortc draws these from the system; a simulation's seed must decide them.
        self._hmac_key = rng.randbytes(16)
        self._local_verification_tag = rng.getrandbits(32) or 1
        self._local_tsn = self._reconfig_request_seq = rng.getrandbits(32)
        self._last_sacked_tsn = self._advanced_peer_ack_tsn = (self._local_tsn - 1) % 2**32

    @property
    def round_trip_s(self) -> float | None:
        """RFC 9260's SRTT, which aiortc keeps to itself."""
        return self._srtt

    async def abort(self, reason: str) -> None:
        """End the association and tell the peer why."""
        self._close_reason = spoken_reason(reason)
        await self.stop()

    async def _abort(self) -> None:
        chunk = AbortChunk()
        chunk.params.append((_USER_INITIATED_ABORT, self._close_reason))
        await self._send_chunk(chunk)

    async def _handle_data(self, data: bytes) -> None:
        if self.fault is not None:
            return  # the rest of a burst is not read
        try:
            self._work.charge(check_packet(data, next_tsn=self._local_tsn))
            await super()._handle_data(data)
            self._work.settle(1, self._progress, asyncio.get_running_loop().time())
        except (RemoteError, *_STOCK_FAULTS) as error:
            if isinstance(error, RemoteError):
                self.fault = error
            _log.info("a peer broke SCTP: %s: %s", type(error).__name__, error)
            self._ended("the peer broke SCTP")

    async def _receive_chunk(self, chunk: Chunk) -> None:
        if isinstance(chunk, AbortChunk):
            causes = dict(chunk.params)
            self._ended(closed_by_peer(causes.get(_USER_INITIATED_ABORT, b"")))
        await super()._receive_chunk(chunk)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        told = takewhile(lambda sent: uint32_gte(chunk.cumulative_tsn, sent.tsn), self._sent_queue)
        self._progress += sum(len(sent.user_data) for sent in told)
        await super()._receive_sack_chunk(chunk)

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        tsn, last = chunk.tsn, self._last_received_tsn
        if last is None:
            raise Malformed("SCTP data before the handshake")
        if not uint32_gte(last, tsn) and tsn not in self._sack_misordered:
            self._progress += len(chunk.user_data)
        await super()._receive_data_chunk(chunk)
        held = len(self._get_inbound_stream(STREAM).reassembly)
        if held > limits.SCTP_CHUNKS_UNDELIVERED:
            raise Oversized(f"{held} chunks of messages that are not complete")

    async def _send_chunk(self, chunk: Chunk) -> None:
        """Send; aiortc calls this from tasks that are never awaited, so nothing may be raised."""
        try:
            await super()._send_chunk(chunk)
        except ConnectionError:
            pass  # DTLS has ended, and reports that itself
        except SSL.Error:
            self._ended("DTLS broke")


class StockChannel:
    """A `Channel` on aiortc's SCTP: one negotiated, ordered and reliable data channel."""

    max_message_bytes = limits.MESSAGE_BYTES

    def __init__(self, dtls: DtlsPath, rng: Random) -> None:
        self.receiver: Callable[[bytes], None] | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.dtls = dtls
        self._changed = asyncio.Event()
        self._association = _Association(dtls, rng, self._end)
        self._channel = RTCDataChannel(
            self._association, RTCDataChannelParameters(label=LABEL, negotiated=True, id=STREAM)
        )
        self._channel.bufferedAmountLowThreshold = LOW_WATER_BYTES
        self._channel.on("open", self._changed.set)
        self._channel.on("bufferedamountlow", self._changed.set)
        self._channel.on("close", self._channel_closed)
        self._channel.on("message", self._received)
        # The channel is made of the DTLS path, which learns here what its end goes to.
        dtls.on_lost = self._end

    @property
    def fault(self) -> RemoteError | None:
        """What the peer broke, if that has ended the channel."""
        return self._association.fault

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that wait for the network."""
        return self._channel.bufferedAmount

    @property
    def acknowledged_bytes(self) -> int:
        """Nothing: aiortc's SCTP does not tell."""
        return 0

    @property
    def round_trip_s(self) -> float | None:
        """The smoothed round trip of packets; None until one was measured."""
        return self._association.round_trip_s

    async def open(self) -> None:
        """Return once messages can be sent; raises LinkClosed."""
        capabilities = RTCSctpCapabilities(maxMessageSize=self.max_message_bytes)
        await self._association.start(capabilities, SCTP_PORT)
        while self._channel.readyState == "connecting" or self.closed.done():
            await self._change()
        self.dtls.ice.peer_heard()

    def send(self, message: bytes) -> None:
        """Queue one message; raises LinkClosed, or ValueError if it is too long."""
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        if self.buffered_bytes + len(message) > SEND_BUFFER_BYTES:
            self._end("the peer takes less than is sent")
            raise LinkClosed("the peer takes less than is sent")
        try:
            self._channel.send(message)
        except InvalidStateError:
            raise LinkClosed("the channel is not open") from None

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once few bytes are buffered, or no more than so many; raises LinkClosed."""
        low_bytes = LOW_WATER_BYTES if most_bytes is None else min(most_bytes, LOW_WATER_BYTES)
        self._channel.bufferedAmountLowThreshold = low_bytes
        while self.buffered_bytes > low_bytes or self.closed.done():
            await self._change()

    async def close(self, reason: str = "") -> None:
        """Abort SCTP with the reason, then close DTLS and ICE."""
        self._end("closed by us")
        await self._association.abort(reason)
        await self.dtls.close()
        self._channel.remove_all_listeners()

    async def _change(self) -> None:
        """Wait for the channel to open, drain or end; raises LinkClosed if it has ended."""
        if not self.closed.done():
            self._changed.clear()
            await self._changed.wait()
        if self.closed.done():
            raise LinkClosed(self.closed.result())

    def _end(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_result(reason)
        self._changed.set()

    def _channel_closed(self) -> None:
        self._end(CLOSED_BY_PEER)

    def _received(self, message: bytes | str) -> None:
        if isinstance(message, str):
            self._end("the peer sent text on a channel for bytes")
        elif self.receiver is not None and not self.closed.done():
            self.receiver(message)
