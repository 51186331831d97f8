"""A vault of the first format opens as it was, and becomes one of the present format."""

import sqlite3
from pathlib import Path

import pytest

from node.content.vault import schema
from node.content.vault.store import Store
from tests.node.content.old_formats import bring_back
from tests.node.content.test_content_store import blob, mod

OWN, FETCHED = mod(1, 2), mod(2, 1)
BLOBS = [blob(1), blob(2), blob(3)]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of a vault of the first format, with an own and a fetched mod."""
    folder = tmp_path / "vault"
    store = Store(folder)
    store.put(BLOBS)
    store.add_mod(*OWN, [BLOBS[0][0], BLOBS[1][0]])
    store.add_mod(*FETCHED, [BLOBS[2][0]])
    store.close()
    database = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
    database.execute("UPDATE mods SET published = 1, added = 7 WHERE number = 1")
    bring_back(database, 1)
    database.close()
    return folder


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(folder / "index.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_nothing_of_an_old_vault_is_lost(old: Path) -> None:
    store = Store(old)
    assert store.get_many([address for address, _ in BLOBS]) == [data for _, data in BLOBS]
    assert [(one.mod_id, one.published) for one in store.mods()] == [
        (OWN[0].mod_id, True),
        (FETCHED[0].mod_id, False),
    ]
    assert store.missing(OWN[0].mod_id) == store.missing(FETCHED[0].mod_id) == []
    store.close()
    assert rows(old, "PRAGMA user_version") == [(schema.FORMAT_VERSION,)]
    assert rows(old, "SELECT used, pinned, cached FROM mods ORDER BY number") == [
        (7.0, 1, 0),
        (1.0, 0, 0),
    ]


def test_an_old_vault_and_a_new_one_have_the_same_tables(old: Path, tmp_path: Path) -> None:
    for folder in (old, tmp_path / "new"):
        Store(folder).close()
    tables = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    assert rows(old, tables) == rows(tmp_path / "new", tables)


def test_what_rotted_is_missing_whether_its_crc_is_known_or_not(old: Path) -> None:
    store = Store(old)
    (new, new_data) = blob(4)
    store.put([(new, new_data)])
    (pack,) = (old / "packs").iterdir()
    data = pack.read_bytes()
    for rotten in (BLOBS[0][1], new_data):
        data = data.replace(rotten, bytes([rotten[0] ^ 1]) + rotten[1:])
    pack.write_bytes(data)
    assert [store.get(address) for address, _ in (BLOBS[0], blob(4))] == [None, None]
    assert store.get(BLOBS[1][0]) == BLOBS[1][1]
    assert store.missing(OWN[0].mod_id) == [0], "so that it is fetched again"
    store.close()


def test_an_older_sum_is_not_taken_for_one_of_the_sixth_format(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    store = Store(folder)
    store.put(BLOBS)
    store.close()
    database = sqlite3.connect(folder / "index.sqlite", isolation_level=None)
    known = database.execute("SELECT address, crc FROM blobs ORDER BY address").fetchall()
    bring_back(database, 5)
    database.execute("UPDATE blobs SET crc = 7")
    database.close()
    store = Store(folder)
    assert store.get_many([address for address, _ in BLOBS]) == [data for _, data in BLOBS]
    while not store.scrubbing.step().done:
        pass
    store.close()
    assert rows(folder, "SELECT address, crc FROM blobs ORDER BY address") == known


def test_a_start_that_failed_within_the_change_leaves_the_old_vault(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        broken = (schema._FORMAT_1, f"{schema._TO_2}; SELECT no_such_column")
        patched.setattr(schema, "_MIGRATIONS", broken)
        with pytest.raises(Exception, match="no_such_column"):
            Store(old)
    assert rows(old, "PRAGMA user_version") == [(1,)]
    test_nothing_of_an_old_vault_is_lost(old)
