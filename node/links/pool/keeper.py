"""The open links: which to use, which to close to make room, and which are idle or stalled."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from node.counters import Counters
from node.links.link import Link
from node.links.pool.changes import LinkChanges, LinkEnd
from node.links.pool.places import PlaceBook, link_rule
from node.links.pool.tie_break import OpenLinks
from node.links.settings import LinkSettings
from node.tasks import TaskOwner
from protocol import limits
from protocol.errors import LinkClosed, Malformed, ModswarmError, RemoteError
from protocol.frame_types import IDLE_FRAME, LINK_TYPES, WANTED_FRAME
from protocol.identity import PeerId, peer_id_text
from protocol.places.rule_breakers import RuleBreakers
from protocol.places.tenure import Place

_log = logging.getLogger(__name__)

_IDLE = "idle"

_TOLD_IN_IDLE_TIME = 3
"""How often a link that carries nothing is told to be wanted, within the time after which an idle
one is closed: two frames may be late."""

OnLink = Callable[[Link], object]
"""Takes a new link and registers its frame handlers; a ModswarmError that it raises closes it."""


class LinkKeeper:
    """Keeps links from when they open until nothing is left of them.

    `counts` says why links were closed, `counters` which rules their peers broke, `breakers`
    learns which peers these are, and `changes` what becomes of the links. `interrupted` learns of
    each link that was lost while its peer waited for what it had asked for.
    """

    def __init__(
        self,
        own_id: PeerId,
        settings: LinkSettings,
        counts: Counter[str],
        counters: Counters,
        book: PlaceBook,
        breakers: RuleBreakers,
        changes: LinkChanges,
        interrupted: Callable[[PeerId], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._book = book
        self._breakers = breakers
        self._changes = changes
        self._interrupted = interrupted
        self._rule = link_rule(settings.max_links)
        self._counts = counts
        self._counters = counters
        self._subscribers: list[OnLink] = []
        self._open = OpenLinks(own_id)
        self._unclosed: dict[Link, None] = {}
        self._owner = TaskOwner("closing links")
        self._faults: list[BaseException] = []
        self._closings: dict[asyncio.Task[None], None] = {}
        self._asked: dict[Link, float] = {}
        """Idle links whose peers were asked whether they may be closed, and their last use."""
        self._watch: asyncio.TimerHandle | None = None
        self._stopping = False

    @property
    def defects(self) -> list[BaseException]:
        """What subscribers and frame handlers raised unforeseen, and what closing raised."""
        return [*self._faults, *self._owner.defects]

    def __len__(self) -> int:
        return len(self._open)

    def subscribe(self, on_link: OnLink) -> None:
        """Call `on_link` with each link that is taken in from now on, after earlier subscribers."""
        self._subscribers.append(on_link)

    def get(self, peer_id: PeerId) -> Link | None:
        """The link to use with this peer."""
        return self._open.get(peer_id)

    def links(self) -> list[Link]:
        """Every open link, the oldest first."""
        return list(self._open)

    def take(self, link: Link) -> Link:
        """Take in a link that has just opened; returns the one to use with its peer."""
        self._unclosed[link] = None
        link.closed.add_done_callback(lambda closed: self._ended(link, closed.result()))
        if link.closed.done():
            return link
        loser = self._open.add(link)
        if loser is not None:
            self._retire(loser, LinkEnd.TWIN, "another link to you is kept")
        if loser is not link:
            self._book.opened(link)
            self._introduce(link)
            link.watch_path(lambda: self._changes.path_changed(link))
            self._changes.uses(link.peer_id, self._open.get(link.peer_id))
        return self._open.get(link.peer_id) or link

    def make_room(self, asking: Place) -> None:
        """Close the link that gives way to one more, if all are taken; raises Busy."""
        if (yielding := self._giving_way(asking)) is not None:
            self._retire(yielding, LinkEnd.TO_MAKE_ROOM, "making room for another link")

    def check_room(self, asking: Place) -> None:
        """Raise Busy where `make_room` would."""
        self._giving_way(asking)

    def _giving_way(self, asking: Place) -> Link | None:
        if self._open.get(asking.holder) is not None:
            return None  # it takes the place of the link that its peer has
        links = {link.peer_id: link for link in self._open}
        now = asyncio.get_running_loop().time()
        taken = [self._book.link(link) for link in links.values()]
        place = self._rule.giving_way(taken, asking, now)
        return links[place.holder] if place is not None else None

    def dispose(self, closing: Coroutine[Any, Any, None], name: str) -> None:
        """Run what closes something, in a task that is never cancelled and is waited for."""
        task = self._owner.start(closing, name=name)
        self._closings[task] = None
        task.add_done_callback(self._closings.pop)

    async def close(self, reason: str) -> None:
        """Close every link; returns once nothing is left of any, nor of what was disposed of."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        for link in list(self._unclosed):
            self._start_closing(link, reason)
        while self._closings:
            await asyncio.wait(list(self._closings))

    def _introduce(self, link: Link) -> None:
        _log.info("link %s with %s", link.direction, peer_id_text(link.peer_id))
        self._start_watch()
        try:
            link.register(LINK_TYPES, lambda frame: self._link_frame(link, frame))
            for on_link in self._subscribers:
                on_link(link)
        except ModswarmError as error:
            self._retire(link, LinkEnd.UNWANTED, str(error))
        except Exception as error:  # noqa: BLE001 - a fault in what uses links ends only this one
            _log.exception("a new link could not be taken over; it is closed")
            self._keep_fault(error)
            self._retire(link, LinkEnd.FAULT, "internal error")
        else:
            link.start_delivery()

    def _retire(self, link: Link, end: LinkEnd, reason: str) -> None:
        self._counts[f"closed_{end}"] += 1
        self._open.discard(link)
        self._changes.uses(link.peer_id, self._open.get(link.peer_id), end, reason)
        self._start_closing(link, reason)

    def _ended(self, link: Link, reason: str) -> None:
        _log.info("link with %s ended: %s", peer_id_text(link.peer_id), reason)
        if isinstance(link.error, RemoteError):
            self._counters.refuse(link.error)
            self._breakers.add(link.peer_id, self._book.link(link).network, self._loop.time())
        elif link.error is not None and not isinstance(link.error, ModswarmError):
            self._keep_fault(link.error)
        self._open.discard(link)
        end = self._end_of(link)
        self._changes.uses(link.peer_id, self._open.get(link.peer_id), end, reason)
        if end is LinkEnd.LOST and link.is_awaited:
            self._interrupted(link.peer_id)
        self._asked.pop(link, None)
        self._start_closing(link, "")

    def _end_of(self, link: Link) -> LinkEnd:
        """Why a link ended that was not retired here."""
        if isinstance(link.error, RemoteError):
            return LinkEnd.PROTOCOL_BROKEN
        if link.error is not None and not isinstance(link.error, ModswarmError):
            return LinkEnd.FAULT
        if link.is_closed_by_peer and self._asked.get(link) == link.last_used_at:
            return LinkEnd.IDLE
        if link.is_closed_by_us:
            return LinkEnd.STOPPING if self._stopping else LinkEnd.BY_US
        return LinkEnd.BY_PEER if link.is_closed_by_peer else LinkEnd.LOST

    def _keep_fault(self, error: BaseException) -> None:
        if len(self._faults) < limits.DEFECTS_KEPT:
            self._faults.append(error)

    def _start_closing(self, link: Link, reason: str) -> None:
        if link in self._unclosed:
            del self._unclosed[link]
            self.dispose(link.close(reason), peer_id_text(link.peer_id))

    def _start_watch(self) -> None:
        if self._watch is None and not self._stopping:
            interval_s = min(self._settings.idle_timeout_s, self._settings.stall_timeout_s) / 2
            self._watch = asyncio.get_running_loop().call_later(interval_s, self._look)

    def _look(self) -> None:
        """Close links that are idle, and those whose peer takes nothing any more."""
        self._watch = None
        now = asyncio.get_running_loop().time()
        for link in self._open:
            if link.stalled_for(now) >= self._settings.stall_timeout_s:
                self._retire(link, LinkEnd.STALLED, "stalled")
            else:
                self._look_whether_idle(link, now - link.last_used_at)
        if len(self._open):
            self._start_watch()

    # Idle links -------------------------------------------------------------------------------

    def _look_whether_idle(self, link: Link, unused_s: float) -> None:
        """Say that a link is wanted, or else ask the peer whether it may be closed, and close it.

        The peer closes it, unless it wants it, or has sent what is on its way. One that says
        nothing until the next look is gone, or agrees.
        """
        idle_s = self._settings.idle_timeout_s
        with contextlib.suppress(LinkClosed):
            if self._book.is_held(link.peer_id):
                if unused_s >= idle_s / _TOLD_IN_IDLE_TIME:
                    link.send(WANTED_FRAME)
            elif unused_s < idle_s or link.buffered_bytes:
                self._asked.pop(link, None)
            elif self._asked.get(link) == link.last_used_at:
                self._retire(link, LinkEnd.IDLE, _IDLE)
            else:
                self._asked[link] = link.last_used_at
                link.send(IDLE_FRAME)

    def _link_frame(self, link: Link, frame: bytes) -> None:
        """The peer wants the link to be kept, for which a frame is enough; or would close it."""
        if frame not in (WANTED_FRAME, IDLE_FRAME):
            raise Malformed("a frame about the link itself has nothing but its type")
        if frame == IDLE_FRAME:
            unused_s = self._loop.time() - link.last_used_at
            if self._book.is_held(link.peer_id):
                link.send(WANTED_FRAME)
            elif unused_s >= limits.LINK_UNUSED_S and not link.buffered_bytes:
                self._retire(link, LinkEnd.IDLE, _IDLE)
