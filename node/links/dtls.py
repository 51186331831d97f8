"""DTLS for one link: aiortc's transport with our certificate, and its end made known.

aiortc takes the DTLS role from ICE's, says nothing to the peer when the fingerprint is wrong, and
leaves its task behind when stopped.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from OpenSSL import SSL

from node.links.certificate import Certificate
from node.links.failure import LinkAttemptFailed, Stage
from node.links.ice import IcePath
from protocol.description import DtlsRole

_log = logging.getLogger(__name__)

_OPENSSL_ROLES = {DtlsRole.ACTIVE: "client", DtlsRole.PASSIVE: "server"}


class DtlsPath(RTCDtlsTransport):
    """DTLS over an ICE path, which it owns: closing this closes both."""

    on_lost: Callable[[str], None] | None = None
    """Called once with the reason when an open connection ends and we did not end it."""

    def __init__(self, ice: IcePath, certificate: Certificate) -> None:
        super().__init__(
            ice.transport, [RTCCertificate(key=certificate.key, cert=certificate.certificate)]
        )
        self.ice = ice
        self._stopping = False
        self.on("statechange", self._state_changed)

    async def secure(self, fingerprint: bytes, own_role: DtlsRole) -> None:
        """Run the handshake with the holder of this certificate; raises LinkAttemptFailed.

        Has no time limit of its own.
        """
        self._set_role(_OPENSSL_ROLES[own_role])
        digest = RTCDtlsFingerprint("sha-256", fingerprint.hex(":"))
        await self.start(RTCDtlsParameters([digest]))
        if self.state != "connected":
            raise LinkAttemptFailed(Stage.DTLS, self._why_not(), self.ice.tried())

    async def close(self) -> None:
        """Say goodbye, end the task, and close ICE. Call it once, from a task that is let be."""
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
        """A peer whose certificate we refuse believes that all is well: end it there too."""
        if self._ssl is None:
            return
        with contextlib.suppress(SSL.Error, ConnectionError):
            self._ssl.shutdown()
            await self._write_ssl()

    def _why_not(self) -> str:
        if self.encrypted:
            return "the peer's certificate is not the one that its signal vouched for"
        return "the handshake broke off"

    def _state_changed(self) -> None:
        if self.state == "closed" and not self._stopping and self.on_lost is not None:
            vanished = self.ice.peer_vanished
            self.on_lost("the peer stopped answering" if vanished else "closed by the peer")
