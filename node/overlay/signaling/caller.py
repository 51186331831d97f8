"""Calls over the overlay, both ways: ours and what came of them, and our answers to others'."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from node.environment import Environment
from node.overlay.server import OverlayServer
from node.overlay.signaling.outgoing_call import OutgoingCall
from protocol.description import Description
from protocol.errors import CallFailed, ModswarmError
from protocol.identity import PeerId, peer_id_of, peer_id_text
from protocol.signaling import (
    Answer,
    AnswerStatus,
    Offer,
    OfferMemory,
    make_answer,
    make_offer,
    own_offer_wins,
    read_answer,
    read_offer,
)

_log = logging.getLogger(__name__)

OnOffer = Callable[[Offer], Awaitable[Description]]
"""Takes an accepted offer and gives the description to answer with; raises CallFailed."""

_REASONS = {
    AnswerStatus.BUSY: "it is busy",
    AnswerStatus.REFUSED: "it refused",
    AnswerStatus.BLOCKED: "it has blocked us",
    AnswerStatus.RATE_LIMITED: "it gets too many calls",
}


class Crossed(CallFailed):
    """Both called at once and the other's offer counts: its link is about to come."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """An accepted call. `signaled_via`: the registrar that was needed, and answered first."""

    offer_id: bytes
    peer_key: bytes
    description: Description
    signaled_via: tuple[PeerId, ...]
    hops: int


class Caller:
    """Makes calls, and answers those that come in by `on_offer`."""

    def __init__(self, server: OverlayServer, environment: Environment) -> None:
        self._server = server
        self._environment = environment
        self._identity = server.identity
        self._memory = OfferMemory()
        self._calling: dict[PeerId, Offer] = {}
        self.on_offer: OnOffer | None = None
        server.registrar.answerer = self._answer

    # Calls that we make -------------------------------------------------------------------

    async def call(self, peer_id: PeerId, description: Description) -> CallResult:
        """Offer a link to a peer. Raises NotFound, TimedOut, Crossed, CallFailed."""
        calling = OutgoingCall(
            self._server,
            peer_id,
            begin=partial(self._begin, peer_id, description),
            read_answer=self._read_answer,
        )
        try:
            answer, carrier = await calling.run()
        finally:
            if self._calling.get(peer_id) is calling.offer:
                self._calling.pop(peer_id, None)
        if answer.status is AnswerStatus.CROSSED:
            raise Crossed("both sides called at once; the other's call goes on")
        if answer.description is None:
            raise CallFailed(_REASONS[answer.status])
        assert calling.offer is not None
        via = () if carrier.peer_id == peer_id else (carrier.peer_id,)
        return CallResult(
            calling.offer.offer_id, answer.callee_key, answer.description, via, calling.hops
        )

    def _begin(self, peer_id: PeerId, description: Description, key: bytes) -> tuple[Offer, bytes]:
        """The offer and its sealed form; from now on we are calling this peer."""
        offer, sealed = make_offer(
            self._identity,
            key,
            peer_id,
            description,
            now=self._environment.wall(),
            rng=self._environment.rng,
        )
        self._calling[peer_id] = offer
        return offer, sealed

    def _read_answer(self, offer: Offer, sealed: bytes, key: bytes) -> Answer:
        return read_answer(self._identity, offer, sealed, callee_key=key)

    # Calls to us --------------------------------------------------------------------------

    async def _answer(self, sealed: bytes) -> bytes:
        """The sealed answer to a sealed offer; raises RemoteError for what is not an offer."""
        now = self._environment.wall()
        offer = read_offer(
            self._identity, sealed, now=now, puzzle_bits=self._server.settings.puzzle_bits
        )
        self._memory.accept(offer, now)
        status, description = await self._decide(offer)
        return make_answer(self._identity, offer, status, description, rng=self._environment.rng)

    async def _decide(self, offer: Offer) -> tuple[AnswerStatus, Description | None]:
        caller_id = peer_id_of(offer.caller_key)
        crossing = caller_id in self._calling
        if crossing and own_offer_wins(self._identity.peer_id, caller_id):
            return AnswerStatus.CROSSED, None
        if self.on_offer is None:
            return AnswerStatus.REFUSED, None
        try:
            return AnswerStatus.ACCEPTED, await self.on_offer(offer)
        except ModswarmError as error:
            _log.info("refused a call of %s: %s", peer_id_text(caller_id), error)
            return AnswerStatus.BUSY, None
