"""Calls under way, in both directions, and how the pool has a call placed."""

import asyncio
from collections.abc import Awaitable, Callable

from node.links.link import Link
from protocol.description import Description
from protocol.errors import CallCrossed, ModswarmError
from protocol.identity import PeerId, peer_id_of
from protocol.signaling import CallResult, Describe, Offer

PlaceCall = Callable[[PeerId, Describe], Awaitable[CallResult]]
"""Brings an offer to a peer, and its answer back, both verified; raises NetworkError."""


class PendingConnect:
    """A call of ours, and the link that all concurrent calls of `connect` get.

    `answering`: whether a call of the peer is being answered. `began_at` is by the loop's clock, in
    seconds.
    """

    def __init__(self, peer_id: PeerId, answering: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        self.peer_id = peer_id
        self.began_at = loop.time()
        self._answering = answering
        self.task: asyncio.Task[None] | None = None
        self.answered = False
        self.link: asyncio.Future[Link] = loop.create_future()

    def check_uncrossed(self) -> None:
        """Raise CallCrossed where our offer, which has not left yet, would only cross the peer's.

        Two links of which each side asks for one share their addresses, so neither may come up.
        """
        if self._answering():
            raise CallCrossed("the peer has called first; its call goes on")

    def note_answer(self) -> None:
        """The peer has answered: it may hold the link before we do."""
        self.answered = True

    def settle(self, outcome: Link | ModswarmError) -> None:
        """Decide the outcome, once."""
        if self.link.done():
            return
        if isinstance(outcome, Link):
            self.link.set_result(outcome)
        else:
            self.link.set_exception(outcome)
            self.link.exception()  # retrieved, as perhaps no task is waiting


class PendingAnswer:
    """A verified call of a peer, and our description that answers it before the link is up.

    `began_at` is by the loop's clock, in seconds. `of_page`: a web page calls, by the control API.
    """

    def __init__(self, offer: Offer, *, of_page: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.of_page = of_page
        self.peer_id = peer_id_of(offer.caller_key)
        self.offer = offer
        self.began_at = loop.time()
        self._proved_network: Callable[[], bytes | None] = lambda: None
        self.task: asyncio.Task[None] | None = None
        self.answer: asyncio.Future[Description] = loop.create_future()

    def begin(self, proved_network: Callable[[], bytes | None]) -> None:
        """An attempt is under way, which tells where the peer has proved to be by then."""
        self._proved_network = proved_network

    @property
    def proved_network(self) -> bytes | None:
        """The network in which the peer has answered a check of ours, if it has, or RELAYED."""
        return self._proved_network()

    def refuse(self, error: ModswarmError) -> None:
        """Give no description, if there is none yet."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # retrieved, as perhaps no task is waiting
