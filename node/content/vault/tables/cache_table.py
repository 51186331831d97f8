"""What a vault remembers for the cache: who asked for which mods, and which are never wanted."""

from collections.abc import Iterable

from node.content.vault.database import Database
from protocol.content.popularity import Ask


class CacheTable:
    """The tables `asks` and `refused`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def asks(self) -> list[Ask]:
        """What was asked for when `keep_asks` was last called, in that order."""
        rows = self._database.all("SELECT network, mod_id, first, last FROM asks ORDER BY number")
        return [Ask(*row) for row in rows]

    def keep_asks(self, asks: Iterable[Ask]) -> None:
        """Remember these, and none besides."""
        self._database.change("DELETE FROM asks")
        self._database.change_many(
            "INSERT INTO asks (network, mod_id, first, last) VALUES (?, ?, ?, ?)", asks
        )

    def refused(self) -> list[bytes]:
        """The ids of the mods that a person refused."""
        return [mod_id for (mod_id,) in self._database.all("SELECT mod_id FROM refused")]

    def refuse(self, mod_id: bytes, *, refused: bool) -> None:
        """A mod is refused, or no more."""
        self._database.change("DELETE FROM refused WHERE mod_id = ?", (mod_id,))
        if refused:
            self._database.change("INSERT INTO refused VALUES (?)", (mod_id,))
