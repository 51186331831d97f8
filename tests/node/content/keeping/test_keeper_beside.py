"""Eviction and checks beside fetching, assembling and serving: what is in use is whole."""

import asyncio
import random
from pathlib import Path

import pytest

from node.content.keeping.keeper import Keeper
from node.content.keeping.scrubber import Scrubber
from node.content.progress import ReportProgress
from node.content.rates.background import BackgroundPacer
from node.content.room import Disk
from node.content.vault.upkeep import compaction, scrubbing
from node.content.vault.vault import Vault
from protocol.content import sealing
from tests.node.content.keeping.test_keeper import KB, Mods, blob

BUDGET = 20 * KB
MODS = 25


class Together:
    """What is done to one vault at the same time."""

    def __init__(self, vault: Vault, rng: random.Random) -> None:
        self.vault = vault
        self.mods = Mods(vault)
        self.rng = rng
        self.numbers = iter(range(MODS))
        self.chunks: dict[int, list[int]] = {}
        self.assembled = self.served = self.evicted = self.checks = 0
        self.keeper = Keeper(vault, BUDGET, look=lambda _: Disk(1, 2**40, 2**40))
        self.scrubber = Scrubber(vault, self.repair)
        self.busy = 2

    async def repair(self, mod_id: bytes, _: ReportProgress, pacer: BackgroundPacer | None) -> None:
        raise AssertionError("nothing is damaged")

    async def get(self) -> None:
        """Mods come chunk by chunk, and are read back at the end."""
        for number in self.numbers:
            wanted = self.chunks[number] = self.rng.sample(range(40), self.rng.randint(1, 12))
            blobs = [blob(one) for one in wanted]
            mod_id = self.mods.ids[number] = sealing.address_of(b"%d" % number)
            with self.vault.using(mod_id):
                await self.mods.add(number, blobs, here=0)
                for one in blobs:
                    await self.vault.put([one])
                    await asyncio.sleep(self.rng.random())
                found = await self.vault.get_chunks(mod_id, range(len(blobs)))
                assert found == [data for _, data in blobs]
            self.assembled += 1
        self.busy -= 1

    async def serve(self, name: str) -> None:
        """A peer asks for this and that."""
        peer = self.vault.read_by(name)
        while self.busy:
            await asyncio.sleep(self.rng.random())
            if self.chunks:
                number = self.rng.choice(list(self.chunks))
                wanted = self.chunks[number]
                found = await peer.chunks(self.mods.ids[number], range(len(wanted)), 10**9)
                for one, data in zip(wanted, found or (), strict=False):
                    assert data in (None, blob(one)[1])
                    self.served += data is not None

    async def evict(self) -> None:
        """The budget is kept, again and again."""
        while self.busy:
            self.evicted += await self.keeper.keep_within()
            await asyncio.sleep(self.rng.random())

    async def check(self) -> None:
        """All is checked, again and again."""
        while self.busy:
            assert (await self.scrubber.run()).bad == 0
            self.checks += 1
            await asyncio.sleep(self.rng.random())


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_in_use_is_whole(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrubbing, "_CHECKED_BYTES", 3 * KB)
    monkeypatch.setattr(compaction, "_MOVED_BYTES", 3 * KB)
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6 + asyncio.get_event_loop().time())
    it = Together(vault, random.Random(seed))
    await asyncio.gather(
        *(it.get(), it.get(), it.serve("a"), it.serve("b"), it.evict(), it.check())
    )
    assert (it.assembled, it.evicted > 0, it.served > 0, it.checks > 3) == (MODS, True, True, True)
    await asyncio.sleep(60)
    await it.keeper.keep_within()
    for number in await it.mods.left():
        assert await vault.missing(it.mods.ids[number]) == []
    kept = await it.keeper.usages()
    here = {one for number in await it.mods.left() for one in it.chunks[number]}
    assert len(here) * KB <= BUDGET
    assert sum(usage.mod.chunks for usage in kept) >= len(here)
    assert (await it.scrubber.run()).blobs == len(here) + len(kept), "nothing else is left"
    await vault.close()
