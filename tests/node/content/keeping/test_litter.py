"""What no mod needs is freed before any mod is, and soon: what failed shares have stored."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.content.keeping.keeper import Keeper
from node.content.room import Disk, RoomBook
from node.content.vault.vault import Vault
from protocol import limits
from protocol.errors import BadFolder, DiskError
from tests.node.content.keeping.test_keeper import KB, LARGE, Mods, chunks


class SmallDisk:
    """The vault's, with room for its packs and so many bytes besides, of which some stay free."""

    def __init__(self, vault: Vault, free: int, kept_free: int = 0) -> None:
        self._packs = vault.folder / "packs"
        self._size = self.taken() + free
        self._total = kept_free * limits.DISK_KEPT_PART

    def taken(self) -> int:
        return sum(file.stat().st_size for file in self._packs.iterdir())

    def look(self, _: Path) -> Disk:
        return Disk(1, self._total, self._size - self.taken())


@contextlib.asynccontextmanager
async def littered(tmp_path: Path) -> AsyncIterator[Mods]:
    """Two mods of 4 kB, and 20 kB of a share that failed."""
    mods = Mods(await Vault.open(tmp_path / "vault", lambda: 1e6))
    await mods.add(0, chunks(0, 4))
    await mods.add(1, chunks(10, 4))
    await fail_to_share(mods.vault, 100)
    yield mods
    await mods.vault.close()


async def fail_to_share(vault: Vault, first: int) -> None:
    with contextlib.suppress(BadFolder):
        async with vault.holding():
            await vault.put(chunks(first, 20))
            raise BadFolder("it changed")


async def test_a_get_takes_the_room_of_a_failed_share_and_no_mod_goes(tmp_path: Path) -> None:
    async with littered(tmp_path) as mods:
        disk = SmallDisk(mods.vault, KB)
        keeper = Keeper(mods.vault, LARGE, look=disk.look)
        await RoomBook(disk.look, keeper.free).claim_freeing(mods.vault.folder, 15 * KB)
        assert await mods.left() == {0, 1}
        assert disk.taken() <= 11 * KB
        assert mods.vault.littered_s is None


async def test_what_was_freed_of_no_mod_counts(tmp_path: Path) -> None:
    async with littered(tmp_path) as mods:
        disk = SmallDisk(mods.vault, KB)
        keeper = Keeper(mods.vault, LARGE, look=disk.look)
        book = RoomBook(disk.look, keeper.free)
        await book.claim_freeing(mods.vault.folder, 24 * KB)
        assert await mods.left() == {1}, "3 kB more than the share had stored"
        with pytest.raises(DiskError, match="too full"):
            await book.claim_freeing(mods.vault.folder, 9 * KB)


async def test_a_disk_that_lacks_room_has_that_of_a_failed_share_first(tmp_path: Path) -> None:
    async with littered(tmp_path) as mods:
        disk = SmallDisk(mods.vault, KB, kept_free=10 * KB)
        assert await Keeper(mods.vault, LARGE, look=disk.look).keep_within() == 0
        assert await mods.left() == {0, 1}
        assert disk.taken() <= 11 * KB


async def test_a_failed_share_gives_its_room_back_soon(tmp_path: Path) -> None:
    async with littered(tmp_path) as mods:
        disk = SmallDisk(mods.vault, LARGE)
        keeper = Keeper(mods.vault, LARGE, look=disk.look)
        running = asyncio.create_task(keeper.run())
        await asyncio.sleep(limits.LITTER_KEPT_S - 1)
        assert disk.taken() >= 28 * KB, "the share may be repeated"
        await fail_to_share(mods.vault, 100)
        keeper.wake()
        await asyncio.sleep(limits.LITTER_KEPT_S - 1)
        assert disk.taken() >= 28 * KB
        await asyncio.sleep(2)
        assert disk.taken() <= 11 * KB
        async with mods.vault.holding():
            await fail_to_share(mods.vault, 200)
            keeper.wake()
            await asyncio.sleep(2 * limits.LITTER_KEPT_S)
            assert disk.taken() >= 28 * KB, "another share may need it"
        assert disk.taken() <= 11 * KB
        running.cancel()


async def test_what_is_due_but_for_a_rounding_does_not_keep_the_keeper_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    def littered_s(_: Vault) -> float:
        looks.append(asyncio.get_running_loop().time())
        return limits.LITTER_KEPT_S - 1e-12

    async with littered(tmp_path) as mods:
        monkeypatch.setattr(Vault, "littered_s", property(littered_s))
        running = asyncio.create_task(Keeper(mods.vault, LARGE).run())
        await asyncio.sleep(10)
        running.cancel()
    assert 2 <= len(looks) < 100
