"""Crawling the overlay to count its contacts, for debugging.

Each contact is pinged for its version and asked for its own neighbours, which leads through the
whole of a connected network. The number of contacts and the time are bounded. What its namers
cannot pay for waits until other answers have come.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from node.overlay.rpc.introductions import Introductions
from node.overlay.server import OverlayServer
from node.overlay.table.tables import V4, V6
from protocol import limits
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, decode_pong
from protocol.overlay.sybil_detection import NetworkSize
from protocol.randomness import Random

_EVERY_FAMILY = V4 | V6
_NO_TARGET = -1


@dataclass(slots=True)
class Crawled:
    """What a crawl found. `named` and `asked` are numbers of contacts.

    `size` estimates the network's contacts from their density, None where none answered.
    `is_whole`: no contact was left out for a bound.
    """

    named: int = 0
    asked: int = 0
    answered: list[Contact] = field(default_factory=list)
    silent: list[Contact] = field(default_factory=list)
    versions: Counter[int] = field(default_factory=Counter)
    size: float | None = None
    is_whole: bool = True


class Crawl:
    """One crawl. `run` it once."""

    def __init__(self, server: OverlayServer, rng: Random, contacts_max: int) -> None:
        self._server = server
        self._rng = rng
        self._contacts_max = min(contacts_max, limits.CRAWL_CONTACTS)
        self._gate = asyncio.Semaphore(limits.CRAWL_AT_ONCE)
        self._named: set[bytes] = set()
        self._introductions = Introductions(server.wire, server.tables)
        self._unpaid: dict[bytes, Contact] = {}
        self._seen = Crawled()

    async def run(self) -> Crawled:
        """Crawl until every contact was asked, or a bound is met."""
        try:
            limit_s = self._server.wire.line.limit_s(limits.CRAWL_S, limits.LOOKUP_ROUND_TRIPS)
            async with asyncio.timeout(limit_s):
                async with asyncio.TaskGroup() as visits:
                    for entry in list(self._server.tables.entries()):
                        self._name(entry.contact, visits)
                while paid := [one for one in self._unpaid.values() if self._pays(one)]:
                    async with asyncio.TaskGroup() as visits:
                        for contact in paid:
                            del self._unpaid[contact.packed]
                            visits.create_task(self._visit(contact, visits), name="visit a contact")
        except TimeoutError:
            self._seen.is_whole = False
        if self._unpaid:
            self._seen.is_whole = False
        self._seen.named = len(self._named)
        self._seen.size = await self._estimate()
        return self._seen

    def _name(self, contact: Contact, visits: asyncio.TaskGroup) -> None:
        if contact.packed in self._named or contact.peer_id == self._server.identity.peer_id:
            return
        if len(self._named) >= self._contacts_max:
            self._seen.is_whole = False
            return
        self._named.add(contact.packed)
        if not self._pays(contact):
            self._unpaid[contact.packed] = contact
            return
        visits.create_task(self._visit(contact, visits), name="visit a contact")

    def _pays(self, contact: Contact) -> bool:
        return self._introductions.pays(contact, Method.PING)

    async def _visit(self, contact: Contact, visits: asyncio.TaskGroup) -> None:
        async with self._gate:
            self._seen.asked += 1
            try:
                pinged = await self._server.wire.ask(contact, Method.PING, [], tries=1)
                self._introductions.answered(contact)
                version = decode_pong(pinged.result).version
                found = await self._server.protocol.call_find_node(
                    contact, contact.peer_id, _EVERY_FAMILY
                )
            except ModswarmError:
                self._seen.silent.append(contact)
                return
        self._seen.answered.append(contact)
        self._seen.versions[version] += 1
        valid = self._server.protocol.maintenance.valid(found.contacts)
        self._introductions.hear(contact, valid)
        for named in valid:
            if self._server.speaks(named.family):
                self._name(named, visits)

    async def _estimate(self) -> float | None:
        """The size of the network: from density, or the count in a network of fewer than k."""
        targets = [self._rng.randbytes(limits.ID_BYTES) for _ in range(limits.CRAWL_TARGETS)]
        lookups = await asyncio.gather(*(self._server.lookup(target) for target in targets))
        size = NetworkSize(self._server.ksize)
        for target, lookup in zip(targets, lookups, strict=True):
            size.note(int.from_bytes(target), lookup.closest())
        if not size.samples(without=_NO_TARGET):
            return float(len(self._seen.answered)) or None  # every node is among the nearest
        return size.estimate(without=_NO_TARGET)
