"""Keeps what this node says of its mods in the DHT in step with its vault, also while it fetches.

A mod is announced as partial once its manifest and a chunk of it are here, and as complete once all
of them are. It is withdrawn when it is removed. What a download that was cancelled has left is
served, and so stays announced.
"""

import asyncio

from node.content.vault.vault import Vault
from node.overlay.records.presence import Presence
from node.tasks import TaskOwner
from protocol import limits


class Announcer:
    """`start` it to follow the vault; `announce` at once what was changed otherwise."""

    def __init__(self, vault: Vault, presence: Presence) -> None:
        self._vault = vault
        self._presence = presence
        self._stored = asyncio.Event()
        self._tasks = TaskOwner("announcing")

    @property
    def defects(self) -> list[BaseException]:
        """What its task raised unforeseen."""
        return self._tasks.defects

    async def start(self) -> None:
        """Announce what is there, and from now on what comes."""
        await self.announce()
        self._tasks.start(self._follow(), name="what is fetched")

    async def announce(self) -> None:
        """Say what the vault holds now; nothing is published again that has not changed."""
        self._presence.serve(tuple((await self._vault.served()).items()))

    async def _follow(self) -> None:
        """The first chunks of a mod wait a moment for more, as one that fails at once has few."""
        with self._vault.watched_by(self._stored.set):
            while True:
                await self._stored.wait()
                await asyncio.sleep(limits.ANNOUNCED_S)
                self._stored.clear()
                await self.announce()

    async def close(self) -> None:
        """Follow no more; what was announced stays."""
        await self._tasks.close()
