"""Fetches popular mods that few others have, and keeps them for others: ciphertext, no key.

Opt-in by a budget of bytes. What makes a mod popular is said in `protocol/content/popularity`. It
is fetched over direct links alone, from peers outside the networks that asked for it, so that who
asks cannot be who gives. A person lists, drops and refuses what is kept.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from node.content.caching.room import CacheRoom, Wanted
from node.content.download.downloader import ChunkTaker
from node.content.opened_mods import OpenedMod
from node.content.vault.stored_mod import KeptMod
from node.content.vault.vault import Vault
from node.tasks import TaskOwner
from protocol import limits
from protocol.content.popularity import Popularity
from protocol.errors import DiskError, ModswarmError, NotFound
from protocol.identity import base32_text
from protocol.places.tenure import RELAYED

_log = logging.getLogger(__name__)

_DAY_S = 86_400

FetchOutside = Callable[[bytes, frozenset[bytes], ChunkTaker], Awaitable[None]]
"""Fetches a mod over direct links to peers that are in none of these networks, into the vault."""

CountComplete = Callable[[bytes], Awaitable[int]]
"""How many peers say that they have all of a mod."""

Changed = Callable[[], Awaitable[None]]
"""Called after the cache has lost or got mods."""


@dataclass(frozen=True, slots=True)
class CachedMod:
    """A mod in the cache, and how many networks asked for it lately."""

    mod: KeptMod
    askers: int
    complete: bool


@dataclass(frozen=True, slots=True)
class CacheState:
    """What the cache has, may have, and never takes."""

    budget: int
    mods: tuple[CachedMod, ...]
    refused: tuple[bytes, ...]


class Caching:
    """The cache of one vault; off with a `budget` of 0. `start` before use, and `close`.

    `wall` gives seconds since 1970.
    """

    def __init__(
        self,
        vault: Vault,
        budget: int,
        fetch: FetchOutside,
        complete: CountComplete,
        changed: Changed,
        wall: Callable[[], float],
    ) -> None:
        self._vault = vault
        self._fetch = fetch
        self._complete = complete
        self._changed = changed
        self._wall = wall
        self._popularity = Popularity()
        self._refused: set[bytes] = set()
        self._room = CacheRoom(vault, budget, self._askers)
        self._rests: dict[bytes, float] = {}
        """Until when popular mods are left alone."""
        self._news = False
        """Whether asks were counted that the vault does not know."""
        self._fetching: tuple[bytes, asyncio.Task[None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskOwner("caching")

    @property
    def defects(self) -> list[BaseException]:
        """What its tasks raised that no peer, network or disk can be blamed for."""
        return self._tasks.defects

    @property
    def is_on(self) -> bool:
        """Whether a person gave it room."""
        return self._room.budget > 0

    async def start(self) -> None:
        """Know what was counted before, and look for popular mods from time to time."""
        asks = await self._vault.recall(lambda kept: kept.cache.asks())
        refused = await self._vault.recall(lambda kept: kept.cache.refused())
        self._popularity = Popularity(asks)
        self._refused = set(refused)
        self._tasks.start(self._run(), name="cache popular mods")

    async def close(self) -> None:
        """Fetch nothing any more; what was counted is kept."""
        await self._tasks.close()
        try:
            await self._keep_asks()
        except DiskError as error:
            _log.warning("who asked for which mods lately is not kept: %s", error)

    def asked(self, network: bytes, mod_id: bytes) -> None:
        """A peer asks for a mod over a link from this network, RELAYED if that is not known."""
        if self.is_on and network != RELAYED and mod_id not in self._refused:
            self._news |= self._popularity.asked(network, mod_id, self._day)

    # What a person says -------------------------------------------------------------------

    async def state(self) -> CacheState:
        """What the cache has, may have, and never takes."""
        incomplete = await self._vault.incomplete()
        mods = tuple(
            CachedMod(mod, self._askers(mod.mod_id), mod.mod_id not in incomplete)
            for mod in await self._room.mods()
        )
        return CacheState(self._room.budget, mods, tuple(sorted(self._refused)))

    async def drop(self, mod_id: bytes) -> bool:
        """Forget a mod of the cache and who asked for it; whether it was in the cache.

        It may come again if it is asked for as much again. Raises DiskError.
        """
        self._popularity.forget(mod_id)
        self._news = True
        if self._fetching is not None and self._fetching[0] == mod_id:
            task = self._fetching[1]
            task.cancel()
            await asyncio.wait([task])
        stored = await self._vault.mod(mod_id)
        if stored is None or stored.content_key is not None:
            return False
        await self._vault.remove_mod(mod_id)
        await self._changed()
        return True

    async def refuse(self, mod_id: bytes) -> bool:
        """Never take a mod into the cache; whether it was there. Raises DiskError."""
        await self._vault.record(lambda kept: kept.cache.refuse(mod_id, refused=True))
        self._refused.add(mod_id)
        return await self.drop(mod_id)

    async def allow(self, mod_id: bytes) -> bool:
        """Refuse a mod no more; whether it was refused. Raises DiskError."""
        await self._vault.record(lambda kept: kept.cache.refuse(mod_id, refused=False))
        was_refused = mod_id in self._refused
        self._refused.discard(mod_id)
        return was_refused

    # The work -----------------------------------------------------------------------------

    @property
    def _day(self) -> int:
        return int(self._wall() // _DAY_S)

    def _askers(self, mod_id: bytes) -> int:
        return len(self._popularity.askers(mod_id, self._day))

    async def _run(self) -> None:
        while True:
            try:
                if await self._room.keep_within():
                    await self._changed()
                if not self.is_on:
                    return
                await self._keep_asks()
                await self._look()
            except DiskError as error:
                _log.warning("nothing is cached for now: %s", error)
            await asyncio.sleep(limits.CACHE_CHECK_S)

    async def _keep_asks(self) -> None:
        if self._news:
            self._news = False
            asks = tuple(self._popularity)
            await self._vault.record(lambda kept: kept.cache.keep_asks(asks))

    async def _look(self) -> None:
        """Fetch some of the popular mods that need it, one after another."""
        for mod_id in await self._candidates():
            self._rests[mod_id] = self._loop.time() + limits.CACHE_AGAIN_S
            task = self._tasks.start(self._try(mod_id), name=f"cache {base32_text(mod_id)[:12]}")
            self._fetching = mod_id, task
            try:
                await asyncio.wait([task])
            finally:
                self._fetching = None
            if not task.cancelled() and isinstance(error := task.exception(), DiskError):
                raise error
            await self._changed()

    async def _candidates(self) -> Sequence[bytes]:
        """The next to try, the most popular first."""
        now = self._loop.time()
        self._rests = {mod_id: until for mod_id, until in self._rests.items() if until > now}
        incomplete = await self._vault.incomplete()
        here = {
            mod.mod_id
            for mod in await self._vault.mods()
            if mod.content_key is not None or mod.mod_id not in incomplete
        }
        skipped = here | self._refused | self._rests.keys()
        popular = self._popularity.popular(self._day)
        return [mod_id for mod_id in popular if mod_id not in skipped][: limits.CACHE_TRIES]

    async def _try(self, mod_id: bytes) -> None:
        """Fetch a mod if it has few complete holders, and one to come from; raises DiskError."""
        try:
            async with asyncio.timeout(limits.CACHE_FETCH_S):
                if await self._complete(mod_id) >= limits.CACHE_SOURCES:
                    return
                askers = self._popularity.askers(mod_id, self._day)
                with self._vault.using(mod_id):
                    await self._fetch(mod_id, askers, _Taker(self._room, mod_id, len(askers)))
                _log.info("%s is cached: %d networks want it", base32_text(mod_id), len(askers))
        except DiskError:
            raise
        except (ModswarmError, TimeoutError) as error:
            _log.info("%s is not cached: %s", base32_text(mod_id), error)


class _Taker:
    """Takes a mod into the cache if there is room for it: a ChunkTaker."""

    def __init__(self, room: CacheRoom, mod_id: bytes, askers: int) -> None:
        self._room = room
        self._mod_id = mod_id
        self._askers = askers

    async def accept(self, opened: OpenedMod) -> None:
        """Make room for it; raises TooLarge, NotFound, DiskError."""
        if opened.contents is not None:
            raise NotFound("a person has it by now")
        size = opened.manifest.sealed_bytes + len(opened.manifest.data)
        await self._room.make(Wanted(self._mod_id, size, self._askers))

    def take(self, chunks: Sequence[tuple[int, bytes]]) -> None:
        """They are in the vault."""
