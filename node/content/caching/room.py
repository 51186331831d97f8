"""The cache's own part of a vault: what it takes, and what goes for something more popular."""

from collections.abc import Callable
from typing import NamedTuple

from node.content.vault.stored_mod import KeptMod
from node.content.vault.vault import Vault
from protocol import limits
from protocol.errors import TooLarge
from protocol.texts.amounts import size_text

Askers = Callable[[bytes], int]
"""How many networks asked for a mod lately."""


class Wanted(NamedTuple):
    """A mod that is to come, with its manifest of `size` bytes at most, and who asked for it."""

    mod_id: bytes
    size: int
    askers: int


class CacheRoom:
    """Keeps the mods without content key within `budget` bytes, those that come included.

    Each counts with all that it may take, also while it is not here and where other mods need the
    same chunks: what the cache takes is never more.
    """

    def __init__(self, vault: Vault, budget: int, askers: Askers) -> None:
        self._vault = vault
        self._askers = askers
        self.budget = budget

    async def mods(self) -> list[KeptMod]:
        """The mods that are here for others only."""
        return [mod for mod in await self._vault.kept() if mod.is_cached]

    async def keep_within(self) -> int:
        """Evict what the budget has no room for; returns how many mods. Raises DiskError."""
        mods = await self.mods()
        return await self._evict(mods, sum(mod.bytes for mod in mods) - self.budget)

    async def make(self, wanted: Wanted) -> int:
        """Evict less popular mods for one; returns how many. Raises DiskError.

        Raises TooLarge, and then nothing was evicted, if it is too large or the others are wanted
        as much.
        """
        most = self.budget // limits.CACHE_MOD_PART
        if wanted.size > most:
            raise TooLarge(
                f"it takes {size_text(wanted.size)}, and one mod may take {size_text(most)} of the "
                "cache"
            )
        others = [mod for mod in await self.mods() if mod.mod_id != wanted.mod_id]
        excess = sum(mod.bytes for mod in others) + wanted.size - self.budget
        less = [mod for mod in others if self._askers(mod.mod_id) < wanted.askers]
        if excess > sum(mod.bytes for mod in less if mod.may_go):
            raise TooLarge("the cache is full of mods that are wanted as much, or are in use")
        return await self._evict(less, excess, wanted)

    async def _evict(self, mods: list[KeptMod], excess: int, wanted: Wanted | None = None) -> int:
        """Evict the least popular of these until so many bytes are free."""
        gone: list[bytes] = []
        for mod in sorted(mods, key=lambda mod: (self._askers(mod.mod_id), mod.used, mod.number)):
            if excess <= 0:
                break
            if not mod.is_in_use and await self._vault.evict(mod):
                excess -= mod.bytes
                gone.append(mod.mod_id)
        if gone:
            await self._vault.collect(gone=gone)
        if excess > 0 and wanted is not None:
            raise TooLarge("mods of the cache that were to go for it came into use")
        return len(gone)
