"""Links that this node wants: never closed as idle, and mostly called again while down.

Each want is a handle. While a peer has one that `calls`, one task keeps its link up: it calls the
peer, waits for the end of the link, and calls again after a pause that doubles with each try that
brought no lasting link. One that does not only keeps a link from being closed as idle: a download
has its own rules for whom to call.

A peer whose link was lost while it waited for what it had asked for is called once as well, where
it was this machine that slept or had no network.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import inf
from types import TracebackType
from typing import Self

from node.links.link import Link
from node.links.pool.backoff import pause_s
from node.links.settings import LinkSettings
from node.tasks import TaskOwner
from protocol import limits
from protocol.errors import ModswarmError, Overloaded
from protocol.identity import PeerId, peer_id_text
from protocol.randomness import Random

_log = logging.getLogger(__name__)


_NOTICED_S = 30.0
"""By so long after a change of networks the end of a link is noticed that did not survive it."""


class Want:
    """One reason to keep the link to a peer; `close` gives it back, once or more often.

    As a context manager it ends with its block, also where that raises or is cancelled.
    """

    def __init__(
        self,
        peer_id: PeerId,
        reason: str,
        given_back: Callable[["Want"], None],
        *,
        calls: bool,
    ) -> None:
        self.peer_id = peer_id
        self.reason = reason
        self.calls = calls
        self._given_back = given_back

    def close(self) -> None:
        """The link is not wanted for this reason any more."""
        self._given_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class LinkWants:
    """The open wants by peer, and the task of each peer; times are seconds of the loop's clock.

    `get` gives the link to a peer that is open, `connect` opens one or raises a ModswarmError.
    """

    def __init__(
        self,
        get: Callable[[PeerId], Link | None],
        connect: Callable[[PeerId], Awaitable[Link]],
        settings: LinkSettings,
        rng: Random,
    ) -> None:
        self._get = get
        self._connect = connect
        self._settings = settings
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._wants: dict[PeerId, dict[Want, None]] = {}
        self._news: dict[PeerId, asyncio.Event] = {}
        self._keeping: dict[PeerId, asyncio.Task[None]] = {}
        self._interrupted: OrderedDict[PeerId, float] = OrderedDict()
        self._changed_at = -inf
        self.tasks = TaskOwner("keep links")

    def __contains__(self, peer_id: object) -> bool:
        """Whether a peer is called while it has no link."""
        return peer_id in self._keeping

    def __len__(self) -> int:
        """Peers that are called while they have no link."""
        return len(self._keeping)

    def holds(self, peer_id: PeerId) -> bool:
        """Whether the link to a peer is not to be closed as idle."""
        return peer_id in self._wants

    def reasons(self, peer_id: PeerId) -> tuple[str, ...]:
        """Why the link to a peer is wanted, the oldest reason first; empty where it is not."""
        return tuple(want.reason for want in self._wants.get(peer_id, ()))

    def want(self, peer_id: PeerId, reason: str, *, calls: bool = True) -> Want:
        """Keep the link to a peer up until the handle is closed, and call the peer if `calls`.

        Raises Overloaded where LINKS_WANTED peers are called so, or one is wanted for so many
        reasons.
        """
        if calls and peer_id not in self and len(self) >= limits.LINKS_WANTED:
            raise Overloaded(f"{limits.LINKS_WANTED} links are kept already")
        if len(self._wants.get(peer_id, ())) >= limits.LINKS_WANTED:
            raise Overloaded(f"this link is kept for {limits.LINKS_WANTED} reasons already")
        want = Want(peer_id, reason, self._given_back, calls=calls)
        if calls and peer_id not in self:
            news = self._news[peer_id] = asyncio.Event()
            name = peer_id_text(peer_id)
            self._keeping[peer_id] = self.tasks.start(self._keep(peer_id, news), name=name)
        self._wants.setdefault(peer_id, {})[want] = None
        return want

    def heard_of(self, peer_id: PeerId) -> None:
        """A peer gave a sign of life: if it is wanted and has no link, it is called again soon."""
        if (news := self._news.get(peer_id)) is not None:
            news.set()

    def network_changed(self) -> None:
        """This machine is in another network, or woke: what failed before may succeed now."""
        for news in self._news.values():
            news.set()
        self._changed_at = self._loop.time()
        self._call_interrupted()

    def interrupted(self, peer_id: PeerId) -> None:
        """A link was lost while its peer waited for what it had asked for.

        If it is this machine that was away, the peer is called once: it cannot know when to call.
        """
        self._interrupted[peer_id] = self._loop.time()
        self._interrupted.move_to_end(peer_id)
        if len(self._interrupted) > limits.LINKS_WANTED:
            self._interrupted.popitem(last=False)
        if self._loop.time() < self._changed_at + _NOTICED_S:
            self._call_interrupted()

    def _call_interrupted(self) -> None:
        since = self._loop.time() - limits.GET_WAIT_S
        for peer_id, lost_at in self._interrupted.items():
            if lost_at >= since:
                self.tasks.start(self._call_again(peer_id), name=peer_id_text(peer_id))
        self._interrupted.clear()

    async def _call_again(self, peer_id: PeerId) -> None:
        try:
            await self._connect(peer_id)
        except ModswarmError as error:
            _log.info("no link again with %s: %s", peer_id_text(peer_id), error)

    async def close(self) -> None:
        """Keep no link any more."""
        await self.tasks.close()

    def _given_back(self, want: Want) -> None:
        wants = self._wants.get(want.peer_id, {})
        if want not in wants:
            return
        del wants[want]
        if want.calls and not any(other.calls for other in wants):
            del self._news[want.peer_id]
            self._keeping.pop(want.peer_id).cancel()
        if not wants:
            del self._wants[want.peer_id]

    async def _keep(self, peer_id: PeerId, news: asyncio.Event) -> None:
        """Have a link to the peer, for as long as it is wanted."""
        tries = 0
        while True:
            began_at = self._loop.time()
            try:
                link = self._get(peer_id) or await self._connect(peer_id)
            except ModswarmError as error:
                _log.info("no link with %s, which is wanted: %s", peer_id_text(peer_id), error)
                tries += 1
            else:
                news.clear()
                await asyncio.wait([link.closed])
                lasted = self._loop.time() - link.opened_at >= self._settings.backoff_max_s
                tries = 0 if lasted else tries + 1
            await self._pause(tries, began_at, news)

    async def _pause(self, tries: int, began_at: float, news: asyncio.Event) -> None:
        """Wait before another try, shorter where there are news of the peer.

        It may cause these at will, so that tries begin no sooner after one another than the
        shortest pause.
        """
        wait_s = pause_s(self._settings, max(tries, 1), self._rng)
        soonest_at = began_at + min(wait_s, self._settings.backoff_first_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await news.wait()
        news.clear()
        await asyncio.sleep(max(0.0, soonest_at - self._loop.time()))
