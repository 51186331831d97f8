"""DTLS for one link: aiortc's transport with our certificate on our ICE, and its end reported.

aiortc takes the DTLS role from ICE's, sends the peer no alert when the fingerprint is wrong, and
leaves its task behind when stopped.

Once `carry` was called, application records go straight between the socket and OpenSSL. All others
(handshakes, alerts) still go through aiortc's queue and its task, which handle them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import cast

from aiortc import (
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceTransport,
)
from aiortc.rtcdtlstransport import State
from OpenSSL import SSL

from node.links.channel.channel import CLOSED_BY_PEER
from node.links.failure import LinkAttemptFailed
from node.links.path.ice import IcePath
from node.links.secure.certificate import Certificate
from node.links.secure.dtls_records import Records
from node.links.secure.dtls_terms import RECORD_OVERHEAD_BYTES_MAX, LinkCertificate
from node.links.secure.handshakes import Handshakes
from node.links.stages import Stage
from node.net.demux import RecordBuffers
from node.net.udp.offload import BUFFER_BYTES_MAX, SEGMENTS_MAX
from protocol import limits
from protocol.causes.cause import Cause
from protocol.description import DtlsRole

_log = logging.getLogger(__name__)

Packets = list[bytes]

_PATIENT_TRIPS = 6
"""A handshake takes two round trips; with as many again for what is lost, and the call's own."""

_OPENSSL_ROLES = {DtlsRole.ACTIVE: "client", DtlsRole.PASSIVE: "server"}


class DtlsPath(RTCDtlsTransport):
    """DTLS over an ICE path, which it owns: closing this closes both."""

    on_lost: Callable[[str], None] | None = None
    """Called once with the reason when an open connection ends and we did not end it."""

    def __init__(self, ice: IcePath, certificate: Certificate) -> None:
        own = LinkCertificate(key=certificate.key, cert=certificate.certificate)
        self._handshakes = Handshakes(ice.datagrams)
        super().__init__(cast("RTCIceTransport", self._handshakes), [own])
        self._own = own
        self.ice = ice
        self._stopping = False
        self._ways = 0
        self._records: Records | None = None
        self._receive: Callable[[Packets], None] | None = None
        self.on("statechange", self._state_changed)

    async def secure(self, fingerprint: bytes, own_role: DtlsRole) -> None:
        """Run the handshake with the holder of this certificate; raises LinkAttemptFailed.

        Has no time limit of its own.
        """
        self._set_role(_OPENSSL_ROLES[own_role])
        digest = RTCDtlsFingerprint("sha-256", fingerprint.hex(":"))
        await self.start(RTCDtlsParameters([digest]))
        if self.state != "connected":
            raise self._why_not()
        self.ice.secured()

    async def _do_handshake(self) -> None:
        """Run the handshake; where it breaks, anew, until the path or the attempt ends.

        A spoiled handshake cannot be mended. A relay may have spoiled it, and both sides begin
        again once their path goes by another; else a forged datagram has, or the peer has begun
        again.
        """
        await self._shake()
        while not self.encrypted and await self._may_begin_anew():
            self._begin_anew()
            await self._shake()
        self._handshakes.end()
        if self.encrypted and self.ice.datagrams.has_new_way:
            await self._another_way()  # told too late: the handshake had ended

    async def _shake(self) -> None:
        self._handshakes.begin(is_server=not self.is_client)
        self._ways = self.ice.datagrams.ways_told
        patience_s = max(limits.DTLS_PATIENCE_S, _PATIENT_TRIPS * self.ice.patience_s)
        timer = None
        if self.is_client:
            timer = asyncio.get_running_loop().call_later(patience_s, self.ice.datagrams.begin_anew)
        try:
            await super()._do_handshake()
        finally:
            if timer is not None:
                timer.cancel()

    async def _may_begin_anew(self) -> bool:
        """Once the handshake can begin again; False if it never will."""
        if self.ice.datagrams.ways_told != self._ways:
            return True
        if self.ice.leave_relay():
            return await self._another_way()
        if self.ice.ended:
            return False
        await asyncio.sleep(limits.DTLS_HANDSHAKE_PAUSE_S)
        self.ice.datagrams.begin_anew()
        return await self._another_way()

    async def _another_way(self) -> bool:
        with contextlib.suppress(ConnectionError):
            while True:
                await self.transport._recv()
        return not self.ice.ended

    def _begin_anew(self) -> None:
        assert self._ssl is not None
        context = self._own._create_ssl_context(srtp_profiles=self._srtp_profiles)
        self._ssl = type(self._ssl)(context)
        if self.is_client:
            self._ssl.set_connect_state()
        else:
            self._ssl.set_accept_state()
        self._set_state(State.CONNECTING)

    @property
    def is_client(self) -> bool:
        """Whether we began the DTLS handshake."""
        return self._role == "client"

    # Records, without detours ---------------------------------------------------------------

    def carry(
        self,
        receive: Callable[[Packets], None],
        writable: Callable[[], None],
        path_changed: Callable[[], None],
        carried: Callable[[], int],
    ) -> None:
        """Give decrypted packets to `receive` from now on, as they arrive, in bursts.

        `writable` is called when the socket takes datagrams again after it had been `full`,
        `path_changed` when they leave by another pair than before. `carried` gives how many bytes
        the link has carried so far.
        """
        assert self._ssl is not None
        self._records = Records(self._ssl)
        self._receive = self._first(receive)
        self._register_data_receiver(self)  # for what is in aiortc's queue already
        self.ice.carry_records(self._take_records, writable, path_changed, carried)

    def _first(self, receive: Callable[[Packets], None]) -> Callable[[Packets], None]:
        """Tell ICE of the first packets, and then be out of the way."""

        def first(packets: Packets) -> None:
            self._receive = receive
            self.ice.peer_heard()
            receive(packets)

        return first

    @property
    def full(self) -> bool:
        """Whether datagrams wait for the socket: what can wait should not be sent now."""
        return self.ice.full

    def send_packets(self, packets: Packets) -> None:
        """Encrypt and send; packets of one size in a row leave together. Nothing is raised."""
        records = self._records
        if records is None or self._state is not State.CONNECTED:
            return
        try:
            for group in _groups(packets):
                sealed = records.seal(group)
                if sealed:
                    self.ice.send_segments(sealed, records.size_of_first(sealed))
        except SSL.Error:
            self._lose("DTLS broke")

    def send_whole(self, packet: bytes) -> bool:
        """Encrypt and send a packet unfragmented; False if the socket cannot ask for that."""
        records = self._records
        if records is None or self._state is not State.CONNECTED:
            return False
        try:
            return self.ice.send_whole(records.seal((packet,)))
        except SSL.Error:
            self._lose("DTLS broke")
            return False

    async def _handle_data(self, data: bytes) -> None:
        """Take a packet that came through aiortc's queue, of which it has read the beginning."""
        self._take(lambda records, packets: records.open_rest(data, packets))

    def _take_records(self, buffers: RecordBuffers) -> None:
        def open_all(records: Records, packets: Packets) -> None:
            for buffer, size in buffers:
                records.open(buffer, size, packets)

        self._take(open_all)

    def _take(self, open_all: Callable[[Records, Packets], None]) -> None:
        records, receive = self._records, self._receive
        if records is None or receive is None or self._state is not State.CONNECTED:
            return
        packets: Packets = []
        ended = ""
        try:
            open_all(records, packets)
        except SSL.ZeroReturnError:
            ended = CLOSED_BY_PEER
        except SSL.Error:
            ended = "DTLS broke"
        if packets:
            receive(packets)
        if ended:
            self._lose(ended)
        elif answer := records.left_over():
            self.ice.send_segments(answer, len(answer))

    def _lose(self, reason: str) -> None:
        if not self._stopping and self.on_lost is not None:
            self.on_lost(reason)

    # The end --------------------------------------------------------------------------------

    async def close(self) -> None:
        """Send close_notify, end the task, and close ICE. Called once, by an uncancelled task."""
        self._stopping = True
        reader = self._task
        await self.stop()
        if self.state == "failed":
            await self._tell_failure()
        if reader is not None:
            await asyncio.wait([reader])
            if not reader.cancelled() and reader.exception() is not None:
                _log.error("the reader of DTLS failed", exc_info=reader.exception())
        self.remove_all_listeners()
        await self.ice.close()

    async def _tell_failure(self) -> None:
        """Send an alert to a peer whose certificate we refuse: its own handshake has succeeded."""
        if self._ssl is None:
            return
        with contextlib.suppress(SSL.Error, ConnectionError):
            self._ssl.shutdown()
            await self._write_ssl()

    def _why_not(self) -> LinkAttemptFailed:
        if self.encrypted:
            return LinkAttemptFailed(
                Stage.DTLS,
                "the peer's certificate is not the one that its signal vouched for",
                cause=Cause.WRONG_CERTIFICATE,
            )
        return LinkAttemptFailed(Stage.DTLS, self.ice.ended or "the handshake broke off")

    def _state_changed(self) -> None:
        if self.state == "closed":
            self._lose(self.ice.ended or CLOSED_BY_PEER)


def _groups(packets: Packets) -> Iterator[Packets]:
    """Packets in a row that one buffer can hold: of one size, the last perhaps shorter."""
    sizes = [len(packet) for packet in packets]
    start, count = 0, len(sizes)
    while start < count:
        size = sizes[start]
        most = min(SEGMENTS_MAX, BUFFER_BYTES_MAX // (size + RECORD_OVERHEAD_BYTES_MAX)) or 1
        limit = end = min(start + most, count)
        if sizes.count(size) != count:
            end = start + 1
            while end < limit and sizes[end] == size:
                end += 1
            if end < limit and sizes[end] < size:
                end += 1
        yield packets[start:end]
        start = end
