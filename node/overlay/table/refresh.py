"""Refreshing the tables: filled when the node joins, refreshed and pinged from then on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from node.environment import Environment
from node.overlay.rpc.introductions import Introductions
from node.overlay.rpc.protocol import OverlayProtocol
from node.overlay.table.bucket_fill import BucketFill
from node.overlay.table.meetings import Meetings
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import AnyLookup
from protocol.overlay.messages import Found


class TableRefresh:
    """Refreshes one node's tables. `families` gives the bits of its address families (V4, V6)."""

    def __init__(
        self,
        protocol: OverlayProtocol,
        tables: Tables,
        environment: Environment,
        lookup: Callable[..., Awaitable[AnyLookup]],
        families: Callable[[], int],
    ) -> None:
        self._protocol = protocol
        self._maintenance = protocol.maintenance
        self._tables = tables
        self._rng = environment.rng
        self._lookup = lookup
        self._families = families

    async def run(self) -> None:
        """Refresh the tables hourly, and ping silent contacts sooner, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh_hourly(), name="refresh the tables")
            group.create_task(self._check_answers(), name="ping contacts")
            group.create_task(self._refill(), name="refill the tables")

    async def join(self, contacts: Sequence[Contact]) -> None:
        """Ping contacts that may be alive; once enough have answered, `fill`."""
        meetings = Meetings(self._maintenance)
        async with asyncio.TaskGroup() as group:
            pings = group.create_task(meetings.meet_in_batches(contacts), name="ping contacts")
            await meetings.enough([pings])
        await self.fill()

    async def fill(self) -> None:
        """Look up our own id, and fill the tables, if any contact is known."""
        if len(self._tables):
            await self._fill()

    async def refresh(self) -> None:
        """Look up a random id in every bucket without a lookup for REFRESH_S, and fill."""
        now = asyncio.get_running_loop().time()
        targets = [
            table.id_in_bucket(index, self._rng)
            for table in self._tables
            for index in table.stale(now, limits.REFRESH_S)
        ]
        for start in range(0, len(targets), limits.LOOKUPS_AT_ONCE):
            batch = targets[start : start + limits.LOOKUPS_AT_ONCE]
            await asyncio.gather(*(self._lookup(target) for target in batch))
        await self.fill()

    async def _refresh_hourly(self) -> None:
        while True:
            await asyncio.sleep(limits.REFRESH_S * (0.9 + 0.2 * self._rng.random()))
            await self.refresh()

    async def _check_answers(self) -> None:
        """Ping the contacts that have not answered for ANSWER_AGE_S, a few at a time.

        Lookups ask only contacts near their targets, and a contact that sends requests may still
        not answer any.
        """
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            due_in_s = self._tables.oldest_answer(now) + limits.ANSWER_AGE_S - now
            pause_s = limits.ANSWERS_CHECKED_S * self._rng.random()
            await asyncio.sleep(max(due_in_s, limits.ANSWERS_CHECKED_S) + pause_s)
            old = self._tables.silent_since(loop.time() - limits.ANSWER_AGE_S)
            for start in range(0, len(old), limits.CHECKED_AT_ONCE):
                for contact in old[start : start + limits.CHECKED_AT_ONCE]:
                    self._maintenance.verify(contact)
                await asyncio.sleep(self._protocol.wire.line.longest_s)

    async def _refill(self) -> None:
        """Look for others where many contacts have left in order, and not one by one."""
        while True:
            await self._maintenance.depleted.wait()
            await asyncio.sleep(limits.ANSWERS_CHECKED_S * self._rng.random())
            await self.fill()
            await asyncio.sleep(limits.LEAVES_REFILL_S)

    async def _fill(self) -> None:
        """Look up our own id, then fill the buckets with what that named and did not reach."""
        introductions = Introductions(self._protocol.wire, self._tables)
        bucket_fill = BucketFill(
            self._protocol, self._tables, self._rng, self._families(), introductions
        )

        def on_found(_: AnyLookup, contact: Contact, found: Found) -> None:
            bucket_fill.hear(contact, found)

        lookup = await self._lookup(self._tables.own_id, on_found=on_found)
        await bucket_fill.fill(lookup.closest())
        self._maintenance.filled()
