"""Our end of a connection with a foreign peer: the node's ICE and DTLS, and our association."""

import asyncio
from collections.abc import Callable

from node.counters import Counters
from node.environment import Environment
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.secure import certificate
from node.links.secure.dtls import DtlsPath
from node.links.settings import LinkSettings
from node.net.endpoint import Endpoint
from protocol.addresses import Address
from protocol.description import DtlsRole
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.events import Event, MessageReceived
from tests.browser import sdp
from tests.browser.peers.python_peer import payload

LARGEST_BYTES = 256 * 1024

_SETTINGS = LinkSettings(consent_interval_s=0.2, consent_failures=1)
"""A peer that goes without a word, as werift does, is missed after some seconds."""
_OTHER = {DtlsRole.ACTIVE: DtlsRole.PASSIVE, DtlsRole.PASSIVE: DtlsRole.ACTIVE}


class OurPath:
    """ICE and DTLS, by SDP."""

    def __init__(self) -> None:
        self.environment = Environment()
        self._certificate = certificate.create(self.environment)
        self._endpoint = Endpoint(Counters(), self.environment)
        self._ice: IcePath | None = None
        self._dtls: DtlsPath | None = None

    async def describe(self, role: DtlsRole) -> str:
        """Our offer (actpass; we control) or answer as SDP."""
        await self._endpoint.open(Address("127.0.0.1", 0))
        paths = LinkPaths(self._endpoint, self.environment, _SETTINGS)
        self._ice = IcePath(paths, bytes(20), controlling=role is DtlsRole.ACTPASS)
        described = self._ice.describe(self._certificate.fingerprint, role)
        return sdp.write(described, LARGEST_BYTES)

    async def secure(self, remote_sdp: str, role: DtlsRole | None = None) -> DtlsPath:
        """DTLS to the peer of this SDP, whose answer decides if our role is not given."""
        remote, _ = sdp.read(remote_sdp)
        assert self._ice is not None, "describe comes first"
        await self._ice.connect(remote)
        self._dtls = DtlsPath(self._ice, self._certificate)
        await self._dtls.secure(remote.fingerprint, role or _OTHER[DtlsRole(remote.role)])
        return self._dtls

    async def close(self) -> None:
        """End DTLS and ICE."""
        if uppermost := self._dtls or self._ice:
            await uppermost.close()
        await self._endpoint.close()


class OurSide:
    """An association on a path; keeps what it tells."""

    def __init__(self, dtls: DtlsPath, environment: Environment) -> None:
        self._dtls = dtls
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self.events: list[Event] = []
        self.heard: dict[int, list[int | str]] = {}
        """What has arrived by stream: texts, and sizes of patterns (-1: of something else)."""
        self.lost = ""
        """Why DTLS ended, if it did."""
        config = AssociationConfig(
            Role.CLIENT if dtls.is_client else Role.SERVER,
            max_message_bytes=LARGEST_BYTES,
            # aiortc and werift announce 64 KiB and take more.
            peer_max_message_bytes=LARGEST_BYTES,
        )
        self.association = Association(config, environment.rng)
        dtls.on_lost = self._on_lost
        dtls.carry(self._received, self.flush, lambda: None, lambda: 0)

    async def connect(self) -> None:
        """Begin, and wait until data can flow."""
        self.association.connect(self._loop.time())
        self.flush()
        await self.until(lambda: self.association.connected)

    def _on_lost(self, reason: str) -> None:
        self.lost = reason
        self._changed.set()

    def _received(self, packets: list[bytes]) -> None:
        self.association.receive_burst(packets, self._loop.time())
        self.flush()

    def flush(self) -> None:
        """Take events, send what may leave, set the timer, and let waiters look."""
        now = self._loop.time()
        for event in self.association.events():
            self._take(event)
        while not self._dtls.full and (packets := self.association.datagrams_to_send(now)):
            self._dtls.send_packets(packets)
        if self._timer is not None:
            self._timer.cancel()
        at = self.association.next_timer()
        self._timer = None if at is None else self._loop.call_at(at, self._on_timer)
        self._changed.set()

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, MessageReceived):
            heard = self.heard.setdefault(event.stream_id, [])
            size = len(event.data)
            right = not event.binary or event.data == payload(len(heard), size)
            heard.append((size if right else -1) if event.binary else event.data.decode())

    def _on_timer(self) -> None:
        self._timer = None
        self.association.handle_timer(self._loop.time())
        self.flush()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that the association told has made this true."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def send(self, stream_id: int, messages: list[int | str]) -> None:
        """Send texts, and patterns of the sizes given."""
        for index, message in enumerate(messages):
            data = message if isinstance(message, str) else payload(index, message)
            self.association.send(stream_id, data, self._loop.time())
        self.flush()

    async def heard_on(self, stream_id: int, count: int) -> list[int | str]:
        """Return what has arrived on a stream, once so much has."""
        await self.until(lambda: len(self.heard.get(stream_id, ())) >= count)
        return self.heard[stream_id]

    def end(self) -> None:
        """Abort the association."""
        self.association.abort()
        self.flush()
