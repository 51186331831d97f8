"""Who may have a mod, by the word of records, filters, links and the mod's link."""

import asyncio
from collections.abc import Callable, Collection, Iterable

from node.holders.asked import most_useful, provider_body
from node.holders.failures import HolderFailure
from node.holders.hints import HolderHints
from node.links.pool.pool import LinkPool
from node.overlay.records.availability_lookup import AvailabilityLookup, FilterAnswer
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from node.tasks import TaskOwner
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.content.holders.order import HolderOrder, Standing
from protocol.errors import NotFound
from protocol.identity import PeerId
from protocol.randomness import Random

_STANDINGS = {
    FilterAnswer.YES: Standing.SAYS_YES,
    FilterAnswer.NO: Standing.SAYS_NO,
    FilterAnswer.UNREADABLE: Standing.UNREADABLE,
}


class HolderClaims:
    """Those of one round of a search: `order` has who waits to be called."""

    def __init__(
        self,
        overlay: OverlayServer,
        pool: LinkPool,
        rng: Random,
        hints: HolderHints,
        is_free: Callable[[PeerId], bool],
        failures: dict[PeerId, HolderFailure],
    ) -> None:
        """`is_free`: whether a peer may be called. `failures` gets those of whom the network knows
        nothing.
        """
        self._overlay = overlay
        self._pool = pool
        self._now = asyncio.get_running_loop().time
        self._hints = hints
        self._is_free = is_free
        self._failures = failures
        self._filters = AvailabilityLookup(overlay, hints.saw)
        self._has: set[PeerId] = set()
        """Those whose filters are known to have it."""
        self.order = HolderOrder(overlay.identity.peer_id, rng)
        self.named: set[PeerId] = set()
        """Whom a record or the mod's link names."""

    def add(
        self, peer_id: PeerId, standing: Standing, *, told: int = 0, complete: bool = False
    ) -> None:
        """One more that may be called."""
        self.order.add(
            peer_id,
            standing if self._pool.get(peer_id) is None else Standing.LINKED,
            told=told,
            complete=complete,
            brought=self._pool.usefulness.brought(peer_id, self._now()),
            says_yes=peer_id in self._has,
            round_trip_s=self._hints.round_trip_s(peer_id),
        )

    def add_known(self, mod_id: bytes, hinted: Iterable[PeerId], *, by_filters: bool) -> None:
        """Those who need not wait for a lookup: `hinted` by the mod's link, linked already, and
        `by_filters` those whose filters came by.

        Linked peers are asked whether anything names them or not: that costs one message.
        """
        seen = self._hints.who_have(mod_id) if by_filters else ()
        self._has.update(seen)
        for peer_id in hinted:
            self._add_named(peer_id, Standing.HINTED)
        self.add_linked()
        for peer_id in filter(self._is_free, seen):
            self.add(peer_id, Standing.SAYS_YES)

    def add_linked(self) -> None:
        """The linked peers."""
        for peer_id in filter(self._is_free, most_useful(self._pool, self._now())):
            self.add(peer_id, Standing.LINKED)

    async def read(self, mod_id: bytes) -> Reading:
        """Read the provider records, and add whom they name."""
        reading = await self._overlay.read(records.provider_key(mod_id), records.PROVIDER)
        self._admit(reading)
        return reading

    async def read_more(self, mod_id: bytes, reading: Reading) -> bool:
        """Read further records; whether there were any."""
        if len(reading.records) >= limits.PROVIDERS_READ:
            return False
        known = set(reading.records)
        await self._overlay.read_more(reading, records.provider_key(mod_id), records.PROVIDER)
        self._admit(reading, known)
        return len(reading.records) > len(known)

    def _admit(self, reading: Reading, known: Collection[bytes] = ()) -> None:
        for record in reading.records.values():
            if record.public_key in known:
                continue
            if (body := provider_body(self._overlay, record)) is not None:
                told = reading.told[record.public_key]
                self._add_named(record.peer_id, Standing.UNKNOWN, told=told, complete=body.complete)

    def _add_named(
        self, peer_id: PeerId, standing: Standing, *, told: int = 0, complete: bool = False
    ) -> None:
        if peer_id != self._overlay.identity.peer_id:
            self.named.add(peer_id)
        if self._is_free(peer_id):
            self.add(peer_id, standing, told=told, complete=complete)

    def start_filters(self, mod_id: bytes, tasks: TaskOwner) -> None:
        """Learn which holders' filters have the mod, if many wait to be called."""
        if len(self.order) > limits.CONNECTING:
            for _ in range(limits.FILTERS_ASKED):
                tasks.start(self._ask_filters(mod_id), name="ask filters of holders")

    async def _ask_filters(self, mod_id: bytes) -> None:
        """Ask of one after the other, while others are called already."""
        while (peer_id := self.order.next_unknown()) is not None:
            self.order.learn(peer_id, Standing.UNREADABLE)
            answer = await self._filters.ask(peer_id, mod_id)
            if answer is not FilterAnswer.NO_PEER:
                self.order.learn(peer_id, _STANDINGS[answer])
            elif self.order.drop(peer_id):
                error = NotFound(cause=Cause.PEER_UNKNOWN)
                self._failures[peer_id] = HolderFailure.of(peer_id, error)
