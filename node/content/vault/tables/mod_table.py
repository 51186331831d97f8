"""The mods that a vault knows, and which chunks each of them has."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from node.content.vault.database import Database
from node.content.vault.stored_mod import KeptMod, StoredMod

_MOD_COLUMNS = (
    "mod_id, content_key, name, version, files, bytes, sealed_bytes, chunks, published, added,"
    " lineage, patch_of"
)
_DAMAGE = (
    "UPDATE mods SET damaged = 1 WHERE damaged = 0 AND (mod_id = ? OR number IN"
    " (SELECT number FROM mod_chunks WHERE address = ?))"
    " AND NOT EXISTS (SELECT 1 FROM mod_chunks LEFT JOIN blobs USING (address)"
    " WHERE mod_chunks.number = mods.number AND pack IS NULL)"
)
_TAKEN = (
    "SELECT others, SUM(length) FROM (SELECT length, ("
    "SELECT group_concat(number) FROM mod_chunks AS other"
    " WHERE other.address = own.address AND other.number <> own.number) AS others"
    " FROM mod_chunks AS own JOIN blobs USING (address)"
    " WHERE own.number = ? AND chunk >= ? AND chunk < ?) GROUP BY others"
)
_BY_PERSON = 2
"""In `pinned`, by a person's word. 1: as it was made here; of what was fetched by a person as well,
in vaults of before."""
_IS_FOLLOWED = (
    "(patch_of IS NULL AND content_key IS NOT NULL"
    " AND EXISTS (SELECT 1 FROM follows WHERE follows.lineage = mods.lineage))"
)
"""So what a follow holds ends with it, and a person's pin is another thing. Older versions are
removed before they are many (`keep_newest`)."""
_TAKEN_BY_MANIFEST = "SELECT NULL, length FROM mods JOIN blobs ON address = mod_id WHERE number = ?"


class ModTable:
    """The tables `mods` and `mod_chunks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, mod: StoredMod, addresses: Sequence[bytes]) -> None:
        """Record a mod and its chunks; of a known one the details, if this knows them."""
        known = self._number(mod.mod_id)
        if known is not None:
            if mod.content_key is None:
                return
            self._database.change(
                "UPDATE mods SET content_key = ?, name = ?, version = ?, files = ?, bytes = ?,"
                " patch_of = ?, published = MAX(published, ?), pinned = MAX(pinned, ?)"
                " WHERE number = ?",
                (
                    *(mod.content_key, mod.name, mod.version, mod.files, mod.bytes),
                    *(mod.patch_of, mod.published, mod.published, known),
                ),
            )
            return
        cursor = self._database.change(
            f"INSERT INTO mods ({_MOD_COLUMNS}, used, pinned)"  # noqa: S608  (a constant)
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(mod.mod_id, mod.content_key, mod.name, mod.version, mod.files, mod.bytes),
                *(mod.sealed_bytes, mod.chunks, mod.published, mod.added),
                *(mod.lineage_key, mod.patch_of, mod.added, mod.published),
            ),
        )
        number = cursor.lastrowid
        self._database.change_many(
            "INSERT INTO mod_chunks VALUES (?, ?, ?)",
            ((number, chunk, address) for chunk, address in enumerate(addresses)),
        )

    def remove(self, mod_id: bytes) -> bool:
        """Forget a mod; whether it was there. Its chunks are `unneeded` then."""
        return self._database.change("DELETE FROM mods WHERE mod_id = ?", (mod_id,)).rowcount > 0

    def patches_to(self, lineage_key: bytes, version: int) -> list[bytes]:
        """The ids of the patches that lead to a version."""
        rows = self._database.all(
            "SELECT mod_id FROM mods WHERE lineage = ? AND version = ? AND patch_of IS NOT NULL",
            *(lineage_key, version),
        )
        return [mod_id for (mod_id,) in rows]

    def get(self, mod_id: bytes) -> StoredMod | None:
        """A mod by its id."""
        row = self._database.one(f"SELECT {_MOD_COLUMNS} FROM mods WHERE mod_id = ?", mod_id)  # noqa: S608  (a constant)
        return None if row is None else _stored_mod(row)

    def every(self) -> list[StoredMod]:
        """Every mod, in the order of adding."""
        rows = self._database.all(f"SELECT {_MOD_COLUMNS} FROM mods ORDER BY number")  # noqa: S608  (a constant)
        return [_stored_mod(row) for row in rows]

    # What is kept of them

    def kept(self) -> list[KeptMod]:
        """Every mod as eviction sees it, in the order of adding."""
        rows = self._database.all(
            "SELECT number, mod_id, name, sealed_bytes + COALESCE(length, 0), chunks,"  # noqa: S608  (a constant)
            f" used, pinned, content_key IS NULL, {_IS_FOLLOWED}, published"
            " FROM mods LEFT JOIN blobs ON address = mod_id ORDER BY number"
        )
        return [_kept_mod(row) for row in rows]

    def taken(self, number: int, first: int, count: int) -> dict[frozenset[int], int]:
        """What `count` of a mod's chunks take from `first` on, by which other mods need them too.

        From the first on its manifest is among them.
        """
        rows = self._database.all(_TAKEN, number, first, first + count)
        if first == 0:
            rows += self._database.all(_TAKEN_BY_MANIFEST, number)
        taken: Counter[frozenset[int]] = Counter()
        for others, size in rows:
            taken[frozenset(map(int, others.split(",") if others else ()))] += size
        return dict(taken)

    def used(self, mod_id: bytes) -> float | None:
        """When a mod was last used, as far as that was recorded; None for an unknown one."""
        row = self._database.one("SELECT used FROM mods WHERE mod_id = ?", mod_id)
        return None if row is None else row[0]

    def use(self, mod_id: bytes, when: float) -> None:
        """A mod is used."""
        self._database.change("UPDATE mods SET used = ? WHERE mod_id = ?", (when, mod_id))

    def came(self, mod_id: bytes, when: float) -> None:
        """More of a mod was fetched."""
        self._database.change("UPDATE mods SET added = ? WHERE mod_id = ?", (when, mod_id))

    def pin(self, mod_id: bytes, *, pinned: bool) -> bool:
        """Pin a mod by a person's word, or let it be evicted; whether it is there."""
        statement = "UPDATE mods SET pinned = ? WHERE mod_id = ?"
        return self._database.change(statement, (_BY_PERSON * pinned, mod_id)).rowcount > 0

    def evict(self, mod_id: bytes, used: float) -> bool:
        """Forget a mod that is not pinned, followed or used since; whether there was such a one."""
        statement = (
            "DELETE FROM mods WHERE mod_id = ? AND pinned = 0 AND used <= ?"  # noqa: S608  (a constant)
            f" AND NOT {_IS_FOLLOWED}"
        )
        return self._database.change(statement, (mod_id, used)).rowcount > 0

    def damage(self, addresses: Sequence[bytes]) -> None:
        """These will be lost: mark the mods that need them and are whole so far."""
        self._database.change_many(_DAMAGE, ((address, address) for address in addresses))

    def damaged(self) -> list[bytes]:
        """The ids of mods that were whole and have lost something."""
        return [mod_id for (mod_id,) in self._database.all("SELECT mod_id FROM mods WHERE damaged")]

    def repair(self, mod_id: bytes) -> None:
        """A mod is whole again."""
        self._database.change("UPDATE mods SET damaged = 0 WHERE mod_id = ?", (mod_id,))

    # Its chunks

    def missing(self, mod_id: bytes) -> list[int]:
        """The numbers of a mod's chunks that the vault lacks."""
        rows = self._database.all(
            "SELECT chunk FROM mod_chunks LEFT JOIN blobs USING (address)"
            " WHERE number = (SELECT number FROM mods WHERE mod_id = ?) AND pack IS NULL"
            " ORDER BY chunk",
            mod_id,
        )
        return [chunk for (chunk,) in rows]

    def chunks_at(self, address: bytes) -> list[tuple[bytes, int]]:
        """The chunks with this address: their mods' ids, and their numbers there."""
        return self._database.all(
            "SELECT mod_id, chunk FROM mod_chunks JOIN mods USING (number) WHERE address = ?",
            address,
        )

    def chunk_address(self, mod_id: bytes, chunk: int) -> bytes | None:
        """The address of a mod's chunk by number; None if there is no such chunk."""
        query = (
            "SELECT address FROM mod_chunks JOIN mods USING (number) WHERE mod_id = ? AND chunk = ?"
        )
        row = self._database.one(query, mod_id, chunk)
        return None if row is None else row[0]

    def _number(self, mod_id: bytes) -> int | None:
        row = self._database.one("SELECT number FROM mods WHERE mod_id = ?", mod_id)
        return None if row is None else row[0]


def _kept_mod(row: Sequence[Any]) -> KeptMod:
    number, mod_id, name, size, chunks, used, pinned, cached, followed, published = row
    return KeptMod(
        *(number, mod_id, name, size, chunks, used, bool(pinned)),
        is_cached=bool(cached),
        is_followed=bool(followed),
        is_asked_for=pinned == _BY_PERSON or bool(pinned and not published),
    )


def _stored_mod(row: Sequence[Any]) -> StoredMod:
    mod_id, content_key, name, version, files, size, sealed_bytes, chunks, published, *rest = row
    return StoredMod(
        *(mod_id, content_key, name, int(version), files, size, sealed_bytes, chunks),
        bool(published),
        *rest,
    )
