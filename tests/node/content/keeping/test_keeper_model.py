"""Random histories of a vault that evicts, held against a model: nothing needed is ever lost."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.content.keeping.keeper import Keeper
from node.content.room import Disk
from node.content.vault.packs import Packs
from node.content.vault.vault import Vault
from protocol.errors import DiskError
from tests.node.content.keeping.test_keeper import KB, Mods, blob

BUDGET = 25 * KB
STEPS = 120


class History:
    """What was done to a vault, and what must be true of it."""

    def __init__(self, vault: Vault, rng: random.Random) -> None:
        self.mods = Mods(vault)
        self.rng = rng
        self.chunks: dict[int, list[int]] = {}
        self.held: dict[int, set[int]] = {}
        """The chunks of each mod that were acknowledged, by number of its blobs."""
        self.pinned: set[int] = set()
        self.used = contextlib.ExitStack()
        self.in_use: set[int] = set()
        self.keeper = Keeper(vault, BUDGET, look=lambda _: Disk(1, 2**40, 2**40))
        self.next = 0

    async def step(self) -> None:
        """One thing that happens to a vault."""
        act = self.rng.choice(
            (self.fetch, self.fetch, self.serve, self.pin, self.use, self.release, self.evict)
        )
        await act()

    async def fetch(self) -> None:
        """A mod of up to 12 chunks out of 60 comes, maybe not all of it; or is shared."""
        number, self.next = self.next, self.next + 1
        self.chunks[number] = self.rng.sample(range(60), self.rng.randint(1, 12))
        here = self.rng.choice((None, self.rng.randint(0, 12)))
        shared = self.rng.random() < 0.1
        with self.mods.vault.using(number.to_bytes(32, "big")):
            await self.mods.add(
                number, [blob(one) for one in self.chunks[number]], shared=shared, here=here
            )
        self.held[number] = set(self.chunks[number][:here])
        if shared:
            self.pinned.add(number)

    async def serve(self) -> None:
        """A peer asks for all of a mod."""
        if (number := self._some()) is not None:
            peer = self.mods.vault.read_by(f"peer {self.rng.randint(0, 2)}")
            chunks = range(len(self.chunks[number]))
            found = await peer.chunks(self.mods.ids[number], chunks, 10**9)
            for one, data in zip(self.chunks[number], found or (), strict=False):
                assert data in (None, blob(one)[1])

    async def pin(self) -> None:
        """A person pins a mod, or does not any more."""
        if (number := self._some()) is not None:
            pinned = self.rng.random() < 0.4
            found = await self.mods.vault.pin(self.mods.ids[number], pinned=pinned)
            (self.pinned.add if pinned and found else self.pinned.discard)(number)

    async def use(self) -> None:
        """Something begins to need a mod."""
        number = self._some()
        if number in await self.mods.left():
            self.used.enter_context(self.mods.vault.using(self.mods.ids[number]))
            self.in_use.add(number)

    async def release(self) -> None:
        """Nothing needs a mod any more."""
        self.used.close()
        self.in_use.clear()

    async def evict(self) -> None:
        """The vault is kept within its budget, on a disk that has trouble now and then."""
        before = await self.mods.left()
        served = self.mods.vault._store.uses.in_use(0)
        serving = {number for number, mod_id in self.mods.ids.items() if mod_id in served}
        stay = (self.pinned | self.in_use) & before
        with self._trouble(), contextlib.suppress(DiskError):
            await self.keeper.keep_within()
        left = await self.mods.left()
        assert stay | (serving & before) <= left
        await self.keeper.keep_within()
        left = await self.mods.left()
        needed = await self._there(left & (stay | serving))
        rest = await self._there(left) - needed
        assert len(rest) * KB <= BUDGET

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        left = self.rng.randint(0, 12)

        def full(*_: object) -> list[object]:
            raise OSError(28, "No space left on device")

        with pytest.MonkeyPatch.context() as patch:
            if not left % 3:
                patch.setattr(Packs, "write", full)
            yield

    async def _there(self, numbers: set[int]) -> set[int]:
        """The chunks of mods that are there, also those that came with others."""
        there: set[int] = set()
        for number in numbers:
            lacks = set(await self.mods.vault.missing(self.mods.ids[number]))
            there |= {one for at, one in enumerate(self.chunks[number]) if at not in lacks}
        return there

    async def check(self) -> None:
        """All that was acknowledged of a mod that is left is there, right to the last byte."""
        for number in await self.mods.left():
            for one in self.held[number]:
                assert await self.mods.vault.get(blob(one)[0]) == blob(one)[1]
            data = await self.mods.vault.get(self.mods.ids[number])
            assert data == b"%d" % number

    def _some(self) -> int | None:
        return self.rng.choice(tuple(self.chunks)) if self.chunks else None


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_nothing_that_is_needed_is_lost(tmp_path: Path, seed: int) -> None:
    vault = await Vault.open(tmp_path / "vault", lambda: 1e6)
    history = History(vault, random.Random(seed))
    for _ in range(STEPS):
        await history.step()
        await history.check()
    history.used.close()
    await vault.close()
    again = await Vault.open(tmp_path / "vault", lambda: 1e6)
    history.mods.vault = again
    await again.collect()
    await history.check()
    await again.close()
