"""The folders that modswarm wrote, and may bring up to date."""

import os
from pathlib import Path

from node.content.vault.database import Database
from node.content.vault.stored_target import StoredTarget, path_bytes


class TargetTable:
    """The table `targets`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def every(self) -> list[StoredTarget]:
        """All targets, without their files."""
        rows = self._database.all("SELECT path, mod_id, plan FROM targets ORDER BY path")
        return [StoredTarget(Path(os.fsdecode(path)), *row) for path, *row in rows]

    def get(self, path: Path) -> StoredTarget | None:
        """A target by its real path."""
        query = "SELECT mod_id, plan FROM targets WHERE path = ?"
        row = self._database.one(query, path_bytes(path))
        return None if row is None else StoredTarget(path, *row)

    def packed_tree(self, path: Path) -> bytes | None:
        """The files of a target, as `WrittenTree.packed` has them."""
        row = self._database.one("SELECT state FROM targets WHERE path = ?", path_bytes(path))
        return None if row is None else row[0]

    def put(self, path: Path, mod_id: bytes, packed: bytes) -> None:
        """A target has all of a mod, a `WrittenTree.packed`, and nothing is under way there."""
        self._database.change(
            "INSERT OR REPLACE INTO targets (path, mod_id, state, plan) VALUES (?, ?, ?, x'')",
            (path_bytes(path), mod_id, packed),
        )

    def plan(self, path: Path, plan: bytes) -> None:
        """This is under way; empty: nothing is, and the mod is the one that was there before."""
        self._database.change(
            "UPDATE targets SET plan = ? WHERE path = ?", (plan, path_bytes(path))
        )

    def forget(self, path: Path) -> bool:
        """A folder is a target no more; whether it was one."""
        statement = "DELETE FROM targets WHERE path = ?"
        return self._database.change(statement, (path_bytes(path),)).rowcount > 0
