"""What changes of the node's links: up, down with its cause, and on another path.

The last changes are kept, each by its number; a reader holds nothing but the number of the last one
that it has read. So a slow reader costs no memory: it is told how many it has missed.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from node.links.link import Link
from node.links.path.found_path import FoundPath
from protocol import limits
from protocol.identity import PeerId


class LinkEvent(StrEnum):
    """What became of the link with a peer."""

    UP = "up"
    DOWN = "down"
    PATH = "path"
    """It goes by another pair of addresses, or another link with the same peer took its place."""


class LinkEnd(StrEnum):
    """Why a link ended."""

    IDLE = "idle"
    STALLED = "stalled"
    TWIN = "twin"
    """Another link with the same peer is kept."""
    TO_MAKE_ROOM = "to_make_room"
    UNWANTED = "unwanted"
    """A part of this node took no link with the peer."""
    STOPPING = "stopping"
    BY_US = "by_us"
    BY_PEER = "by_peer"
    PROTOCOL_BROKEN = "protocol_broken"
    """The peer broke a rule of the protocol."""
    FAULT = "fault"
    """A defect of this program."""
    LOST = "lost"
    """No path carried it any more, or the peer vanished."""


@dataclass(frozen=True, slots=True)
class LinkChange:
    """One change of the link with a peer, at `at` by the loop's clock, in seconds.

    `path` is that from now on, or the last one; `end` and `reason` are those of a link that is
    down.
    """

    number: int
    at: float
    peer_id: PeerId
    event: LinkEvent
    path: FoundPath
    end: LinkEnd | None = None
    reason: str = ""


class LinkChanges:
    """The last LINK_CHANGES changes, numbered from 1; `last` is the number of the newest.

    One link of a peer is the one in use. It is told of, whatever becomes of others that a
    tie-break closes.
    """

    def __init__(self) -> None:
        self._kept: deque[LinkChange] = deque(maxlen=limits.LINK_CHANGES)
        self._in_use: dict[PeerId, tuple[Link, FoundPath]] = {}
        self._added = asyncio.Event()
        self.last = 0

    def missed(self, number: int) -> int:
        """How many changes followed that of this number and are not kept any more."""
        return max(0, self.last - len(self._kept) - number)

    def since(self, number: int) -> tuple[LinkChange, ...]:
        """The changes that are kept and followed that of this number, the oldest first."""
        return tuple(change for change in self._kept if change.number > number)

    async def after(self, number: int) -> tuple[LinkChange, ...]:
        """The same, once there is one."""
        while self.last <= number:
            await self._added.wait()
        return self.since(number)

    # What the pool tells ----------------------------------------------------------------------

    def uses(
        self,
        peer_id: PeerId,
        link: Link | None,
        end: LinkEnd | None = None,
        reason: str = "",
    ) -> None:
        """This link with a peer is used from now on; where it is None, the one before ended so."""
        before, path = self._in_use.get(peer_id, (None, None))
        if link is None and path is not None:
            del self._in_use[peer_id]
            self._add(peer_id, LinkEvent.DOWN, path, end, reason)
        elif link is not None and link is not before:
            self._goes_by(link, link.path, path)

    def path_changed(self, link: Link) -> None:
        """A link goes by another pair of addresses."""
        in_use, path = self._in_use.get(link.peer_id, (None, None))
        if in_use is link and not link.closed.done():
            self._goes_by(link, link.path, path)

    def _goes_by(self, link: Link, path: FoundPath, before: FoundPath | None) -> None:
        self._in_use[link.peer_id] = link, path
        if before is None:
            self._add(link.peer_id, LinkEvent.UP, path)
        elif path != before:
            self._add(link.peer_id, LinkEvent.PATH, path)

    def _add(
        self,
        peer_id: PeerId,
        event: LinkEvent,
        path: FoundPath,
        end: LinkEnd | None = None,
        reason: str = "",
    ) -> None:
        self.last += 1
        now = asyncio.get_running_loop().time()
        self._kept.append(LinkChange(self.last, now, peer_id, event, path, end, reason))
        self._added.set()  # wakes those that wait by now
        self._added.clear()
