"""Publishing the records of this node's own lineages, and renewing them before they expire.

A record is signed by its lineage's identity, and written down before any other node hears of it:
else a crash would have the same sequence signed twice, which is a fork. What is newest is looked up
before anything is signed, as another machine may have the lineage's key too. What that one signed
is written down as well: this machine may be alone when it starts again, and must go on from there.

Where two machines sign at once, the one whose record is not followed signs once more what the one
of the higher version says, or the one that is followed if they have the same, and after its own
record: by that the other machine, and all who follow, see the fork.
Where no more than the hash of the other one is known, from an earlier run, it says what its own
did: else each version would be signed with that sequence, and no follower would get it.

A record further ahead than the next one does not say whether it goes on from what was shared here.
So of each lineage the newest record is known that does (it is vouched for), and while the newest
one of all names another mod there is a doubt, which `ForkWatch` settles by the versions themselves.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from node.environment import Environment
from node.overlay.lineages.heard import HeardLineages, LineageNews
from node.overlay.lineages.reader import LineageReader
from node.overlay.records.publishing import Published
from node.overlay.server import OverlayServer
from protocol import limits
from protocol.content.lineage import history
from protocol.errors import ModswarmError, NetworkError
from protocol.identity import Identity
from protocol.records import Record

_log = logging.getLogger(__name__)

SaveRecords = Callable[[Record, Record], Awaitable[None]]
"""Writes down the newest record of one of this node's own lineages, and the newest that is vouched
for; raises DiskError."""

_LOOK_S = 3600.0
"""How often it is looked which records are due: a tenth of a day late is no harm."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether `newest`, which is followed, goes on from `vouched`, or that from it, is not known.

    `vouched` is the newest record that goes on from all that this machine shared.
    """

    newest: Record
    vouched: Record

    @property
    def is_behind(self) -> bool:
        """Whether the newest record names a lower version than this machine has shared."""
        return history.body_of(self.newest).version < history.body_of(self.vouched).version

    def told(self, identity: Identity, now: float, *, is_fork: bool) -> Record:
        """What names the higher version after all that is known, so that a fork shows."""
        if not is_fork:
            return history.renewed(identity, self.vouched, now=now, after=self.newest)
        said = self.vouched if self.is_behind else self.newest
        return history.renewed(identity, said, now=now, after=self.vouched, beyond=self.newest)


@dataclass(slots=True)
class _Own:
    """`early`: by which part of LINEAGE_RENEWED_S it is renewed early, so that no two machines
    with one key do so at once. `signed`: what this machine signed last. `saved`: what is written
    down. `vouched`: as of a Doubt.
    """

    identity: Identity
    save: SaveRecords
    early: float
    signed: Record | None
    saved: Record | None
    vouched: Record | None
    signing: asyncio.Lock = field(default_factory=asyncio.Lock)


class LineagePublisher:
    """The lineages of which this node has the keys. `run` it once this node has joined."""

    def __init__(
        self,
        server: OverlayServer,
        reader: LineageReader,
        heard: HeardLineages,
        environment: Environment,
    ) -> None:
        self._server = server
        self._reader = reader
        self._heard = heard
        self._environment = environment
        self._own: dict[bytes, _Own] = {}
        self._forked: dict[bytes, None] = {}
        self._unsaved: dict[bytes, None] = {}
        self._has_news = asyncio.Event()
        heard.watch(self._heard_news)

    def keep(
        self,
        identity: Identity,
        newest: Record | None,
        save: SaveRecords,
        vouched: Record | None = None,
    ) -> None:
        """This node has a lineage's key, and wrote `newest` down last; renew it from now on.

        `vouched` was written down too; if None it is the same.
        """
        lineage = identity.public_key
        early = 0.1 * self._environment.rng.random()
        if lineage not in self._own:
            self._own[lineage] = _Own(identity, save, early, newest, newest, vouched or newest)
        self._heard.keep(lineage, newest)

    def has(self, lineage: bytes) -> bool:
        """Whether this node has a lineage's key."""
        return lineage in self._own

    def drop(self, lineage: bytes) -> None:
        """This node has the key no more. What is stored expires, unless others renew it."""
        self._own.pop(lineage, None)

    async def publish(
        self,
        lineage: bytes,
        *,
        mod_id: bytes,
        version: int,
        wrapped_key: bytes,
        origins: tuple[str, ...] = (),
    ) -> tuple[Record, Published]:
        """Sign, write down and store the record of a new version of a lineage that is kept.

        It follows the newest record that is known, of whichever machine: `LineageReader.read`
        tells its version before. Raises DiskError, Malformed.
        """
        own = self._own[lineage]
        async with own.signing:
            await self._look_up(lineage)
            record = history.next_record(
                own.identity,
                self._heard.newest(lineage),
                mod_id=mod_id,
                version=version,
                wrapped_key=wrapped_key,
                origins=origins,
                now=self._environment.wall(),
            )
            await self._sign(own, record)
        return record, await self._server.publish(record)

    # Forks --------------------------------------------------------------------------------

    def claim(self, lineage: bytes, *, mod_id: bytes, version: int, wrapped_key: bytes) -> None:
        """This machine made a version that no record names yet, and of which all must know.

        What would have been signed of it is vouched for.
        """
        own, now = self._own[lineage], self._environment.wall()
        own.vouched = history.next_record(
            *(own.identity, own.vouched),
            mod_id=mod_id,
            version=version,
            wrapped_key=wrapped_key,
            now=now,
        )

    def doubts(self) -> list[Doubt]:
        """Those about the newest records of all lineages."""
        doubts = [self._doubt(own) for own in self._own.values()]
        return [doubt for doubt in doubts if doubt is not None and self._is_newest(doubt.newest)]

    def _is_newest(self, record: Record) -> bool:
        """Whether it is followed; of one of an earlier run, or that won, the hash may be known."""
        seen = self._heard.seen(record.public_key)
        return seen is not None and seen.digest == history.hash_of(record)

    def _doubt(self, own: _Own) -> Doubt | None:
        newest = self._heard.newest(own.identity.public_key)
        if newest is None or own.vouched is None:
            return None
        is_same = history.body_of(newest).mod_id == history.body_of(own.vouched).mod_id
        return None if is_same else Doubt(newest, own.vouched)

    async def settle(self, doubt: Doubt, *, is_fork: bool) -> bool:
        """It was found out whether a lineage has forked; False if there is a newer doubt by now.

        Of a fork all are told, and of a version of this machine's that a lower one hides. Raises
        DiskError, Malformed.
        """
        lineage = doubt.newest.public_key
        own = self._own.get(lineage)
        if own is None:
            return False
        async with own.signing:
            if is_fork or doubt.is_behind:
                await self._look_up(lineage)
            if self._doubt(own) != doubt or not self._is_newest(doubt.newest):
                return False
            if not (is_fork or doubt.is_behind):
                await own.save(doubt.newest, doubt.newest)
                own.saved = own.vouched = doubt.newest
                return True
            record = doubt.told(own.identity, self._environment.wall(), is_fork=is_fork)
            await self._sign(own, record)
        await self._server.publish(record)
        return True

    # Its own work -------------------------------------------------------------------------

    def renew(self) -> None:
        """Sign anew soon what is due by now: the clock was corrected, or set."""
        self._has_news.set()

    async def run(self) -> None:
        """Write down what is heard, renew what is due, and tell of forks, until cancelled."""
        lost = (lineage for lineage, own in self._own.items() if self._is_lost(own))
        self._forked.update(dict.fromkeys(lost))  # before this node was killed
        while True:
            for lineage in list(self._unsaved):
                del self._unsaved[lineage]
                await self._save_heard(lineage)
            for lineage in list(self._forked):
                del self._forked[lineage]
                await self._change(lineage, self._after_fork)
            for lineage in list(self._own):
                if self._is_due(lineage):
                    await self._change(lineage, self._renewal)
            if not (self._unsaved or self._forked):
                self._has_news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._has_news.wait()

    def _heard_news(self, news: LineageNews) -> None:
        own = self._own.get(news.lineage)
        if own is None:
            return
        self._unsaved[news.lineage] = None
        if self._is_lost(own):
            self._forked[news.lineage] = None
        self._has_news.set()

    def _is_lost(self, own: _Own) -> bool:
        """Whether what was signed here is not followed, as another record of its sequence is.

        That one need not have come in this run: its hash is remembered.
        """
        signed, seen = own.signed, self._heard.seen(own.identity.public_key)
        if signed is None or seen is None or signed.sequence != seen.sequence:
            return False
        return history.hash_of(signed) != seen.digest

    async def _save_heard(self, lineage: bytes) -> None:
        """Write down what another machine with the lineage's key has signed."""
        own = self._own.get(lineage)
        if own is None:
            return
        async with own.signing:
            newest, saved = self._heard.newest(lineage), own.saved
            if newest is None or (saved is not None and not _supersedes(newest, saved)):
                return  # what was signed here may have lost to a record that did not come yet
            try:
                await own.save(newest, own.vouched or newest)
            except ModswarmError as error:
                _log.warning("a lineage's newest record is not written down: %s", error)
            else:
                own.saved, own.vouched = newest, own.vouched or newest

    def _is_due(self, lineage: bytes) -> bool:
        own, newest = self._own.get(lineage), self._heard.newest(lineage)
        if own is None or newest is None:
            return False
        age_s = self._environment.wall() - newest.issued
        is_old = age_s >= (1 - own.early) * limits.LINEAGE_RENEWED_S
        return is_old or age_s < -limits.CLOCK_SKEW_S  # by a clock that was ahead: none takes it

    async def _change(self, lineage: bytes, make: Callable[[_Own, Record], Record | None]) -> None:
        """Sign, write down and store what `make` makes of the newest record, if anything."""
        own = self._own.get(lineage)
        if own is None:
            return
        try:
            async with own.signing:
                await self._look_up(lineage)
                newest = self._heard.newest(lineage)
                record = make(own, newest) if newest is not None else None
                if record is None:
                    return
                await self._sign(own, record)
            await self._server.publish(record)
        except ModswarmError as error:
            _log.warning("a lineage's record could not be signed anew: %s", error)

    def _renewal(self, own: _Own, newest: Record) -> Record | None:
        """None if another machine has just renewed it."""
        if not self._is_due(newest.public_key):
            return None
        return history.renewed(own.identity, newest, now=self._environment.wall())

    def _after_fork(self, own: _Own, newest: Record) -> Record | None:
        """None if it is this machine's record that is followed, or the next one is signed."""
        signed = own.signed
        if signed is None or not self._is_lost(own):
            return None
        known = [newest] if newest.sequence == signed.sequence else []  # else it did not come
        content = max([*known, signed], key=lambda one: history.body_of(one).version)
        now = self._environment.wall()
        return history.renewed(own.identity, content, now=now, after=signed)

    async def _look_up(self, lineage: bytes) -> None:
        try:
            await self._reader.read(lineage)
        except NetworkError as error:
            _log.info("what is newest of a lineage could not be looked up: %s", error)

    async def _sign(self, own: _Own, record: Record) -> None:
        """A doubt stays where the record follows the newest one, whatever that goes on from."""
        vouched = own.vouched
        is_after = vouched and history.hash_of(vouched) == history.body_of(record).previous
        if vouched is None or is_after or self._doubt(own) is None:
            vouched = record
        await own.save(record, vouched)
        own.signed, own.saved, own.vouched = record, record, vouched
        self._heard.hear(record)
        if self._is_lost(own):
            self._forked[record.public_key] = None
            self._has_news.set()


def _supersedes(record: Record, other: Record) -> bool:
    return history.supersedes(record, other.sequence, history.hash_of(other))
