"""When the ICE of one open link restarts (RFC 8445, 9), and how: a call that names the link."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from node.links.punching.call import PunchCall
from node.links.punching.run import PunchRun
from node.links.restarting.frame_calls import FrameCalls
from node.links.restarting.mending import ROUND_TRIP_S, Mending
from node.links.restarting.parts import RestartableLink, RestartParts
from node.links.restarting.seeking import AGAIN_S, Seeking
from node.links.restarting.turns import TURN_AFTER_S, RestartTurns
from protocol import limits
from protocol.addresses import Address
from protocol.causes.cause import Cause
from protocol.description import Description, DtlsRole
from protocol.errors import Busy, CallCrossed, ModswarmError, NoSuchLink, NotAuthentic
from protocol.identity import peer_id_text
from protocol.overlay.contacts import Contact
from protocol.punching.pairs import Way, expected_way
from protocol.reachability.nat_report import UNKNOWN_NAT
from protocol.restarting.frames import restart_id
from protocol.signaling import own_offer_wins

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_TRIED_AGAIN: Final = frozenset({Way.OPEN, Way.PUNCH, Way.PREDICTION})
"""Where that costs little. A search of ports costs routers and other people's turns too much to be
made again and again, and `Way.RELAY` leads to no direct path."""

_TRIES_TO_LEAVE: Final = 2
_CARRIES_NOTHING: Final = "the path carries no data, though checks pass"


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
        self._is_answered = False
        self._beside: Contact | None = None
        # What both sides agreed on last.
        self._own, self._peer = link.own, link.peer
        self._answers: OrderedDict[bytes, Description] = OrderedDict()
        self._turns = RestartTurns()
        self._frames = FrameCalls(link.link, self._answer_frame, self._turns.has_turn, parts.tasks)
        self._began_at = self._loop.time()
        self._mend = Mending(
            parts,
            link.peer_id,
            self._ice,
            told=lambda: self._own.candidates,
            restart=self._restart_in_turn,
        )
        self._seeking = Seeking(
            parts, self._lacks_direct, self._attempt_direct, self._goes_on_seeking
        )
        self._seeking_spare = Seeking(
            parts, self._lacks_spare, self._attempt_spare, self._lacks_spare
        )
        self._ice.watch(self)

    def doubted(self, since: float) -> None:
        """The pair in use seems to be gone since then: find out, and restart ICE if it is."""
        if self._task is None or self._task.done():
            self._task = self._mending = self._start(self._mend.run(since))

    def blocked(self) -> None:
        """By the pair in use checks pass, and data do not: go another way, or end the path."""
        if self._task is None or self._task.done():
            self._task = self._start(self._leave())

    def slowed(self) -> bool:
        """A relay carries less than the least rate: look for another; False while busy."""
        is_doubted = self._task is self._mending and self._offer is None
        if self._is_busy and not is_doubted:
            return False
        if self._task is not None:
            self._task.cancel()  # packets of a slow relay are late, and so doubted again and again
        self._task = self._start(self._leave_slow())
        return True

    def relayed(self) -> None:
        """The link goes by a relay now: its caller looks for a direct path, at once and then from
        time to time.

        A predicted port may have been missed. While the link opens or restarts one is under way.
        """
        if self._goes_on_seeking() and not self._seeking.is_under_way:
            is_opening = self._loop.time() < self._began_at + AGAIN_S
            self._seek(AGAIN_S if is_opening or self._is_busy else 0.0)

    def moved(self) -> None:
        """This machine has come to another network, in which a relayed link may become direct.

        So either side looks for a path, once, whatever the network before allowed.
        """
        if self._lacks_direct():
            self._seek(0.0, moved=True)

    def alone(self) -> None:
        """Without its relay the link would be gone: its caller looks for another one."""
        if self._lacks_spare() and not self._seeking_spare.is_under_way:
            name = peer_id_text(self._link.peer_id)
            self._seeking_spare.begin(self._parts.tasks, name, self._ice.spare_after_s)

    def end(self) -> None:
        """The link has ended."""
        self._frames.ask_no_more()
        self._seeking.end()
        self._seeking_spare.end()
        if self._task is not None:
            self._task.cancel()

    def _start(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        return self._parts.tasks.start(work, name=peer_id_text(self._link.peer_id))

    @property
    def _is_busy(self) -> bool:
        return self._task is not None and not self._task.done()

    # Ours -----------------------------------------------------------------------------------

    async def _restart_in_turn(self) -> None:
        if self._turns.take():
            await self._restart()

    async def _leave(self) -> None:
        """Go by other relays; where that is no help, end what would stand in the way of a call.

        A direct path may drop what is large alone: its checks go on, and so does what is small.
        """
        for _ in range(_TRIES_TO_LEAVE):
            left_at, base = self._loop.time(), self._ice.base
            if base is None or not self._parts.paths.relays.known or not self._turns.take():
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
        if base is None or not self._turns.take():
            return
        _log.info("a relay of %s is slow: looking for another", peer_id_text(self._link.peer_id))
        await self._restart(without=base, by_frames=True)
        self._ice.end_other_relays()

    def _seek(self, pause_s: float, *, moved: bool = False) -> None:
        name = peer_id_text(self._link.peer_id)
        self._seeking.begin(self._parts.tasks, name, pause_s, moved=moved)

    def _lacks_direct(self) -> bool:
        return self._ice.is_relayed and not self._ice.ended

    def _lacks_spare(self) -> bool:
        is_ours = self._ice.agent.controlling and self._parts.paths.relays.known > 1
        return is_ours and self._ice.lacks_spare

    async def _attempt_direct(self) -> None:
        await self._attempt(lambda: self._lacks_direct() and self._may_be_direct, None)

    async def _attempt_spare(self) -> None:
        await self._attempt(self._lacks_spare, self._ice.relay)

    async def _attempt(self, lacks: Callable[[], bool], beside: Contact | None) -> None:
        """Restart ICE beside the relay, unless turns become few; one under way looks as well."""
        turns = self._turns.left
        if self._task is not None and self._is_busy:
            await asyncio.wait([self._task])
        if self._turns.left < turns or self._turns.left <= limits.LINK_RESTARTS_KEPT:
            return
        if not self._is_busy and lacks() and self._turns.take():
            self._task = self._start(self._restart(by_frames=True, beside=beside))
            await asyncio.wait([self._task])
            self._ice.end_other_relays()

    def _goes_on_seeking(self) -> bool:
        """Whether this side looks for a direct path again and again: the caller, by cheap ways."""
        way = expected_way(self._own.nat.kind, self._peer.nat.kind)
        return way in _TRIED_AGAIN and self._ice.agent.controlling

    @property
    def _may_be_direct(self) -> bool:
        """Whether neither side hides its address, and data passed where checks did."""
        paths = self._parts.paths
        return (
            not (_hides(self._peer) and _hides(self._link.peer))
            and bool(paths.candidates())
            and not paths.relays.avoid_direct(self._link.peer_id)
        )

    def _limit_s(self) -> float:
        line = self._parts.paths.line
        return line.limit_s(limits.LINK_RESTART_S, limits.LINK_RESTART_ROUND_TRIPS)

    async def _restart(
        self,
        without: Address | None = None,
        *,
        by_frames: bool = False,
        beside: Contact | None = None,
    ) -> None:
        """Bring the peer a description that names the link, and follow its answer.

        The base `without` is to be left. `by_frames`: the path in use carries what is sent.
        `beside`: a relay is looked for beside this one, and no path by a search of ports.
        """
        self._beside = beside
        try:
            async with asyncio.timeout(self._limit_s()):
                await self._call(without, by_frames and self._link.peer.restarts_by_frames)
        except NoSuchLink as error:
            self._ice.end(str(error))
        except CallCrossed:
            _log.debug("the peer restarts this link at the same time")
        except (ModswarmError, TimeoutError) as error:
            self._note_failure(error)
        finally:
            self._offer = None

    async def _call(self, without: Address | None, by_frames: bool) -> None:
        parts, peer_id = self._parts, self._link.peer_id
        await parts.punching.sample()
        asked_at = self._loop.time()
        if by_frames:
            answer, offer_id = await self._ask_by_frames(without), b""
        else:
            result = await parts.place_call(peer_id, partial(self._make_offer, without))
            answer, offer_id = result.description, result.offer_id
        offer = self._offer
        assert offer is not None  # an answer is one to an offer
        if not self._is_ours(answer):
            raise NotAuthentic("an answer that is about another link")
        self._is_answered = True
        offer_id = self._id_of(offer, offer_id)
        call = PunchCall(offer, answer, parts.own_id, peer_id, offer_id, True, 0.0)
        await self._connect(call, offer, self._loop.time() - asked_at)

    async def _ask_by_frames(self, without: Address | None) -> Description:
        offer = self._make_offer(without, (*self._own.relays, *self._peer.relays))
        call = partial(self._parts.place_call, self._link.peer_id, lambda _: offer)
        return await self._frames.ask_or_call(offer, self._ice.round_trip_s or ROUND_TRIP_S, call)

    def _id_of(self, offer: Description, signed_id: bytes) -> bytes:
        """What names a restart to both sides: one offer may come by frames and by registrars."""
        return restart_id(offer) if self._link.peer.restarts_by_frames else signed_id

    def _make_offer(self, without: Address | None, registrars: Sequence[Contact]) -> Description:
        beside = self._beside
        relays = self._parts.paths.relays.to_name(self._link.peer_id, registrars, beside)
        self._offer = replace(self._describe(without), relays=relays)
        if beside is not None:
            self._offer = replace(self._offer, witnesses=())
        self._offered_at, self._is_answered = self._loop.time(), False
        self._ice.relays.offered(self._offer)
        return self._offer

    # The peer's -----------------------------------------------------------------------------

    async def answer(
        self, theirs: Description, offer_id: bytes, answer_takes_s: float
    ) -> Description:
        """Our description for a peer that restarts the link; the rest is done in a task.

        An offer that comes once more, by another way, has the same answer. Raises NoSuchLink,
        CallCrossed, Busy.
        """
        parts, peer_id = self._parts, self._link.peer_id
        if self._ice.ended or not self._is_ours(theirs):
            raise NoSuchLink
        offer_id, key = self._id_of(theirs, offer_id), restart_id(theirs)
        if key not in self._answers:
            self._check_turn(theirs)
            await parts.punching.sample()
        if key in self._answers:
            return self._answers[key]
        self._check_turn(theirs)  # others may have come meanwhile
        self._turns.take()
        if self._task is not None:
            self._task.cancel()
        relays = parts.paths.relays.to_answer(peer_id, theirs.relays, self._ice.relay)
        own = replace(self._describe(), relays=relays)
        self._answers[key] = own
        if len(self._answers) > limits.LINK_RESTARTS:
            self._answers.popitem(last=False)
        call = PunchCall(own, theirs, parts.own_id, peer_id, offer_id, False, answer_takes_s)
        self._task = self._start(self._follow(call))
        return own

    async def _answer_frame(self, theirs: Description) -> Description:
        takes_s = (self._link.link.round_trip_s or 0.0) / 2
        return await self.answer(theirs, restart_id(theirs), takes_s)

    def _check_turn(self, theirs: Description) -> None:
        """Raises CallCrossed, Busy: what is refused costs no sample of our router's ports.

        A peer that has answered our offer has given up its own, which may arrive after that.
        """
        if self._offer is not None and (self._is_answered or self._wins(self._offer, theirs)):
            raise CallCrossed("our own restart goes on")
        if not self._turns.has_turn():
            raise Busy(TURN_AFTER_S)

    def _wins(self, own: Description, theirs: Description) -> bool:
        """Whether our offer goes on, of two that cross: as both sides see it, if both arrive.

        A side that has moved may get none, because its registrars do not reach it yet, so its own
        wins. Ours has not arrived either where even its repetition has had no answer.
        """
        if self._loop.time() >= self._offered_at + 2 * limits.CALL_REPEAT_S:
            return False
        has_moved = own.candidates != self._own.candidates
        have_moved = theirs.candidates != self._peer.candidates
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
        return self._parts.punching.described(described, avoids_direct=self._ice.avoids_direct)

    def _is_ours(self, theirs: Description) -> bool:
        """Whether a description is about this link, and of the certificate that it has."""
        wanted = self._link.link_id, self._link.peer.fingerprint
        return (theirs.link, theirs.fingerprint) == wanted

    async def _connect(
        self, call: PunchCall, offer: Description, round_trip_s: float | None
    ) -> None:
        """Find a pair for the new generation; raises LinkAttemptFailed when the path ends."""
        has_changed = call.peer.candidates != self._peer.candidates
        self._own, self._peer = call.own, call.peer
        if has_changed and self._ice.is_relayed and self._goes_on_seeking() and not call.outgoing:
            self._seek(AGAIN_S)
        if self._link.peer.candidates and not call.peer.candidates:
            self._parts.paths.relays.doubt_direct(self._link.peer_id)  # as the peer does
        punch = None
        avoids_direct = self._ice.avoids_direct or not call.peer.candidates
        if not (self._parts.paths.relayed_only or avoids_direct):
            punch = PunchRun(self._parts.punching, call, self._ice.agent, self._ice.flush)
        self._ice.relays.begin(offer, call.own, call.peer)
        await self._ice.connect(call.peer, punch, round_trip_s)

    def _note_failure(self, error: Exception) -> None:
        why = str(error) or "not within the time limit"  # a TimeoutError says nothing
        _log.info("no restart with %s: %s", peer_id_text(self._link.peer_id), why)


def _hides(described: Description) -> bool:
    """Whether its sender hides its address: one that avoids a direct path tells of its router."""
    return not described.candidates and described.nat == UNKNOWN_NAT
