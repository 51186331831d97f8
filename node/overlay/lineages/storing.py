"""Storing the records of lineages again, so that they last while their publisher is away.

Each node that keeps a lineage looks now and then whether its newest record is at all of the k
contacts nearest to its key, and stores it where it is not. The first that looks mends what churn
has undone, so others find nothing to do: what is stored does not grow with those who follow.
"""

import asyncio
import logging
from collections.abc import Callable

from node.environment import Environment
from node.overlay.lineages.heard import HeardLineages
from node.overlay.lineages.reader import LineageReader, LineageReading
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.errors import ModswarmError

_log = logging.getLogger(__name__)


class LineageStoring:
    """`run` it once this node has joined. `stored` counts the stores that contacts confirmed."""

    def __init__(
        self,
        server: OverlayServer,
        reader: LineageReader,
        heard: HeardLineages,
        environment: Environment,
        *,
        is_own: Callable[[bytes], bool],
    ) -> None:
        """`is_own`: whether this node publishes a lineage."""
        self._server = server
        self._reader = reader
        self._heard = heard
        self._environment = environment
        self._is_own = is_own
        self._due_at: dict[bytes, float] = {}
        self.stored = 0

    async def run(self) -> None:
        """Look at each lineage that is kept when it is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._heard.until_kept()
            await asyncio.sleep(limits.LINEAGE_STORED_PAUSE_S)
            lineage = self._due(loop.time())
            if lineage is not None:
                await self.look(lineage)

    def _due(self, now: float) -> bytes | None:
        """What is due for longest; one that is new here is put into the order by chance.

        One of this node's own is due at once, as it may be the only node that has the record: those
        that held it may have been started anew as well.
        """
        kept = self._heard.kept()
        draw = self._environment.rng.random
        self._due_at = {lineage: self._due_at.get(lineage, -1.0) for lineage in kept}
        for lineage, due_at in self._due_at.items():
            if due_at < 0:
                wait_s = 0.0 if self._is_own(lineage) else draw() * limits.LINEAGE_STORED_FIRST_S
                self._due_at[lineage] = now + wait_s
        first = min(kept, key=self._due_at.__getitem__, default=None)
        if first is None or self._due_at[first] > now:
            return None
        self._due_at[first] = now + (0.5 + draw()) * limits.LINEAGE_STORED_AGAIN_S
        return first

    async def look(self, lineage: bytes) -> None:
        """Look a lineage's newest record up, and store it where it is not."""
        try:
            reading = await self._reader.read(lineage)
        except ModswarmError as error:
            _log.info("a lineage's record could not be looked up: %s", error)
            reading = self._reader.known(lineage)
        await self.store_again(reading)

    async def store_again(self, reading: LineageReading) -> None:
        """Store the newest record at the contacts that were found without it, and here.

        Where these are most of the nearest it is published as if it were new: there may be sybils.
        """
        record = reading.newest
        if record is None or reading.is_expired:
            return
        if 2 * len(reading.missing) > len(reading.nearest):
            published = await self._server.publish(record)
        else:
            published = await self._server.store_at(record, reading.missing, reading.nearest)
        self.stored += published.confirmed
