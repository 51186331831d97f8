"""The vault without its thread: sealed bytes by address, in packs, known to the index.

Bytes that do not hash to their address are neither taken nor given out. A blob is first flushed to
a pack and only then recorded, so that a crash at any moment loses at most what was not
acknowledged. Every call blocks; `vault.Vault` runs them in a thread.
"""

import contextlib
import logging
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TypeVar

from node.content.vault.holdings import Held, Holding, Holdings
from node.content.vault.index import Index
from node.content.vault.packs import PackPlace, Packs, is_intact
from node.content.vault.stored_mod import KeptMod, LineageChunk, StoredMod
from node.content.vault.tables.vault_tables import TableChange, VaultTables
from node.content.vault.upkeep.compaction import Compaction
from node.content.vault.upkeep.parts import StoreParts
from node.content.vault.upkeep.scrubbing import Scrubbing
from node.content.vault.uses import Uses
from node.disk.refusals import free_bytes, make_folders, make_private
from node.disk.reserve import Reserve, kept_free
from node.files import writing
from node.machine.refusals import LOST_VAULT
from protocol import limits
from protocol.content import sealing
from protocol.errors import DiskError, HomeError
from protocol.texts.amounts import size_text

_log = logging.getLogger(__name__)

Blob = tuple[bytes, bytes]
"""An address, and the bytes that should hash to it."""

Recalled = TypeVar("Recalled")
"""What is asked of the tables."""

_Record = Callable[[], None]
"""Records something in the index, within a transaction."""


class Store:
    """The content of one vault folder. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        """Open or create; raises HomeError if it is in use or damaged, DiskError else."""
        self._folder = folder
        with writing(folder):
            packs = folder / "packs"
            make_folders(packs, 0o700)
            make_private(folder, 0o700)  # the index holds the secrets of lineages
            _check_index(folder / "index.sqlite", packs)
        self._reserve = Reserve(folder / "reserve")
        with writing(folder / "index.sqlite", "open the vault's index"):
            self._index = self._reserve.spending(lambda: Index(folder / "index.sqlite"))
        self._packs = Packs(packs)
        self._holdings = Holdings(self._index)
        self.uses = Uses()
        self._used: dict[bytes, float] = {}
        """When mods were last used, as far as it is recorded."""
        parts = StoreParts(folder, self._index, self._packs, self._reserve)
        self.compaction = Compaction(parts, self._forget)
        self.scrubbing = Scrubbing(parts, self._holdings.lost)
        try:
            with writing(folder):
                self._recover()
        except BaseException:
            self.close()
            raise
        self._reserve.refill()

    def _recover(self) -> None:
        """Believe the disk where it and the index differ; write nothing where they do not."""
        for pack, (end, _) in self._index.packs().items():
            size = self._packs.size(pack)
            if size < end:
                lost = self._reserve.spending(partial(self._forget_beyond, pack, size))
                _log.warning("pack %d ends early: %d chunks are lost", pack, lost)
        self._packs.start({pack: end for pack, (end, _) in self._index.packs().items()})

    def _forget_beyond(self, pack: int, size: int) -> int:
        with self._index.transaction():
            return self._index.forget_beyond(pack, size)

    def close(self) -> None:
        """Close every file."""
        self._packs.close()
        self._index.close()
        self._reserve.refill()

    # Bytes

    def put(self, blobs: Sequence[Blob]) -> list[bytes]:
        """Store the blobs; return the addresses of blobs with other bytes, which are not stored.

        All stored blobs survive a crash once this returns. Raises DiskError.
        """
        right = [sealing.address_of(data) == address for address, data in blobs]
        self._put_hashed(compress(blobs, right))
        return [address for (address, _), good in zip(blobs, right, strict=True) if not good]

    def _put_hashed(self, blobs: Iterable[Blob], *records: _Record) -> int:
        """Store blobs whose addresses this process has computed of them; return the new bytes.

        What `records` record is in the same transaction.
        """
        new = {address: data for address, data in blobs if self._index.place(address) is None}
        size = sum(map(len, new.values()))
        if new:
            self._check_room(size)
        with writing(self._folder):
            self._append(new, records)
        return size

    def _check_room(self, size: int) -> None:
        """Raise DiskError if so many bytes would take the last room of the disk."""
        free, kept = free_bytes(self._folder), kept_free(self._folder)
        if free is not None and free < size + kept:
            raise DiskError(
                f"the disk that holds {self._folder} is full: the last {size_text(kept)} of it "
                "are left free"
            )

    def _append(self, blobs: dict[bytes, bytes], records: Sequence[_Record]) -> None:
        if not blobs and not records:
            return
        places = self._packs.append(tuple(blobs.values())) if blobs else []
        try:
            with self._index.transaction():
                self._index.record(zip(blobs, places, strict=True))
                for record in records:
                    record()
        except sqlite3.Error:
            self._packs.take_back(places)
            raise
        self._holdings.stored(blobs)

    def get(self, address: bytes) -> bytes | None:
        """The bytes of an address; None if they are missing or damaged."""
        place = self._index.place(address)
        if place is None:
            return None
        try:
            data = self._packs.read(place)
        except OSError as error:
            # The bytes may be there the next time, as on a disk over the network.
            _log.warning("the vault cannot read %s: %s", address.hex(), error)
            return None
        if is_intact(address, place, data):
            return data
        _log.warning("the vault's copy of %s is damaged", address.hex())
        with contextlib.suppress(sqlite3.Error):  # a read-only disk must not stop us
            self._forget([address])
        return None

    def _forget(self, addresses: Sequence[bytes]) -> None:
        """The bytes of these addresses are lost."""
        with self._index.transaction():
            self._index.forget(addresses)
        self._holdings.lost(addresses)

    def get_many(self, addresses: Iterable[bytes]) -> list[bytes | None]:
        """`get` for each of them."""
        return [self.get(address) for address in addresses]

    # Mods

    def add_mod(
        self, mod: StoredMod, manifest: bytes, addresses: Sequence[bytes], *changes: TableChange
    ) -> None:
        """Record a mod and keep its manifest; its chunks may come later. Raises DiskError."""
        if sealing.address_of(manifest) != mod.mod_id:
            raise ValueError("the manifest does not hash to the mod id")
        add = partial(self._index.mods.add, mod, addresses)
        also = (partial(change, self._index.tables) for change in changes)
        self._put_hashed([(mod.mod_id, manifest)], add, *also)
        self._holdings.forget(mod.mod_id)

    def remove_mod(self, mod_id: bytes) -> bool:
        """Forget a mod and the patches that lead to it, also on a full disk.

        Their chunks go with the next `collect`.
        """
        mod, patches = self._index.mods.get(mod_id), list[bytes]()
        if mod is not None and mod.lineage_key is not None and mod.patch_of is None:
            patches = self._index.mods.patches_to(mod.lineage_key, mod.version)
        for one in (mod_id, *patches):
            self._holdings.forget(one)
        with writing(self._folder):
            return self._reserve.spending(partial(self._remove_mods, mod_id, patches))

    def _remove_mods(self, mod_id: bytes, patches: Iterable[bytes]) -> bool:
        with self._index.transaction():
            for patch in patches:
                self._index.mods.remove(patch)
            return self._index.mods.remove(mod_id)

    def mod(self, mod_id: bytes) -> StoredMod | None:
        """A mod by its id."""
        return self._index.mods.get(mod_id)

    def mods(self) -> list[StoredMod]:
        """Every mod, in the order of adding."""
        return self._index.mods.every()

    def missing(self, mod_id: bytes) -> list[int]:
        """The numbers of a mod's chunks that the vault lacks."""
        holding = self._holdings.of(mod_id)
        return [] if holding is None else holding.missing()

    def incomplete(self) -> frozenset[bytes]:
        """The ids of the mods of which a chunk is missing."""
        return frozenset(mod_id for mod_id, one in self._held() if not (one and one.complete))

    def served(self) -> dict[bytes, bool]:
        """The ids of the mods of which something can be served, and whether that is all of it."""
        return {mod_id: one.complete for mod_id, one in self._held() if one and one.serves}

    def _held(self) -> Iterator[tuple[bytes, Holding | None]]:
        return ((mod.mod_id, self._holdings.of(mod.mod_id)) for mod in self._index.mods.every())

    # Keeping

    def kept(self, now: float) -> list[KeptMod]:
        """Every mod as eviction sees it; `now` is monotonic seconds."""
        in_use = self.uses.in_use(now)
        return [replace(mod, is_in_use=mod.mod_id in in_use) for mod in self._index.mods.kept()]

    def taken(self, number: int, first: int) -> dict[frozenset[int], int]:
        """What USAGE_CHUNKS of a mod's chunks take from `first` on, by which others need them."""
        return self._index.mods.taken(number, first, limits.USAGE_CHUNKS)

    def use(self, mod_id: bytes, wall: float) -> None:
        """A mod is used at `wall`, in seconds since 1970, which is recorded once in a while."""
        recorded = self._used.get(mod_id)
        if recorded is None:
            recorded = self._used[mod_id] = self._index.mods.used(mod_id) or 0.0
        if abs(wall - recorded) < limits.USED_STEP_S:
            return
        with contextlib.suppress(sqlite3.Error), self._index.transaction():
            self._index.mods.use(mod_id, wall)
        self._used[mod_id] = wall

    def pin(self, mod_id: bytes, *, pinned: bool) -> bool:
        """Pin a mod, or let it be evicted; whether it is here. Raises DiskError."""
        with writing(self._folder), self._index.transaction():
            return self._index.mods.pin(mod_id, pinned=pinned)

    def evict(self, mod: KeptMod, now: float) -> bool:
        """Forget a mod unless it is in use, pinned, followed or used since; then `collect`."""
        with writing(self._folder):
            evicted = self._reserve.spending(partial(self._evict, mod, now))
        if evicted:
            self._holdings.forget(mod.mod_id)
            self._used.pop(mod.mod_id, None)
        return evicted

    def fetched(self, mod_id: bytes, wall: float) -> None:
        """A download that a person asked for has ended, with all of the mod or some of it."""
        self.use(mod_id, wall)
        holding = self._holdings.of(mod_id)
        if holding is not None and not holding.complete:
            with contextlib.suppress(sqlite3.Error), self._index.transaction():
                self._index.mods.came(mod_id, wall)

    def cut_short(self, wall: float) -> frozenset[bytes]:
        """The ids of mods with key that lack chunks, and came within CUT_SHORT_KEPT_S of `wall`."""
        lacking = self.incomplete()
        return frozenset(
            mod.mod_id
            for mod in self._index.mods.every()
            if mod.mod_id in lacking
            and mod.content_key is not None
            and abs(wall - mod.added) < limits.CUT_SHORT_KEPT_S
        )

    def damaged(self) -> list[bytes]:
        """The ids of mods that were whole and have lost something."""
        return self._index.mods.damaged()

    def repaired(self, mod_id: bytes) -> None:
        """A mod is whole again. Raises DiskError."""
        with writing(self._folder), self._index.transaction():
            self._index.mods.repair(mod_id)

    def _evict(self, mod: KeptMod, now: float) -> bool:
        with self._index.transaction():
            if mod.mod_id in self.uses.in_use(now):
                return False
            return self._index.mods.evict(mod.mod_id, mod.used)

    # What is remembered besides

    def recall(self, ask: Callable[[VaultTables], Recalled]) -> Recalled:
        """What the tables say."""
        return ask(self._index.tables)

    def record(self, change: Callable[[VaultTables], Recalled]) -> Recalled:
        """Change the tables: all of it, or nothing. Raises DiskError."""
        with writing(self._folder), self._index.transaction():
            return change(self._index.tables)

    # Serving

    def held(self, mod_id: bytes) -> Held | None:
        """What can be served of a mod; None if nothing can."""
        holding = self._holdings.of(mod_id)
        return None if holding is None else holding.held()

    def manifest_part(self, mod_id: bytes, offset: int, length: int, now: float) -> bytes | None:
        """Some of a manifest's bytes; None if the vault lacks them.

        That all are right is checked with the first part, if it was not within MANIFEST_CHECKED_S.
        """
        holding = self._holdings.of(mod_id)
        if holding is None:
            return None
        if offset == 0 and holding.manifest_unchecked(now):
            if self.get(mod_id) is None:
                return None
            holding.checked_manifest(now)
        place = self._index.place(mod_id)
        if place is None or not 0 <= offset < place.length:
            return None
        length = min(length, place.length - offset)
        return self._packs.read(PackPlace(place.pack, place.offset + offset, length))

    def get_chunks(
        self, mod_id: bytes, chunks: Iterable[int], enough_bytes: float = math.inf
    ) -> list[bytes | None] | None:
        """A mod's chunks by number, one at least, until these are `enough_bytes`.

        None for each that is missing, and for an unknown mod.
        """
        holding = self._holdings.of(mod_id)
        if holding is None:
            return None
        found: list[bytes | None] = []
        for chunk in chunks:
            data = self._chunk(mod_id, chunk) if holding.has(chunk) else None
            found.append(data)
            enough_bytes -= len(data or b"")
            if enough_bytes <= 0:
                break
        return found

    def serve_chunks(
        self,
        peer: str,
        mod_id: bytes,
        chunks: Iterable[int],
        enough_bytes: float,
        now: float,
        wall: float,
    ) -> list[bytes | None] | None:
        """`get_chunks` for a peer by its name, for which the mod is in use then."""
        found = self.get_chunks(mod_id, chunks, enough_bytes)
        if found and any(data is not None for data in found):
            self.uses.served(peer, mod_id, now)
            self.use(mod_id, wall)
        return found

    def _chunk(self, mod_id: bytes, chunk: int) -> bytes | None:
        address = self._index.mods.chunk_address(mod_id, chunk)
        return None if address is None else self.get(address)

    # Lineages

    def known_chunks(self, lineage: int, hashes: Sequence[bytes]) -> dict[bytes, LineageChunk]:
        """Which of these (`RawBody.digest`) the lineage has sealed before, and still has."""
        return self._index.lineages.known_chunks(lineage, hashes)

    def put_sealed(self, lineage: int, sealed: Sequence[tuple[LineageChunk, bytes]]) -> int:
        """Store chunks that a lineage just sealed; return the bytes that are new to the vault.

        Sealing has computed their addresses, so they are not hashed again. Raises DiskError.
        """
        chunks = [chunk for chunk, _ in sealed]
        return self._put_hashed(
            ((chunk.address, data) for chunk, data in sealed),
            partial(self._index.lineages.remember, lineage, chunks),
        )


def _check_index(path: Path, packs: Path) -> None:
    """Raise HomeError for packs without an index, which a new one would take for worthless."""
    if path.exists() and path.stat().st_size:
        return
    if any(entry.stat().st_size for entry in packs.iterdir()):
        what = "is empty" if path.exists() else "is missing"
        raise HomeError(
            f"the vault's index {path} {what}, and there are mods in the vault", advice=LOST_VAULT
        )
