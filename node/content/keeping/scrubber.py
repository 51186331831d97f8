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
from node.content.vault.vault import Vault
from protocol.errors import ModswarmError
from protocol.identity import base32_text

_log = logging.getLogger(__name__)

Repair = Callable[[bytes, ReportProgress], Awaitable[None]]
"""Fetches what the vault lacks of a mod; raises why that does not come."""


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

    async def run(self, report: ReportProgress = ignore_progress) -> Scrubbed:
        """Check what is left to check, and repair. Raises DiskError."""
        async with self._turn:
            total = sum(mod.bytes for mod in await self._vault.kept())
            state = await self._vault.scrub()
            while not state.done:
                report(Progress("checking", bytes_total=total, bytes_done=min(state.bytes, total)))
                state = await self._vault.scrub()
            damaged = await self._vault.damaged()
            lacking = [one for one in damaged if not await self._repaired(one, report)]
            repaired = tuple(one for one in damaged if one not in lacking)
            return Scrubbed(state.blobs, state.bytes, state.bad, repaired, tuple(lacking))

    async def _repaired(self, mod_id: bytes, report: ReportProgress) -> bool:
        with self._vault.using(mod_id):
            try:
                await self._repair(mod_id, report)
            except ModswarmError as error:
                _log.warning("%s is not repaired: %s", base32_text(mod_id), error)
                return False
            await self._vault.repaired(mod_id)
            return True
