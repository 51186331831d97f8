"""The contacts by which a node joins: many are pinged at once, and no dead one is waited for."""

import asyncio
from collections.abc import Sequence
from math import inf

from node.overlay.table.table_maintenance import TableMaintenance
from protocol import limits
from protocol.overlay.contacts import Contact


class Meetings:
    """Pings contacts that may be alive, and knows when enough of them have answered.

    An answer that comes later than that still brings its contact into the tables.
    """

    def __init__(self, maintenance: TableMaintenance) -> None:
        self._maintenance = maintenance
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._asked: set[bytes] = set()
        self._ended = self._answered = 0
        self._enough_at = inf

    @property
    def answered(self) -> int:
        """How many have answered."""
        return self._answered

    def meet(self, contact: Contact) -> None:
        """Ping a contact, once."""
        if contact.packed in self._asked:
            return
        self._asked.add(contact.packed)
        asked_at = self._loop.time()

        def met(outcome: asyncio.Future[bool]) -> None:
            self._ended += 1
            if not outcome.cancelled() and outcome.result():
                self._answered += 1
                now = self._loop.time()
                patience_s = max(limits.JOIN_GRACE_S, now - asked_at)
                self._enough_at = min(self._enough_at, now + patience_s)
            self._news.set()

        self._maintenance.meet(contact, wait_s=limits.LATE_REPLY_S).add_done_callback(met)

    def another_came(self) -> None:
        """A contact is known that was not asked: those that are silent need not be waited for."""
        if not self._answered:
            self._enough_at = min(self._enough_at, self._loop.time() + limits.JOIN_GRACE_S)
            self._news.set()

    async def meet_in_batches(self, contacts: Sequence[Contact]) -> None:
        """Ping contacts, JOIN_PINGS_AT_ONCE in JOIN_PINGS_S, until one answers."""
        for start in range(0, len(contacts), limits.JOIN_PINGS_AT_ONCE):
            for contact in contacts[start : start + limits.JOIN_PINGS_AT_ONCE]:
                self.meet(contact)
            if start + limits.JOIN_PINGS_AT_ONCE < len(contacts):
                await asyncio.sleep(limits.JOIN_PINGS_S)
            if self._answered:
                return

    async def enough(self, sources: Sequence[asyncio.Task[None]]) -> None:
        """Return when JOIN_ANSWERS have answered, or the first and a grace for others are over, or
        that after another contact came.

        Else when all `sources`, which meet more of them, have ended and none can still answer.
        """
        for source in sources:
            source.add_done_callback(lambda _: self._news.set())
        while self._answered < limits.JOIN_ANSWERS:
            is_silent = self._ended == len(self._asked)
            if is_silent and all(source.done() for source in sources):
                return
            self._news.clear()
            try:
                async with asyncio.timeout_at(self._enough_at if self._enough_at < inf else None):
                    await self._news.wait()
            except TimeoutError:
                return
