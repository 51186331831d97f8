"""From a mod id to links with its holders: providers from the DHT, then a call to each."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from node.content.ports import LinkPort
from node.holder_failures import HolderFailure, HoldersUnreachable
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.overlay.server import OverlayServer
from node.tasks import TaskOwner
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.errors import ModswarmError, NotFound, Unexpected
from protocol.identity import PeerId, peer_id_text
from protocol.records import ProviderBody, Record

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FetchStats:
    """Figures of a search for holders. `linked_at`: when the first link opened, loop's clock."""

    lookup_ms: float = 0.0
    connect_ms: float = 0.0
    linked_at: float = 0.0
    record_hops: int = 0
    signaled_via: list[PeerId] = field(default_factory=list)
    sources: list[PeerId] = field(default_factory=list)


class HolderSearch:
    """Finds the holders of one mod and links to them, a few at a time; `stats` are its figures."""

    def __init__(self, overlay: OverlayServer, pool: LinkPool) -> None:
        self._overlay = overlay
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self.stats = FetchStats()
        self._failures: list[HolderFailure] = []

    async def links(self, mod_id: bytes) -> AsyncIterator[LinkPort]:
        """Links to holders as they open.

        Raises NotFound, Unreachable or ClocksDiffer if no provider record is found, and
        HoldersUnreachable if no link opens.
        """
        providers = await self._providers(mod_id)
        gate = asyncio.Semaphore(limits.CONNECTING)
        tasks = TaskOwner("search for holders")
        attempts = [
            tasks.start(self._connect(peer, gate), name=peer_id_text(peer)) for peer in providers
        ]
        linked = 0
        try:
            for attempt in asyncio.as_completed(attempts):
                link = await attempt
                if link is not None:
                    linked += 1
                    yield link
        finally:
            await tasks.close()
        if not linked:
            raise HoldersUnreachable(self._failures)

    async def _providers(self, mod_id: bytes) -> list[PeerId]:
        """Peers with a provider record of the mod: complete holders first, newest first.

        Raises NotFound, Unreachable, ClocksDiffer.
        """
        started = self._loop.time()
        reading = await self._overlay.read(records.provider_key(mod_id), records.PROVIDER)
        self.stats.lookup_ms = (self._loop.time() - started) * 1000
        self.stats.record_hops = reading.hops
        provided = [
            (not body.complete, -record.issued, record.public_key, record.peer_id)
            for record in reading.records.values()
            if (body := self._provider_body(record)) is not None
        ]
        own = self._overlay.identity.peer_id
        peers = [peer_id for *_, peer_id in sorted(provided) if peer_id != own]
        if not peers:
            raise reading.why_empty() or NotFound(cause=Cause.MOD_UNKNOWN)
        return peers[: limits.PROVIDERS_TRIED]

    def _provider_body(self, record: Record) -> ProviderBody | None:
        """The body of a provider record; None for a record of another kind, which is counted."""
        if isinstance(record.body, ProviderBody):
            return record.body
        self._overlay.protocol.refuse(Unexpected("a record of another kind among the providers"))
        return None

    @contextlib.asynccontextmanager
    async def _turn(self, gate: asyncio.Semaphore) -> AsyncIterator[None]:
        """A place among those at once; one that is slow to link gives it up and goes on."""
        await gate.acquire()
        holds = True

        def give_up() -> None:
            nonlocal holds
            if holds:
                holds = False
                gate.release()

        timer = self._loop.call_later(limits.CONNECTING_SLOW_S, give_up)
        try:
            yield
        finally:
            timer.cancel()
            give_up()

    async def _connect(self, peer_id: PeerId, gate: asyncio.Semaphore) -> Link | None:
        async with self._turn(gate):
            started = self._loop.time()
            try:
                link = await self._pool.connect(peer_id)
            except ModswarmError as error:
                self._failures.append(HolderFailure.of(peer_id, error))
                return None
        if not self.stats.sources:
            self.stats.linked_at = self._loop.time()
            self.stats.connect_ms = (self.stats.linked_at - started) * 1000
        self.stats.sources.append(peer_id)
        for registrar in link.signaled_via:
            if registrar not in self.stats.signaled_via:
                self.stats.signaled_via.append(registrar)
        return link
