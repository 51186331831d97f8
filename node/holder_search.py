"""From a mod id to links with its holders: providers from the DHT, then a call to each."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass, field

from node.content.ports import LinkPort
from node.holder_failures import HolderFailure, HoldersUnreachable
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.overlay.records.availability_lookup import AvailabilityLookup, FilterAnswer
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from node.tasks import TaskOwner
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.content.holder_order import HolderOrder, Standing
from protocol.errors import ModswarmError, NotFound, Unexpected
from protocol.identity import PeerId, peer_id_text
from protocol.randomness import Random
from protocol.records import ProviderBody, Record

_log = logging.getLogger(__name__)

_STANDINGS = {
    FilterAnswer.YES: Standing.SAYS_YES,
    FilterAnswer.NO: Standing.SAYS_NO,
    FilterAnswer.UNREADABLE: Standing.UNREADABLE,
}


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

    def __init__(self, overlay: OverlayServer, pool: LinkPool, rng: Random) -> None:
        self._overlay = overlay
        self._pool = pool
        self._filters = AvailabilityLookup(overlay)
        self._order = HolderOrder(overlay.identity.peer_id, rng)
        self._loop = asyncio.get_running_loop()
        self.stats = FetchStats()
        self._failures: list[HolderFailure] = []

    async def links(self, mod_id: bytes, hinted: Iterable[PeerId] = ()) -> AsyncIterator[LinkPort]:
        """Links to holders as they open, PROVIDERS_TRIED at most; those of `hinted` come early.

        Raises NotFound, Unreachable or ClocksDiffer if no provider record is found, and
        HoldersUnreachable if no link opens.
        """
        for peer_id in hinted:
            self._add(peer_id, Standing.HINTED)
        reading = await self._read(mod_id)
        if not len(self._order):
            raise reading.why_empty() or NotFound(cause=Cause.MOD_UNKNOWN)
        tasks = TaskOwner("search for holders")
        opened: asyncio.Queue[Link | None] = asyncio.Queue()
        calling = tasks.start(self._call_all(mod_id, reading, tasks, opened), name="call holders")
        linked = 0
        try:
            while linked < limits.PROVIDERS_TRIED:
                link = await opened.get()
                if link is None:
                    await calling
                    break
                linked += 1
                yield link
        finally:
            await tasks.close()
        if not linked:
            raise HoldersUnreachable(self._failures)

    # Who may have it ----------------------------------------------------------------------

    async def _read(self, mod_id: bytes) -> Reading:
        started = self._loop.time()
        reading = await self._overlay.read(records.provider_key(mod_id), records.PROVIDER)
        self.stats.lookup_ms = (self._loop.time() - started) * 1000
        self.stats.record_hops = reading.hops
        self._admit(reading)
        return reading

    async def _read_on(self, mod_id: bytes, reading: Reading) -> bool:
        """Read further provider records, once all that were found have been called."""
        if len(reading.records) >= limits.PROVIDERS_READ:
            return False
        key = records.provider_key(mod_id)
        known = set(reading.records)
        await self._overlay.read_more(reading, key, records.PROVIDER)
        self._admit(reading, known)
        return len(reading.records) > len(known)

    def _admit(self, reading: Reading, known: Collection[bytes] = ()) -> None:
        for record in reading.records.values():
            if record.public_key not in known and (body := self._provider_body(record)) is not None:
                told = reading.told[record.public_key]
                self._add(record.peer_id, Standing.UNKNOWN, told=told, complete=body.complete)

    def _add(
        self, peer_id: PeerId, standing: Standing, *, told: int = 0, complete: bool = False
    ) -> None:
        if self._pool.get(peer_id) is not None:
            standing = Standing.LINKED
        self._order.add(peer_id, standing, told=told, complete=complete)

    def _provider_body(self, record: Record) -> ProviderBody | None:
        """The body of a provider record; None for a record of another kind, which is counted."""
        if isinstance(record.body, ProviderBody):
            return record.body
        self._overlay.protocol.refuse(Unexpected("a record of another kind among the providers"))
        return None

    async def _ask_filters(self, mod_id: bytes) -> None:
        """Learn which holders' filters have the mod, while others are called already."""
        while (peer_id := self._order.next_unknown()) is not None:
            self._order.learn(peer_id, Standing.UNREADABLE)
            answer = await self._filters.ask(peer_id, mod_id)
            if answer is not FilterAnswer.NO_PEER:
                self._order.learn(peer_id, _STANDINGS[answer])
            elif self._order.drop(peer_id):
                error = NotFound(cause=Cause.PEER_UNKNOWN)
                self._failures.append(HolderFailure.of(peer_id, error))

    # Calling them -------------------------------------------------------------------------

    async def _call_all(
        self, mod_id: bytes, reading: Reading, tasks: TaskOwner, opened: asyncio.Queue[Link | None]
    ) -> None:
        """Call the holders in their order; `opened` gets the links, and None at the end."""
        gate = asyncio.Semaphore(limits.CONNECTING)
        places = asyncio.Semaphore(limits.PROVIDERS_TRIED)
        calls: list[asyncio.Task[None]] = []
        try:
            self._start_filters(mod_id, tasks)
            while True:
                await places.acquire()
                await gate.acquire()
                peer_id = self._order.take()
                if peer_id is not None:
                    call = self._connect(peer_id, gate, places, opened)
                    calls.append(tasks.start(call, name=peer_id_text(peer_id)))
                    continue
                gate.release()
                places.release()
                if not await self._read_on(mod_id, reading):
                    break
                self._start_filters(mod_id, tasks)
            await asyncio.gather(*calls)
        finally:
            opened.put_nowait(None)

    def _start_filters(self, mod_id: bytes, tasks: TaskOwner) -> None:
        if len(self._order) > limits.CONNECTING:
            for _ in range(limits.FILTERS_ASKED):
                tasks.start(self._ask_filters(mod_id), name="ask filters of holders")

    async def _connect(
        self,
        peer_id: PeerId,
        gate: asyncio.Semaphore,
        places: asyncio.Semaphore,
        opened: asyncio.Queue[Link | None],
    ) -> None:
        """Call one holder. Its turn in `gate` is over once it is slow, its place once it ends."""
        started = self._loop.time()
        try:
            async with _turn(gate):
                link = await self._pool.connect(peer_id)
        except ModswarmError as error:
            self._failures.append(HolderFailure.of(peer_id, error))
            return
        finally:
            places.release()
        self._note(link, peer_id, started)
        opened.put_nowait(link)

    def _note(self, link: Link, peer_id: PeerId, started: float) -> None:
        if not self.stats.sources:
            self.stats.linked_at = self._loop.time()
            self.stats.connect_ms = (self.stats.linked_at - started) * 1000
        self.stats.sources.append(peer_id)
        for registrar in link.signaled_via:
            if registrar not in self.stats.signaled_via:
                self.stats.signaled_via.append(registrar)


@contextlib.asynccontextmanager
async def _turn(gate: asyncio.Semaphore) -> AsyncIterator[None]:
    """A turn that was acquired of those at once; one that is slow to link gives it up early."""
    holds = True

    def give_up() -> None:
        nonlocal holds
        if holds:
            holds = False
            gate.release()

    timer = asyncio.get_running_loop().call_later(limits.CONNECTING_SLOW_S, give_up)
    try:
        yield
    finally:
        timer.cancel()
        give_up()
