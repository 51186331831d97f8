"""One call of ours: whoever turns out to reach the peer carries the offer, while we still look."""

import asyncio
from collections.abc import Callable
from typing import Any

from node.overlay.records.reading import Reading
from node.overlay.server import OverlayServer
from node.overlay.signaling.offer_relay import OfferRelay
from protocol import records
from protocol.errors import NotFound
from protocol.identity import PeerId, peer_id_text
from protocol.overlay.contacts import Contact
from protocol.signaling import Answer, Offer


class OutgoingCall:
    """`begin` makes the offer and its sealed form for the peer's key, once it is known.

    `read_answer` verifies a sealed answer to it.
    """

    def __init__(
        self,
        server: OverlayServer,
        peer_id: PeerId,
        *,
        begin: Callable[[bytes], tuple[Offer, bytes]],
        read_answer: Callable[[Offer, bytes, bytes], Answer],
    ) -> None:
        self._server = server
        self._peer_id = peer_id
        self._begin = begin
        self._read_answer = read_answer
        self._answered: asyncio.Future[tuple[Answer, Contact]]
        self._answered = asyncio.get_running_loop().create_future()
        self._signals: OfferRelay | None = None
        self.offer: Offer | None = None
        self.hops = 0

    async def run(self) -> tuple[Answer, Contact]:
        """The first signed answer and who carried it; raises NotFound, TimedOut, CallFailed."""
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
        self._take(reading)
        if self._signals is None:
            raise NotFound(f"nobody knows the peer {peer_id_text(self._peer_id)}")
        self._signals.complete()

    def _take(self, reading: Reading) -> bool:
        """Signal by the carriers found so far; whether there is no need to find more."""
        itself = self._itself(reading)
        if self._signals is None:
            key = itself[0].public_key if itself else next(iter(reading.records), None)
            if key is None:
                return False
            self._signals = self._start(key)
        self.hops = reading.hops
        for contact in (*itself, *reading.registrars):
            self._signals.add(contact)
        return self._answered.done()  # there may be liars among those that say they reach it

    def _itself(self, reading: Reading) -> list[Contact]:
        """The peer as a contact: because it is registered here, or answered our lookup."""
        here = self._server.registrar.contact_of(self._peer_id)
        if here is not None:
            return [here]
        return [one for one in reading.answered if one.peer_id == self._peer_id]

    def _start(self, key: bytes) -> OfferRelay:
        offer, sealed = self._begin(key)
        self.offer = offer
        return OfferRelay(
            self._server.wire,
            self._peer_id,
            sealed,
            read_answer=lambda raw: self._read_answer(offer, raw, key),
            answered=self._answered,
        )
