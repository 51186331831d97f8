"""The vault's index: the places of blobs in packs, and the tables of mods and lineages."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.content.vault.database import Database
from node.content.vault.packs import PackPlace
from node.content.vault.tables.vault_tables import VaultTables

_SLICE: Final = 4096
_LITTLE: Final = 128
"""Of what no mod needs so many rows go in a transaction, and where there is little room."""

_UNNEEDED = (
    "SELECT address FROM blobs WHERE address > ?"
    " AND NOT EXISTS (SELECT 1 FROM mod_chunks WHERE mod_chunks.address = blobs.address)"
    " AND NOT EXISTS (SELECT 1 FROM mods WHERE mods.mod_id = blobs.address)"
    " ORDER BY address LIMIT ?"
)
_IS_NEEDED = (
    "SELECT EXISTS (SELECT 1 FROM mod_chunks WHERE address = ?)"
    " OR EXISTS (SELECT 1 FROM mods WHERE mod_id = ?)"
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


class ScrubState(NamedTuple):
    """How far a check of all bytes is: the last place that was looked at, and what was found."""

    pack: int = 0
    start: int = -1
    blobs: int = 0
    bytes: int = 0
    bad: int = 0
    """Blobs that were damaged or could not be read."""
    done: bool = False


class Index:
    """What the vault knows of its bytes. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises HomeError, sqlite3.Error."""
        self._database = Database(path)
        self.tables = VaultTables(self._database)
        self.mods = self.tables.mods
        self.lineages = self.tables.lineages

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """What happens inside is committed as a whole, or not at all."""
        return self._database.transaction()

    def place(self, address: bytes) -> PackPlace | None:
        """The place of an address's bytes."""
        row = self._database.one(
            "SELECT pack, start, length, crc FROM blobs WHERE address = ?", address
        )
        return None if row is None else PackPlace(*row)

    def record(self, blobs: Iterable[tuple[bytes, PackPlace]]) -> None:
        """Record the places of these addresses."""
        self._database.change_many(
            "INSERT OR REPLACE INTO blobs (address, pack, start, length, crc)"
            " VALUES (?, ?, ?, ?, ?)",
            ((address, *place) for address, place in blobs),
        )

    def forget(self, addresses: Sequence[bytes]) -> None:
        """The bytes of these addresses are lost; of which whole mods is remembered."""
        self.mods.damage(addresses)
        self._database.change_many(
            "DELETE FROM blobs WHERE address = ?", ((address,) for address in addresses)
        )

    def forget_beyond(self, pack: int, size: int) -> int:
        """Forget the addresses with places beyond a pack's end; returns how many these were."""
        rows = self._database.all(
            "SELECT address FROM blobs WHERE pack = ? AND start + length > ?", pack, size
        )
        self.forget([address for (address,) in rows])
        return len(rows)

    def unneeded(self) -> Iterator["Unneeded"]:
        """What no mod needs, in slices; `delete` each in a transaction of its own.

        The chunks of removed mods come first, as their blobs count as needed until they are gone.
        """
        for number in self._removed():
            while chunks := self._database.all(
                "SELECT chunk FROM mod_chunks WHERE number = ? ORDER BY chunk LIMIT ?",
                *(number, _SLICE),
            ):
                yield Unneeded(
                    "DELETE FROM mod_chunks WHERE number = ? AND chunk = ?",
                    [(number, chunk) for (chunk,) in chunks],
                )
        address = b""
        while addresses := self._database.all(_UNNEEDED, address, _SLICE):
            yield Unneeded("DELETE FROM blobs WHERE address = ?", addresses, len(addresses))
            (address,) = addresses[-1]
        sealed = (0, b"")
        while found := self._database.all(_SEALED_IN_VAIN, *sealed, _SLICE):
            yield Unneeded(
                "DELETE FROM lineage_chunks WHERE lineage = ? AND plaintext_hash = ?", found
            )
            sealed = found[-1]

    def unneeded_of(self, gone: Sequence[bytes]) -> Iterator["Unneeded"]:
        """What only mods needed that are gone: as `unneeded`, but by these alone.

        `gone`: their ids. It looks at no blob of other mods, and not at what lineages sealed. What
        a crash leaves of it `unneeded` finds.
        """
        yield self._of_these(gone)
        for number in self._removed():
            while chunks := self._database.all(
                "SELECT number, chunk, address FROM mod_chunks WHERE number = ?"
                " ORDER BY chunk LIMIT ?",
                *(number, _SLICE),
            ):
                yield Unneeded(
                    "DELETE FROM mod_chunks WHERE number = ? AND chunk = ?",
                    [(number, chunk) for _, chunk, _ in chunks],
                )
                yield self._of_these([address for _, _, address in chunks])

    def _of_these(self, addresses: Sequence[bytes]) -> "Unneeded":
        rows = [
            (address,)
            for address in addresses
            if self._database.one(_IS_NEEDED, address, address) == (0,)
        ]
        return Unneeded("DELETE FROM blobs WHERE address = ?", rows, len(rows))

    def _removed(self) -> Iterator[int]:
        """The numbers of mods that are gone, of which chunks are left."""
        number = -1
        while True:
            (found,) = self._database.all(
                "SELECT MIN(number) FROM mod_chunks WHERE number > ?",
                number,
            )[0]
            if found is None:
                return
            number = found
            if self._database.one("SELECT 1 FROM mods WHERE number = ?", number) is None:
                yield number

    def delete(self, unneeded: "Unneeded") -> None:
        """Delete a slice of rows."""
        self._database.change_many(unneeded.statement, unneeded.rows)

    def packs(self) -> dict[int, tuple[int, int]]:
        """For each pack the end of its last known bytes, and how many are known."""
        rows = self._database.all(
            "SELECT pack, MAX(start + length), SUM(length) FROM blobs GROUP BY pack"
        )
        return {pack: (end, known) for pack, end, known in rows}

    def after(self, pack: int, start: int, count: int) -> list[tuple[bytes, PackPlace]]:
        """The next addresses by their places, of one pack."""
        (found,) = self._database.all(
            "SELECT MIN(pack) FROM blobs WHERE pack > ? OR (pack = ? AND start > ?)",
            *(pack, pack, start),
        )[0]
        rows = self._database.all(
            "SELECT address, pack, start, length, crc FROM blobs WHERE pack = ? AND start > ?"
            " ORDER BY start LIMIT ?",
            *(found, start if found == pack else -1, count),
        )
        return [(address, PackPlace(*place)) for address, *place in rows]

    def scrubbed(self) -> ScrubState:
        """How far the check of all bytes is."""
        row = self._database.one("SELECT pack, start, blobs, bytes, bad FROM scrub")
        return ScrubState() if row is None else ScrubState(*row)

    def scrub(self, state: ScrubState | None) -> None:
        """So far it is now; None: it is done."""
        self._database.change("DELETE FROM scrub")
        if state is not None:
            self._database.change("INSERT INTO scrub VALUES (?, ?, ?, ?, ?)", state[:5])

    def checked_at(self) -> float | None:
        """When a check of all bytes was last done, in seconds since 1970; None if never."""
        row = self._database.one("SELECT at FROM scrubbed")
        return None if row is None else row[0]

    def check_done(self, at: float) -> None:
        """One is done."""
        self._database.change("DELETE FROM scrubbed")
        self._database.change("INSERT INTO scrubbed VALUES (?)", (at,))

    def in_pack(self, pack: int) -> list[tuple[bytes, PackPlace]]:
        """The addresses with places in a pack, in its order."""
        rows = self._database.all(
            "SELECT address, pack, start, length, crc FROM blobs WHERE pack = ? ORDER BY start",
            pack,
        )
        return [(address, PackPlace(*place)) for address, *place in rows]
