"""What this node has seen of lineages: the one place that every valid record of one goes through.

It comes by a read of the DHT, by a link, by a peer that stores it here, or is this node's own. It
is judged by what was seen before, and all who watch learn of what is newer and of forks, once.
What was seen outlives the run: `changed` has what is to be written down (`Remembering`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from protocol import limits
from protocol.content.lineage import history
from protocol.content.lineage.history import Age, Fork, Seen
from protocol.records import Record, lineage_key

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LineageNews:
    """What a record was to this node when it came: newer, the same, or older, or shows a fork."""

    record: Record
    age: Age
    fork: Fork | None = None

    @property
    def lineage(self) -> bytes:
        """The lineage's public key."""
        return self.record.public_key


TakeNews = Callable[[LineageNews], None]


class HeardLineages:
    """By their public keys. Those that are kept are never forgotten for others."""

    def __init__(self, max_heard: int = limits.HEARD_LINEAGES) -> None:
        self._max_heard = max_heard
        self._seen: dict[bytes, Seen] = {}
        self._newest: dict[bytes, Record] = {}
        """By the DHT keys of the lineages."""
        self._kept: dict[bytes, bytes] = {}
        """The public keys of what is kept, by their DHT keys."""
        self._keeps_some = asyncio.Event()
        self._watchers: list[TakeNews] = []
        self._changed: dict[bytes, None] = {}
        self._has_changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._seen)

    def watch(self, take: TakeNews) -> None:
        """Let `take` have, from now on, each record that is newer or shows a fork."""
        self._watchers.append(take)

    # What is kept -------------------------------------------------------------------------

    def keep(self, lineage: bytes, newest: Record | None = None) -> None:
        """This node follows or publishes a lineage; `newest` is what it knew before.

        That is no news, and may have expired.
        """
        self._kept[lineage_key(lineage)] = lineage
        self._keeps_some.set()
        if newest is not None:
            self._judge(newest)
            self._newest.setdefault(newest.key, newest)

    def drop(self, lineage: bytes) -> None:
        """It does so no more; what was seen is remembered as of any other lineage."""
        self._kept.pop(lineage_key(lineage), None)
        if not self._kept:
            self._keeps_some.clear()
        self._forget_oldest()

    async def until_kept(self) -> None:
        """Return once there is a lineage that is kept."""
        await self._keeps_some.wait()

    def kept(self) -> list[bytes]:
        """The public keys of the lineages that are kept."""
        return list(self._kept.values())

    def is_kept(self, key: bytes) -> bool:
        """Whether the lineage with this DHT key is kept."""
        return key in self._kept

    def newest(self, lineage: bytes) -> Record | None:
        """The record that is followed, if its bytes are known; it may have expired."""
        return self.newest_under(lineage_key(lineage))

    def newest_under(self, key: bytes) -> Record | None:
        """The same of the lineage with this DHT key."""
        return self._newest.get(key)

    def seen(self, lineage: bytes) -> Seen | None:
        """What was seen of a lineage, in this run or before."""
        return self._seen.get(lineage)

    def is_expired(self, lineage: bytes, now: float) -> bool:
        """Whether the record that is followed was not renewed in time; `now` in wall seconds."""
        newest = self.newest(lineage)
        return newest is not None and newest.expires <= now

    def is_forked(self, lineage: bytes) -> bool:
        """Whether a fork of a lineage was seen, in this run or before."""
        seen = self._seen.get(lineage)
        return seen is not None and bool(seen.told)

    # What comes ---------------------------------------------------------------------------

    def hear(self, record: Record) -> LineageNews:
        """Take a verified record, of any age; all who watch are told of what is new about it.

        That is one to be followed whose bytes were not known, also if its hash was, or a fork.
        """
        before = self._newest.get(record.key)
        news = self._judge(record)
        if news.fork is not None:
            one, other = (digest.hex() for digest in news.fork.hashes)
            _log.warning(
                "a lineage was continued twice after %d records: %s and %s",
                *(news.fork.sequence, one, other),
            )
        is_gained = before is not self._newest.get(record.key)
        if is_gained or news.fork is not None:
            for take in self._watchers:
                take(news)
        return news

    def hear_stored(self, record: Record) -> None:
        """Take one that a peer has stored here, if this node keeps its lineage."""
        if record.key in self._kept:
            self.hear(record)

    def _judge(self, record: Record) -> LineageNews:
        lineage = record.public_key
        before = self._seen.get(lineage)
        judgement = history.judge(before, record)
        newest = self._newest.get(record.key)
        if judgement.age is not Age.OLDER and (newest is None or newest.raw != record.raw):
            self._newest[record.key] = record
        if judgement.seen != before:
            self._seen.pop(lineage, None)
            self._seen[lineage] = judgement.seen
            self._note_changed(lineage)
            self._forget_oldest()
        return LineageNews(record, judgement.age, judgement.fork)

    def _forget_oldest(self) -> None:
        """Of what is not kept, forget what changed least recently."""
        while len(self._seen) - len(self._kept) > self._max_heard:
            kept = set(self._kept.values())
            oldest = next((one for one in self._seen if one not in kept), None)
            if oldest is None:
                return
            del self._seen[oldest]
            self._newest.pop(lineage_key(oldest), None)
            self._note_changed(oldest)

    # What outlives the run ----------------------------------------------------------------

    def restore(self, seen: Iterable[tuple[bytes, Seen]]) -> None:
        """What was remembered, the oldest first; before anything comes."""
        self._seen.update(seen)

    def _note_changed(self, lineage: bytes) -> None:
        self._changed[lineage] = None
        self._has_changed.set()

    async def until_changed(self) -> None:
        """Return once there is something to be written down."""
        await self._has_changed.wait()

    def changed(self) -> dict[bytes, Seen | None]:
        """What has changed since this was asked last; None for what was forgotten."""
        changed = {lineage: self._seen.get(lineage) for lineage in self._changed}
        self._changed.clear()
        self._has_changed.clear()
        return changed

    def still_changed(self, lineages: Iterable[bytes]) -> None:
        """These could not be written down: they go with what changes next."""
        self._changed.update(dict.fromkeys(lineages))
