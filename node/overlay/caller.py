"""Calling a peer through the overlay: find its registrars, send the offer, get the answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.environment import Environment
from node.overlay.server import OverlayServer, Reading
from protocol import limits, records
from protocol.codec import shape
from protocol.description import Description
from protocol.errors import (
    CallFailed,
    ModswarmError,
    NotFound,
    Overloaded,
    TimedOut,
)
from protocol.identity import PeerId, peer_id_of, peer_id_text
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Code, Method
from protocol.signaling import (
    Answer,
    Offer,
    OfferMemory,
    Status,
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
    Status.BUSY: "it is busy",
    Status.REFUSED: "it refused",
    Status.BLOCKED: "it has blocked us",
    Status.RATE_LIMITED: "it gets too many calls",
}
_NOT_ANSWERS = {Code.OFFLINE, Code.TIMED_OUT, Code.RATE_LIMITED, Code.REFUSED}


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
        where = await self._find(peer_id)
        offer, sealed = make_offer(
            self._identity,
            where.key,
            peer_id,
            description,
            now=self._environment.wall(),
            rng=self._environment.rng,
        )
        self._calling[peer_id] = offer
        try:
            answer, carriers = await self._signal(where, offer, sealed)
        finally:
            if self._calling.get(peer_id) is offer:
                del self._calling[peer_id]
        if answer.status is Status.CROSSED:
            raise Crossed("both sides called at once; the other's call goes on")
        if answer.description is None:
            raise CallFailed(_REASONS[answer.status])
        return CallResult(offer.offer_id, where.key, answer.description, carriers, where.hops)

    async def _find(self, peer_id: PeerId) -> "_Where":
        """The peer's key and the contacts that can carry a signal to it; raises NotFound."""

        def enough(reading: Reading) -> bool:
            found = reading.records and len(reading.registrars) >= limits.REGISTRARS_CALLED
            return bool(found)

        reading = await self._server.read(records.peer_key(peer_id), records.PEER, enough=enough)
        itself = [contact for contact in reading.closest if contact.peer_id == peer_id]
        registered_here = self._server.registrar.contact_of(peer_id)
        if registered_here is not None:
            itself = [registered_here]
        if not reading.records and not itself:
            raise NotFound(f"nobody knows the peer {peer_id_text(peer_id)}")
        key = itself[0].public_key if itself else next(iter(reading.records))
        carriers = [*itself, *reading.registrars][: limits.REGISTRARS_CALLED]
        if not carriers:
            raise CallFailed("it is offline: nobody keeps a path to it")
        return _Where(key, carriers, reading.hops)

    async def _signal(
        self, where: "_Where", offer: Offer, sealed: bytes
    ) -> tuple[Answer, tuple[PeerId, ...]]:
        """Send the offer by all carriers at once; the first signed answer counts."""
        attempts = [
            asyncio.ensure_future(self._signal_by(contact, where, offer, sealed))
            for contact in where.carriers
        ]
        failures: list[ModswarmError] = []
        try:
            for next_done in asyncio.as_completed(attempts):
                try:
                    answer, contact = await next_done
                except ModswarmError as error:
                    failures.append(error)
                else:
                    carried_by = contact.peer_id
                    return answer, (carried_by,) if carried_by != offer.callee_id else ()
        finally:
            for attempt in attempts:
                attempt.cancel()
            await asyncio.gather(*attempts, return_exceptions=True)
        raise failures[0]

    async def _signal_by(
        self, contact: Contact, where: "_Where", offer: Offer, sealed: bytes
    ) -> tuple[Answer, Contact]:
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + limits.CALL_S
        arguments = [offer.callee_id, sealed]
        while True:
            asked_at = loop.time()
            try:
                response = await self._server.wire.ask(
                    contact, Method.SIGNAL, arguments, timeout_s=2 * limits.CALL_REPEAT_S
                )
            except (TimedOut, Overloaded):
                if loop.time() >= give_up_at:
                    raise
                await asyncio.sleep(max(0.0, asked_at + limits.CALL_REPEAT_S - loop.time()))
                continue
            if response.code != Code.OK:
                raise CallFailed(_failure(response.code))
            (sealed_answer,) = shape(response.result, bytes)
            answer = read_answer(self._identity, offer, sealed_answer, callee_key=where.key)
            return answer, contact

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

    async def _decide(self, offer: Offer) -> tuple[Status, Description | None]:
        caller_id = peer_id_of(offer.caller_key)
        crossing = caller_id in self._calling
        if crossing and own_offer_wins(self._identity.peer_id, caller_id):
            return Status.CROSSED, None
        if self.on_offer is None:
            return Status.REFUSED, None
        try:
            return Status.ACCEPTED, await self.on_offer(offer)
        except ModswarmError as error:
            _log.info("refused a call of %s: %s", peer_id_text(caller_id), error)
            return Status.BUSY, None


@dataclass(frozen=True, slots=True)
class _Where:
    key: bytes
    carriers: list[Contact]
    hops: int


def _failure(code: int) -> str:
    if code == Code.OFFLINE:
        return "it is offline: its registrars do not reach it"
    name = Code(code).name.lower().replace("_", " ") if code in set(Code) else str(code)
    return f"the registrar says: {name}"
