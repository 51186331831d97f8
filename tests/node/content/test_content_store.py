"""The store: what it took lasts, what it gives is right, what is unneeded goes."""

import errno
import os
import random
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.content.vault import packs
from node.content.vault.database import Database
from node.content.vault.holdings import Held
from node.content.vault.store import Store
from node.content.vault.stored_mod import Lineage, LineageChunk, StoredMod
from node.content.vault.tables.lineage_table import LineageTable
from protocol import limits
from protocol.content import sealing
from protocol.content.manifests.contents import VersionKeys
from protocol.errors import DiskError, HomeError
from scripts.benchmarks.content.hashed_bytes import HashedBytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    opened = Store(folder)
    yield opened
    opened.close()


def blob(number: int, size: int = 1000) -> tuple[bytes, bytes]:
    data = random.Random(number).randbytes(size)
    return sealing.address_of(data), data


def mod(number: int, chunks: int, *, key: bytes | None = b"k" * 32) -> tuple[StoredMod, bytes]:
    manifest = b"manifest %d" % number
    record = StoredMod(
        *(sealing.address_of(manifest), key, f"mod {number}", 1, 3, 5000, 4000, chunks),
        published=False,
        added=1.0,
    )
    return record, manifest


def pack_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "packs").iterdir())


def test_what_was_put_is_there(store: Store) -> None:
    blobs = [blob(number) for number in range(20)]
    assert store.put(blobs) == []
    assert store.get_many([address for address, _ in blobs]) == [data for _, data in blobs]
    assert store.get(bytes(32)) is None


def test_many_chunks_are_written_with_few_calls(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = [blob(number, 90_000 + number) for number in range(30)]
    blobs.append(blob(30, 2**20 + 1))
    real, sizes = os.write, []

    def write(descriptor: int, data: bytes) -> int:
        written = real(descriptor, data)
        if os.fstat(descriptor).st_ino == next((folder / "packs").iterdir()).stat().st_ino:
            sizes.append(written)
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        assert store.put(blobs) == []
    assert store.get_many([address for address, _ in blobs]) == [data for _, data in blobs]
    assert sum(sizes) == sum(len(data) for _, data in blobs)
    assert len(sizes) == 3


def test_a_mod_and_its_manifest_are_recorded_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, commits = Database.transaction, []

    def counted(database: Database) -> Any:
        commits.append(database)
        return real(database)

    monkeypatch.setattr(Database, "transaction", counted)
    record, manifest = mod(1, 1)
    store.add_mod(record, manifest, [blob(1)[0]])
    assert len(commits) == 1
    assert store.get(record.mod_id) == manifest
    assert store.mod(record.mod_id) == record
    with pytest.raises(ValueError, match="does not hash"):
        store.add_mod(record, manifest + b"x", [blob(1)[0]])


def test_it_is_there_after_opening_again(folder: Path) -> None:
    store = Store(folder)
    blobs = [blob(number) for number in range(20)]
    store.put(blobs[:10])
    store.put(blobs[10:])
    store.close()
    again = Store(folder)
    assert again.get_many([address for address, _ in blobs]) == [data for _, data in blobs]
    again.close()


def test_bytes_that_are_not_what_they_claim_are_refused(store: Store, folder: Path) -> None:
    (good, data), (other, _) = blob(1), blob(2)
    assert store.put([(other, data), (good, data)]) == [other]
    assert store.get(other) is None
    assert store.get(good) == data
    assert pack_bytes(folder) == len(data)


def test_nothing_is_stored_twice(store: Store, folder: Path) -> None:
    store.put([blob(1), blob(1)])
    store.put([blob(1), blob(2)])
    assert pack_bytes(folder) == 2000


def test_a_damaged_chunk_is_missing_not_wrong(folder: Path) -> None:
    store = Store(folder)
    record, manifest = mod(1, 2)
    blobs = [blob(1), blob(2)]
    store.add_mod(record, manifest, [address for address, _ in blobs])
    store.put(blobs)
    assert store.missing(record.mod_id) == []
    pack = next((folder / "packs").iterdir())
    content = bytearray(pack.read_bytes())
    content[content.index(blobs[0][1][:50])] ^= 1
    pack.write_bytes(content)
    assert store.get_chunks(record.mod_id, [0, 1]) == [None, blobs[1][1]]
    assert store.missing(record.mod_id) == [0]
    assert store.put([blobs[0]]) == []
    assert store.get(blobs[0][0]) == blobs[0][1]
    store.close()


def test_parts_of_a_manifest(store: Store, folder: Path) -> None:
    """A damaged one is seen with the first part, but not until its last check is some time ago."""
    record, data = mod(1, 1)
    mod_id, soon = record.mod_id, limits.MANIFEST_CHECKED_S + 1
    store.put([blob(2)])
    store.add_mod(record, data, [blob(1)[0]])
    assert store.manifest_part(mod_id, 0, 300, 0.0) == data[:300]
    assert store.manifest_part(mod_id, 5, 5000, 0.0) == data[5:]
    assert store.manifest_part(mod_id, len(data), 1, 0.0) is None
    assert store.manifest_part(mod_id, -1, 1, 0.0) is None
    assert store.manifest_part(bytes(32), 0, 1, 0.0) is None
    pack = next((folder / "packs").iterdir())
    content = bytearray(pack.read_bytes())
    content[content.index(data[-5:])] ^= 1
    pack.write_bytes(content)
    assert store.manifest_part(mod_id, 0, 3, 1.0) == data[:3]
    assert store.manifest_part(mod_id, 0, 3, soon) is None
    assert store.manifest_part(mod_id, 3, 3, soon) is None
    assert store.held(mod_id) is None


def test_a_pack_that_lost_its_end_is_believed(folder: Path) -> None:
    """A disk that lied about fsync: what is gone is missing, the rest stays."""
    store = Store(folder)
    blobs = [blob(number) for number in range(3)]
    record, manifest = mod(1, 3)
    store.put(blobs[:1])
    store.add_mod(record, manifest, [address for address, _ in blobs])
    store.put(blobs)
    store.close()
    pack = next((folder / "packs").iterdir())
    pack.write_bytes(pack.read_bytes()[: 2500 + len(manifest)])
    again = Store(folder)
    assert again.missing(record.mod_id) == [2]
    assert again.get_many([address for address, _ in blobs]) == [blobs[0][1], blobs[1][1], None]
    again.put(blobs)
    assert again.get(blobs[2][0]) == blobs[2][1]
    again.close()


def test_a_pack_that_is_gone_is_believed(folder: Path) -> None:
    store = Store(folder)
    store.put([blob(1)])
    store.close()
    next((folder / "packs").iterdir()).unlink()
    again = Store(folder)
    assert again.get(blob(1)[0]) is None
    again.put([blob(1)])
    assert again.get(blob(1)[0]) == blob(1)[1]
    again.close()


def test_what_the_index_does_not_know_is_overwritten_or_removed(folder: Path) -> None:
    store = Store(folder)
    store.put([blob(1)])
    store.close()
    with (folder / "packs" / "00000001.pack").open("ab") as pack:
        pack.write(b"half a chunk")
    (folder / "packs" / "00000002.pack").write_bytes(b"never recorded")
    (folder / "packs" / "notes.txt").write_bytes(b"not ours")
    again = Store(folder)
    again.put([blob(2)])
    assert [again.get(blob(number)[0]) for number in (1, 2)] == [blob(1)[1], blob(2)[1]]
    assert sorted(path.name for path in (folder / "packs").iterdir()) == [
        "00000001.pack",
        "notes.txt",
    ]
    assert (folder / "packs" / "00000001.pack").stat().st_size == 2000
    again.close()


def test_packs_end_at_their_size(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 3000)
    blobs = [blob(number) for number in range(10)]
    for one in blobs:
        store.put([one])
    assert len(list((folder / "packs").iterdir())) == 4
    assert store.get_many([address for address, _ in blobs]) == [data for _, data in blobs]


def test_many_packs_can_be_read(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 1)
    monkeypatch.setattr(packs, "_OPEN_FILES", 3)
    blobs = [blob(number) for number in range(8)]
    for one in blobs:
        store.put([one])
    for _ in range(2):
        assert store.get_many([address for address, _ in blobs]) == [data for _, data in blobs]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_other_users_cannot_read_the_secrets(folder: Path, store: Store) -> None:
    begin(store, "a")
    assert folder.stat().st_mode & 0o077 == 0


def test_only_one_node_may_use_a_vault(folder: Path, store: Store) -> None:
    with pytest.raises(HomeError, match="in use by another node"):
        Store(folder)
    store.put([blob(1)])
    assert store.get(blob(1)[0]) == blob(1)[1]


def test_another_format_is_refused(folder: Path) -> None:
    Store(folder).close()
    database = sqlite3.connect(folder / "index.sqlite")
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(HomeError, match="format 9"):
        Store(folder)


def test_a_damaged_index_is_named(folder: Path) -> None:
    Store(folder).close()
    (folder / "index.sqlite").write_bytes(b"not a database " * 1000)
    with pytest.raises(HomeError, match=r"index\.sqlite is damaged"):
        Store(folder)


def test_a_vault_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "vault").write_bytes(b"")
    with pytest.raises(DiskError):
        Store(tmp_path / "vault")


# Mods


def test_mods_are_remembered(folder: Path) -> None:
    store = Store(folder)
    first, manifest = mod(1, 2)
    store.add_mod(first, manifest, [blob(1)[0], blob(2)[0]])
    second, other = mod(2, 1, key=None)
    store.add_mod(second, other, [blob(2)[0]])
    store.close()
    again = Store(folder)
    assert again.mods() == [first, second]
    assert again.mod(first.mod_id) == first
    assert again.mod(bytes(32)) is None
    assert again.get(first.mod_id) == manifest
    assert again.missing(first.mod_id) == [0, 1]
    again.put([blob(2)])
    assert again.missing(first.mod_id) == [0]
    assert again.missing(second.mod_id) == []
    assert again.missing(bytes(32)) == []
    again.close()


def test_a_mod_that_comes_again_keeps_what_is_known(store: Store) -> None:
    known, manifest = mod(1, 1)
    store.add_mod(known, manifest, [blob(1)[0]])
    unknown, _ = mod(1, 1, key=None)
    store.add_mod(unknown, manifest, [blob(1)[0]])
    assert store.mods() == [known]


def test_a_key_that_comes_later_is_kept(store: Store) -> None:
    unknown, manifest = mod(1, 1, key=None)
    store.add_mod(unknown, manifest, [blob(1)[0]])
    known, _ = mod(1, 1)
    store.add_mod(known, manifest, [blob(1)[0]])
    assert store.mods() == [known]


def test_a_manifest_that_is_not_the_mods(store: Store) -> None:
    record, _ = mod(1, 0)
    with pytest.raises(ValueError, match="manifest"):
        store.add_mod(record, b"another", [])
    assert store.mods() == []


def test_what_is_held(store: Store) -> None:
    record, manifest = mod(1, 2)
    assert store.held(record.mod_id) is None
    store.add_mod(record, manifest, [blob(1)[0], blob(2)[0]])
    store.put([blob(2)])
    held = store.held(record.mod_id)
    assert held is not None
    assert held == Held(len(manifest), 2, complete=False, bits=b"\x40")
    assert store.held(record.mod_id) is held
    assert store.get_chunks(record.mod_id, [0, 1, 7]) == [None, blob(2)[1], None]
    store.put([blob(1)])
    assert store.held(record.mod_id) == Held(len(manifest), 2, complete=True, bits=b"\xc0")
    assert store.get_chunks(bytes(32), [0]) is None


# Room


def test_what_no_mod_needs_goes(store: Store, folder: Path) -> None:
    kept, manifest = mod(1, 2)
    store.add_mod(kept, manifest, [blob(1)[0], blob(2)[0]])
    removed, other = mod(2, 2)
    store.add_mod(removed, other, [blob(2)[0], blob(3, 50_000)[0]])
    store.put([blob(1), blob(2), blob(3, 50_000)])
    assert store.compaction.collect() == 0
    assert store.remove_mod(removed.mod_id)
    assert not store.remove_mod(removed.mod_id)
    assert store.compaction.collect() == 2
    while store.compaction.compact():
        pass
    assert store.mods() == [kept]
    assert store.get_many([blob(1)[0], blob(2)[0], kept.mod_id]) == [
        blob(1)[1],
        blob(2)[1],
        manifest,
    ]
    assert store.get(blob(3, 50_000)[0]) is None
    # One manifest's room before the chunks is too small for any of them to move there.
    assert pack_bytes(folder) == 2000 + len(manifest) + len(other)


def test_everything_may_go(store: Store, folder: Path) -> None:
    store.put([blob(number) for number in range(5)])
    assert store.compaction.collect() == 5
    while store.compaction.compact():
        pass
    assert list((folder / "packs").iterdir()) == []
    store.put([blob(1)])
    assert store.get(blob(1)[0]) == blob(1)[1]


def test_compacting_writes_over_nothing_that_is_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob longer than the room before it stays; a disk that fails in between costs nothing."""
    store = Store(folder)
    sizes = [900, 1000, 800, 5000, 3000, 2500, 9000]
    blobs = [blob(number, size) for number, size in enumerate(sizes)]
    for number, one in enumerate(blobs):
        record, manifest = mod(number, 1)
        store.put([one])
        store.add_mod(record, manifest, [one[0]])
    for number in (0, 3, 6):
        store.remove_mod(mod(number, 1)[0].mod_id)
    store.compaction.collect()
    real = packs.Packs.write

    def torn(these: packs.Packs, number: int, offset: int, data: Iterable[bytes]) -> Any:
        real(these, number, offset, [b"".join(data)[:-1]])
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(packs.Packs, "write", torn)
        with pytest.raises(DiskError):
            store.compaction.compact()
    for _ in range(2):
        kept = [store.get(blobs[number][0]) for number in (1, 2, 4, 5)]
        assert kept == [blobs[number][1] for number in (1, 2, 4, 5)]
        while store.compaction.compact():
            pass
        store.close()
        store = Store(folder)
    assert pack_bytes(folder) < 2 * (1000 + 800 + 3000 + 2500)
    store.close()


def test_compacting_moves_only_what_is_right(store: Store, folder: Path) -> None:
    record, manifest = mod(1, 2)
    store.add_mod(record, manifest, [blob(1)[0], blob(2)[0]])
    store.put([blob(1), blob(2), blob(3, 50_000)])
    pack = next((folder / "packs").iterdir())
    content = bytearray(pack.read_bytes())
    content[content.index(blob(1)[1][:50])] ^= 1
    pack.write_bytes(content)
    store.compaction.collect()
    while store.compaction.compact():
        pass
    assert store.missing(record.mod_id) == [0]
    assert store.get(blob(2)[0]) == blob(2)[1]


# Lineages


def begin(store: Store, name: str) -> int:
    return store.record(lambda tables: tables.lineages.add(name, bytes(32)))


def test_a_lineage_is_remembered(folder: Path) -> None:
    store = Store(folder)
    one, two = begin(store, "one"), begin(store, "two")
    head, previous = VersionKeys(b"h" * 32, b"k" * 32), VersionKeys(b"p" * 32, b"q" * 32)
    for seed in (b"s" * 32, b"t" * 32):  # the first stays: all that was signed by it would be lost
        store.record(lambda tables, seed=seed: tables.lineages.give_seed(one, seed))  # type: ignore[misc]
    store.record(lambda tables: tables.lineages.publish(one, "/mods/one", 7, head, previous))
    store.close()
    again = Store(folder)
    known = again.recall(lambda tables: tables.lineages.every())
    assert known == [
        Lineage(one, "one", bytes(32), b"s" * 32, "/mods/one", 7, head, previous),
        Lineage(two, "two", bytes(32), None, None),
    ]
    assert again.recall(lambda tables: tables.lineages.named("one")) == known[0]
    assert again.recall(lambda tables: tables.lineages.named("three")) is None
    assert again.recall(lambda tables: tables.lineages.of_path("/mods/one")) == known[:1]
    again.close()


def lineage_chunk(number: int) -> tuple[LineageChunk, bytes]:
    address, data = blob(number)
    return LineageChunk(b"%032d" % number, address, b"%032d" % -number, len(data)), data


def test_a_lineage_knows_what_it_sealed(store: Store) -> None:
    one = begin(store, "one")
    two = begin(store, "two")
    sealed = [lineage_chunk(1), lineage_chunk(2)]
    assert store.put_sealed(one, sealed) == 2000
    assert store.put_sealed(one, sealed) == 0
    hashes = [chunk.plaintext_hash for chunk, _ in sealed]
    assert store.known_chunks(one, [*hashes, b"?"]) == {
        chunk.plaintext_hash: chunk for chunk, _ in sealed
    }
    assert store.known_chunks(two, hashes) == {}


def test_what_a_lineage_sealed_is_not_hashed_again(store: Store) -> None:
    number = begin(store, "name")
    own, others = [lineage_chunk(1), lineage_chunk(2)], [blob(3, 700)]
    with HashedBytes().counting() as hashed:
        store.put_sealed(number, own)
        assert hashed.total == 0
        store.put(others)
        assert hashed.total == 700
    assert store.get(own[0][0].address) == own[0][1]


def test_what_a_lineage_sealed_is_recorded_as_a_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = begin(store, "name")
    (chunk, data), other = lineage_chunk(1), blob(2)

    def failing(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(LineageTable, "remember", failing)
        with pytest.raises(DiskError):
            store.put_sealed(number, [(chunk, data)])
    assert store.get(chunk.address) is None
    store.put([other])
    assert store.put_sealed(number, [(chunk, data)]) == len(data)
    assert store.get_many([chunk.address, other[0]]) == [data, other[1]]
    assert store.known_chunks(number, [chunk.plaintext_hash])


def test_a_lineage_forgets_what_is_gone(store: Store) -> None:
    one = begin(store, "one")
    sealed = [lineage_chunk(1)]
    store.put_sealed(one, sealed)
    store.compaction.collect()
    assert store.known_chunks(one, [sealed[0][0].plaintext_hash]) == {}


# Disks


def no_room(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_: Any) -> int:
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize(
    ("failing", "name", "message"),
    [
        (no_room, "write", "is full"),
        (no_room, "fsync", "is full"),
        (read_only, "open", "read-only"),
    ],
)
def test_a_disk_that_fails(
    failing: Any, name: str, message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(folder)
    store.put([blob(1)])
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing)
        with pytest.raises(DiskError, match=message) as caught:
            store.put([blob(2), blob(3)])
    assert "\n" not in str(caught.value)
    assert pack_bytes(folder) == 1000
    assert store.get(blob(2)[0]) is None
    assert store.put([blob(4)]) == []
    assert [store.get(blob(number)[0]) for number in (1, 4)] == [blob(1)[1], blob(4)[1]]
    store.close()


def test_the_name_of_a_pack_is_flushed_though_its_first_write_was_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = list[Path]()
    monkeypatch.setattr(packs, "flush_folder", flushed.append)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_all", "flush_file", "flush_folder"):
        with monkeypatch.context() as patch:
            patch.setattr(packs, name, full)
            with pytest.raises(DiskError):
                store.put([blob(1)])
        assert flushed == []
        assert store._packs.size(1) == 0
    store.put([blob(1)])
    assert flushed == [store._packs.path(1).parent]
    store.put([blob(2)])
    assert len(flushed) == 1


def test_a_disk_that_fills_up_in_the_middle(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, room = os.write, [1500]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            no_room()
        written = real_write(descriptor, data[: room[0]])
        room[0] -= written
        return written

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(DiskError, match="is full"):
            store.put([blob(1), blob(2)])
    assert pack_bytes(folder) == 0
    store.put([blob(2), blob(3)])
    assert [store.get(blob(number)[0]) for number in (1, 2, 3)] == [None, blob(2)[1], blob(3)[1]]


def test_an_index_that_cannot_be_written(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put([blob(1)])

    def fail(*_: Any) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("node.content.vault.index.Index.record", fail)
        with pytest.raises(DiskError, match="is full"):
            store.put([blob(2)])
    assert store.get(blob(2)[0]) is None
    store.put([blob(3)])
    assert pack_bytes(folder) == 2000
    assert store.get(blob(3)[0]) == blob(3)[1]


def test_reading_survives_a_disk_that_cannot_be_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put([blob(1)])

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("node.content.vault.packs.Packs.read", fail)
        assert store.get(blob(1)[0]) is None
