"""Databases of vaults as older formats had them."""

import sqlite3
from typing import Final

_ADDED_BY: Final = {
    2: (("blobs", "crc"), ("mods", "used"), ("mods", "pinned"), ("mods", "cached")),
    4: (("mods", "damaged"),),
    7: (
        *(("mods", column) for column in ("lineage", "patch_of")),
        *(
            ("lineages", column)
            for column in ("seed", "path", "version", "head", "previous", "record", "kept")
        ),
    ),
    8: (("lineages", "vouched"),),
}
"""The columns that each format has added."""

_TABLES_BY: Final = {
    4: ("scrub",),
    5: ("asks", "refused", "scrubbed"),
    7: ("targets", "follows", "heard_lineages"),
}


def bring_back(database: sqlite3.Connection, version: int) -> None:
    """Take from a vault's database what formats after `version` have added to its tables."""
    if version < 6:
        database.execute("ALTER TABLE blobs DROP COLUMN crc")
        database.execute("ALTER TABLE blobs RENAME COLUMN crc32 TO crc")
    for newer, columns in _ADDED_BY.items():
        if newer > version:
            for table, column in columns:
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for newer, tables in _TABLES_BY.items():
        if newer > version:
            for table in tables:
                database.execute(f"DROP TABLE {table}")
    database.execute(f"PRAGMA user_version = {version}")
