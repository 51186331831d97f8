"""The vault's SQLite database: opened, in transactions, and what each table's class asks it.

WAL mode with full synchronisation: what a transaction recorded survives a crash at any moment. A
disk that is full as that mode is set refuses it until the next start; the name of the journal is
flushed then as well (EXTRA). One process at a time may have it open.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from node.content.vault.schema import FORMAT_VERSION, migrate
from node.disk.lock import has_locks
from node.disk.refusals import flushes_files
from node.machine.refusals import LOST_VAULT
from protocol.errors import HomeError

_BUSY_TIMEOUT_S = 0.5
_LOG_ROOM: Final = bytes(2**19)
"""What the write-ahead log has on the disk from the start: writing over it takes no room."""


class Database:
    """One open database. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises HomeError, sqlite3.Error."""
        # Without locks SQLite would take every vault for one in use; that of the home holds anyhow.
        name, is_uri = (
            (path, False)
            if has_locks(path.parent)
            else (f"{path.absolute().as_uri()}?vfs=unix-none", True)
        )
        self._connection = sqlite3.connect(
            name, timeout=_BUSY_TIMEOUT_S, isolation_level=None, uri=is_uri
        )
        try:
            self._prepare(path)
            self._keep_log_room(path.with_name(f"{path.name}-wal"))
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        try:
            execute("PRAGMA locking_mode = EXCLUSIVE")
            execute(f"PRAGMA synchronous = {'EXTRA' if flushes_files(path.parent) else 'OFF'}")
            execute("PRAGMA foreign_keys = OFF")  # a mod's chunks go by and by: `forget_unneeded`
            execute("PRAGMA temp_store = MEMORY")
            execute("BEGIN EXCLUSIVE")
            (version,) = execute("PRAGMA user_version").fetchone()
            if version < FORMAT_VERSION:
                migrate(self._connection, version)
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
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What happens inside is committed as a whole, or not at all.

        It writes the page with the schema too, so that each write-ahead log shows by what it holds
        that it is one of a vault (`holds_schema`).
        """
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # What the tables ask

    def one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of the answer; None if there is none."""
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of the answer."""
        return self._connection.execute(query, values).fetchall()

    def change(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Change rows; the cursor tells how many, and the number of a new one."""
        return self._connection.execute(statement, values)

    def change_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """The same for each of many rows of values."""
        self._connection.executemany(statement, rows)
