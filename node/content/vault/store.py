"""The vault without its thread: sealed bytes by address, in packs, known to the index.

Bytes that do not hash to their address are neither taken nor given out. A blob is first flushed to
a pack and only then recorded, so that a crash at any moment loses at most what was not
acknowledged. Every call blocks; `vault.Vault` runs them in a thread.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.content.vault.index import Index
from node.content.vault.packs import PackPlace, Packs
from node.content.vault.stored_mod import LineageChunk, StoredMod
from node.files import writing
from protocol.content import sealing
from protocol.errors import DiskError, HomeError

_log = logging.getLogger(__name__)

Blob = tuple[bytes, bytes]
"""An address, and the bytes that should hash to it."""

_WORTH_KEEPING = 0.5
"""A pack of which less than this is needed is written anew."""


@dataclass(frozen=True, slots=True)
class Held:
    """What can be served of a mod: the length of its manifest, and the chunks that are missing."""

    manifest_bytes: int
    chunks: int
    missing: tuple[int, ...]


class Store:
    """The content of one vault folder. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        """Open or create; raises HomeError if it is in use or damaged, DiskError."""
        self._folder = folder
        with writing(folder):
            packs = folder / "packs"
            packs.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name != "nt":
                folder.chmod(0o700)  # the index holds the secrets of lineages
        try:
            self._index = Index(folder / "index.sqlite")
        except sqlite3.Error as error:
            raise HomeError(f"the vault {folder} cannot be opened: {error}") from error
        self._packs = Packs(packs)
        with writing(folder):
            self._recover()

    def _recover(self) -> None:
        """Believe the disk where it and the index differ."""
        known = self._index.packs()
        with self._index.transaction():
            for pack, (end, _) in known.items():
                size = self._packs.size(pack)
                if size < end:
                    lost = self._index.forget_beyond(pack, size)
                    _log.warning("pack %d ends early: %d chunks are lost", pack, lost)
        self._packs.start({pack: end for pack, (end, _) in self._index.packs().items()})

    def close(self) -> None:
        """Close every file."""
        self._packs.close()
        self._index.close()

    # Bytes

    def put(self, blobs: Sequence[Blob]) -> list[bytes]:
        """Store the blobs; return the addresses of blobs with other bytes, which are not stored.

        All stored blobs survive a crash once this returns. Raises DiskError.
        """
        wrong: list[bytes] = []
        new: dict[bytes, bytes] = {}
        for address, data in blobs:
            if sealing.address_of(data) != address:
                wrong.append(address)
            elif address not in new and self._index.place(address) is None:
                new[address] = data
        with writing(self._folder):
            self._append(new)
        return wrong

    def _append(self, blobs: dict[bytes, bytes]) -> None:
        if not blobs:
            return
        places = self._packs.append(tuple(blobs.values()))
        try:
            with self._index.transaction():
                self._index.record(zip(blobs, places, strict=True))
        except sqlite3.Error:
            self._packs.take_back(places)
            raise

    def get(self, address: bytes) -> bytes | None:
        """The bytes of an address; None if they are missing or damaged."""
        place = self._index.place(address)
        if place is None:
            return None
        try:
            data = self._packs.read(place)
        except OSError as error:
            _log.warning("the vault cannot read %s: %s", address.hex(), error)
            data = b""
        if sealing.address_of(data) == address:
            return data
        _log.warning("the vault's copy of %s is damaged", address.hex())
        with contextlib.suppress(sqlite3.Error), self._index.transaction():
            self._index.forget([address])  # a read-only disk must not stop us from reading on
        return None

    def get_part(self, address: bytes, offset: int, length: int) -> bytes | None:
        """Some of the bytes of an address; that all are right is checked with the first part."""
        if offset == 0 and self.get(address) is None:
            return None
        place = self._index.place(address)
        if place is None or not 0 <= offset < place.length:
            return None
        length = min(length, place.length - offset)
        return self._packs.read(PackPlace(place.pack, place.offset + offset, length))

    def get_many(self, addresses: Iterable[bytes]) -> list[bytes | None]:
        """`get` for each of them."""
        return [self.get(address) for address in addresses]

    # Mods

    def add_mod(self, mod: StoredMod, manifest: bytes, addresses: Sequence[bytes]) -> None:
        """Record a mod and keep its manifest; its chunks may come later. Raises DiskError."""
        if self.put([(mod.mod_id, manifest)]):
            raise ValueError("the manifest does not hash to the mod id")
        with writing(self._folder), self._index.transaction():
            self._index.add_mod(mod, addresses)

    def remove_mod(self, mod_id: bytes) -> bool:
        """Forget a mod; its chunks go with the next `collect`."""
        with writing(self._folder), self._index.transaction():
            return self._index.remove_mod(mod_id)

    def mod(self, mod_id: bytes) -> StoredMod | None:
        """A mod by its id."""
        return self._index.mod(mod_id)

    def mods(self) -> list[StoredMod]:
        """Every mod, in the order of adding."""
        return self._index.mods()

    def missing(self, mod_id: bytes) -> list[int]:
        """The numbers of a mod's chunks that the vault lacks."""
        return self._index.missing(mod_id)

    def held(self, mod_id: bytes) -> Held | None:
        """What can be served of a mod; None if nothing can."""
        mod, manifest = self._index.mod(mod_id), self._index.place(mod_id)
        if mod is None or manifest is None:
            return None
        return Held(manifest.length, mod.chunks, tuple(self._index.missing(mod_id)))

    def get_chunks(self, mod_id: bytes, chunks: Iterable[int]) -> list[bytes | None] | None:
        """A mod's chunks by number; None for each that is missing, and for an unknown mod."""
        addresses = self._index.chunk_addresses(mod_id, chunks)
        if addresses is None:
            return None
        return [None if address is None else self.get(address) for address in addresses]

    # Lineages

    def lineage(self, name: str, new_secret: bytes) -> tuple[int, bytes]:
        """The number and secret of a name's lineage; it begins with `new_secret` if it is new."""
        with writing(self._folder), self._index.transaction():
            known = self._index.lineage(name)
            return known or (self._index.add_lineage(name, new_secret), new_secret)

    def known_chunks(self, lineage: int, hashes: Sequence[bytes]) -> dict[bytes, LineageChunk]:
        """Which of these plaintexts (by SHA-256) the lineage has sealed before, and still has."""
        return self._index.known_chunks(lineage, hashes)

    def put_sealed(self, lineage: int, sealed: Sequence[tuple[LineageChunk, bytes]]) -> int:
        """Store chunks that a lineage just sealed; return the bytes that are new to the vault.

        Raises DiskError.
        """
        new_bytes = sum(
            len(data) for chunk, data in sealed if self._index.place(chunk.address) is None
        )
        if self.put([(chunk.address, data) for chunk, data in sealed]):
            raise DiskError("this machine's memory or processor is faulty: a hash came out wrong")
        with writing(self._folder), self._index.transaction():
            self._index.remember_chunks(lineage, (chunk for chunk, _ in sealed))
        return new_bytes

    # Room

    def collect(self) -> int:
        """Forget what no mod needs; return how many addresses that were. Then call `compact`."""
        with writing(self._folder), self._index.transaction():
            return self._index.forget_unneeded()

    def compact(self) -> bool:
        """Give back the room of one pack that is mostly unneeded; whether there was one."""
        with writing(self._folder):
            known = self._index.packs()
            for pack in self._packs.numbers():
                _, needed = known.get(pack, (0, 0))
                if needed >= self._packs.size(pack) * _WORTH_KEEPING:
                    continue
                self._rewrite(pack)
                return True
        return False

    def _rewrite(self, pack: int) -> None:
        """Move what is needed of a pack to the newest one, then delete it."""
        if pack == self._packs.current:
            self._packs.roll()
        moved: dict[bytes, bytes] = {}
        for address, place in self._index.in_pack(pack):
            data = self._read_whole(address, place)
            if data is not None:
                moved[address] = data
        self._append(moved)
        with self._index.transaction():
            self._index.forget(address for address, _ in self._index.in_pack(pack))
        self._packs.remove(pack)

    def _read_whole(self, address: bytes, place: PackPlace) -> bytes | None:
        data = self._packs.read(place)
        return data if sealing.address_of(data) == address else None
