"""What was seen of lineages: of which record, by its sequence and hash, others are older."""

from collections.abc import Mapping

from node.content.vault.database import Database
from protocol.content.lineage.history import Seen


class HeardTable:
    """The table `heard_lineages`, by the lineages' public keys. Times are wall seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[tuple[bytes, Seen]]:
        """All that is remembered, what changed least recently first."""
        rows = self._database.all(
            "SELECT lineage, sequence, hash, previous, told FROM heard_lineages"
            " ORDER BY seen, lineage"
        )
        return [(lineage, Seen(*fields)) for lineage, *fields in rows]

    def change(self, changed: Mapping[bytes, Seen | None], now: float) -> None:
        """Write down what has changed; None for what is forgotten."""
        for lineage, seen in changed.items():
            if seen is None:
                self._database.change("DELETE FROM heard_lineages WHERE lineage = ?", (lineage,))
            else:
                self._database.change(
                    "INSERT OR REPLACE INTO heard_lineages VALUES (?, ?, ?, ?, ?, ?)",
                    (lineage, seen.sequence, seen.digest, seen.previous, seen.told, now),
                )
