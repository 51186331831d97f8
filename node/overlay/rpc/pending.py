"""Requests of ours that wait for a response, and how they end."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from protocol.addresses import Address
from protocol.errors import ModswarmError
from protocol.overlay.contacts import Contact
from protocol.overlay.messages import Method, Response


class Reply(NamedTuple):
    """How a request of ours ended: with a response, or with an error."""

    contact: Contact
    response: Response | None
    error: ModswarmError | None


class Pending(NamedTuple):
    """A request under way: `nonce` and `body` are what was sent, at `sent_at` monotonic seconds."""

    contact: Contact
    address: Address
    sent_at: float
    on_reply: Callable[[Reply], None]
    nonce: bytes
    body: bytes
    method: Method

    def is_to(self, peer: Contact, address: Address) -> bool:
        """Whether this peer was asked, at this address."""
        return self.address == address and self.contact.number == peer.number


def resolving(future: asyncio.Future[Reply]) -> Callable[[Reply], None]:
    """What gives a reply to this future, unless its waiting has ended."""

    def resolve(reply: Reply) -> None:
        if not future.done():
            future.set_result(reply)

    return resolve
