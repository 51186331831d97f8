"""Calls, as the pool needs them from whoever carries signals, and those that are under way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from node.links.link import Link
from protocol.description import Description
from protocol.errors import CallFailed, ModswarmError
from protocol.identity import PeerId, peer_id_of


class CallResult(Protocol):
    """An accepted call."""

    @property
    def offer_id(self) -> bytes:
        """The id under which the offer was signed."""
        ...

    @property
    def peer_key(self) -> bytes:
        """The callee's public key, which signed the answer."""
        ...

    @property
    def description(self) -> Description:
        """The callee's side."""
        ...


Caller = Callable[[PeerId, Description], Awaitable[CallResult]]
"""Carries an offer to a peer and brings back the answer, both verified; raises NetworkError."""


class CallCrossed(CallFailed):
    """The peer is calling us at the same time, and its call is the one that goes on."""


class PendingConnect:
    """A call of ours, and the link that everybody who asked for it gets."""

    def __init__(self, peer_id: PeerId) -> None:
        self.peer_id = peer_id
        self.task: asyncio.Task[None] | None = None
        self.answered = False
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Link | ModswarmError) -> None:
        """Decide the outcome, once."""
        if self.link.done():
            return
        if isinstance(outcome, Link):
            self.link.set_result(outcome)
        else:
            self.link.set_exception(outcome)
            self.link.exception()  # nobody need be waiting


class PendingAnswer:
    """A verified call of a peer, and our description that answers it before the link is up."""

    def __init__(self, caller_key: bytes, offer_id: bytes, offer: Description) -> None:
        self.peer_id = peer_id_of(caller_key)
        self.caller_key = caller_key
        self.offer_id = offer_id
        self.offer = offer
        self.task: asyncio.Task[None] | None = None
        self.answer: asyncio.Future[Description] = asyncio.get_running_loop().create_future()

    def refuse(self, error: ModswarmError) -> None:
        """Give no description, if there is none yet."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # nobody need be waiting
