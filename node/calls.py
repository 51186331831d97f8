"""Where calls over the overlay and links meet: each answered call becomes a link."""

from collections import OrderedDict

from node.links.pool.pending import CallCrossed
from node.links.pool.pool import LinkPool
from node.overlay.signaling.caller import Caller, CallResult, Crossed
from protocol import limits
from protocol.description import Description
from protocol.identity import PeerId
from protocol.signaling import Offer


class Calls:
    """Carries the pool's offers, hands it those of others, and remembers how each call went."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._made: OrderedDict[PeerId, CallResult] = OrderedDict()
        self.pool: LinkPool

    async def call(self, peer_id: PeerId, description: Description) -> CallResult:
        """The pool's caller. Raises NotFound, TimedOut, CallFailed, CallCrossed."""
        try:
            made = await self._caller.call(peer_id, description)
        except Crossed as error:
            raise CallCrossed(str(error)) from error
        self._made[peer_id] = made
        while len(self._made) > limits.LINKS:
            self._made.popitem(last=False)
        return made

    def made_to(self, peer_id: PeerId) -> CallResult | None:
        """How the latest call to a peer went, if it was we who called."""
        return self._made.get(peer_id)

    async def answer(self, offer: Offer) -> Description:
        """Our description for a verified offer. Raises CallFailed."""
        return await self.pool.answer(offer.caller_key, offer.offer_id, offer.description)
