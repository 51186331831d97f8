"""Databases of vaults as older formats had them."""

import sqlite3
from typing import Final

_ADDED_BY: Final = {
    2: (("blobs", "crc"), ("mods", "used"), ("mods", "pinned"), ("mods", "cached")),
    4: (("mods", "damaged"),),
}
"""The columns that each format has added."""


def bring_back(database: sqlite3.Connection, version: int) -> None:
    """Take from a vault's database what formats after `version` have added to its tables."""
    for newer, columns in _ADDED_BY.items():
        if newer > version:
            for table, column in columns:
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    if version < 4:
        database.execute("DROP TABLE scrub")
    database.execute(f"PRAGMA user_version = {version}")
