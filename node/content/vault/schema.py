"""The tables of the vault's database, their format's version, and the way to it from older ones."""

import sqlite3
from typing import Final

FORMAT_VERSION: Final = 8
FIRST_PAGE_BYTES: Final = 4096
"""SQLite's page size where none is set: the whole schema lies in the first one."""
_FIRST_PAGE: Final = b"SQLite format 3\0"
_SCHEMA_MARK: Final = b"CREATE TABLE lineage_chunks"

_FORMAT_1: Final = """
CREATE TABLE blobs (
    address BLOB PRIMARY KEY, pack INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_by_pack ON blobs (pack);
CREATE TABLE mods (
    number INTEGER PRIMARY KEY AUTOINCREMENT, mod_id BLOB NOT NULL UNIQUE, content_key BLOB,
    name TEXT NOT NULL, version TEXT NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL,
    sealed_bytes INTEGER NOT NULL, chunks INTEGER NOT NULL, published INTEGER NOT NULL,
    added REAL NOT NULL
);
CREATE TABLE mod_chunks (
    number INTEGER NOT NULL REFERENCES mods (number) ON DELETE CASCADE,
    chunk INTEGER NOT NULL, address BLOB NOT NULL, PRIMARY KEY (number, chunk)
) WITHOUT ROWID;
CREATE INDEX mod_chunks_by_address ON mod_chunks (address);
CREATE TABLE lineages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, secret BLOB NOT NULL
);
CREATE TABLE lineage_chunks (
    lineage INTEGER NOT NULL REFERENCES lineages (number) ON DELETE CASCADE,
    plaintext_hash BLOB NOT NULL, address BLOB NOT NULL, key BLOB NOT NULL,
    PRIMARY KEY (lineage, plaintext_hash)
) WITHOUT ROWID;
"""
"""Of the first format. A new vault goes the same way as an old one, so that both end alike."""

_TO_2: Final = """
ALTER TABLE blobs ADD COLUMN crc INTEGER;
ALTER TABLE mods ADD COLUMN used REAL NOT NULL DEFAULT 0;
ALTER TABLE mods ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mods ADD COLUMN cached INTEGER NOT NULL DEFAULT 0;
UPDATE mods SET used = added, pinned = published
"""
"""A CRC-32 of each blob, by which bit rot is told from a read; when a mod was last used, and
whether it may be evicted. `cached` was never used: a mod without a content key is one of the
cache."""

_TO_3: Final = "DELETE FROM lineage_chunks"
"""`plaintext_hash` was the SHA-256 of the plaintext, and is that of a byte 0 before it: an old row
would be found for a chunk that lacks a first byte 0. What is sealed anew is the same ciphertext."""

_TO_4: Final = """
ALTER TABLE mods ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
CREATE TABLE scrub (pack INTEGER NOT NULL, start INTEGER NOT NULL, blobs INTEGER NOT NULL,
    bytes INTEGER NOT NULL, bad INTEGER NOT NULL)
"""
"""Which mods were whole and have lost something; how far a check of all bytes is, in one row."""

_TO_5: Final = """
CREATE TABLE asks (number INTEGER PRIMARY KEY, network BLOB NOT NULL, mod_id BLOB NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE refused (mod_id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE scrubbed (at REAL NOT NULL)
"""
"""For the cache: which networks asked for which mods, and what a person never wants in it. When all
bytes were last checked, in one row."""

_TO_6: Final = """
ALTER TABLE blobs RENAME COLUMN crc TO crc32;
ALTER TABLE blobs ADD COLUMN crc INTEGER
"""
"""`crc` was a CRC-32 and is a CRC-32C, which processors compute twenty times as fast. What a vault
has of the former is not used any more, and stays, as to clear it would write to every row: a disk
may be full."""

_TO_7: Final = """
ALTER TABLE mods ADD COLUMN lineage BLOB;
ALTER TABLE mods ADD COLUMN patch_of BLOB;
ALTER TABLE lineages ADD COLUMN seed BLOB;
ALTER TABLE lineages ADD COLUMN path TEXT;
ALTER TABLE lineages ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lineages ADD COLUMN head BLOB;
ALTER TABLE lineages ADD COLUMN previous BLOB;
ALTER TABLE lineages ADD COLUMN record BLOB;
UPDATE mods SET version = '0';
ALTER TABLE lineages ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
CREATE TABLE targets (path BLOB PRIMARY KEY, mod_id BLOB NOT NULL, state BLOB NOT NULL,
    plan BLOB NOT NULL);
CREATE TABLE follows (lineage BLOB PRIMARY KEY, reading_key BLOB NOT NULL, target TEXT NOT NULL,
    record BLOB, mod_id BLOB, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE heard_lineages (lineage BLOB PRIMARY KEY, sequence INTEGER NOT NULL,
    hash BLOB NOT NULL, previous BLOB NOT NULL, told BLOB NOT NULL, seen REAL NOT NULL)
    WITHOUT ROWID
"""
"""Versions. Of a mod its lineage's key, and the version that it patches if it is a patch; its
`version` was a text without use, and is a number. Of a lineage of this node's the seed of its key,
the folder that it is made of, its newest version, the mod id and content key of that and of the one
before, the newest record of it, and how many versions are kept (0: all). What this node wrote and
where; what it follows; and what it has seen of lineages, so that an older record is told from a
newer one."""

_TO_8: Final = "ALTER TABLE lineages ADD COLUMN vouched BLOB"
"""Of a lineage of this node's the newest record that is known to go on from what was shared here,
so that one that does not is told of also after a restart."""

_MIGRATIONS: Final = (_FORMAT_1, _TO_2, _TO_3, _TO_4, _TO_5, _TO_6, _TO_7, _TO_8)


def migrate(database: sqlite3.Connection, version: int) -> None:
    """From a format (0: no tables yet) to FORMAT_VERSION, in the caller's transaction."""
    for statements in _MIGRATIONS[version:]:
        for statement in statements.split(";"):
            database.execute(statement)
    database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def holds_schema(data: bytes) -> bool:
    """Whether the first page of some vault's index lies anywhere in `data`.

    It does in the database and in its write-ahead log, and in archives that do not compress.
    """
    start = data.find(_FIRST_PAGE)
    while start >= 0:
        if data.find(_SCHEMA_MARK, start, start + FIRST_PAGE_BYTES) >= 0:
            return True
        start = data.find(_FIRST_PAGE, start + len(_FIRST_PAGE))
    return False
