"""Calls to this node: each verified offer is answered once, by what makes links of calls."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from node.environment import Environment
from protocol import limits
from protocol.description import Description
from protocol.errors import Busy, CallCrossed, ModswarmError, NoSuchLink, Overloaded
from protocol.identity import Identity, PeerId, peer_id_of, peer_id_text
from protocol.places.offers import OfferMemory
from protocol.signaling import (
    AnswerStatus,
    Offer,
    make_answer,
    own_offer_wins,
    read_offer,
)

_log = logging.getLogger(__name__)

AcceptCall = Callable[[Offer], Awaitable[Description]]
"""Gives the description that accepts a verified offer; raises CallFailed.

CallCrossed and NoSuchLink are told by name, Overloaded as BUSY with a time, all else as REFUSED."""

_STATUS: dict[type[ModswarmError], AnswerStatus] = {
    CallCrossed: AnswerStatus.CROSSED,
    NoSuchLink: AnswerStatus.NO_LINK,
}


class Callee:
    """Answers sealed offers, and refuses every call until `accept_calls`.

    It also knows the offers of this node that are under way, because an offer that crosses one of
    them may have to give way to it.
    """

    def __init__(self, identity: Identity, environment: Environment, *, puzzle_bits: int) -> None:
        self._identity = identity
        self._environment = environment
        self._puzzle_bits = puzzle_bits
        self._memory = OfferMemory()
        self._own_offers: dict[PeerId, Offer] = {}
        self._accept: AcceptCall | None = None

    def accept_calls(self, accept: AcceptCall) -> None:
        """From now on `accept` decides on each offer."""
        self._accept = accept

    def refuse_calls(self) -> None:
        """From now on answer each offer with REFUSED."""
        self._accept = None

    def own_offer_sent(self, peer_id: PeerId, offer: Offer) -> None:
        """This node is calling a peer. The restart of a link crosses no call for a new one."""
        if not offer.description.link:
            self._own_offers[peer_id] = offer

    def own_offer_ended(self, peer_id: PeerId, offer: Offer | None) -> None:
        """That call is over, unless a later one to the same peer has taken its place."""
        if self._own_offers.get(peer_id) is offer:
            self._own_offers.pop(peer_id, None)

    async def answer(self, sealed: bytes, answer_takes_s: float) -> bytes:
        """The sealed answer to a sealed offer; raises RemoteError for what is not an offer."""
        now = self._environment.wall()
        offer = read_offer(self._identity, sealed, now=now, puzzle_bits=self._puzzle_bits)
        self._memory.accept(offer, now, asyncio.get_running_loop().time())
        offer = replace(offer, answer_takes_s=answer_takes_s)
        rng = self._environment.rng
        try:
            status, description = await self._decide(offer)
        except Busy as error:
            busy = AnswerStatus.BUSY
            return make_answer(self._identity, offer, busy, None, rng=rng, retry_s=error.retry_s)
        return make_answer(self._identity, offer, status, description, rng=rng)

    async def _decide(self, offer: Offer) -> tuple[AnswerStatus, Description | None]:
        """Raises Busy."""
        caller_id = peer_id_of(offer.caller_key)
        crosses = not offer.description.link and caller_id in self._own_offers
        if crosses and own_offer_wins(self._identity.peer_id, caller_id):
            return AnswerStatus.CROSSED, None
        if self._accept is None:
            return AnswerStatus.REFUSED, None
        try:
            return AnswerStatus.ACCEPTED, await self._accept(offer)
        except Busy:
            raise
        except Overloaded as error:
            raise Busy(limits.BUSY_RETRY_S) from error
        except ModswarmError as error:
            _log.info("refused a call of %s: %s", peer_id_text(caller_id), error)
            return _STATUS.get(type(error), AnswerStatus.REFUSED), None
