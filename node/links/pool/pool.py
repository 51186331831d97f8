"""The node's links: at most one to each peer, opened on demand and closed when idle.

The overlay places calls and receives them; the pool turns an answered call into a link. `connect`
has a call placed (PendingConnect), `answer` takes one (PendingAnswer); both end in `_opened`. It
owns every task about links, and every link ends with its own tasks.
"""

import asyncio
import logging
from collections import Counter
from math import inf
from typing import Any

from node.counters import Counters
from node.environment import Environment
from node.links.attempt import LinkParts
from node.links.failure import LinkAttemptFailed
from node.links.layers import LayersLoader
from node.links.link import Link
from node.links.path.paths import LinkPaths
from node.links.pool.backoff import Backoff
from node.links.pool.changes import LinkChanges
from node.links.pool.keeper import LinkKeeper, OnLink
from node.links.pool.opening import LinkOpener
from node.links.pool.pending import PendingAnswer, PendingConnect, PlaceCall
from node.links.pool.places import PlaceBook, answer_rule, call_rule
from node.links.pool.wants import LinkWants, Want
from node.links.punching.punching import LinkPunching
from node.links.restarting.parts import LookAround, RestartParts
from node.links.restarting.restarts import LinkRestarts
from node.links.secure.certificate import Certificate
from node.links.settings import LinkSettings
from node.tasks import TaskOwner
from protocol import limits
from protocol.causes.cause import Cause
from protocol.description import Description
from protocol.errors import (
    Busy,
    CallCrossed,
    CallFailed,
    LinkClosed,
    LinkFailed,
    ModswarmError,
    RemoteError,
)
from protocol.identity import Identity, PeerId, peer_id_text
from protocol.places.rule_breakers import RuleBreakers
from protocol.places.usefulness import Usefulness
from protocol.signaling import Offer

_log = logging.getLogger(__name__)

_STOPPING = "the node is stopping"
_FAULTS_NEAR = "several peers of this network broke the protocol a moment ago"


class LinkPool:
    """Opens, keeps and closes links. `counts` says what became of every attempt and link, and
    `changes` what becomes of the links, as it happens.
    """

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        certificate: Certificate,
        settings: LinkSettings,
        paths: LinkPaths,
        punching: LinkPunching,
        place_call: PlaceCall,
        look_around: LookAround,
        counters: Counters | None = None,
        usefulness: Usefulness | None = None,
    ) -> None:
        self.usefulness = Usefulness() if usefulness is None else usefulness
        self.counts: Counter[str] = Counter()
        self._own_id = identity.peer_id
        self._parts = LinkParts(
            identity,
            environment,
            certificate,
            settings,
            paths,
            punching,
            LinkRestarts(
                RestartParts(
                    identity.peer_id,
                    certificate.fingerprint,
                    paths,
                    punching,
                    place_call,
                    look_around,
                    TaskOwner("restarting"),
                )
            ),
            LayersLoader(settings.data_path),
        )
        self._settings = settings
        self._counters = counters or Counters()
        self._backoff = Backoff(settings, environment.rng)
        self._wants = LinkWants(
            self.get,
            lambda peer_id: self.connect(peer_id, patience_s=0.0),
            *(settings, environment.rng),
        )
        self._book = PlaceBook(
            *(self.usefulness, settings.tenure_s),
            is_wanted=lambda peer_id: peer_id in self._wants,
            is_held=self._wants.holds,
        )
        self._answers, self._calls = answer_rule(), call_rule()
        self._breakers = RuleBreakers()
        self.changes = LinkChanges()
        self._keeper = LinkKeeper(
            *(identity.peer_id, settings, self.counts, self._counters),
            *(self._book, self._breakers, self.changes, self._wants.interrupted),
        )
        self._opener = LinkOpener(self._parts, place_call, self._keeper)
        self._attempts = TaskOwner("links")
        self._outgoing: dict[PeerId, PendingConnect] = {}
        self._incoming: dict[PeerId, PendingAnswer] = {}
        self._closing = False

    def subscribe(self, on_link: OnLink) -> None:
        """Call `on_link` with each new link, of either direction, before a frame is delivered."""
        self._keeper.subscribe(on_link)

    def prepare(self) -> None:
        """Load what the first link needs, so that it does not wait for that."""
        self._parts.layers.begin()

    @property
    def defects(self) -> list[BaseException]:
        """Exceptions that neither a peer nor the network explains."""
        found = [*self._attempts.defects, *self._keeper.defects, *self._wants.tasks.defects]
        parts = self._parts
        helpers = (parts.punching.tasks, parts.paths.relays.tasks, parts.restarts.tasks)
        return [*found, *(error for owner in helpers for error in owner.defects)]

    @property
    def connecting(self) -> tuple[PendingConnect, ...]:
        """Our calls and attempts that are under way."""
        return tuple(self._outgoing.values())

    @property
    def answering(self) -> tuple[PendingAnswer, ...]:
        """Calls of peers whose attempts are under way."""
        return tuple(self._incoming.values())

    def get(self, peer_id: PeerId) -> Link | None:
        """The link to this peer, if one is open."""
        return self._keeper.get(peer_id)

    def doubt_links(self) -> None:
        """This machine has come to another network, or slept: see which links are still there.

        Peers that are wanted and have none are called again.
        """
        self._parts.restarts.doubt()
        self._wants.network_changed()

    def links(self) -> list[Link]:
        """Every open link, the oldest first."""
        return self._keeper.links()

    def want(self, peer_id: PeerId, reason: str, *, calls: bool = True) -> Want:
        """Keep the link to this peer up until the handle is closed, and call the peer while it is
        down, if `calls`. Raises Overloaded where too many are kept; CallFailed, LinkClosed as
        `connect`.
        """
        self._check_open(peer_id)
        return self._wants.want(peer_id, reason, calls=calls)

    def wanted_for(self, peer_id: PeerId) -> tuple[str, ...]:
        """Why the link to a peer is kept, the oldest reason first; empty where it is not."""
        return self._wants.reasons(peer_id)

    async def connect(self, peer_id: PeerId, *, patience_s: float = inf) -> Link:
        """The link to this peer, which may have to be opened first.

        Joins an attempt that is under way, whichever side began it. Raises LinkFailed with what
        was tried, at once when a recent attempt failed (within `patience_s`, for one who needs this
        peer more than others) or all links are in use; what the caller
        raised (CallFailed, NotFound, TimedOut); LinkClosed when the pool is closing.
        """
        while True:
            link = self.get(peer_id)
            if link is not None:
                return link
            under_way = self._to_wait_for(peer_id)
            if under_way is None:
                ours = self._outgoing.get(peer_id) or self._begin_call(peer_id, patience_s)
                return await asyncio.shield(ours.link)
            await asyncio.wait([under_way])

    def _to_wait_for(self, peer_id: PeerId) -> asyncio.Task[None] | None:
        """An attempt with this peer that must end before one of ours can begin or be joined."""
        theirs = self._incoming.get(peer_id)
        if theirs is not None:
            return theirs.task
        ours = self._outgoing.get(peer_id)
        return ours.task if ours is not None and ours.link.done() else None

    async def answer(self, offer: Offer, *, of_page: bool = False) -> Description:
        """Our description for a peer that calls, whose offer has been verified.

        The link is finished in a task of the pool; one that is open restarts its ICE. `of_page`:
        the peer is a web page, of which PAGE_ATTEMPTS are served at one time. Raises
        CallFailed with the reason: no address here, no such link, or closing; and Busy.
        """
        if offer.description.link:
            return await self._parts.restarts.answer(offer)
        call = PendingAnswer(offer, of_page=of_page)
        try:
            self._begin_answer(call)
            return await call.answer
        except asyncio.CancelledError:
            if call.task is not None:
                call.task.cancel()
            raise
        except (LinkFailed, LinkClosed) as error:
            raise CallFailed(f"no link now: {error}") from error

    async def close(self) -> None:
        """Close every link and end every attempt; returns once nothing is left of them."""
        self._closing = True
        await self._wants.close()
        await self._attempts.close()
        await self._keeper.close(_STOPPING)
        await self._parts.restarts.close()
        await self._parts.punching.close()
        await self._parts.paths.relays.close()

    # Calls of ours --------------------------------------------------------------------------

    def _begin_call(self, peer_id: PeerId, patience_s: float) -> PendingConnect:
        self._check_open(peer_id)
        self._check_honest(peer_id)
        self._backoff.check(peer_id, asyncio.get_running_loop().time(), patience_s)
        self._make_call_room(peer_id)
        call = PendingConnect(peer_id, lambda: peer_id in self._incoming)
        self._outgoing[peer_id] = call
        name = f"call {peer_id_text(peer_id)}"
        call.task = self._attempts.start(self._call(call), name=name)
        call.task.add_done_callback(lambda task: self._call_ended(call, task))
        return call

    async def _call(self, call: PendingConnect) -> None:
        try:
            link = await self._opener.outgoing(call)
            self._make_room_for(link)
            self._opened(link)
        except ModswarmError as error:
            await self._await_their_call(call, crossed=isinstance(error, CallCrossed))
            if not call.link.done():
                self._count_failure(error, call.peer_id)
                now = asyncio.get_running_loop().time()
                self._backoff.failed(call.peer_id, now, error)
                call.settle(error)

    def _make_call_room(self, peer_id: PeerId) -> None:
        """Of our calls too many that come to nothing keep none out; raises LinkFailed."""
        asking = self._book.link_wanted(peer_id, ours=True)
        calls = [self._book.call(call) for call in self._outgoing.values()]
        now = asyncio.get_running_loop().time()
        try:
            self._keeper.check_room(asking)
        except Busy as error:
            raise self._links_full() from error
        try:
            useless = self._calls.giving_way(calls, asking, now)
        except Busy as error:
            raise LinkFailed("this node has too many calls under way") from error
        if useless is not None:
            ours = self._outgoing.pop(useless.holder)
            ours.settle(LinkFailed("it took too long, and other calls were to be made"))
            if ours.task is not None:
                ours.task.cancel()

    def _links_full(self) -> LinkFailed:
        text = f"all {self._settings.max_links} links are in use"
        return LinkFailed(text, cause=Cause.OWN_LINKS_FULL)

    async def _await_their_call(self, call: PendingConnect, *, crossed: bool) -> None:
        """When our call fails but theirs is under way, or on its way, its link will do for us."""
        theirs = self._incoming.get(call.peer_id)
        awaited: list[asyncio.Future[Any]] = [call.link]
        if theirs is not None and theirs.task is not None:
            awaited.append(theirs.task)
        elif not crossed:
            return
        limit_s = self._settings.connect_timeout_s
        await asyncio.wait(awaited, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)

    def _call_ended(self, call: PendingConnect, task: asyncio.Task[None]) -> None:
        if self._outgoing.get(call.peer_id) is call:
            del self._outgoing[call.peer_id]
        if task.cancelled():
            call.settle(LinkClosed(_STOPPING))
        call.settle(LinkFailed("no link, for a reason that is in the log"))

    # Calls of others ------------------------------------------------------------------------

    def _begin_answer(self, call: PendingAnswer) -> None:
        self._check_open(call.peer_id)
        self._check_honest(call.peer_id)
        self._give_up_answering(call.peer_id)
        if call.of_page:
            self._check_page_room()
        answering = [self._book.answer(earlier) for earlier in self._incoming.values()]
        now = asyncio.get_running_loop().time()
        self._keeper.check_room(self._book.link_wanted(call.peer_id, ours=False))
        wanted = self._book.answer_wanted(call.peer_id)
        useless = self._answers.giving_way(answering, wanted, now)
        if useless is not None:
            self._give_up_answering(useless.holder)
        self._book.answering(call.peer_id)
        name = f"answer {peer_id_text(call.peer_id)}"
        call.task = self._attempts.start(self._answer(call), name=name)
        self._incoming[call.peer_id] = call
        call.task.add_done_callback(lambda _: self._answer_ended(call))

    def _check_page_room(self) -> None:
        """Pages take no place from calls of peers, however many of them offer; raises Busy."""
        began_at = [call.began_at for call in self._incoming.values() if call.of_page]
        if len(began_at) >= limits.PAGE_ATTEMPTS:
            waited_s = asyncio.get_running_loop().time() - min(began_at)
            raise Busy(max(self._settings.connect_timeout_s - waited_s, 0.0))

    async def _answer(self, call: PendingAnswer) -> None:
        try:
            alone = call.peer_id not in self._outgoing
            link = await self._opener.incoming(call, alone=alone)
            self._make_room_for(link)
        except ModswarmError as error:
            self._count_failure(error, call.peer_id)
            call.refuse(error)
            self._wants.heard_of(call.peer_id)
        else:
            self._opened(link)

    def _make_room_for(self, link: Link) -> None:
        """Only a link closes another one, and no call that has shown nothing; raises LinkFailed."""
        ours = link.direction == "outgoing"
        place = self._book.link_wanted(link.peer_id, ours=ours, network=link.network)
        now = asyncio.get_running_loop().time()
        is_newcomer = not (place.ours or place.worth)
        if is_newcomer and self._breakers.holds_many_of(place.network, now):
            self._keeper.dispose(link.close(_FAULTS_NEAR), peer_id_text(link.peer_id))
            raise LinkFailed(_FAULTS_NEAR, cause=Cause.PROTOCOL_BROKEN)
        try:
            self._keeper.make_room(place)
        except Busy as error:
            self._keeper.dispose(link.close(str(error)), peer_id_text(link.peer_id))
            raise self._links_full() from error

    def _give_up_answering(self, peer_id: PeerId) -> None:
        """End a call: its slot is needed, or its peer, which has one call at a time, calls anew."""
        earlier = self._incoming.pop(peer_id, None)
        if earlier is not None and earlier.task is not None:
            earlier.task.cancel()

    def _answer_ended(self, call: PendingAnswer) -> None:
        if self._incoming.get(call.peer_id) is call:
            del self._incoming[call.peer_id]
        call.refuse(LinkClosed("the call was given up"))

    # Both -----------------------------------------------------------------------------------

    def _opened(self, link: Link) -> None:
        self.counts[f"opened_{link.direction}"] += 1
        self._backoff.succeeded(link.peer_id)
        kept = self._keeper.take(link)
        ours = self._outgoing.get(link.peer_id)
        if ours is None:
            return
        ours.settle(kept)
        # Once our call was answered the peer may already hold the link that comes of it: then
        # the attempt goes on, and the tie-break decides.
        if not ours.answered and ours.task is not None:
            ours.task.cancel()

    def _check_honest(self, peer_id: PeerId) -> None:
        """Raise LinkFailed where the peer broke the protocol on a link shortly before."""
        if self._breakers.holds(peer_id, asyncio.get_running_loop().time()):
            raise LinkFailed(cause=Cause.PROTOCOL_BROKEN)

    def _check_open(self, peer_id: PeerId) -> None:
        if self._closing:
            raise LinkClosed(_STOPPING)
        if peer_id == self._own_id:
            raise CallFailed("a node cannot link to itself")

    def _count_failure(self, error: ModswarmError, peer_id: PeerId) -> None:
        stage = error.stage if isinstance(error, LinkAttemptFailed) else error.name
        self.counts[f"failed_{stage}"] += 1
        if isinstance(error.__cause__, RemoteError):
            self._counters.refuse(error.__cause__)
        _log.info("no link with %s: %s", peer_id_text(peer_id), error)
