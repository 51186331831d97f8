"""The vault's database: the places of blobs in packs, the mods, their chunks, and lineages.

SQLite in WAL mode, with full synchronisation: what a transaction recorded survives a crash at any
moment. One process at a time may have it open.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.content.vault.packs import PackPlace
from node.content.vault.schema import FORMAT_VERSION, migrate
from node.content.vault.stored_mod import LineageChunk, StoredMod
from node.disk.lock import has_locks
from node.disk.refusals import flushes_files
from node.machine.refusals import LOST_VAULT
from protocol.errors import HomeError

_BUSY_TIMEOUT_S = 0.5
_SLICE: Final = 4096
_LITTLE: Final = 128
"""Of what no mod needs so many rows go in a transaction, and where there is little room."""
_LOG_ROOM: Final = bytes(2**19)
"""What the write-ahead log has on the disk from the start: writing over it takes no room."""

_MOD_COLUMNS = (
    "mod_id, content_key, name, version, files, bytes, sealed_bytes, chunks, published, added"
)
_UNNEEDED = (
    "SELECT address FROM blobs WHERE address > ?"
    " AND NOT EXISTS (SELECT 1 FROM mod_chunks WHERE mod_chunks.address = blobs.address)"
    " AND NOT EXISTS (SELECT 1 FROM mods WHERE mods.mod_id = blobs.address)"
    " ORDER BY address LIMIT ?"
)
_SEALED_IN_VAIN = (
    "SELECT lineage, plaintext_hash FROM lineage_chunks WHERE (lineage, plaintext_hash) > (?, ?)"
    " AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.address = lineage_chunks.address)"
    " ORDER BY lineage, plaintext_hash LIMIT ?"
)


class Unneeded(NamedTuple):
    """Some rows that may go, and how many addresses with bytes they are."""

    statement: str
    rows: Sequence[tuple[Any, ...]]
    addresses: int = 0

    def in_parts(self) -> Iterator["Unneeded"]:
        """The same in transactions that fit into little room."""
        for start in range(0, len(self.rows), _LITTLE):
            yield Unneeded(self.statement, self.rows[start : start + _LITTLE])


class Index:
    """The vault's database. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises HomeError, sqlite3.Error."""
        # Without locks SQLite would take every vault for one in use; that of the home holds anyhow.
        name, is_uri = (
            (path, False)
            if has_locks(path.parent)
            else (f"{path.absolute().as_uri()}?vfs=unix-none", True)
        )
        self._database = sqlite3.connect(
            name, timeout=_BUSY_TIMEOUT_S, isolation_level=None, uri=is_uri
        )
        try:
            self._prepare(path)
            self._keep_log_room(path.with_name(f"{path.name}-wal"))
        except BaseException:
            self._database.close()
            raise

    def _prepare(self, path: Path) -> None:
        execute = self._database.execute
        try:
            execute("PRAGMA locking_mode = EXCLUSIVE")
            execute(f"PRAGMA synchronous = {'FULL' if flushes_files(path.parent) else 'OFF'}")
            execute("PRAGMA foreign_keys = OFF")  # a mod's chunks go by and by: `forget_unneeded`
            execute("PRAGMA temp_store = MEMORY")
            execute("BEGIN EXCLUSIVE")
            (version,) = execute("PRAGMA user_version").fetchone()
            if version < FORMAT_VERSION:
                migrate(self._database, version)
            execute("COMMIT")
            execute("PRAGMA journal_mode = WAL")  # now, so that the file itself has the schema
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise HomeError(f"the vault {path.parent} is in use by another node") from None
            raise
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
                raise HomeError(f"the vault's index {path} is damaged", advice=LOST_VAULT) from None
            raise
        if version > FORMAT_VERSION:
            raise HomeError(
                f"the vault {path.parent} has the format {version},"
                f" and this program knows {FORMAT_VERSION}; use the version that made it, or "
                "another home"
            )

    def _keep_log_room(self, log: Path) -> None:
        """Let the log have its room now; what lies behind its last frame is nothing to SQLite."""
        with contextlib.suppress(OSError), log.open("r+b") as file:
            missing = len(_LOG_ROOM) - file.seek(0, os.SEEK_END)
            file.write(_LOG_ROOM[: max(0, missing)])

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What happens inside is committed as a whole, or not at all.

        It writes the page with the schema too, so that each write-ahead log shows by what it holds
        that it is one of a vault (`holds_schema`).
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    # Places

    def place(self, address: bytes) -> PackPlace | None:
        """The place of an address's bytes."""
        row = self._one("SELECT pack, start, length, crc FROM blobs WHERE address = ?", address)
        return None if row is None else PackPlace(*row)

    def record(self, blobs: Iterable[tuple[bytes, PackPlace]]) -> None:
        """Record the places of these addresses."""
        self._database.executemany(
            "INSERT OR REPLACE INTO blobs VALUES (?, ?, ?, ?, ?)",
            ((address, *place) for address, place in blobs),
        )

    def forget(self, addresses: Iterable[bytes]) -> None:
        """The bytes of these addresses are lost."""
        self._database.executemany(
            "DELETE FROM blobs WHERE address = ?", ((address,) for address in addresses)
        )

    def forget_beyond(self, pack: int, size: int) -> int:
        """Forget the addresses with places beyond a pack's end; returns how many these were."""
        cursor = self._database.execute(
            "DELETE FROM blobs WHERE pack = ? AND start + length > ?", (pack, size)
        )
        return cursor.rowcount

    def unneeded(self) -> Iterator["Unneeded"]:
        """What no mod needs, in slices; `delete` each in a transaction of its own.

        The chunks of removed mods come first, as their blobs count as needed until they are gone.
        """
        for number in self._removed():
            while chunks := self._all(
                "SELECT chunk FROM mod_chunks WHERE number = ? ORDER BY chunk LIMIT ?",
                *(number, _SLICE),
            ):
                yield Unneeded(
                    "DELETE FROM mod_chunks WHERE number = ? AND chunk = ?",
                    [(number, chunk) for (chunk,) in chunks],
                )
        address = b""
        while addresses := self._all(_UNNEEDED, address, _SLICE):
            yield Unneeded("DELETE FROM blobs WHERE address = ?", addresses, len(addresses))
            (address,) = addresses[-1]
        sealed = (0, b"")
        while found := self._all(_SEALED_IN_VAIN, *sealed, _SLICE):
            yield Unneeded(
                "DELETE FROM lineage_chunks WHERE lineage = ? AND plaintext_hash = ?", found
            )
            sealed = found[-1]

    def _removed(self) -> Iterator[int]:
        """The numbers of mods that are gone, of which chunks are left."""
        number = -1
        while True:
            (found,) = self._all(
                "SELECT MIN(number) FROM mod_chunks WHERE number > ?",
                number,
            )[0]
            if found is None:
                return
            number = found
            if self._one("SELECT 1 FROM mods WHERE number = ?", number) is None:
                yield number

    def delete(self, unneeded: "Unneeded") -> None:
        """Delete a slice of rows."""
        self._database.executemany(unneeded.statement, unneeded.rows)

    def packs(self) -> dict[int, tuple[int, int]]:
        """For each pack the end of its last known bytes, and how many are known."""
        rows = self._all("SELECT pack, MAX(start + length), SUM(length) FROM blobs GROUP BY pack")
        return {pack: (end, known) for pack, end, known in rows}

    def in_pack(self, pack: int) -> list[tuple[bytes, PackPlace]]:
        """The addresses with places in a pack, in its order."""
        rows = self._all(
            "SELECT address, pack, start, length, crc FROM blobs WHERE pack = ? ORDER BY start",
            pack,
        )
        return [(address, PackPlace(*place)) for address, *place in rows]

    # Mods

    def add_mod(self, mod: StoredMod, addresses: Sequence[bytes]) -> None:
        """Record a mod and its chunks; of a known one the details, if this knows them."""
        known = self._number(mod.mod_id)
        if known is not None:
            if mod.content_key is None:
                return
            self._database.execute(
                "UPDATE mods SET content_key = ?, name = ?, version = ?, files = ?, bytes = ?,"
                " published = MAX(published, ?), pinned = MAX(pinned, ?) WHERE number = ?",
                (
                    *(mod.content_key, mod.name, mod.version, mod.files, mod.bytes),
                    *(mod.published, mod.published, known),
                ),
            )
            return
        cursor = self._database.execute(
            f"INSERT INTO mods ({_MOD_COLUMNS}, used, pinned)"  # noqa: S608  (a constant)
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(mod.mod_id, mod.content_key, mod.name, mod.version, mod.files, mod.bytes),
                *(mod.sealed_bytes, mod.chunks, mod.published, mod.added),
                *(mod.added, mod.published),
            ),
        )
        number = cursor.lastrowid
        self._database.executemany(
            "INSERT INTO mod_chunks VALUES (?, ?, ?)",
            ((number, chunk, address) for chunk, address in enumerate(addresses)),
        )

    def remove_mod(self, mod_id: bytes) -> bool:
        """Forget a mod; whether it was there. Its chunks are `unneeded` then."""
        return self._database.execute("DELETE FROM mods WHERE mod_id = ?", (mod_id,)).rowcount > 0

    def mod(self, mod_id: bytes) -> StoredMod | None:
        """A mod by its id."""
        row = self._one(f"SELECT {_MOD_COLUMNS} FROM mods WHERE mod_id = ?", mod_id)  # noqa: S608  (a constant)
        return None if row is None else _stored_mod(row)

    def mods(self) -> list[StoredMod]:
        """Every mod, in the order of adding."""
        rows = self._all(f"SELECT {_MOD_COLUMNS} FROM mods ORDER BY number")  # noqa: S608  (a constant)
        return [_stored_mod(row) for row in rows]

    def missing(self, mod_id: bytes) -> list[int]:
        """The numbers of a mod's chunks that the vault lacks."""
        rows = self._all(
            "SELECT chunk FROM mod_chunks LEFT JOIN blobs USING (address)"
            " WHERE number = (SELECT number FROM mods WHERE mod_id = ?) AND pack IS NULL"
            " ORDER BY chunk",
            mod_id,
        )
        return [chunk for (chunk,) in rows]

    def chunks_at(self, address: bytes) -> list[tuple[bytes, int]]:
        """The chunks with this address: their mods' ids, and their numbers there."""
        return self._all(
            "SELECT mod_id, chunk FROM mod_chunks JOIN mods USING (number) WHERE address = ?",
            address,
        )

    def chunk_address(self, mod_id: bytes, chunk: int) -> bytes | None:
        """The address of a mod's chunk by number; None if there is no such chunk."""
        query = (
            "SELECT address FROM mod_chunks JOIN mods USING (number) WHERE mod_id = ? AND chunk = ?"
        )
        row = self._one(query, mod_id, chunk)
        return None if row is None else row[0]

    def _number(self, mod_id: bytes) -> int | None:
        row = self._one("SELECT number FROM mods WHERE mod_id = ?", mod_id)
        return None if row is None else row[0]

    # Lineages

    def lineage(self, name: str) -> tuple[int, bytes] | None:
        """The number and the secret of the lineage of a mod's name."""
        row = self._one("SELECT number, secret FROM lineages WHERE name = ?", name)
        return None if row is None else (row[0], row[1])

    def add_lineage(self, name: str, secret: bytes) -> int:
        """Begin a lineage; returns its number."""
        cursor = self._database.execute(
            "INSERT INTO lineages (name, secret) VALUES (?, ?)", (name, secret)
        )
        return int(cursor.lastrowid or 0)

    def known_chunks(
        self, lineage: int, plaintext_hashes: Iterable[bytes]
    ) -> dict[bytes, LineageChunk]:
        """Which of these plaintexts the lineage has sealed before, and still has."""
        query = (
            "SELECT address, key, length FROM lineage_chunks JOIN blobs USING (address)"
            " WHERE lineage = ? AND plaintext_hash = ?"
        )
        found = {}
        for plaintext_hash in plaintext_hashes:
            row = self._one(query, lineage, plaintext_hash)
            if row is not None:
                found[plaintext_hash] = LineageChunk(plaintext_hash, *row)
        return found

    def remember_chunks(self, lineage: int, chunks: Iterable[LineageChunk]) -> None:
        """The lineage has sealed these."""
        self._database.executemany(
            "INSERT OR REPLACE INTO lineage_chunks VALUES (?, ?, ?, ?)",
            ((lineage, chunk.plaintext_hash, chunk.address, chunk.key) for chunk in chunks),
        )

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
        return row

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()


def _stored_mod(row: Sequence[Any]) -> StoredMod:
    mod_id, content_key, name, version, files, size, sealed_bytes, chunks, published, added = row
    return StoredMod(
        *(mod_id, content_key, name, version, files, size, sealed_bytes, chunks),
        published=bool(published),
        added=added,
    )
