"""Reading lineages in the DHT: by a lookup, or by a poll of few contacts that a lookup found.

A poll costs three requests where a lookup costs some thirty. The contacts that it asks are drawn
each time from those that held the record when it was looked up, so no three of them can keep back
a newer one for long; where they do not answer alike, a lookup decides. They also name the contacts
that are nearest by now: those that no longer are get no newer record, so they are asked no more,
and a lookup is made where half of them are gone.
"""

import asyncio
import logging
from dataclasses import dataclass, replace

from node.environment import Environment
from node.overlay.lineages.heard import HeardLineages
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.content.lineage.history import Age
from protocol.overlay.contacts import Contact
from protocol.randomness import sample
from protocol.records import LINEAGE, Record, lineage_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineageReading:
    """What is known of a lineage after a read.

    `newest` is the record that is followed, from this read or before it; `is_expired`: its
    publisher has not renewed it in time. `is_new`: this node has not seen it before. `is_replayed`:
    all that was found is older than what this node has seen. `answered`: contacts that did.
    `nearest` are the nearest contacts of a lookup, and `missing` those of them that lack `newest`;
    after a poll both are empty.
    """

    newest: Record | None
    is_expired: bool = False
    is_new: bool = False
    is_replayed: bool = False
    answered: int = 0
    missing: tuple[Contact, ...] = ()
    nearest: tuple[Contact, ...] = ()


@dataclass(slots=True)
class _Known:
    """The contacts that a poll may ask, how many they were, and when a lookup is due."""

    contacts: list[Contact]
    count: int
    look_up_at: float

    def keep_nearest(self, named: list[Contact], target: int) -> None:
        """Forget those that are not among the nearest any more, by the contacts that were named."""
        numbers = {one.number for one in (*self.contacts, *named)}
        nearest = set(sorted(numbers, key=lambda number: number ^ target)[: self.count])
        self.contacts = [one for one in self.contacts if one.number in nearest]

    @property
    def has_most(self) -> bool:
        """Whether most of them are still there, so that no lookup is needed."""
        return 2 * len(self.contacts) > self.count


class LineageReader:
    """Reads of one node. Its clock is the corrected one."""

    def __init__(
        self, server: OverlayServer, heard: HeardLineages, environment: Environment
    ) -> None:
        self._server = server
        self._heard = heard
        self._wall = environment.wall
        self._rng = environment.rng
        self._known: dict[bytes, _Known] = {}
        self._now = asyncio.get_running_loop().time

    def forget(self, lineage: bytes) -> None:
        """It is polled no more."""
        self._known.pop(lineage, None)

    async def read(self, lineage: bytes) -> LineageReading:
        """Look a lineage's record up; with d lookup paths, as all reads.

        Raises Unreachable if no other node answers, ClocksDiffer; what was known before is so
        found by `HeardLineages.newest` alone.
        """
        reading = await self._server.read(lineage_key(lineage), LINEAGE)
        taken = self._take(lineage, reading)
        holding = _told(reading, taken.newest)
        missing = [one for one in reading.closest if one not in holding]
        self._remember(lineage, [one for one in reading.closest if one in holding] or missing)
        reading.check_answered()
        return replace(taken, missing=tuple(missing), nearest=tuple(reading.closest))

    def known(self, lineage: bytes) -> LineageReading:
        """What is known without asking any node."""
        return self._take(lineage, Reading())

    async def poll(self, lineage: bytes) -> LineageReading:
        """Ask LINEAGE_POLLED contacts of the last lookup; look up where that tells too little.

        Raises as `read`.
        """
        known = self._known.get(lineage)
        if known is None or self._now() >= known.look_up_at:
            return await self.read(lineage)
        key = lineage_key(lineage)
        asked = sample(self._rng, known.contacts, limits.LINEAGE_POLLED)
        reading = await self._server.read_at(asked, key, LINEAGE)
        silent = [one for one in asked if one not in reading.answered]
        known.contacts = [one for one in known.contacts if one not in silent]
        known.keep_nearest(reading.named, int.from_bytes(key))
        answered = len(reading.answered)
        is_enough = answered >= limits.LINEAGE_POLL_ANSWERS and known.has_most
        if not is_enough or not _is_agreed(reading):
            return await self.read(lineage)
        return self._take(lineage, reading)

    def _take(self, lineage: bytes, reading: Reading) -> LineageReading:
        """Hear what was found, the lowest sequence first, so that each fork shows."""
        found = sorted((one.record for one in reading.found.values()), key=lambda one: one.sequence)
        news = [self._heard.hear(one) for one in found if one.public_key == lineage]
        is_replayed = bool(news) and all(one.age is Age.OLDER for one in news)
        if is_replayed:
            _log.info("the only records of a lineage that contacts tell are older than one seen")
        return LineageReading(
            self._heard.newest(lineage),
            is_expired=self._heard.is_expired(lineage, self._wall()),
            is_new=any(one.age is Age.NEWER for one in news),
            is_replayed=is_replayed,
            answered=len(reading.answered),
        )

    def _remember(self, lineage: bytes, contacts: list[Contact]) -> None:
        self._known.pop(lineage, None)
        jitter = 0.75 + 0.5 * self._rng.random()
        look_up_at = self._now() + jitter * limits.LINEAGE_READ_S
        self._known[lineage] = _Known(contacts, len(contacts), look_up_at)
        if len(self._known) > limits.HEARD_LINEAGES:
            del self._known[next(iter(self._known))]


def _told(reading: Reading, record: Record | None) -> list[Contact]:
    """The contacts that told a record."""
    found = reading.found.get(record.raw) if record is not None else None
    return found.contacts if found is not None else []


def _is_agreed(reading: Reading) -> bool:
    """Whether all contacts that answered told the same, be it nothing."""
    told = [found.contacts for found in reading.found.values() if found.contacts]
    return not told or (len(told) == 1 and len(told[0]) >= len(reading.answered))
