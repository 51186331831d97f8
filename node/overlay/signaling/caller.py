"""Calls of this node to other peers, over the overlay."""

import asyncio
from collections.abc import Sequence
from functools import partial

from node.environment import Environment
from node.overlay.server import OverlayServer
from node.overlay.signaling.callee import Callee
from node.overlay.signaling.known_ways import KnownWay, KnownWays
from node.overlay.signaling.outgoing_call import OutgoingCall
from protocol.causes.cause import Cause
from protocol.errors import CallCrossed, CalleeBusy, CallFailed, ModswarmError, NoSuchLink
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.signaling import AnswerStatus, CallResult, Describe, Offer, make_offer

_CAUSES = {
    AnswerStatus.REFUSED: Cause.REFUSED,
    AnswerStatus.BLOCKED: Cause.BLOCKED,
    AnswerStatus.RATE_LIMITED: Cause.TOO_MANY_CALLS,
}

_SIGNED = {AnswerStatus.REFUSED: "the peer's node refused the call"}
"""What is certain where the peer itself signed it, and no node on the way may have said it."""


class Caller:
    """Calls peers. `callee` is told of each offer, so that it recognises calls that cross it."""

    def __init__(self, server: OverlayServer, environment: Environment, callee: Callee) -> None:
        self._server = server
        self._environment = environment
        self._callee = callee
        self.ways = KnownWays()
        server.leaving.watch(self.ways.left)
        self._loop = asyncio.get_running_loop()

    async def call(self, peer_id: PeerId, describe: Describe) -> CallResult:
        """Offer a link to a peer, described when the offer is made, which is only once.

        Raises NotFound, Unreachable, ClocksDiffer, TimedOut, CallCrossed, NoSuchLink, CallFailed.
        """
        known = self.ways.way_to(peer_id, self._loop.time()) or self._way_to_contact(peer_id)
        call = OutgoingCall(self._server, peer_id, partial(self._offer, peer_id, describe), known)
        try:
            answer, relay = await call.run()
        except CallCrossed:
            raise
        except ModswarmError:
            self.ways.forget(peer_id)
            raise
        finally:
            self._callee.own_offer_ended(peer_id, call.offer)
        relays = (relay, *call.registrars, *(known.relays if known else ()))
        self.ways.note(peer_id, answer.callee_key, relays, self._loop.time())
        if answer.status is AnswerStatus.CROSSED:
            raise CallCrossed("both sides called at once; the other's call goes on")
        if answer.status is AnswerStatus.NO_LINK:
            raise NoSuchLink
        if answer.status is AnswerStatus.BUSY:
            raise CalleeBusy(answer.retry_s)
        if answer.description is None:
            cause = _CAUSES[answer.status]
            raise CallFailed(_SIGNED.get(answer.status, ""), cause=cause)
        assert call.offer is not None  # an answer is verified against its offer
        via = () if relay.peer_id == peer_id else (relay.peer_id,)
        return CallResult(
            call.offer.offer_id, answer.callee_key, answer.description, via, call.hops
        )

    def _way_to_contact(self, peer_id: PeerId) -> KnownWay | None:
        """A peer that is in the tables answers calls itself: it need not be looked up first."""
        entries = [table.get(peer_id) for table in self._server.tables]
        contacts = tuple(entry.contact for entry in entries if entry is not None)
        return KnownWay(contacts[0].public_key, contacts) if contacts else None

    def _offer(
        self, peer_id: PeerId, describe: Describe, key: bytes, registrars: Sequence[Contact]
    ) -> tuple[Offer, bytes]:
        """The offer and its sealed form for the peer's public key."""
        offer, sealed = make_offer(
            self._server.identity,
            key,
            peer_id,
            describe(registrars),
            now=self._environment.wall(),
            rng=self._environment.rng,
        )
        self._callee.own_offer_sent(peer_id, offer)
        return offer, sealed
