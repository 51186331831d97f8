"""What this node's person follows."""

from collections.abc import Sequence
from typing import Any

from node.content.vault.database import Database
from node.content.vault.stored_follow import StoredFollow

_COLUMNS = "lineage, reading_key, target, mod_id, state"


class FollowTable:
    """The table `follows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, follow: StoredFollow, record: bytes | None = None) -> None:
        """Remember this, and the newest record of its lineage if there is another one."""
        self._database.change(
            f"INSERT INTO follows ({_COLUMNS}, record) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608  (a constant)
            " ON CONFLICT (lineage) DO UPDATE SET reading_key = excluded.reading_key,"
            " target = excluded.target, mod_id = excluded.mod_id, state = excluded.state,"
            " record = COALESCE(excluded.record, record)",
            (
                *(follow.lineage_key, follow.reading_key, str(follow.target), follow.mod_id),
                *(follow.packed(), record),
            ),
        )

    def get(self, lineage_key: bytes) -> StoredFollow | None:
        """What is remembered of a lineage that is followed."""
        row = self._database.one(
            f"SELECT {_COLUMNS} FROM follows WHERE lineage = ?",  # noqa: S608  (a constant)
            lineage_key,
        )
        return None if row is None else _follow(row)

    def every(self) -> list[StoredFollow]:
        """All that is followed, by target."""
        rows = self._database.all(f"SELECT {_COLUMNS} FROM follows ORDER BY target")  # noqa: S608  (a constant)
        return [_follow(row) for row in rows]

    def record(self, lineage_key: bytes) -> bytes | None:
        """The newest record that was known."""
        row = self._database.one("SELECT record FROM follows WHERE lineage = ?", lineage_key)
        return None if row is None else row[0]

    def remove(self, lineage_key: bytes) -> bool:
        """Follow a lineage no more; whether it was followed."""
        statement = "DELETE FROM follows WHERE lineage = ?"
        return self._database.change(statement, (lineage_key,)).rowcount > 0


def _follow(row: Sequence[Any]) -> StoredFollow:
    return StoredFollow.unpacked(*row)
