"""The vault as the event loop sees it: the store behind one thread of its own.

The store's calls block on the disk, and SQLite and the pack files need one thread: each call here
is one job for that thread, so jobs carry many chunks. The owner's jobs run in the order of calling,
before those of peers.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from node.content.vault.index import ScrubState
from node.content.vault.jobs import OWNER, VaultJobs
from node.content.vault.peer_reads import PeerReads
from node.content.vault.store import Blob, Recalled, Store
from node.content.vault.stored_mod import KeptMod, LineageChunk, StoredMod
from node.content.vault.tables.vault_tables import TableChange, VaultTables
from protocol.content.manifests.manifest import Manifest
from protocol.errors import DiskError

_log = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


Measure = Callable[[Callable[[], Any]], Any]
"""Does a job within the vault's thread, and measures it: `BackgroundPacer.measured`."""


def at_once(job: Callable[[], Any]) -> Any:
    """A Measure for what a person waits for."""
    return job()


class Vault:
    """The node's sealed bytes and mods. Open with `Vault.open`, and close."""

    def __init__(self, folder: Path, wall: Callable[[], float]) -> None:
        self.folder = folder
        self._jobs = VaultJobs(folder)
        self._wall = wall
        self._store: Store
        self._holds = 0
        self._collect_later = False
        self._littered_at: float | None = None
        self._watchers: dict[Callable[[], None], None] = {}

    @classmethod
    async def open(cls, folder: Path, wall: Callable[[], float] = time.time) -> "Vault":
        """The vault in `folder`, made if there is none; raises HomeError, DiskError.

        `wall` gives seconds since 1970, by which it knows what was used last.
        """
        vault = cls(folder, wall)
        opened: list[Store] = []
        try:
            await vault._run(lambda: opened.append(Store(folder)))
        except BaseException:
            # A cancelled job goes on in its thread, and may have opened the store after all.
            for close in await vault._run(lambda: [store.close for store in opened]):
                await vault._run(close)
            vault._jobs.shut_down()
            raise
        (vault._store,) = opened
        return vault

    async def close(self) -> None:
        """Finish what is under way and close; nothing may be called afterwards."""
        await self._run(self._store.close)
        self._jobs.shut_down()

    async def put(self, blobs: Sequence[Blob], measured: Measure = at_once) -> list[bytes]:
        """Store the blobs; return the addresses of blobs with other bytes, which are not stored.

        All stored blobs survive a crash once this returns. Raises DiskError.
        """
        wrong: list[bytes] = await self._run(measured, partial(self._store.put, blobs))
        self._tell_watchers()
        return wrong

    async def get(self, address: bytes) -> bytes | None:
        """The bytes of an address; None if the vault lacks them."""
        return await self._run(self._store.get, address)

    async def get_many(self, addresses: Sequence[bytes]) -> list[bytes | None]:
        """`get` for each of them, in one job."""
        return await self._run(self._store.get_many, addresses)

    async def add_mod(self, mod: StoredMod, manifest: Manifest, *changes: TableChange) -> None:
        """Record a mod and keep its manifest; its chunks may come later. Raises DiskError.

        `changes` are made with that, or none of it is.
        """
        await self._run(self._store.add_mod, mod, manifest.data, manifest.addresses, *changes)

    async def remove_mod(self, mod_id: bytes) -> bool:
        """Forget a mod and what only it needed; whether it was there. Raises DiskError.

        It is gone also if its room cannot be had back at once.
        """
        removed = await self._run(self._store.remove_mod, mod_id)
        if removed:
            await self.collect()
        return removed

    async def mod(self, mod_id: bytes) -> StoredMod | None:
        """A mod by its id."""
        return await self._run(self._store.mod, mod_id)

    async def mods(self) -> list[StoredMod]:
        """Every mod, complete or not, in the order of adding."""
        return await self._run(self._store.mods)

    async def missing(self, mod_id: bytes) -> list[int]:
        """The numbers of a mod's chunks that the vault lacks."""
        return await self._run(self._store.missing, mod_id)

    async def incomplete(self) -> frozenset[bytes]:
        """The ids of the mods of which the vault lacks a chunk."""
        return await self._run(self._store.incomplete)

    async def served(self) -> dict[bytes, bool]:
        """The ids of the mods of which something can be served, and whether that is all of it."""
        return await self._run(self._store.served)

    def read_by(self, peer: str) -> PeerReads:
        """What a peer with this name reads."""
        return PeerReads(self._store, self._jobs, peer, self._wall)

    async def get_chunks(self, mod_id: bytes, chunks: Sequence[int]) -> list[bytes | None] | None:
        """A mod's chunks by number; None for each that is missing, and for an unknown mod."""
        return await self._run(self._store.get_chunks, mod_id, chunks)

    async def known_chunks(
        self, lineage: int, plaintext_hashes: Sequence[bytes]
    ) -> dict[bytes, LineageChunk]:
        """Which of these plaintexts the lineage has sealed before, and still has."""
        return await self._run(self._store.known_chunks, lineage, plaintext_hashes)

    async def put_sealed(self, lineage: int, sealed: Sequence[tuple[LineageChunk, bytes]]) -> int:
        """Store chunks that a lineage just sealed; return the bytes that are new to the vault."""
        return await self._run(self._store.put_sealed, lineage, sealed)

    # Keeping

    def using(self, mod_id: bytes) -> contextlib.AbstractContextManager[None]:
        """While inside, the mod is in use and so not evicted; to be entered before it is read."""
        return self._store.uses.using(mod_id)

    def hold(self, mods: Collection[bytes]) -> bool:
        """These are in use as well from now on; whether others were so until now."""
        return self._store.uses.hold(mods)

    async def cut_short(self) -> frozenset[bytes]:
        """The ids of mods of which a download ended before all was here, less than a day ago."""
        return await self._run(self._store.cut_short, self._wall())

    async def fetched(self, mod_id: bytes) -> None:
        """A download that a person asked for has ended, with all of the mod or some of it."""
        await self._run(self._store.fetched, mod_id, self._wall())

    async def pin(self, mod_id: bytes, *, pinned: bool) -> bool:
        """Pin a mod, or let it be evicted; whether it is here. Raises DiskError."""
        return await self._run(partial(self._store.pin, mod_id, pinned=pinned))

    async def kept(self) -> list[KeptMod]:
        """Every mod as eviction sees it, in the order of adding."""
        return await self._run(self._store.kept, asyncio.get_running_loop().time())

    async def taken(self, number: int, first: int) -> dict[frozenset[int], int]:
        """What USAGE_CHUNKS of a mod's chunks take from `first` on, by which others need them."""
        return await self._run(self._store.taken, number, first)

    async def evict(self, mod: KeptMod) -> bool:
        """Forget a mod unless it is in use, pinned, followed or used since; then `collect`."""
        return await self._run(self._store.evict, mod, asyncio.get_running_loop().time())

    async def recall(self, ask: Callable[[VaultTables], Recalled]) -> Recalled:
        """What the tables say; `ask` is called in the vault's thread."""
        return await self._run(self._store.recall, ask)

    async def record(self, change: Callable[[VaultTables], Recalled]) -> Recalled:
        """Change the tables: all of it, or nothing; once this returns it survives a crash.

        `change` is called in the vault's thread. Raises DiskError.
        """
        return await self._run(self._store.record, change)

    async def scrub(self, measured: Measure = at_once) -> ScrubState:
        """Check the next megabytes of all; returns how far that is. Raises DiskError."""
        state: ScrubState = await self._run(measured, self._store.scrubbing.step)
        return state

    async def checked_s(self) -> float | None:
        """How long ago all was last checked; None if never."""
        last = await self._run(self._store.scrubbing.last)
        return None if last is None else abs(self._wall() - last)

    async def all_checked(self) -> None:
        """All was checked by `scrub`. Raises DiskError."""
        await self._run(self._store.scrubbing.note, self._wall())

    @property
    def is_in_use(self) -> bool:
        """Whether some mod is being fetched, written or served."""
        return bool(self._store.uses.active(asyncio.get_running_loop().time()))

    async def damaged(self) -> list[bytes]:
        """The ids of mods that were whole and have lost something."""
        return await self._run(self._store.damaged)

    async def repaired(self, mod_id: bytes) -> None:
        """A mod is whole again. Raises DiskError."""
        await self._run(self._store.repaired, mod_id)

    @property
    def is_holding(self) -> bool:
        """Whether nothing is collected for now."""
        return self._holds > 0

    @contextlib.contextmanager
    def watched_by(self, watcher: Callable[[], None]) -> Iterator[None]:
        """While inside, `watcher` is called on the event loop after chunks were stored."""
        self._watchers[watcher] = None
        try:
            yield
        finally:
            del self._watchers[watcher]

    @contextlib.asynccontextmanager
    async def holding(self) -> AsyncIterator[None]:
        """While inside, nothing is collected: chunks are being stored that no mod needs yet."""
        self._holds += 1
        try:
            yield
        except BaseException:
            self.litter()
            raise
        finally:
            self._holds -= 1
            if self._collect_later:
                await self.collect()

    def litter(self) -> None:
        """Chunks were stored that perhaps no mod needs, and that no `collect` of mods finds."""
        self._littered_at = asyncio.get_running_loop().time()

    @property
    def littered_s(self) -> float | None:
        """For how long there has been `litter` since the last one came; None if there is none."""
        at = self._littered_at
        return None if at is None else asyncio.get_running_loop().time() - at

    async def pack_bytes(self) -> int:
        """What the packs take, with what no mod needs."""
        return await self._run(self._store.compaction.pack_bytes)

    async def collect(
        self, *, thoroughly: bool = False, gone: Sequence[bytes] | None = None
    ) -> int:
        """Free the room of what no mod needs, once no `holding` is left; returns the bytes.

        Packs keep some of it, `thoroughly` less. `gone`: the mods that are not here any more since
        the last time, if it is known that nothing else became unneeded.

        Where the disk does not allow it, that is for the next time.
        """
        self._collect_later = self._holds > 0
        if self._collect_later:
            return 0
        before, littered_at = await self.pack_bytes(), self._littered_at
        try:
            await self._run(self._store.compaction.collect, gone)
            if gone is None and self._littered_at == littered_at:
                self._littered_at = None
            while await self._run(partial(self._store.compaction.compact, thoroughly=thoroughly)):
                pass  # one pack a job, so that other jobs get their turn
        except DiskError as error:
            _log.warning("what no mod needs keeps its room for now: %s", error)
        return max(0, before - await self.pack_bytes())

    def _tell_watchers(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    async def _run(
        self,
        job: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **keywords: _Arguments.kwargs,
    ) -> _Result:
        return await self._jobs.run(OWNER, partial(job, *arguments, **keywords))
