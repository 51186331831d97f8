"""Packs take little more than what mods need, and to bring that about costs little."""

import errno
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from node.content.vault import packs
from node.content.vault.packs import PackPlace, Packs
from node.content.vault.store import Blob, Store
from node.content.vault.stored_mod import StoredMod
from node.content.vault.upkeep import compaction
from node.disk.reserve import kept_free
from protocol import limits
from protocol.content import sealing
from tests.node.content.keeping.test_keeper import KB, blob

MODS, CHUNKS = 60, 12


class Work:
    """What compacting wrote; nothing else is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = 0
        self.on = False
        write = Packs.write

        def counted(
            these: Packs, number: int, offset: int, blobs: Iterable[bytes]
        ) -> list[PackPlace]:
            blobs = tuple(blobs)
            self.written += sum(map(len, blobs)) if self.on else 0
            return write(these, number, offset, blobs)

        monkeypatch.setattr(Packs, "write", counted)


def chunk_blob(chunk: int) -> Blob:
    return blob(chunk, KB * (1 + chunk % 3))


def add(store: Store, number: int, chunks: Sequence[int]) -> bytes:
    """A mod of these chunks."""
    blobs = [chunk_blob(chunk) for chunk in chunks]
    manifest = b"manifest %d" % number
    mod_id = sealing.address_of(manifest)
    size = sum(len(data) for _, data in blobs)
    mod = StoredMod(
        *(mod_id, b"k" * 32, "", 0, 1, size, size, len(blobs)),
        published=False,
        added=float(number),
    )
    store.put(blobs)
    store.add_mod(mod, manifest, [address for address, _ in blobs])
    return mod_id


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "packs").iterdir())


def needed(store: Store) -> int:
    return sum(known for _, known in store._index.packs().values())


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES", 50 * KB)
    monkeypatch.setattr(compaction, "_MOVED_BYTES", 8 * KB)


def compact(store: Store) -> None:
    """To the end, which comes."""
    for _ in range(1000):
        if not store.compaction.compact():
            return
    raise AssertionError("it has no end")


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("seed", range(6))
def test_what_no_mod_needs_takes_a_bounded_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng, work = random.Random(seed), Work(monkeypatch)
    store, freed = Store(tmp_path / "vault"), 0
    wanted = {
        add(store, number, chunks): chunks
        for number in range(MODS)
        for chunks in [rng.sample(range(MODS * CHUNKS), CHUNKS)]
    }
    gone = list(wanted)
    rng.shuffle(gone)
    for mod_id in gone:
        before = on_disk(tmp_path / "vault")
        store.remove_mod(mod_id)
        del wanted[mod_id]
        store.compaction.collect([mod_id])
        work.on = True
        compact(store)
        work.on = False
        freed += before - on_disk(tmp_path / "vault")
        most = needed(store) * limits.DEAD_PART / (limits.DEAD_PART - 1)
        assert on_disk(tmp_path / "vault") <= most
        assert work.written <= freed * (limits.DEAD_PART - 1)
    assert on_disk(tmp_path / "vault") == 0
    assert work.written > 0
    store.close()


KEPT = [chunk for chunk in range(100) if chunk % 5 > 1]


def two_fifths_gone(store: Store) -> bytes:
    """A mod of which the chunks lie between those that another one needed; returns its id."""
    store.put([chunk_blob(chunk) for chunk in range(100)])
    kept = add(store, 1, KEPT)
    gone = add(store, 2, [chunk for chunk in range(100) if chunk % 5 <= 1])
    store.remove_mod(gone)
    store.compaction.collect([gone])
    assert on_disk(store._folder) > 1.5 * needed(store)
    return kept


@pytest.mark.usefixtures("small_packs")
def test_what_is_copied_is_whole_also_where_it_stops_midway(tmp_path: Path) -> None:
    store = Store(tmp_path / "vault")
    kept, steps = two_fifths_gone(store), 0
    while store.compaction.compact():
        steps += 1
        store.close()
        store = Store(tmp_path / "vault")
        assert store.missing(kept) == []
        found = store.get_chunks(kept, range(len(KEPT)))
        assert found == [chunk_blob(chunk)[1] for chunk in KEPT]
    assert steps > 3
    assert on_disk(tmp_path / "vault") <= 1.25 * needed(store)
    store.close()


@pytest.mark.usefixtures("small_packs")
def test_nothing_is_copied_into_the_last_room_of_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "vault")
    two_fifths_gone(store)
    with monkeypatch.context() as full:
        full.setattr(compaction, "free_bytes", lambda folder: kept_free(folder) + 20 * KB)
        compact(store)  # what lies in mostly unneeded packs
    assert on_disk(tmp_path / "vault") > 1.25 * needed(store)
    compact(store)
    assert on_disk(tmp_path / "vault") <= 1.25 * needed(store)
    store.close()


@pytest.mark.usefixtures("small_packs")
def test_what_is_damaged_is_not_copied(tmp_path: Path) -> None:
    store = Store(tmp_path / "vault")
    kept = two_fifths_gone(store)
    bad = chunk_blob(KEPT[3])[1]
    for pack in (tmp_path / "vault" / "packs").iterdir():
        pack.write_bytes(pack.read_bytes().replace(bad, bytes(len(bad))))
    compact(store)
    assert store.missing(kept) == [3]
    store.close()


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("part_gone", [1, 4], ids=["to be copied", "to shrink"])
def test_a_pack_that_cannot_be_read_keeps_no_room_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_gone: int
) -> None:
    store = Store(tmp_path / "vault")
    store.put([chunk_blob(chunk) for chunk in range(20)])  # a pack, of which the most is to go
    kept = two_fifths_gone(store)
    first = [chunk_blob(chunk)[0] for chunk in KEPT if chunk < 20]
    bad = store._index.place(first[0])
    assert bad is not None
    with store._index.transaction():
        store._index.mods.damage(first[: part_gone * 3])
        store._index.forget(first[: part_gone * 3])
    read, before = Packs.read, on_disk(tmp_path / "vault") - store._packs.size(bad.pack)

    def refused(these: Packs, place: PackPlace) -> bytes:
        if place.pack == bad.pack:
            raise OSError(errno.EIO, "the disk fails")
        return read(these, place)

    with monkeypatch.context() as failing:
        failing.setattr(Packs, "read", refused)
        compact(store)
        others = on_disk(tmp_path / "vault") - store._packs.size(bad.pack)
        assert others <= 0.8 * before
        assert store._packs.size(bad.pack) > 0
    store.compaction.collect()
    compact(store)
    assert on_disk(tmp_path / "vault") <= 1.25 * needed(store), "it is tried again the next time"
    store.put([chunk_blob(chunk) for chunk in range(20)])
    assert store.missing(kept) == []
    store.close()
