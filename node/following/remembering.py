"""Keeps what was seen of lineages in the vault, so that no older record is new after a restart."""

import asyncio
import logging
from collections.abc import Callable

from node.content.vault.vault import Vault
from node.overlay.lineages.heard import HeardLineages
from protocol import limits
from protocol.errors import LocalError

_log = logging.getLogger(__name__)


class Remembering:
    """`load` before any record comes, then `run` until this node ends, then `save` once more."""

    def __init__(self, vault: Vault, heard: HeardLineages, wall: Callable[[], float]) -> None:
        self._vault = vault
        self._heard = heard
        self._wall = wall

    async def load(self) -> None:
        """Give back what was remembered."""
        self._heard.restore(await self._vault.recall(lambda tables: tables.heard.all()))

    async def run(self) -> None:
        """Write down what changes, a moment after it changes, until cancelled."""
        while True:
            await self._heard.until_changed()
            await asyncio.sleep(limits.HEARD_WRITTEN_S)
            await self.save()

    async def save(self) -> None:
        """Write down what has changed; what a full disk does not take waits for the next change."""
        changed, now = self._heard.changed(), self._wall()
        if not changed:
            return
        try:
            await self._vault.record(lambda tables: tables.heard.change(changed, now))
        except BaseException as error:
            self._heard.still_changed(changed)
            if not isinstance(error, LocalError):
                raise
            _log.warning("what was seen of lineages is not written down: %s", error)
