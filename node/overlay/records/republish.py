"""Republishing this node's records, with jitter, before they expire.

Only its publisher refreshes a record, so the records of this node are made in this one place.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from node.environment import Environment
from node.overlay.records.publishing import Published
from node.overlay.server import OverlayServer
from protocol import limits, records
from protocol.errors import ModswarmError
from protocol.records import Body, Record

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """A record to keep published; `make_body` gives its current body.

    `refusals`: how often in a row contacts were asked and none stored it. `under_way`: what comes
    of the publishing that goes on; None if that is broken off.
    """

    kind: int
    make_body: Callable[[], Body]
    due_at: float
    refusals: int = 0
    published: Published = field(default_factory=lambda: Published(0, 0))
    under_way: asyncio.Future[Published | None] | None = None

    def is_published(self, now: float) -> bool:
        """Whether contacts store it, as it is now."""
        is_due = self.due_at <= now or self.under_way is not None
        return not is_due and self.published.confirmed > 0


class Republisher:
    """The records that this node keeps published, each under a name that its owner chooses."""

    def __init__(self, server: OverlayServer, environment: Environment) -> None:
        self._server = server
        self._environment = environment
        self._kept: dict[Hashable, _Kept] = {}
        self._changed = asyncio.Event()
        self._sequence = 0

    def make(self, kind: int, body: Body) -> Record:
        """Sign a record with a sequence number above all earlier ones of this node."""
        now = self._environment.wall()
        # Milliseconds of wall time survive a restart without any state of their own.
        self._sequence = max(self._sequence + 1, int(now * 1000))
        return records.make(self._server.identity, kind, body, now=now, sequence=self._sequence)

    def keep(self, name: Hashable, kind: int, make_body: Callable[[], Body]) -> None:
        """Publish a record soon, and again before it expires, until `drop`."""
        self._kept[name] = _Kept(kind, make_body, due_at=0.0)
        self._changed.set()

    def drop(self, name: Hashable) -> None:
        """Stop refreshing; what is stored expires by itself."""
        self._kept.pop(name, None)

    def renew(self) -> None:
        """Publish all of them again soon: they were dated by a clock that is off."""
        for kept in self._kept.values():
            kept.due_at = 0.0
        self._changed.set()

    def names(self) -> list[Hashable]:
        """The names of the kept records."""
        return list(self._kept)

    def refused(self) -> Counter[str]:
        """How many contacts did not keep the records when these were published last, and why."""
        refused: Counter[str] = Counter()
        for kept in self._kept.values():
            refused.update(kept.published.refused)
        return refused

    async def publish_now(self, name: Hashable, *others: Hashable) -> Published:
        """Publish one kept record at once; returns where it is stored.

        Those of the `others` that are kept and not published are so beside it. What is being
        published is waited for, and not sent again.
        """
        now = asyncio.get_running_loop().time()
        kept = [other for other in others if other in self._kept]
        unpublished = [other for other in kept if not self._kept[other].is_published(now)]
        publishing = [name, *unpublished]
        published, *_ = await asyncio.gather(*map(self._publish_or_wait, publishing))
        return published

    async def run(self) -> None:
        """Refresh what is due, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            await self._publish_due()
            due_at = min((kept.due_at for kept in self._kept.values()), default=loop.time() + 3600)
            try:
                async with asyncio.timeout_at(due_at):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _publish_due(self) -> None:
        """Several at once, as a publication waits for the slowest stores; the first kept first."""
        loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(limits.RECORDS_PUBLISHED_AT_ONCE)

        async def publish(name: Hashable) -> None:
            async with gate:
                kept = self._kept.get(name)  # it may have changed, or been dropped, meanwhile
                if kept is not None and kept.due_at <= loop.time():
                    await self._publish(kept)

        due = [name for name, kept in self._kept.items() if kept.due_at <= loop.time()]
        await asyncio.gather(*map(publish, due))

    async def _publish_or_wait(self, name: Hashable) -> Published:
        while (kept := self._kept.get(name)) is not None:
            if kept.under_way is None:
                return await self._publish(kept)
            published = await asyncio.shield(kept.under_way)
            if published is not None:
                return published
        return Published(0, 0)

    async def _publish(self, kept: _Kept) -> Published:
        """Publish one that is not being published."""
        loop = asyncio.get_running_loop()
        # Set before the await, so that the same record is not published twice at once.
        kept.due_at = loop.time() + self._refresh_s(kept.kind)
        under_way = kept.under_way = loop.create_future()
        published = None
        try:
            published = await self._send(kept)
        finally:
            kept.under_way = None
            under_way.set_result(published)
            if published is None:  # a person took back the command that it was for
                kept.due_at = 0.0
                self._changed.set()
        return published

    async def _send(self, kept: _Kept) -> Published:
        loop = asyncio.get_running_loop()
        try:
            record = self.make(kept.kind, kept.make_body())
            published = await self._server.publish(record)
        except ModswarmError as error:
            _log.info("a record could not be published: %s", error)
            published = Published(0, 0)
        kept.published = published
        if published.refused:
            _log.info("stored at %d, not at others: %s", published.confirmed, published.refused)
        kept.refusals = kept.refusals + 1 if published.asked and not published.confirmed else 0
        if not published.confirmed:
            kept.due_at = loop.time() + _pause_s(kept.refusals)
        return published

    def _refresh_s(self, kind: int) -> float:
        jitter = 0.95 + 0.1 * self._environment.rng.random()
        return limits.REFRESH_RECORD_S[kind] * jitter


def _pause_s(refusals: int) -> float:
    """How soon a record that no contact has stored is published again; soon if none was asked."""
    pause_s = limits.REPUBLISH_AFTER_FAILURE_S
    while refusals > 1 and pause_s < limits.REPUBLISH_REFUSED_MAX_S:
        pause_s, refusals = 2 * pause_s, refusals - 1
    return min(pause_s, limits.REPUBLISH_REFUSED_MAX_S)
