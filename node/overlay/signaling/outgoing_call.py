"""One call of this node: the offer goes out by each registrar as soon as the lookup finds it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from node.overlay.records.presence import CONTACT
from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from node.overlay.signaling.bridges import find_bridges
from node.overlay.signaling.known_ways import KnownWay
from node.overlay.signaling.offer_relay import OfferRelay
from protocol import limits, records
from protocol.causes.cause import Cause
from protocol.errors import CallCrossed, CallFailed, ModswarmError, NotFound
from protocol.identity import PeerId
from protocol.overlay.contacts import Contact
from protocol.overlay.networks import voice_of
from protocol.records import PeerBody
from protocol.signaling import Answer, Offer, read_answer

MakeOffer = Callable[[bytes, Sequence[Contact]], tuple[Offer, bytes]]
"""The offer and its sealed form, for the peer's public key and the registrars found so far."""


class OutgoingCall:
    """`make_offer` is called once the peer's public key is known: at once, where there is a `known`
    way to the peer. Then nothing waits for the lookup, whose finds are tried besides.
    """

    def __init__(
        self,
        server: OverlayServer,
        peer_id: PeerId,
        make_offer: MakeOffer,
        known: KnownWay | None = None,
    ) -> None:
        self._server = server
        self._peer_id = peer_id
        self._make_offer = make_offer
        self._known = known
        self._answered: asyncio.Future[tuple[Answer, Contact]]
        self._answered = asyncio.get_running_loop().create_future()
        self._relay: OfferRelay | None = None
        self._bridges: list[Contact] = []
        self.offer: Offer | None = None
        self.registrars: Sequence[Contact] = ()
        self.hops = 0

    async def run(self) -> tuple[Answer, Contact]:
        """The first signed answer, and the contact that brought it.

        Raises NotFound, Unreachable, ClocksDiffer, TimedOut, CallFailed, CallCrossed.
        """
        if self._known is not None:
            self._begin(self._known.public_key, self._known.relays)
        looking = asyncio.ensure_future(self._look())
        try:
            ends: list[asyncio.Future[Any]] = [looking, self._answered]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                looking.result()
            return await self._answered
        finally:
            looking.cancel()
            self._answered.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _look(self) -> None:
        key = records.peer_key(self._peer_id)
        reading = await self._server.read(key, records.PEER, enough=self._take)
        if self._take(reading):
            return
        if not (self._itself(reading) or reading.registrars) and _is_reached_unasked(reading):
            await self._cross(reading)
            if self._take(reading):
                return
        if self._relay is None or self._is_silent(reading):
            raise reading.why_empty() or _nowhere(reading)
        if not len(self._relay) and (why := reading.why_empty()):
            raise why
        self._relay.complete()

    async def _cross(self, reading: Reading) -> None:
        """Call by contacts that reach the peer by the family that this node lacks.

        The offer names the first two as relays, so it waits for these.
        """

        def found(bridge: Contact) -> None:
            self._bridges.append(bridge)
            if len(self._bridges) >= limits.RELAYS_SURE:
                self._take(reading)

        await find_bridges(self._server, self._peer_id, reading.closest, found)

    def _take(self, reading: Reading) -> bool:
        """Send the offer by the relays found so far; whether no more of them are needed."""
        if self._answered.done():
            return True
        itself, forwarding = self._itself(reading), (*reading.registrars, *self._bridges)
        if self._relay is None:
            key = itself[0].public_key if itself else next(iter(reading.records), None)
            if key is None or not (itself or forwarding):
                return False
            try:
                self._relay = self._start(key, forwarding)
            except CallCrossed as error:  # a response may have brought us here: not to its callback
                self._answered.set_exception(error)
                return True
        self.hops = reading.hops
        self.registrars = forwarding
        for contact in (*itself, *forwarding):
            self._relay.add(contact)
        return self._answered.done()  # a contact may lie when it says that it reaches the peer

    def _begin(self, key: bytes, relays: Sequence[Contact]) -> None:
        others = [contact for contact in relays if contact.peer_id != self._peer_id]
        self._relay = self._start(key, others)
        for contact in relays:
            self._relay.add(contact)

    def _itself(self, reading: Reading) -> list[Contact]:
        """The peer as a contact: because it is registered here, or answered our lookup."""
        here = self._server.registrar.contact_of(self._peer_id)
        if here is not None:
            return [here]
        return [one for one in reading.answered if one.peer_id == self._peer_id]

    def _is_silent(self, reading: Reading) -> bool:
        """Whether only the peer itself was called, which answers no lookup either."""
        if self._known is None or self._itself(reading) or self.registrars:
            return False
        return all(contact.peer_id == self._peer_id for contact in self._known.relays)

    def _start(self, key: bytes, registrars: Sequence[Contact]) -> OfferRelay:
        offer, sealed = self._make_offer(key, registrars)
        self.offer = offer

        def read(raw: bytes) -> Answer:
            return read_answer(self._server.identity, offer, raw, callee_key=key)

        return OfferRelay(
            self._server.wire,
            self._peer_id,
            sealed,
            voice=partial(voice_of, self._server.settings.networks_of),
            read_answer=read,
            answered=self._answered,
        )


def _is_reached_unasked(reading: Reading) -> bool:
    """Whether a peer says that it is: then it may be registered nowhere."""
    bodies = [record.body for record in reading.records.values()]
    return any(isinstance(body, PeerBody) and body.capabilities & CONTACT for body in bodies)


def _nowhere(reading: Reading) -> ModswarmError:
    if reading.records:
        return CallFailed(cause=Cause.NOT_REGISTERED)
    return NotFound(cause=Cause.PEER_UNKNOWN)
