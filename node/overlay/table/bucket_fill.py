"""Filling the tables: from what lookups name anyway, asking only where there is room.

Contacts near our own id come with the lookup of that id. For contacts of the shallower buckets
other contacts are asked: one that shares more bits with us than the bucket covers the same part of
the id space in the bucket of the same number, and names all of it in one answer. Two are asked, so
that tables do not become copies of one another. A named contact enters the table once it has
answered a request of this node.
"""

import asyncio
from collections.abc import Sequence

from node.overlay.rpc.introductions import Introductions
from node.overlay.rpc.protocol import OverlayProtocol
from node.overlay.table.tables import Tables
from protocol import limits
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Found, Method
from protocol.overlay.routing import ID_BITS, RoutingTable
from protocol.randomness import Random, sample


class BucketFill:
    """Fills the tables once. `hear` takes what lookups name; `fill` asks for what is missing."""

    def __init__(
        self,
        protocol: OverlayProtocol,
        tables: Tables,
        rng: Random,
        families: int,
        introductions: Introductions,
    ) -> None:
        self._protocol = protocol
        self._maintenance = protocol.maintenance
        self._tables = tables
        self._rng = rng
        self._families = families
        self._introductions = introductions
        self._at_once = asyncio.Semaphore(limits.MEETING)
        self._named: dict[tuple[int, int], dict[bytes, Contact]] = {}
        self._tried: set[bytes] = set()

    def hear(self, source: Contact, found: Found) -> None:
        """Remember the contacts that a response in a lookup names."""
        valid = self._maintenance.valid(found.contacts)
        self._introductions.hear(source, valid)
        for contact in valid:
            table = self._tables.of(contact)
            bucket = contact.family, table.index_of(contact.number)
            named = self._named.setdefault(bucket, {})
            if len(named) < limits.NAMES_PER_BUCKET and contact.packed not in self._tried:
                named[contact.packed] = contact

    async def fill(self, closest: Sequence[Contact]) -> None:
        """Fill each bucket that reaches farther than `closest`, the contacts nearest to our id.

        The lookup that found these has asked every nearer contact, but each at one address only:
        with several address families all contacts that were named are pinged.
        """
        await asyncio.gather(
            *(
                self._fill_bucket(table, family, index)
                for family, table in self._tables.spoken(self._families)
                for index in range(self._depth(table, family, closest))
            )
        )

    def _depth(self, table: RoutingTable, family: int, closest: Sequence[Contact]) -> int:
        """How many buckets there are to fill."""
        if sum(1 for _ in self._tables.spoken(self._families)) > 1:
            named = [index for of, index in self._named if of == family and index < ID_BITS]
            return max(named, default=-1) + 1
        if len(closest) < self._tables.k:
            return 0
        return table.index_of(closest[-1].number) + 1

    async def _fill_bucket(self, table: RoutingTable, family: int, index: int) -> None:
        sources = self._sources(table, index)
        while table.room(index):
            named = self._untried(table, family, index)
            few = sample(self._rng, named, table.room(index))
            if any(await asyncio.gather(*map(self._meet, few))):
                continue
            if sources:
                asked = [sources.pop() for _ in range(min(len(sources), limits.SOURCES_AT_ONCE))]
                await asyncio.gather(*(self._ask(source, table, index) for source in asked))
            else:
                return

    def _untried(self, table: RoutingTable, family: int, index: int) -> list[Contact]:
        """Those that have no place any more leave theirs among the names, as do those tried."""
        named = self._named.get((family, index), {})
        wanted = {packed: one for packed, one in named.items() if table.wants(one)}
        named.clear()
        named.update(wanted)
        return list(wanted.values())

    def _sources(self, table: RoutingTable, index: int) -> list[Contact]:
        """Contacts to ask for more of a bucket: those with the same bucket, else those in it."""
        deeper, inside = [], []
        for entry in table:
            depth = table.index_of(entry.contact.number)
            if depth > index:
                deeper.append(entry.contact)
            elif depth == index:
                inside.append(entry.contact)
        known = deeper or inside
        return sample(self._rng, known, limits.SOURCES_PER_BUCKET)

    async def _meet(self, contact: Contact) -> bool:
        """Whether a contact has been tried, and not put off until its namers can pay for it."""
        table = self._tables.of(contact)
        async with self._at_once:
            meets = self._introductions.pays(contact, Method.MEET)
            if not meets and not self._introductions.pays(contact, Method.PING):
                return False
            self._tried.add(contact.packed)
            self._named[contact.family, table.index_of(contact.number)].pop(contact.packed, None)
            if table.wants(contact) and (meets or await self._ping(contact)):
                await self._met(self._maintenance.meet(contact), contact)
        return True

    async def _ping(self, contact: Contact) -> bool:
        """Whether a contact answers what is shorter than a MEET; then that needs no padding."""
        return await self._met(self._maintenance.meet(contact, Method.PING), contact)

    async def _met(self, meeting: asyncio.Future[bool], contact: Contact) -> bool:
        """Whether a contact answers, waited for no longer than a lookup would.

        Many may be dead where others have left. One that answers later is in the table all the
        same, if there is room by then.
        """

        def met(ended: asyncio.Future[bool]) -> None:
            if not ended.cancelled() and ended.result():
                self._introductions.answered(contact)

        meeting.add_done_callback(met)
        await asyncio.wait({meeting}, timeout=self._protocol.wire.timeout_s(contact))
        return meeting.done() and meeting.result()

    async def _ask(self, source: Contact, table: RoutingTable, index: int) -> None:
        target = table.id_in_bucket(index, self._rng)
        async with self._at_once:
            try:
                found = await self._protocol.call_find_node(source, target, self._families)
            except ModswarmError:
                return  # other contacts are asked as well
        self.hear(source, found)
