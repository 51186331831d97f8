"""The lineages of this node: their keys, their newest versions, and what each has sealed."""

from collections.abc import Iterable, Sequence
from typing import Any

from node.content.vault.database import Database
from node.content.vault.stored_mod import Lineage, LineageChunk
from protocol.content.manifests.contents import VersionKeys

_COLUMNS = "number, name, secret, seed, path, version, head, previous, kept"


class LineageTable:
    """The tables `lineages` and `lineage_chunks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def named(self, name: str) -> Lineage | None:
        """The lineage of a mod's name."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM lineages WHERE name = ?", name)  # noqa: S608  (a constant)
        return None if row is None else _lineage(row)

    def of_path(self, path: str) -> list[Lineage]:
        """The lineages whose latest versions were made of this folder or file."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM lineages WHERE path = ?", path)  # noqa: S608  (a constant)
        return [_lineage(row) for row in rows]

    def every(self) -> list[Lineage]:
        """All of them, in the order in which they began."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM lineages ORDER BY number")  # noqa: S608  (a constant)
        return [_lineage(row) for row in rows]

    def add(self, name: str, secret: bytes) -> int:
        """Begin a lineage; returns its number."""
        cursor = self._database.change(
            "INSERT INTO lineages (name, secret) VALUES (?, ?)", (name, secret)
        )
        return int(cursor.lastrowid or 0)

    def give_seed(self, number: int, seed: bytes) -> None:
        """The seed of a lineage's key was found."""
        self._database.change(
            "UPDATE lineages SET seed = ? WHERE number = ? AND seed IS NULL", (seed, number)
        )

    def publish(
        self,
        number: int,
        path: str | None,
        version: int,
        head: VersionKeys,
        previous: VersionKeys | None,
    ) -> None:
        """This is the newest version of a lineage, made of the folder or file `path`, if known."""
        self._database.change(
            "UPDATE lineages SET path = ?, version = ?, head = ?, previous = ? WHERE number = ?",
            (path, version, _packed(head), _packed(previous), number),
        )

    def keep(self, number: int, count: int) -> None:
        """How many versions of a lineage the vault keeps from now on; 0: all."""
        self._database.change("UPDATE lineages SET kept = ? WHERE number = ?", (count, number))

    def records(self, number: int) -> tuple[bytes | None, bytes | None]:
        """The newest record of a lineage, signed or heard, and the newest that is vouched for."""
        query = "SELECT record, vouched FROM lineages WHERE number = ?"
        row = self._database.one(query, number)
        return (None, None) if row is None else (row[0], row[1])

    def keep_records(self, number: int, newest: bytes, vouched: bytes) -> None:
        """`vouched`: the newest one that is known to go on from what was shared here."""
        self._database.change(
            "UPDATE lineages SET record = ?, vouched = ? WHERE number = ?",
            (newest, vouched, number),
        )

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
            row = self._database.one(query, lineage, plaintext_hash)
            if row is not None:
                found[plaintext_hash] = LineageChunk(plaintext_hash, *row)
        return found

    def remember(self, lineage: int, chunks: Iterable[LineageChunk]) -> None:
        """The lineage has sealed these."""
        self._database.change_many(
            "INSERT OR REPLACE INTO lineage_chunks VALUES (?, ?, ?, ?)",
            ((lineage, chunk.plaintext_hash, chunk.address, chunk.key) for chunk in chunks),
        )


def _lineage(row: Sequence[Any]) -> Lineage:
    number, name, secret, seed, path, version, head, previous, kept = row
    return Lineage(
        *(number, name, secret, seed, path, version, _unpacked(head), _unpacked(previous), kept)
    )


def _packed(version: VersionKeys | None) -> bytes | None:
    return None if version is None else version.mod_id + version.content_key


def _unpacked(data: bytes | None) -> VersionKeys | None:
    return None if data is None else VersionKeys(data[:32], data[32:])
