"""Our end of a connection with a foreign peer: the node's ICE and DTLS, and our association."""

import asyncio
from collections.abc import Callable

from node.environment import Environment
from node.links import certificate
from node.links.dtls import DtlsPath
from node.links.ice import IcePath
from node.links.settings import LinkSettings
from protocol.description import DtlsRole
from protocol.sctp.association import Association
from protocol.sctp.config import AssociationConfig, Role
from protocol.sctp.events import Event, MessageReceived
from tests.browser import sdp
from tests.browser.peers.python_peer import payload

LARGEST_BYTES = 256 * 1024

_SETTINGS = LinkSettings(ice_addresses=("127.0.0.1",), consent_interval_s=0.2, consent_failures=1)
"""A peer that goes without a word, as werift does, is missed after some seconds."""
_OTHER = {DtlsRole.ACTIVE: DtlsRole.PASSIVE, DtlsRole.PASSIVE: DtlsRole.ACTIVE}


class OurSide:
    """Offers or answers, connects, and keeps what the association tells."""

    def __init__(self) -> None:
        self._environment = Environment()
        self._certificate = certificate.create(self._environment)
        self._ice = IcePath(self._environment, _SETTINGS)
        self._dtls: DtlsPath | None = None
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self.events: list[Event] = []
        self.heard: dict[int, list[int | str]] = {}
        """What has arrived by stream: texts, and sizes of patterns (-1: of something else)."""
        self.lost = ""
        """Why DTLS ended, if it did."""
        self.association: Association

    async def describe(self, role: DtlsRole) -> str:
        """Our offer (actpass; we control) or answer as SDP."""
        await self._ice.gather(controlling=role is DtlsRole.ACTPASS)
        described = self._ice.describe(self._certificate.fingerprint, role)
        return sdp.write(described, LARGEST_BYTES)

    async def connect(self, remote_sdp: str, role: DtlsRole | None = None) -> None:
        """Connect to the peer of this SDP, whose answer decides if our role is not given."""
        remote, _ = sdp.read(remote_sdp)
        role = role or _OTHER[DtlsRole(remote.role)]
        await self._ice.connect(remote)
        self._dtls = DtlsPath(self._ice, self._certificate)
        self._dtls.on_lost = self._on_lost
        self._make_association(role)
        self._dtls._register_data_receiver(self)
        await self._dtls.secure(remote.fingerprint, role)
        self.association.connect(self._loop.time())
        self.flush()
        await self.until(lambda: self.association.connected)

    def _on_lost(self, reason: str) -> None:
        self.lost = reason
        self._changed.set()

    def _make_association(self, role: DtlsRole) -> None:
        config = AssociationConfig(
            Role.CLIENT if role is DtlsRole.ACTIVE else Role.SERVER,
            max_message_bytes=LARGEST_BYTES,
            # aiortc and werift announce 64 KiB and take more.
            peer_max_message_bytes=LARGEST_BYTES,
        )
        self.association = Association(config, self._environment.rng)

    async def _handle_data(self, packet: bytes) -> None:
        """Take a packet; aiortc's DTLS calls this for each."""
        self.association.receive(packet, self._loop.time())
        self.flush()

    def flush(self) -> None:
        """Take events, send what may leave, set the timer, and let waiters look."""
        now = self._loop.time()
        for event in self.association.events():
            self._take(event)
        self._changed.set()
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send())
        if self._timer is not None:
            self._timer.cancel()
        at = self.association.next_timer()
        self._timer = None if at is None else self._loop.call_at(max(at, now), self._on_timer)

    async def _send(self) -> None:
        assert self._dtls is not None
        while packets := self.association.datagrams_to_send(self._loop.time()):
            for packet in packets:
                await self._dtls._send_data(packet)

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

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, MessageReceived):
            heard = self.heard.setdefault(event.stream_id, [])
            size = len(event.data)
            right = not event.binary or event.data == payload(len(heard), size)
            heard.append((size if right else -1) if event.binary else event.data.decode())

    async def heard_on(self, stream_id: int, count: int) -> list[int | str]:
        """Return what has arrived on a stream, once so much has."""
        await self.until(lambda: len(self.heard.get(stream_id, ())) >= count)
        return self.heard[stream_id]

    async def close(self) -> None:
        """End the association, DTLS and ICE."""
        if self._dtls is None:
            await self._ice.close()
            return
        self.association.abort()
        if not self.lost:
            self.flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._sending is not None:
            await self._sending
        await self._dtls.close()
