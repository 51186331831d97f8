"""People that follow a mod and come and go: when they are there, hear of a version, and have it."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Final

from node.content.download.bounds import SizeBound
from node.overlay.lineages.heard import LineageNews
from protocol.content.lineage.history import body_of
from protocol.content.link import LineageLink
from protocol.errors import ModswarmError
from simulations.experiments.parts.people import join, whole
from simulations.experiments.parts.sessions import Sessions
from simulations.residents.whole import WholeResident

_BOUND: Final = SizeBound(10**12, agreed=True)
_LOOK_S: Final = 30.0
"""How often people see whether they have as many links open as they want."""
_AGAIN_S: Final = 5.0
"""After a `follow` that failed a person waits so long."""


class FollowingPerson:
    """One follower, session after session. Times are seconds since `wait_for`.

    `heard_s`: when its node first knew of the version that is waited for; `has_s`: when its folder
    had that.
    """

    def __init__(self, resident: WholeResident, sessions: Sessions, folder: Path) -> None:
        self.resident = resident
        self.sessions = sessions
        self.heard_s: float | None = None
        self.has_s: float | None = None
        self.failed = 0
        self._past_datagrams = 0
        self._target = folder / f"disk{resident.number}" / "mod"
        self._target.parent.mkdir()  # of its own, as on a machine of its own
        self._loop = asyncio.get_running_loop()
        self._version = 0
        self._since = self._began_at = 0.0

    @property
    def datagrams(self) -> int:
        """What its node's sockets have received and sent in all sessions."""
        return self._past_datagrams + datagrams_of(self.resident)

    @property
    def first_there_s(self) -> float:
        """When it was there for the first time from `wait_for` on."""
        waits_from = self._since - self._began_at
        for since, until in self.sessions:
            if until > waits_from:
                return max(0.0, since - waits_from)
        return inf

    @property
    def there_s(self) -> float | None:
        """For how long it had been there since `wait_for` when it had the version, if it has."""
        if self.has_s is None:
            return None
        waits_from = self._since - self._began_at
        had_at = waits_from + self.has_s
        sessions = [one for one in self.sessions.until(had_at) if one[1] > waits_from]
        return sum(min(until, had_at) - max(since, waits_from) for since, until in sessions)

    async def follow(self, link: LineageLink) -> None:
        """Begin to follow, in a session before all others; over and over until it succeeds."""
        await join(self.resident)
        following = self.resident.running_node.following
        while True:
            with self.resident.host.running():
                work = following.follow(link, self._target, bound=_BOUND)
                task = self.resident.host.create_task(work)
            try:
                await task
            except ModswarmError:
                self.failed += 1
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    def copy(self, other: "FollowingPerson") -> None:
        """Follow what another one does whose node has stopped, and have what it has.

        That is cheaper by far than to fetch the same once more, and as nothing is linked it is what
        all have who fetched it long ago.
        """
        shutil.copytree(other._target, self._target)
        shutil.copytree(other.resident.home / "vault", self.resident.home / "vault")
        index = self.resident.home / "vault" / "index.sqlite"
        with contextlib.closing(sqlite3.connect(index)) as database, database:
            target = str(self._target.resolve())
            database.execute("UPDATE follows SET target = ?", (target,))
            database.execute("UPDATE targets SET path = ?", (os.fsencode(target),))

    def wait_for(self, version: int) -> None:
        """From now on note when this version is heard of, and when it is in the folder."""
        self._version, self._since = version, self._loop.time()
        self._watch()

    def look(self) -> None:
        """Note whether the version is in the folder now."""
        node = self.resident.node
        if self.has_s is not None or node is None or not self._version:
            return
        if any(one.version >= self._version for one in node.following.views()):
            self.has_s = self._loop.time() - self._since

    async def live(self, links: "OpenLinks") -> None:
        """Be there in all sessions, which are counted from now on, until cancelled."""
        began_at = self._began_at = self._loop.time()
        for since, until in self.sessions:
            if self.resident.node is not None and began_at + since > self._loop.time():
                await whole(self._leave())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began_at + until):
                    await self._session(began_at + since, links)
            await whole(self._leave())

    async def _session(self, since: float, links: "OpenLinks") -> None:
        if self.resident.node is None:
            await asyncio.sleep(since - self._loop.time())
            await whole(join(self.resident))
            self._watch()
        await links.keep(self.resident)

    async def _leave(self) -> None:
        self.look()
        self._past_datagrams += datagrams_of(self.resident)
        await self.resident.stop()

    def _watch(self) -> None:
        if self.resident.node is not None and self._version:
            self.resident.running.lineages.heard.watch(self._heard)

    def _heard(self, news: LineageNews) -> None:
        if self.heard_s is None and body_of(news.record).version >= self._version:
            self.heard_s = self._loop.time() - self._since


class OpenLinks:
    """Sees to it that each node has `wanted` links open, to random others of `residents`."""

    def __init__(self, residents: Sequence[WholeResident], wanted: int, rng: random.Random) -> None:
        self._residents = residents
        self._wanted = wanted
        self._rng = rng

    async def keep(self, resident: WholeResident) -> None:
        """Open links where there are too few, while this resident's node runs."""
        if not self._wanted:
            await asyncio.sleep(inf)
        while True:
            while len(resident.running_node.pool.links()) < self._wanted:
                if not await self._open(resident):
                    break
            await asyncio.sleep(_LOOK_S)

    async def _open(self, resident: WholeResident) -> bool:
        others = [one for one in self._residents if one is not resident and one.node is not None]
        if not others:
            return False
        peer = self._rng.choice(others).identity.peer_id
        with resident.host.running():
            task = resident.host.create_task(resident.running_node.pool.connect(peer))
        try:
            await task
        except ModswarmError:
            return False
        return True


async def close_links(residents: Sequence[WholeResident]) -> None:
    """Close all links of all nodes, as they do that are idle for long enough."""
    for resident in residents:
        if resident.node is None:
            continue
        for link in resident.running_node.pool.links():
            with resident.host.running():
                await link.close("idle")


def datagrams_of(resident: object) -> int:
    """What the node of a resident received and sent in this session."""
    membership = getattr(resident, "membership", None)
    if membership is None:
        return 0
    counters = membership.server.counters
    return int(counters.datagrams_received + counters.datagrams_sent)
