"""When the ICE of one open link restarts (RFC 8445, 9), and how: a call that names the link."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.pool.pending import PlaceCall
from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from node.links.punching.run import PunchRun
from node.tasks import TaskOwner
from protocol import limits
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.description import Description, DtlsRole
from protocol.errors import Busy, CallCrossed, ModswarmError, NoSuchLink, NotAuthentic
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.contacts import Contact
from protocol.punching.pairs import Way, expected_way
from protocol.signaling import Offer, own_offer_wins

_log = logging.getLogger(__name__)

LookAround = Callable[[], Coroutine[Any, Any, None]]
"""Asks contacts where they see this node; returns once enough have answered, or soon."""

_MINUTE_S: Final = 60.0
_PAUSE_S: Final = 1.0
"""Before another restart, when one has failed; then twice as long each time."""

_MOVED_ROUND_TRIPS: Final = 1.5
_SILENT_ROUND_TRIPS: Final = 3.0
_SILENT_S: Final = 0.2
"""How long an answer to the consent check is waited for: if contacts see this node elsewhere than
the peer was told, and otherwise, where a loss may be all there is to it."""

_DIRECT_AGAIN_S: Final = 4.0
"""How long a link is relayed before a direct path is looked for anew, then twice as long each time:
the first attempt goes on for 3 s beside the relay."""

_TRIED_AGAIN: Final = frozenset({Way.OPEN, Way.PUNCH, Way.PREDICTION})
"""Where that costs little. A search of ports costs routers and other people's turns too much to be
made again and again, and `Way.RELAY` leads to no direct path."""

_TRIES_TO_LEAVE: Final = 2
_CARRIES_NOTHING: Final = "the path carries no data, though checks pass"

_ROUND_TRIP_S: Final = 0.2
"""Of a path that has none measured."""


@dataclass(frozen=True, slots=True)
class RestartParts:
    """What the restarts of all links of a node share."""

    own_id: PeerId
    fingerprint: bytes
    paths: LinkPaths
    punching: LinkPunching
    place_call: PlaceCall
    look_around: LookAround
    tasks: TaskOwner


@dataclass(frozen=True, slots=True)
class RestartableLink:
    """A link by the id of the offer that made it, with the descriptions of both sides."""

    link_id: bytes
    peer_id: PeerId
    own: Description
    peer: Description
    ice: IcePath


class LinkRestart:
    """The restarts of one link, whichever side asks for them; at most one is under way."""

    def __init__(self, parts: RestartParts, link: RestartableLink) -> None:
        self._parts = parts
        self._link = link
        self._ice = link.ice
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None
        self._offer: Description | None = None
        self._offered_at = 0.0
        # Of what both sides agreed on last.
        self._own, self._peer = link.own.candidates, link.peer.candidates
        self._restarted_at: deque[float] = deque(maxlen=limits.LINK_RESTARTS)
        self._slow_left = 0
        self._seeking: asyncio.Task[None] | None = None
        self._ice.watch(self)

    def doubted(self, since: float) -> None:
        """The pair in use seems to be gone since then: find out, and restart ICE if it is."""
        if self._task is None or self._task.done():
            self._task = self._mending = self._start(self._mend(since))

    def blocked(self) -> None:
        """By the pair in use checks pass, and data do not: go another way, or end the path."""
        if self._task is None or self._task.done():
            self._task = self._start(self._leave())

    def slowed(self) -> None:
        """A relay carries less than the least rate: look for another, a few times in all.

        Where others are as slow, the line is what is slow.
        """
        is_doubted = self._task is self._mending and self._offer is None
        is_busy = self._task is not None and not self._task.done() and not is_doubted
        if is_busy or self._slow_left >= limits.SLOW_RELAYS_LEFT:
            return
        if self._task is not None:
            self._task.cancel()  # packets of a slow relay are late, and so doubted again and again
        self._slow_left += 1
        self._task = self._start(self._leave_slow())

    def relayed(self) -> None:
        """The link goes by a relay now: its caller looks for a direct path from time to time.

        A predicted port may have been missed, or a datagram been lost.
        """
        way = expected_way(self._link.own.nat.kind, self._link.peer.nat.kind)
        is_sought = self._seeking is not None and not self._seeking.done()
        if way in _TRIED_AGAIN and self._ice.agent.controlling and not is_sought:
            self._seeking = self._start(self._seek_direct())

    def end(self) -> None:
        """The link has ended."""
        for task in (self._task, self._seeking):
            if task is not None:
                task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._parts.tasks.start(work, name=peer_id_text(self._link.peer_id))

    def _take_turn(self) -> bool:
        """Whether one more restart is within the bound; counts it if so."""
        if not self._has_turn():
            return False
        self._restarted_at.append(self._loop.time())
        return True

    def _has_turn(self) -> bool:
        made_at = self._restarted_at
        is_full = len(made_at) == limits.LINK_RESTARTS
        return not is_full or self._loop.time() >= made_at[0] + _MINUTE_S

    # Ours -----------------------------------------------------------------------------------

    async def _mend(self, doubted_at: float) -> None:
        """Until the peer answers again, or consent has run out and ended the path."""
        await self._wait_for_answer(doubted_at)
        pause_s = _PAUSE_S
        while self._ice.agent.answered_at <= doubted_at and not self._ice.ended:
            if self._take_turn():
                await self._restart()
            if self._ice.agent.answered_at <= doubted_at:
                await asyncio.sleep(pause_s)
                pause_s *= 2

    async def _leave(self) -> None:
        """Go by other relays; where that is no help, end what would stand in the way of a call.

        A direct path may drop what is large alone: its checks go on, and so does what is small.
        """
        for _ in range(_TRIES_TO_LEAVE):
            left_at, base = self._loop.time(), self._ice.base
            if base is None or not self._parts.paths.relays.known or not self._take_turn():
                break
            self._ice.leave_blocked()
            await self._restart(without=base)
            answered_at = self._ice.agent.answered_at
            if self._ice.ended or (self._ice.base != base and answered_at > left_at):
                return
        self._ice.end(_CARRIES_NOTHING, Cause.PATH_LOST)

    async def _leave_slow(self) -> None:
        """Restart ICE without the relay in use, which carries the link until another does."""
        base = self._ice.doubt_relay()
        if base is None or not self._take_turn():
            return
        _log.info("a relay of %s is slow: looking for another", peer_id_text(self._link.peer_id))
        await self._restart(without=base)
        self._ice.keep_one_relay()

    async def _seek_direct(self) -> None:
        """Restart ICE with growing pauses; the relay carries the link until another pair does."""
        pause_s = _DIRECT_AGAIN_S
        while True:
            await asyncio.sleep(pause_s)
            if not self._ice.is_relayed or self._ice.ended:
                return
            is_busy = self._task is not None and not self._task.done()
            if not is_busy and self._may_be_direct and self._take_turn():
                self._task = self._start(self._restart())
                await asyncio.wait([self._task])
                self._ice.keep_one_relay()
            pause_s = min(2 * pause_s, limits.DIRECT_AGAIN_MAX_S)

    @property
    def _may_be_direct(self) -> bool:
        """Whether both sides name an address of their own, and data passed where checks did."""
        paths = self._parts.paths
        return bool(self._peer and paths.candidates()) and not paths.relays.avoid_direct(
            self._link.peer_id
        )

    async def _wait_for_answer(self, doubted_at: float) -> None:
        """Give the peer the time that its answer takes, and learn where contacts see us by now."""
        round_trip_s = self._ice.round_trip_s or _ROUND_TRIP_S
        limit_s = _SILENT_ROUND_TRIPS * round_trip_s + _SILENT_S
        looking = self._start(self._parts.look_around())
        await asyncio.wait([looking], timeout=limit_s)
        looking.cancel()
        if self._parts.paths.named_candidates() != self._own:
            limit_s = _MOVED_ROUND_TRIPS * round_trip_s
        await asyncio.sleep(max(0.0, doubted_at + limit_s - self._loop.time()))

    def _limit_s(self) -> float:
        line = self._parts.paths.line
        return line.limit_s(limits.LINK_RESTART_S, limits.LINK_RESTART_ROUND_TRIPS)

    async def _restart(self, without: Address | None = None) -> None:
        """Call the peer with a description that names the link, and follow its answer.

        The base `without` is to be left.
        """
        try:
            async with asyncio.timeout(self._limit_s()):
                await self._call(without)
        except NoSuchLink as error:
            self._ice.end(str(error))
        except CallCrossed:
            _log.debug("the peer restarts this link at the same time")
        except (ModswarmError, TimeoutError) as error:
            self._note_failure(error)
        finally:
            self._offer = None

    async def _call(self, without: Address | None) -> None:
        parts, peer_id = self._parts, self._link.peer_id
        await parts.punching.sample()
        asked_at = self._loop.time()
        result = await parts.place_call(peer_id, partial(self._make_offer, without))
        offer, answer = self._offer, result.description
        assert offer is not None  # an answer is one to an offer
        if not self._is_ours(answer):
            raise NotAuthentic("an answer that is about another link")
        call = PunchCall(offer, answer, parts.own_id, peer_id, result.offer_id, True, 0.0)
        await self._connect(call, offer, self._loop.time() - asked_at)

    def _make_offer(self, without: Address | None, registrars: Sequence[Contact]) -> Description:
        relays = self._parts.paths.relays.to_name(self._link.peer_id, registrars)
        self._offer = replace(self._describe(without), relays=relays)
        self._offered_at = self._loop.time()
        self._ice.relays.offered(self._offer)
        return self._offer

    # The peer's -----------------------------------------------------------------------------

    async def answer(self, offer: Offer) -> Description:
        """Our description for a peer that restarts the link; the rest is done in a task.

        Raises NoSuchLink, CallCrossed, Busy.
        """
        parts, peer_id = self._parts, self._link.peer_id
        if self._ice.ended or not self._is_ours(offer.description):
            raise NoSuchLink
        self._check_turn(offer.description)
        await parts.punching.sample()
        self._check_turn(offer.description)  # others may have come meanwhile
        self._take_turn()
        if self._task is not None:
            self._task.cancel()
        theirs, takes_s = offer.description, offer.answer_takes_s
        in_use = self._ice.found_path().relay
        relays = parts.paths.relays.to_answer(peer_id, theirs.relays, in_use)
        own = replace(self._describe(), relays=relays)
        call = PunchCall(own, theirs, parts.own_id, peer_id, offer.offer_id, False, takes_s)
        self._task = self._start(self._follow(call))
        return own

    def _check_turn(self, theirs: Description) -> None:
        """Raises CallCrossed, Busy: what is refused costs no sample of our router's ports."""
        if self._offer is not None and self._wins(self._offer, theirs):
            raise CallCrossed("our own restart goes on")
        if not self._has_turn():
            raise Busy(_MINUTE_S / limits.LINK_RESTARTS)

    def _wins(self, own: Description, theirs: Description) -> bool:
        """Whether our offer goes on, of two that cross: as both sides see it, if both arrive.

        A side that has moved may get none, because its registrars do not reach it yet, so its own
        wins. Ours has not arrived either where even its repetition has had no answer.
        """
        if self._loop.time() >= self._offered_at + 2 * limits.CALL_REPEAT_S:
            return False
        has_moved, have_moved = own.candidates != self._own, theirs.candidates != self._peer
        if has_moved != have_moved:
            return has_moved
        return own_offer_wins(self._parts.own_id, self._link.peer_id)

    async def _follow(self, call: PunchCall) -> None:
        try:
            async with asyncio.timeout(self._limit_s()):
                await self._connect(call, call.peer, 2 * call.answer_takes_s or None)
        except (ModswarmError, TimeoutError) as error:
            self._note_failure(error)

    # Both -----------------------------------------------------------------------------------

    def _describe(self, without: Address | None = None) -> Description:
        """Begin ICE anew, and say what the peer needs for it."""
        self._ice.restart(without)
        described = self._ice.describe(self._parts.fingerprint, DtlsRole.ACTPASS)
        described = replace(described, link=self._link.link_id)
        if self._parts.paths.relayed_only:
            return described
        return self._parts.punching.described(described)

    def _is_ours(self, theirs: Description) -> bool:
        """Whether a description is about this link, and of the certificate that it has."""
        wanted = self._link.link_id, self._link.peer.fingerprint
        return (theirs.link, theirs.fingerprint) == wanted

    async def _connect(
        self, call: PunchCall, offer: Description, round_trip_s: float | None
    ) -> None:
        """Find a pair for the new generation; raises LinkAttemptFailed when the path ends."""
        self._own, self._peer = call.own.candidates, call.peer.candidates
        punch = None
        if not self._parts.paths.relayed_only:
            punch = PunchRun(self._parts.punching, call, self._ice.agent, self._ice.flush)
        self._ice.relays.begin(offer, call.own, call.peer)
        await self._ice.connect(call.peer, punch, round_trip_s)

    def _note_failure(self, error: Exception) -> None:
        _log.info("no restart with %s: %s", peer_id_text(self._link.peer_id), error)
