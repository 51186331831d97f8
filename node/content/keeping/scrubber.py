"""Checks all that a vault has, byte by byte, and has what is damaged fetched again.

Each step records how far it is, so a check that was stopped goes on from there. Which mods were
whole and have lost something is recorded with the loss, so they are fetched by the next check if
no peer has what they lack now.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.content.progress import Progress, ReportProgress, ignore_progress
from node.content.rates.background import BackgroundPacer
from node.content.vault.index import ScrubState
from node.content.vault.vault import Measure, Vault, at_once
from protocol import limits
from protocol.errors import DiskError, ModswarmError
from protocol.identity import base32_text

_log = logging.getLogger(__name__)

Repair = Callable[[bytes, ReportProgress, BackgroundPacer | None], Awaitable[None]]
"""Fetches what the vault lacks of a mod; raises why that does not come.

The pacer is that of a repair that no person waits for, which spares relays too."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What a check found."""

    blobs: int
    size: int
    """The bytes of all of them."""
    bad: int
    """Blobs that were damaged, or could not be read."""
    repaired: tuple[bytes, ...]
    """The ids of mods that are whole again."""
    lacking: tuple[bytes, ...]
    """Those that still lack something, which was not to be had now."""


class Scrubber:
    """Checks one vault; two that ask at once take turns."""

    def __init__(self, vault: Vault, repair: Repair) -> None:
        self._vault = vault
        self._repair = repair
        self._turn = asyncio.Lock()
        self._checks = 0
        """How many were done."""

    async def run(self, report: ReportProgress = ignore_progress) -> Scrubbed:
        """Check what is left to check, and repair. Raises DiskError, also for want of room."""
        async with self._turn:
            total = sum(mod.bytes for mod in await self._vault.kept())
            state = await self._step(ScrubState())
            while not state.done:
                report(Progress("checking", bytes_total=total, bytes_done=min(state.bytes, total)))
                state = await self._step(state)
            return await self._repair_all(state, report)

    async def follow(self, pacer: BackgroundPacer, changed: Callable[[], Awaitable[None]]) -> None:
        """Check all in the background every SCRUB_EVERY_S, until cancelled.

        `changed` is called after each check that found something damaged.
        """
        while True:
            await asyncio.sleep(limits.SCRUB_LOOK_S)
            try:
                checked_s = await self._vault.checked_s()
                if checked_s is None or checked_s >= limits.SCRUB_EVERY_S:
                    found = await self.run_paced(pacer)
                    if found is not None and (found.bad or found.repaired):
                        await changed()
            except DiskError as error:
                _log.warning("the vault is not checked for now: %s", error)

    async def run_paced(self, pacer: BackgroundPacer) -> Scrubbed | None:
        """Check while no mod is in use, and repair. Raises DiskError.

        A check that a person asks for goes on from where this is; None if that has done it.
        """
        checks, state = self._checks, ScrubState()
        while not state.done:
            await pacer.rest()
            if self._vault.is_in_use:
                await asyncio.sleep(limits.SERVED_LATELY_S)
                continue
            async with self._turn:
                if self._checks != checks:
                    return None
                state = await self._step(state, pacer.measured)
        return await self._repair_all(state, ignore_progress, pacer)

    async def _step(self, before: ScrubState, measured: Measure = at_once) -> ScrubState:
        """Check the next megabytes; raises DiskError, also if that gets no further."""
        state = await self._vault.scrub(measured)
        if state.done:
            self._checks += 1
            await self._vault.all_checked()
        elif state[:2] <= before[:2]:
            raise DiskError("the check was stopped: the vault does not keep how far it is")
        return state

    async def _repair_all(
        self, state: ScrubState, report: ReportProgress, pacer: BackgroundPacer | None = None
    ) -> Scrubbed:
        damaged = await self._vault.damaged()
        lacking = [one for one in damaged if not await self._repaired(one, report, pacer)]
        repaired = tuple(one for one in damaged if one not in lacking)
        if state.bad:
            await self._vault.collect(gone=())  # what was damaged takes room in packs
        return Scrubbed(state.blobs, state.bytes, state.bad, repaired, tuple(lacking))

    async def _repaired(
        self, mod_id: bytes, report: ReportProgress, pacer: BackgroundPacer | None
    ) -> bool:
        with self._vault.using(mod_id):
            try:
                async with asyncio.timeout(None if pacer is None else limits.REPAIR_S):
                    await self._repair(mod_id, report, pacer)
            except DiskError:  # no peer is to blame
                raise
            except (ModswarmError, TimeoutError) as error:
                _log.warning("%s is not repaired: %s", base32_text(mod_id), error)
                return False
            await self._vault.repaired(mod_id)
            return True
