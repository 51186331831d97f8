"""The vault's budget: what goes, in which order, and what never does."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.content.keeping.keeper import Keeper
from node.content.room import Disk, RoomBook
from node.content.vault import index
from node.content.vault.database import Database
from node.content.vault.store import Blob
from node.content.vault.stored_mod import StoredMod
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import sealing
from protocol.errors import DiskError

KB = 1000
BUDGET = 10 * KB + 100
LARGE = 2**40


def blob(number: int, size: int = KB) -> Blob:
    data = random.Random(number).randbytes(size)
    return sealing.address_of(data), data


class Mods:
    """A vault with mods that are told apart by number."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        self.ids: dict[int, bytes] = {}
        self.manifests: dict[int, FakeManifest] = {}

    async def add(
        self, number: int, blobs: Sequence[Blob], *, shared: bool = False, here: int | None = None
    ) -> bytes:
        """Add a mod with these chunks, used at its number; only the first `here` are there."""
        data = b"%d" % number
        mod_id = sealing.address_of(data)
        mod = StoredMod(
            *(mod_id, b"k" * 32, f"mod {number}", 0, 1, KB),
            sum(len(one) for _, one in blobs),
            len(blobs),
            published=shared,
            added=float(number),
        )
        manifest = FakeManifest(data, tuple(address for address, _ in blobs))
        await self.vault.add_mod(mod, manifest)  # type: ignore[arg-type]
        await self.vault.put(blobs[:here])
        self.ids[number] = mod_id
        self.manifests[number] = manifest
        return mod_id

    async def left(self) -> set[int]:
        """The numbers of the mods that are there."""
        there = {mod.mod_id for mod in await self.vault.mods()}
        return {number for number, mod_id in self.ids.items() if mod_id in there}


class FakeManifest:
    """What the vault reads of a manifest."""

    def __init__(self, data: bytes, addresses: tuple[bytes, ...]) -> None:
        self.data = data
        self.addresses = addresses


def keeper_of(mods: Mods, budget: int | None = BUDGET, free: int = LARGE) -> Keeper:
    return Keeper(mods.vault, budget, look=lambda _: Disk(1, LARGE, free))


def chunks(first: int, count: int) -> list[Blob]:
    return [blob(number) for number in range(first, first + count)]


async def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    for number in range(4):
        await mods.add(number, chunks(10 * number, 4))
    keeper = keeper_of(mods)
    assert await keeper.keep_within() == 2
    assert await mods.left() == {2, 3}
    assert await mods.vault.missing(mods.ids[2]) == []
    assert await mods.vault.get(blob(0)[0]) is None
    assert await keeper.keep_within() == 0
    await mods.add(5, chunks(50, 4))
    await mods.vault.fetched(mods.ids[2])  # now, at 1e6
    assert await keeper.keep_within() == 1
    assert await mods.left() == {2, 5}
    await mods.vault.close()


async def test_what_is_pinned_shared_or_in_use_stays_and_takes_nothing_of_the_budget(
    tmp_path: Path,
) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 9), shared=True)
    await mods.add(1, chunks(10, 9))
    await mods.add(2, chunks(20, 9))
    await mods.add(3, chunks(30, 9))
    assert await mods.vault.pin(mods.ids[1], pinned=True)
    assert not await mods.vault.pin(bytes(32), pinned=True)
    keeper = keeper_of(mods)
    with mods.vault.using(mods.ids[2]):
        assert await keeper.keep_within() == 0
    assert await keeper.keep_within() == 1
    assert await mods.left() == {0, 1, 3}
    await mods.vault.pin(mods.ids[0], pinned=False)
    await mods.vault.pin(mods.ids[1], pinned=False)
    assert await keeper.keep_within() == 2
    assert await mods.left() == {3}
    await mods.vault.close()


async def test_each_peer_keeps_the_mod_that_it_was_sent_last(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 2.0))
    now = 0.0
    for number in range(3):
        await mods.add(number, chunks(10 * number, 9))
    uses = mods.vault._store.uses
    peer = mods.vault.read_by("peer")
    assert await peer.chunks(mods.ids[0], [0], 1) == [blob(0)[1]]
    assert await peer.chunks(mods.ids[1], [0], 1) == [blob(10)[1]]
    assert await peer.chunks(mods.ids[2], [99], 1) == [None]
    (now,) = {at for _, at in uses._served.values()}
    assert uses.in_use(now + limits.SERVED_LATELY_S - 1) == {mods.ids[1]}
    assert uses.in_use(now + limits.SERVED_LATELY_S) == frozenset()
    assert await keeper_of(mods).keep_within() == 1
    assert await mods.left() == {1, 2}
    await mods.vault.close()


async def test_chunks_in_common_are_counted_once_and_go_with_the_last(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    common = chunks(0, 8)
    await mods.add(0, common)
    await mods.add(1, [*common, blob(20)])
    keeper = keeper_of(mods)
    assert await keeper.keep_within() == 0, "17 chunks, and 9 different ones"
    await mods.add(2, [*common, blob(21), blob(22)])
    assert await keeper.keep_within() == 2, "11 different ones; the first frees nothing"
    assert await mods.left() == {2}
    assert await mods.vault.missing(mods.ids[2]) == []
    assert await mods.vault.get(blob(20)[0]) is None
    await mods.add(3, common, shared=True)
    await mods.add(4, [*common, *chunks(30, 7)])
    assert await keeper.keep_within() == 0, "what is pinned costs the others nothing"
    await mods.vault.close()


async def test_a_mod_larger_than_the_budget_goes_before_all_others(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 4))
    await mods.add(1, chunks(10, 4))
    await mods.add(2, chunks(20, 12))
    assert await keeper_of(mods).keep_within() == 1
    assert await mods.left() == {0, 1}
    await mods.vault.close()


async def test_partial_downloads_count_by_what_is_there(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 9), here=3)
    await mods.add(1, chunks(10, 6))
    assert await keeper_of(mods).keep_within() == 0
    await mods.add(2, chunks(20, 2))
    assert await keeper_of(mods).keep_within() == 1
    assert await mods.left() == {1, 2}
    await mods.vault.close()


async def test_what_was_cut_short_stays_for_a_day(tmp_path: Path) -> None:
    now = 1e6
    vault = await Vault.open(tmp_path / "vault", lambda: now)
    mods = Mods(vault)
    full = keeper_of(mods, 0, free=0)
    await mods.add(1, chunks(0, 3), here=2)
    await mods.add(2, chunks(10, 3))
    await mods.add(3, chunks(20, 3), here=0)
    for number in (1, 2, 3):
        await vault.fetched(mods.ids[number])
    assert await full.keep_within() == 1
    assert await mods.left() == {1, 3}, "whatever the budget says, and a disk that is full"
    now += limits.CUT_SHORT_KEPT_S - 1
    assert await full.keep_within() == 0
    await vault.fetched(mods.ids[1])
    now += 1
    assert await full.keep_within() == 1
    assert await mods.left() == {1}
    assert await full.free(1, KB), "unless another download needs its room"
    assert await mods.left() == set()
    await vault.close()


async def test_what_is_held_stays(tmp_path: Path) -> None:
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    mods = Mods(vault)
    keeper = keeper_of(mods, 0)
    for number in (1, 2, 3):
        await mods.add(number, chunks(10 * number, 3), here=2)
    assert not vault.hold([mods.ids[1], mods.ids[2]])
    assert await keeper.keep_within() == 1
    assert not vault.is_in_use, "a check of all bytes need not wait for it"
    assert vault.hold([mods.ids[1]])
    assert await keeper.keep_within() == 1
    assert not await keeper.free(1, KB)
    assert await mods.left() == {1}
    await vault.close()


async def test_a_disk_that_gets_full_has_its_room_back(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    for number in range(4):
        await mods.add(number, chunks(10 * number, 4))
    packs = tmp_path / "vault" / "packs"

    def look(_: Path) -> Disk:
        taken = sum(file.stat().st_size for file in packs.iterdir())
        return Disk(1, 400 * KB, 400 * KB // limits.DISK_KEPT_PART + 10 * KB - taken)

    keeper = Keeper(mods.vault, LARGE, look=look)
    await keeper.keep_within()
    assert await mods.left() == {2, 3}
    await mods.vault.close()


async def test_a_get_takes_the_room_that_others_are_evicted_from(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    for number in range(4):
        await mods.add(number, chunks(10 * number, 4))
    packs = tmp_path / "vault" / "packs"

    def look(place: Path) -> Disk:
        taken = sum(file.stat().st_size for file in packs.iterdir())
        number = 1 if place == mods.vault.folder else 2
        return Disk(number, 0, 20 * KB - taken)

    keeper = Keeper(mods.vault, LARGE, look=look)
    book = RoomBook(look, keeper.free)
    await book.claim_freeing(mods.vault.folder, 3 * KB)
    assert await mods.left() == {0, 1, 2, 3}
    claim = await book.claim_freeing(mods.vault.folder, 8 * KB)
    assert await mods.left() == {2, 3}
    with mods.vault.using(mods.ids[3]), pytest.raises(DiskError, match="too full"):
        await book.claim_freeing(mods.vault.folder, 12 * KB)
    assert await mods.left() == {3}, "what is in use stays, whatever is asked"
    with pytest.raises(DiskError, match="too full"):
        await book.claim_freeing(tmp_path, 30 * KB)
    assert await mods.left() == {3}, "another disk has nothing of it"
    claim.release()
    await mods.vault.close()


def test_the_usual_budget_is_a_tenth_of_the_disk_at_most() -> None:
    keeper = Keeper.__new__(Keeper)
    keeper._budget = None
    assert keeper.budget_on(Disk(1, 50 * 2**30, 0)) == 5 * 2**30
    assert keeper.budget_on(Disk(1, 5 * 2**40, 0)) == limits.VAULT_BYTES == 20 * 2**30
    assert keeper.budget_on(Disk(1, None, None)) == limits.VAULT_BYTES
    assert Disk(1, 2**40, 0).kept_free == 2**30
    assert Disk(1, 10 * 2**30, 0).kept_free == 2**29


async def test_an_eviction_looks_at_what_was_evicted_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, [*chunks(0, 4), *chunks(90, 2)])
    await mods.add(1, [*chunks(10, 4), *chunks(90, 2)])
    await mods.add(2, chunks(20, 4))
    looked: list[object] = []
    real = Database.one

    def one(database: Database, query: str, *values: object) -> tuple[Any, ...] | None:
        looked.extend(values[:1] if query == index._IS_NEEDED else ())
        return real(database, query, *values)

    monkeypatch.setattr(Database, "one", one)
    monkeypatch.setattr(index.Index, "unneeded", None)
    assert await keeper_of(mods).keep_within() == 1
    assert len(looked) == 7, "six chunks and a manifest"
    assert await mods.vault.get(mods.ids[0]) is None
    assert await mods.vault.get(blob(0)[0]) is None
    assert await mods.vault.get(blob(90)[0]) == blob(90)[1]
    assert await mods.left() == {1, 2}
    monkeypatch.undo()
    assert await mods.vault._run(mods.vault._store.compaction.collect) == 0, "nothing was left"
    await mods.vault.close()


async def test_a_mod_that_comes_into_use_after_it_was_chosen_is_not_evicted(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    for number in range(3):
        await mods.add(number, chunks(10 * number, 4))
    fetched, served, idle = await mods.vault.kept()
    assert not any(mod.is_in_use for mod in (fetched, served))
    with mods.vault.using(fetched.mod_id):
        assert not await mods.vault.evict(fetched)
    mods.vault._store.uses.served("peer", served.mod_id, asyncio.get_running_loop().time())
    assert not await mods.vault.evict(served), "its peer may go on, though `used` is not recorded"
    assert await mods.vault.evict(idle)
    assert await mods.left() == {0, 1}
    await asyncio.sleep(limits.SERVED_LATELY_S)
    assert await mods.vault.evict(served)
    await mods.vault.close()


async def test_what_is_added_again_before_its_room_is_freed_is_whole(tmp_path: Path) -> None:
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    mod_id = await mods.add(0, chunks(0, 4))
    manifest = mods.manifests[0].data
    (kept,) = await mods.vault.kept()
    assert await mods.vault.evict(kept)
    await mods.add(0, chunks(0, 4))
    await mods.vault.collect(gone=[mod_id])
    assert await mods.vault.get(mod_id) == manifest
    assert await mods.vault.missing(mod_id) == []
    (again,) = await mods.vault.kept()
    assert await mods.vault.evict(again)
    await mods.vault.collect(gone=[mod_id])
    assert await mods.vault.get(mod_id) is None
    await mods.vault.close()
