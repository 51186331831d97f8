"""Refreshing the tables: filled when the node joins, refreshed and pinged from then on."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from node.environment import Environment
from node.overlay.rpc.introductions import Introductions
from node.overlay.rpc.protocol import OverlayProtocol
from node.overlay.table.bucket_fill import BucketFill
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

    async def join(self, contacts: Sequence[Contact]) -> None:
        """Ping contacts that may be alive; once one answers, look up our own id and fill."""
        await self._ping_in_batches(contacts)
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
        if len(self._tables):
            await self._fill()

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
                await asyncio.sleep(limits.TIMEOUT_MAX_S)

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

    async def _ping_in_batches(self, contacts: Sequence[Contact]) -> None:
        """Ping contacts in batches until one answers.

        Each batch has JOIN_PINGS_S before the next one is pinged; the last has TIMEOUT_MAX_S.
        """
        for start in range(0, len(contacts), limits.JOIN_PINGS_AT_ONCE):
            batch = contacts[start : start + limits.JOIN_PINGS_AT_ONCE]
            is_last = start + len(batch) == len(contacts)
            pings = [self._maintenance.meet(contact) for contact in batch]
            await asyncio.wait(
                pings, timeout=limits.TIMEOUT_MAX_S if is_last else limits.JOIN_PINGS_S
            )
            if len(self._tables):
                return
