"""From a mod id to links with its holders: providers from the DHT, then a call to each."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from node.content.ports import LinkPort
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.errors import ModswarmError, NoSources, NotFound
from protocol.identity import PeerId, peer_id_text
from protocol.records import ProviderBody, Record

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class FetchStats:
    """How a search for holders went, for people. `linked_at` is the loop's clock."""

    lookup_ms: float = 0.0
    connect_ms: float = 0.0
    linked_at: float = 0.0
    record_hops: int = 0
    signaled_via: list[PeerId] = field(default_factory=list)
    sources: list[PeerId] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


class HolderSearch:
    """Finds the holders of one mod and links to them, a few at a time."""

    def __init__(self, overlay: OverlayServer, pool: LinkPool) -> None:
        self._overlay = overlay
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self.trail = FetchStats()

    async def links(self, mod_id: bytes) -> AsyncIterator[LinkPort]:
        """Links to holders as they come up.

        Raises NotFound if nobody is known to hold the mod, NoSources if no link comes of it.
        """
        providers = await self._providers(mod_id)
        if not providers:
            raise NotFound(
                "nobody is known to share this mod; ask whoever gave you the link whether their "
                "node is running"
            )
        gate = asyncio.Semaphore(limits.CONNECTING)
        attempts = [asyncio.ensure_future(self._connect(peer, gate)) for peer in providers]
        linked = 0
        try:
            for attempt in asyncio.as_completed(attempts):
                link = await attempt
                if link is not None:
                    linked += 1
                    yield link
        finally:
            for one in attempts:
                one.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        if not linked:
            raise NoSources(f"no holder can be reached: {self._why()}")

    async def _providers(self, mod_id: bytes) -> list[PeerId]:
        """Peers that say they hold the mod, those that have all of it first."""
        started = self._loop.time()
        reading = await self._overlay.read(records.provider_key(mod_id), records.PROVIDER)
        self.trail.lookup_ms = (self._loop.time() - started) * 1000
        self.trail.record_hops = reading.hops
        found = sorted(reading.records.values(), key=_complete_and_fresh_first)
        own = self._overlay.identity.peer_id
        return [one.peer_id for one in found if one.peer_id != own][: limits.PROVIDERS_TRIED]

    async def _connect(self, peer_id: PeerId, gate: asyncio.Semaphore) -> Link | None:
        async with gate:
            started = self._loop.time()
            try:
                link = await self._pool.connect(peer_id)
            except ModswarmError as error:
                self.trail.failures[peer_id_text(peer_id)] = str(error)
                return None
        if not self.trail.sources:
            self.trail.linked_at = self._loop.time()
            self.trail.connect_ms = (self.trail.linked_at - started) * 1000
        self.trail.sources.append(peer_id)
        for registrar in link.signaled_via:
            if registrar not in self.trail.signaled_via:
                self.trail.signaled_via.append(registrar)
        return link

    def _why(self) -> str:
        return "; ".join(f"{peer}: {reason}" for peer, reason in self.trail.failures.items())


def _complete_and_fresh_first(record: Record) -> tuple[bool, int, bytes]:
    assert isinstance(record.body, ProviderBody)
    return (not record.body.complete, -record.issued, record.public_key)
