"""Keeps a vault within its byte budget, and frees room where a disk needs it.

The budget binds what is neither pinned, followed nor in use, nor of the cache, which has one of its
own: that goes first where a disk needs room. A download that a person asks for is never
refused for it: what was not used for longest goes afterwards. What came of one that was cut short
stays for CUT_SHORT_KEPT_S, unless another download has no room beside it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from node.content.keeping.usage import Charge, ModUsage, charges
from node.content.room import Disk, disk_of
from node.content.vault.stored_mod import KeptMod
from node.content.vault.vault import Vault
from protocol import limits
from protocol.errors import DiskError
from protocol.identity import base32_text
from protocol.texts.amounts import size_text

_log = logging.getLogger(__name__)

_ENDLESS: Final = 1 << 62
_PAUSE_S_MIN: Final = 1.0

Evicted = Callable[[], Awaitable[None]]


async def _tell_nothing() -> None:
    """Evictions are not told."""


class Keeper:
    """What a vault may keep. `budget`: bytes, None for the usual ones of its disk.

    `evicted` is called after mods were evicted; `look` tells a place's disk.
    """

    def __init__(
        self,
        vault: Vault,
        budget: int | None = None,
        evicted: Evicted = _tell_nothing,
        look: Callable[[Path], Disk] = disk_of,
    ) -> None:
        self._vault = vault
        self._budget = budget
        self._evicted = evicted
        self._look = look
        self._turn = asyncio.Lock()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Keep the vault within its bounds until cancelled."""
        while True:
            try:
                await self.keep_within()
            except DiskError as error:
                _log.warning("the vault is not kept within its budget for now: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wanted.wait()

    def _pause_s(self) -> float:
        kept_s = self._vault.littered_s
        if kept_s is None or kept_s >= limits.LITTER_KEPT_S:
            return limits.VAULT_CHECK_S
        # Rounding may leave less than the clock can tell, and then no time would pass in between.
        return max(limits.LITTER_KEPT_S - kept_s, _PAUSE_S_MIN)

    def wake(self) -> None:
        """Something is in use, pinned or followed no more: see soon whether something has to go."""
        self._wanted.set()

    async def disk(self) -> Disk:
        """The vault's disk; unknown where it does not answer."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, self._look, self._vault.folder)
        except OSError:
            return Disk(-1, None, None)

    def budget_on(self, disk: Disk) -> int:
        """The bytes that may be kept of what is neither pinned, followed nor in use."""
        if self._budget is not None:
            return self._budget
        part = _ENDLESS if disk.total is None else disk.total // limits.VAULT_DISK_PART
        return min(limits.VAULT_BYTES, part)

    async def keep_within(self) -> int:
        """Evict what the budget has no room for, and what the disk needs; returns how many mods.

        What no mod needs goes first. Raises DiskError.
        """
        self._wanted.clear()
        async with self._turn:
            if (self._vault.littered_s or 0.0) >= limits.LITTER_KEPT_S:
                await self._vault.collect()
            disk = await self.disk()
            count, is_collected = await self._evict(self.budget_on(disk), 0), False
            while not self._vault.is_holding and (lacks := _lack_of(disk := await self.disk())):
                if not is_collected:
                    is_collected = True
                    await self._vault.collect(thoroughly=True)
                elif more := await self._evict(self.budget_on(disk), lacks):
                    count += more
                else:
                    break
            return count

    async def free(self, disk_number: int, size: int) -> bool:
        """Free so many bytes, if the vault is on this disk; whether anything was freed.

        What no mod needs goes first, then mods are evicted. Packs keep a little of the former, so
        this may free less. Raises DiskError.
        """
        async with self._turn:
            disk = await self.disk()
            if disk.number != disk_number or self._vault.is_holding:
                return False
            freed = await self._vault.collect(thoroughly=True)
            if freed >= size:
                return True
            lacks = size - freed
            return await self._evict(self.budget_on(disk), lacks, is_wanted=True) > 0 or freed > 0

    async def usages(self) -> list[ModUsage]:
        """What each mod takes."""
        return [await self._usage(mod) for mod in await self._vault.kept()]

    async def _usage(self, mod: KeptMod) -> ModUsage:
        taken: Counter[frozenset[int]] = Counter()
        for first in range(0, max(1, mod.chunks), limits.USAGE_CHUNKS):
            taken.update(await self._vault.taken(mod.number, first))
        return ModUsage(mod, taken)

    async def _evict(self, budget: int, least: int, *, is_wanted: bool = False) -> int:
        """Evict until the rest is within the budget and `least` bytes are freed; how many mods.

        `is_wanted`: the room is for something that a person wants now.
        """
        begun = frozenset[bytes]() if is_wanted else await self._vault.cut_short()
        mods = await self._vault.kept()
        may_go = [mod for mod in mods if mod.may_go and mod.mod_id not in begun]
        freed, gone = 0, list[bytes]()
        if least:  # what is here for others goes before what a person wanted
            cached = [mod for mod in may_go if mod.is_cached]
            freed, gone = await self._evict_some(cached, mods, _ENDLESS, least)
        own = [mod for mod in may_go if not mod.is_cached]
        if least > freed or sum(mod.bytes for mod in own) > budget:
            gone += (await self._evict_some(own, mods, budget, least - freed))[1]
        if gone:
            await self._vault.collect(thoroughly=least > 0, gone=gone)
            await self._evicted()
        return len(gone)

    async def _evict_some(
        self, may_go: Sequence[KeptMod], mods: Sequence[KeptMod], budget: int, least: int
    ) -> tuple[int, list[bytes]]:
        """Evict of some of all mods until the rest is within the budget, and `least` bytes freed.

        Returns the bytes that were freed, and the ids of those that went.
        """
        stay = {mod.number for mod in mods} - {mod.number for mod in may_go}
        order = charges([await self._usage(mod) for mod in may_go], stay, budget)
        rest, freed, gone = sum(charge.bytes for charge in order), 0, list[bytes]()
        for charge in order:
            if rest <= budget and freed >= least:
                break
            rest -= charge.bytes  # in use by now, if it is not evicted
            if await self._vault.evict(charge.mod):
                _tell(charge, budget)
                freed += charge.bytes
                gone.append(charge.mod.mod_id)
        return freed, gone


def _lack_of(disk: Disk) -> int:
    """The bytes that are to be freed, so that the disk has what is kept free of it."""
    return 0 if disk.free is None else max(0, disk.kept_free - disk.free)


def _tell(charge: Charge, budget: int) -> None:
    name = charge.mod.name or base32_text(charge.mod.mod_id)
    size, most = size_text(charge.bytes), size_text(budget)
    _log.info("%r is evicted, which frees %s; the vault's budget is %s", name, size, most)
