"""What this node's vault keeps: its budget, pins, and what each mod takes."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from node.content.keeping.keeper import Evicted, Keeper
from node.content.keeping.scrubber import Repair, Scrubbed, Scrubber
from node.content.keeping.usage import ModUsage
from node.content.progress import ReportProgress
from node.content.rates.background import BackgroundPacer
from node.content.room import Disk, FreeRoom
from node.content.vault.vault import Vault
from node.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class KeepSettings:
    """What a person says of it. `vault_bytes`: the budget; None for the usual one.

    `cache_bytes`: that of popular mods that are kept for others; 0 keeps none. `checks`: whether
    all bytes are checked once in a while.
    """

    vault_bytes: int | None = None
    cache_bytes: int = 0
    checks: bool = True


@dataclass(frozen=True, slots=True)
class KeepingState:
    """What each mod takes, which of them lack a chunk, and what may be kept on which disk."""

    usages: tuple[ModUsage, ...]
    incomplete: frozenset[bytes]
    budget: int
    disk: Disk
    pack_bytes: int
    """What the vault takes of its disk, with what no mod needs."""


class Keeping:
    """Keeps a vault within its bounds. `start` before use, and `close`.

    `changed` is called after mods were evicted, or repaired by `repair`. `pacer` is for what no
    person waits for.
    """

    def __init__(
        self,
        vault: Vault,
        settings: KeepSettings,
        changed: Evicted,
        repair: Repair,
        pacer: BackgroundPacer,
    ) -> None:
        self._checks = settings.checks
        self._pacer = pacer
        self._vault = vault
        self._keeper = Keeper(vault, settings.vault_bytes, changed)
        self._scrubber = Scrubber(vault, repair)
        self._changed = changed
        self._tasks = TaskOwner("keeping")

    @property
    def defects(self) -> list[BaseException]:
        """What its tasks raised that no disk can be blamed for."""
        return self._tasks.defects

    @property
    def free(self) -> FreeRoom:
        """Frees room of a disk for a download."""
        return self._keeper.free

    def start(self) -> None:
        """Evict what the budget has no room for, and check all bytes, from time to time."""
        self._tasks.start(self._keeper.run(), name="keep the vault within its budget")
        if self._checks:
            checking = self._scrubber.follow(self._pacer, self._changed)
            self._tasks.start(checking, name="check the vault once in a while")

    async def close(self) -> None:
        """Evict nothing any more."""
        await self._tasks.close()

    @contextlib.contextmanager
    def using(self, mod_id: bytes) -> Iterator[None]:
        """While inside, a mod is not evicted; afterwards it counts, and something may have to go.

        To be entered before anything is read of the mod.
        """
        try:
            with self._vault.using(mod_id):
                yield
        finally:
            self._keeper.wake()

    def hold(self, mods: Collection[bytes]) -> None:
        """These mods are to be fetched: what is here of them stays until others are held."""
        if self._vault.hold(mods):
            self._keeper.wake()

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """While inside, a mod is made; what it leaves if that fails is freed soon."""
        try:
            yield
        finally:
            self._keeper.wake()

    async def pin(self, mod_id: bytes, *, pinned: bool) -> bool:
        """Keep a mod whatever the budget says, or do not; False if it is not here."""
        found = await self._vault.pin(mod_id, pinned=pinned)
        self._keeper.wake()
        return found

    def look_again(self) -> None:
        """Something is followed no more: it counts, and something may have to go."""
        self._keeper.wake()

    async def scrub(self, report: ReportProgress) -> Scrubbed:
        """Check all bytes, from where it was stopped, and have what is damaged fetched again.

        Raises DiskError.
        """
        scrubbed = await self._scrubber.run(report)
        await self._changed()
        return scrubbed

    async def state(self) -> KeepingState:
        """What each mod takes, and what may be kept."""
        usages, disk = await self._keeper.usages(), await self._keeper.disk()
        incomplete = await self._vault.incomplete()
        return KeepingState(
            *(tuple(usages), incomplete, self._keeper.budget_on(disk), disk),
            pack_bytes=await self._vault.pack_bytes(),
        )
