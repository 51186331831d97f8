"""Offers of web pages: signed by the page's identity, answered by the pool as a peer's call is.

The signature keeps a page from calling in the name of a peer that it is not, and the memory a page
from using an offer twice. What proves the page is the session, which is bound to both certificates:
until then its link serves nothing.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from node.answers.pages import PageAnswer
from node.faces.api.errors import BadPageOffer
from node.faces.pages import sdp
from protocol import limits
from protocol.codec import encode
from protocol.description import Description
from protocol.errors import RateLimited, RemoteError
from protocol.identity import Identity, PeerId, checked_peer_id, verify
from protocol.noise_session import EPHEMERAL_BYTES
from protocol.places.offers import OfferMemory
from protocol.signaling import OFFER_ID_BYTES, Offer

SIGNED_KIND = "page offer"
_SIGNATURE_BYTES = 64


class Answering(Protocol):
    """What makes an offer a link: the pool."""

    async def answer(self, offer: Offer, *, of_page: bool = False) -> Description:
        """Our description; raises CallFailed, Busy."""
        ...


class PageOffers:
    """Answers the offers of web pages. `wall` gives seconds since 1970."""

    def __init__(
        self,
        identity: Identity,
        pool: Callable[[], Answering],
        wall: Callable[[], float],
        puzzle_bits: int = limits.PUZZLE_BITS,
    ) -> None:
        self._identity = identity
        self._pool = pool
        self._wall = wall
        self._puzzle_bits = puzzle_bits
        self._memory = OfferMemory()

    async def answer(self, body: dict[str, Any]) -> PageAnswer:
        """The answer to the body of a request, of the shape of `schemas.PAGE`.

        Raises BadSdp, BadPageOffer, Busy, CallFailed.
        """
        side = sdp.read(body["sdp"])
        offer = self._read(body, side.description)
        await asyncio.sleep(0)  # offers in a row let links have their turns
        answer = await self._pool().answer(offer, of_page=True)
        identity = self._identity
        return PageAnswer(
            identity.peer_id, identity.public_key, answer.session, sdp.write(answer, side.mid)
        )

    def _read(self, body: dict[str, Any], described: Description) -> Offer:
        """The offer that a body makes, verified; raises BadPageOffer, Busy."""
        key = _bytes(body, "key", limits.KEY_BYTES)
        offer_id = _bytes(body, "offer_id", OFFER_ID_BYTES)
        session = _bytes(body, "session", EPHEMERAL_BYTES)
        signature = _bytes(body, "signature", _SIGNATURE_BYTES)
        issued, now = body["issued"], self._wall()
        if abs(issued - now) > limits.CLOCK_SKEW_S:
            raise BadPageOffer("the page's offer is too old, or of the future: see its clock")
        described = replace(described, session=session)
        signed = signed_part(key, self._identity.peer_id, offer_id, issued, described)
        digest = hashlib.sha256(signed).digest()
        offer = Offer(key, self._identity.peer_id, offer_id, issued, described, digest)
        try:
            checked_peer_id(key, self._puzzle_bits)
            verify(key, SIGNED_KIND, signed, signature)
            self._memory.accept(offer, now, asyncio.get_running_loop().time())
        except RateLimited:
            raise
        except RemoteError as error:
            raise BadPageOffer(str(error)) from None
        return offer


def signed_part(
    key: bytes, callee_id: PeerId, offer_id: bytes, issued: int, described: Description
) -> bytes:
    """What a page signs of its offer, which is all that a link is made of but the candidates."""
    side = described
    return encode(
        [
            *(key, callee_id, offer_id, issued),
            *(side.ufrag, side.password, side.fingerprint, int(side.role), side.session),
        ]
    )


def _bytes(body: dict[str, Any], name: str, count: int) -> bytes:
    """A field of so many bytes in hex; raises BadPageOffer."""
    text: str = body[name]
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != count or len(text) != 2 * count:
        raise BadPageOffer(f"{name!r} is not {count} bytes in hex")
    return data
