"""The lineages of a vault: what each name's secret has sealed, so that it is not sealed again."""

from collections.abc import Iterable

from node.content.vault.database import Database
from node.content.vault.stored_mod import LineageChunk


class LineageTable:
    """The tables `lineages` and `lineage_chunks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> tuple[int, bytes] | None:
        """The number and the secret of the lineage of a mod's name."""
        row = self._database.one("SELECT number, secret FROM lineages WHERE name = ?", name)
        return None if row is None else (row[0], row[1])

    def add(self, name: str, secret: bytes) -> int:
        """Begin a lineage; returns its number."""
        cursor = self._database.change(
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
