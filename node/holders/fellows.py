"""Those that fetch a mod at the same time: named by its sources, or linked and asking for it."""

import asyncio

from protocol.content.holders.named import NamedHolders
from protocol.identity import PeerId


class Fellows:
    """The fellows of one download that are to be called; `names` are those that sources named."""

    def __init__(self, own_id: PeerId) -> None:
        self.names = NamedHolders(own_id)
        self._came: dict[PeerId, None] = {}
        """Linked peers that ask this node for the mod, and are to be asked in turn."""
        self._due = asyncio.Event()

    def came(self, peer_id: PeerId) -> None:
        """A linked peer asks this node for the mod."""
        self._came[peer_id] = None

    def take_those_who_came(self) -> tuple[PeerId, ...]:
        """Those that came since this was asked."""
        came = tuple(self._came)
        self._came.clear()
        return came

    def some(self, *, wanted: int) -> bool:
        """Whether there are any, if so many more are wanted of those that were named."""
        return bool(self._came) or (wanted > 0 and self.names.some)

    def fall_due(self) -> None:
        """They are to be called soon."""
        self._due.set()

    async def until_due(self) -> None:
        """Return once they are to be called."""
        await self._due.wait()
        self._due.clear()
