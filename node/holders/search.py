"""From a mod id to links with its holders: providers from the DHT, then a call to each."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from math import inf

from node.content.download.patience import LookUpTime
from node.content.ports import LinkPort
from node.content.progress import ReportProgress, ignore_progress
from node.holders.claims import HolderClaims
from node.holders.failures import HolderFailure, HoldersUnreachable
from node.holders.fellows import Fellows
from node.holders.hints import HolderHints
from node.holders.stats import FetchStats, finding
from node.holders.turn import turn
from node.links.link import Link
from node.links.pool.pool import LinkPool
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from node.tasks import TaskOwner
from protocol import limits
from protocol.causes.cause import Cause
from protocol.content.holders.order import Standing
from protocol.content.holders.places import GaveWay, HolderPlaces
from protocol.errors import LinkFailed, ModswarmError, NotFound
from protocol.identity import PeerId, peer_id_text
from protocol.randomness import Random

_NOTHING_KNOWN = HolderHints()


class HolderSearch:
    """Finds the holders of one mod and links to them, a few at a time; `stats` are its figures.

    It is the SourceWatch of its links: one that turns out useless makes room for the next holder.
    """

    def __init__(
        self,
        overlay: OverlayServer,
        pool: LinkPool,
        rng: Random,
        report: ReportProgress = ignore_progress,
        hints: HolderHints = _NOTHING_KNOWN,
        look_up: LookUpTime | None = None,
    ) -> None:
        """`report` learns how the search goes until the first link is open. Before `look_up` no
        record is read, and none but linked peers are asked, and whom these name.
        """
        self.look_up = look_up or LookUpTime()
        self._hints = hints
        self._report = report
        self._overlay = overlay
        self._pool = pool
        self._rng = rng
        self._places = HolderPlaces()
        self._freed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.stats = FetchStats()
        self._called_by_us: set[PeerId] = set()
        self._give_way: dict[PeerId, Callable[[], None]] = {}
        self._served: set[PeerId] = set()
        """Who sent a chunk that was good: lost, it is called again soon."""
        self._liars: set[PeerId] = set()
        """Who broke a rule, and is not called again."""
        self._rounds = 0
        self._fellows = Fellows(overlay.identity.peer_id)
        self._searching = False
        self._asked_at = -inf
        """When records were read, or before `look_up` all linked peers were asked."""
        self._begin()

    def _begin(self) -> None:
        """Know nothing of holders but of those that serve by now."""
        self._failures: dict[PeerId, HolderFailure] = {}
        self._claims = HolderClaims(
            *(self._overlay, self._pool, self._rng, self._hints),
            *(self._is_free, self._failures),
        )
        self._tasks = TaskOwner("search for holders")
        self._opened: asyncio.Queue[Link | None] = asyncio.Queue()
        self._linked: set[PeerId] = set()
        """Those of whom a link came of this search."""
        self._later: dict[PeerId, float] = {}
        """Who gave way to others, and is called again when they have been; and how long it rests
        while there is no place for one more that serves."""
        self._under_way: dict[PeerId, None] = {}
        """Who is being called."""

    async def links(self, mod_id: bytes, hinted: Iterable[PeerId] = ()) -> AsyncIterator[LinkPort]:
        """Links to holders as they open; those of `hinted` are called while records are looked up.

        Called again it searches anew, but for holders that serve by now; soon after, and served, it
        only calls those that were named since. Before `look_up` these may be none. Raises NotFound,
        Unreachable or ClocksDiffer if no record and no hint names a holder, and HoldersUnreachable
        if no link to one opens.
        """
        is_early = self.is_early
        self._rounds += not is_early
        self._begin()
        reads = not is_early and not self._is_for_fellows()
        if reads:
            self._claims.add_known(mod_id, hinted, by_filters=self._rounds == 1)
        elif is_early and not self._is_for_those_who_came():
            self._asked_at = self._loop.time()
            self._claims.add_linked()
        self._admit_fellows()
        calling = self._tasks.start(self._call_all(mod_id, reads=reads), name="call holders")
        try:
            self._searching = True
            while (link := await self._opened.get()) is not None:
                yield link
            reading = await calling
        finally:
            self._searching = False
            await self._tasks.close()
        if reading is None:
            return
        if not self._claims.named:
            raise reading.why_empty() or NotFound(cause=Cause.MOD_UNKNOWN)
        failures = [one for one in self._failures.values() if one.peer_id in self._claims.named]
        if failures and self._claims.named.isdisjoint(self._linked.union(self._give_way)):
            raise HoldersUnreachable(failures)

    @property
    def is_early(self) -> bool:
        """Whether nothing is looked up yet."""
        return self._loop.time() < self.look_up.at

    # What becomes of the links ------------------------------------------------------------

    def opened(self, peer_id: bytes, give_way: Callable[[], None]) -> None:
        """A download asks this peer, until `give_way` is called."""
        self._give_way[PeerId(peer_id)] = give_way

    def heard(self, peer_id: bytes, size: int) -> None:
        """So many bytes of a manifest or a chunk came of it, good or not."""
        self._places.heard(PeerId(peer_id), size)

    def proved(self, peer_id: bytes, size: int) -> None:
        """A chunk of so many bytes that it sent was what was asked for."""
        self._served.add(PeerId(peer_id))
        self._places.proved(PeerId(peer_id), size, self._loop.time())
        if self._places.has_room:
            self._freed.set()

    def named(self, peer_id: bytes, peers: Sequence[PeerId]) -> None:
        """It says that these hold some of the mod as well."""
        self._fellows.names.name(PeerId(peer_id), peers)
        self._call_fellows()

    def came(self, peer_id: PeerId) -> None:
        """A linked peer asks this node for the mod: it may hold some of it by now."""
        if self._is_free(peer_id):
            self._fellows.came(peer_id)
            self._call_fellows()

    def linked(self, peer_id: PeerId) -> None:
        """A link with a peer has opened, perhaps by its own call: one that served may go on."""
        if peer_id in self._served and not self._searching:
            self.came(peer_id)

    async def until_named(self) -> None:
        """Return once there are peers to be called of which no record tells."""
        await self._fellows.until_due()

    def _call_fellows(self) -> None:
        """They are called in the round under way, or in one of their own."""
        if self._searching:
            self._admit_fellows()
            self._freed.set()
        elif self._fellows.some(wanted=self._fellows_wanted):
            self._fellows.fall_due()

    def _admit_fellows(self) -> None:
        for peer_id in self._fellows.take_those_who_came():
            if self._is_free(peer_id) and self._pool.get(peer_id) is not None:
                self._claims.add(peer_id, Standing.LINKED)
        while self._fellows_wanted > 0 and (named := self._fellows.names.take()) is not None:
            if self._is_free(named):
                self._claims.add(named, Standing.NAMED)
            else:
                self._fellows.names.linked(named)

    @property
    def _fellows_wanted(self) -> int:
        return limits.FELLOWS_CALLED - self._places.taken - len(self._claims.order)

    def _is_for_fellows(self) -> bool:
        """Whether a round is for fellows alone: records were read a moment ago, and some serve."""
        is_recent = self._loop.time() - self._asked_at < limits.SEARCH_SERVED_S[0]
        is_served = bool(self._give_way)
        return is_recent and is_served and self._fellows.some(wanted=self._fellows_wanted)

    def _is_for_those_who_came(self) -> bool:
        """Whether a round is for fellows alone: all linked peers were asked a moment ago."""
        is_recent = self._loop.time() - self._asked_at < limits.SEARCH_AGAIN_S
        return is_recent and self._fellows.some(wanted=self._fellows_wanted)

    def left(self, peer_id: bytes, *, for_good: bool = False) -> bool:
        """The download goes on without it, `for_good` if it broke a rule; whether its link was
        opened for the download alone.
        """
        if for_good:
            self._liars.add(PeerId(peer_id))
        elif peer_id in self._served:
            self._later[PeerId(peer_id)] = self._loop.time()
        self._give_way.pop(PeerId(peer_id), None)
        self._places.leave(PeerId(peer_id))
        self._freed.set()
        self._call_fellows()
        return peer_id in self._called_by_us

    def _is_free(self, peer_id: PeerId) -> bool:
        """Whether a peer may be called: it does not serve by now, and broke no rule."""
        return peer_id not in self._give_way and peer_id not in self._liars

    async def _read(self, mod_id: bytes) -> Reading:
        started = self._asked_at = self._loop.time()
        reading = await self._claims.read(mod_id)
        self.stats.looked_up(self._loop.time() - started, reading.hops)
        self._tell()
        self._claims.start_filters(mod_id, self._tasks)
        return reading

    async def _read_on(self, mod_id: bytes, reading: Reading) -> bool:
        """Read further provider records, once all that were found have been called."""
        is_more = await self._claims.read_more(mod_id, reading)
        self._claims.start_filters(mod_id, self._tasks)
        return is_more

    # Calling them -------------------------------------------------------------------------

    async def _call_all(self, mod_id: bytes, *, reads: bool) -> Reading | None:
        """Call the holders in their order; the queue gets the links, and None at the end.

        Returns what was read of records, if they were.
        """
        gate = asyncio.Semaphore(limits.CONNECTING)
        calls: list[asyncio.Task[None]] = []
        try:
            reading = None
            if reads:
                reading = self._tasks.start(self._read(mod_id), name="read provider records")
            while await self._has_next(mod_id, reading):
                await self._room()
                await gate.acquire()
                peer_id = self._claims.order.take()
                if peer_id is None:
                    gate.release()
                    continue
                self._later.pop(peer_id, None)
                self._places.call(peer_id, self._loop.time())
                call = self._connect(peer_id, gate)
                calls.append(self._tasks.start(call, name=peer_id_text(peer_id)))
            await asyncio.gather(*calls)
            return await reading if reading is not None else None
        finally:
            self._opened.put_nowait(None)

    async def _has_next(self, mod_id: bytes, reading: asyncio.Task[Reading] | None) -> bool:
        """Whether there is a holder to call, after more records were read if need be.

        There may be as long as calls are under way: one that served may be lost meanwhile.
        """
        if reading is not None and not len(self._claims.order):
            await reading
            while not len(self._claims.order) and await self._read_on(mod_id, await reading):
                pass
        while not len(self._claims.order) and (self._later or self._under_way):
            self._call_again()
            if not len(self._claims.order):
                await self._freed_until(min(self._later.values(), default=None))
        return len(self._claims.order) > 0

    def _call_again(self) -> None:
        """Those that gave way have another turn, once they have rested if there is no place."""
        now = self._loop.time()
        for peer_id, rests_until in tuple(self._later.items()):
            if now >= rests_until or not self._places.all_serve:
                del self._later[peer_id]
                if peer_id not in self._under_way:
                    self._claims.order.again(peer_id)

    async def _room(self) -> None:
        """Return once there is a place for one more call, which a useless link may have to give."""
        while not self._places.has_room:
            now = self._loop.time()
            useless = self._places.give_way(now)
            if useless is None:
                await self._freed_until(self._places.gives_way_at(now))
            else:
                self._try_others(useless)

    async def _freed_until(self, when: float | None) -> None:
        """Return once a place may be free, or it is so late."""
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(when):
                await self._freed.wait()

    def _try_others(self, useless: GaveWay) -> None:
        give_way = self._give_way.pop(useless.peer_id, None)
        if give_way is not None:
            give_way()
        self._later.pop(useless.peer_id, None)
        if useless.rest_s is not None:
            self._later[useless.peer_id] = self._loop.time() + useless.rest_s

    async def _connect(self, peer_id: PeerId, gate: asyncio.Semaphore) -> None:
        """Call one holder. Its turn in `gate` is over once it is slow, its place once it fails."""
        started = self._loop.time()
        self._under_way[peer_id] = None
        self._tell()
        if self._pool.get(peer_id) is None:
            self._called_by_us.add(peer_id)
        try:
            async with turn(gate, limits.CONNECTING_SLOW_S), asyncio.timeout(None) as patience:
                self._give_way[peer_id] = lambda: patience.reschedule(self._loop.time())
                link = await self._pool.connect(peer_id, patience_s=self._patience_s(peer_id))
        except TimeoutError:
            self._failed(peer_id, LinkFailed("it took too long, and others were to be called"))
            return
        except ModswarmError as error:
            self._failed(peer_id, error)
            return
        finally:
            del self._under_way[peer_id]
            self._freed.set()
            self._tell()
        self._give_way.pop(peer_id, None)
        self._fellows.names.linked(peer_id)
        self._places.linked(peer_id, self._loop.time())
        self._note(link, peer_id, started)
        self._opened.put_nowait(link)

    def _patience_s(self, peer_id: PeerId) -> float:
        """How long a failed call forbids the next one, at most."""
        if self._rounds == 1:
            return limits.SEARCH_AGAIN_S  # a person asks, who may have started the other node
        return limits.LOST_SOURCE_CALLED_S if peer_id in self._served else inf

    def _failed(self, peer_id: PeerId, error: ModswarmError) -> None:
        """No link came of a call: its place is for another."""
        self._failures[peer_id] = HolderFailure.of(peer_id, error)  # it may be named later on
        self._fellows.names.failed(peer_id)
        self._give_way.pop(peer_id, None)
        self._places.leave(peer_id)
        self._freed.set()
        self._call_fellows()

    def _tell(self) -> None:
        """Say how many holders are known and which are being called."""
        if not self.stats.sources:
            calling = [peer for peer in self._under_way if peer in self._claims.named]
            self._report(finding(self._claims.named, calling))

    def _note(self, link: Link, peer_id: PeerId, started: float) -> None:
        if not self.stats.sources:
            self.stats.linked(started, self._loop.time())
        self._linked.add(peer_id)
        self.stats.sources.append(peer_id)
        for registrar in link.signaled_via:
            if registrar not in self.stats.signaled_via:
                self.stats.signaled_via.append(registrar)
