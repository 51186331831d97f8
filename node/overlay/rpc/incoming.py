"""A request of a peer, with what its handler needs to respond."""

from collections.abc import Callable
from typing import Any

from protocol import datagrams
from protocol.addresses import Address
from protocol.overlay.messages import READ_ONLY, REFUSAL_BYTES, Code, Request
from protocol.overlay.sessions import PeerSession


class Incoming:
    """A request of a peer, to be answered once, now or later."""

    __slots__ = ("_respond", "_spent_bytes", "address", "proved", "request", "session")

    def __init__(
        self,
        respond: "SendResponse",
        session: PeerSession,
        address: Address,
        request: Request,
        *,
        proved: bool,
    ) -> None:
        self._respond = respond
        self.session = session
        self.address = address
        self.request = request
        self.proved = proved
        self._spent_bytes = 0

    @property
    def room_bytes(self) -> int:
        """How long the response's body may be: no amplification without proof of address."""
        return (
            datagrams.DATAGRAM_BODY_BYTES if self.proved else self.request.size - self._spent_bytes
        )

    def may_also_send(self, extra_bytes: int) -> bool:
        """Whether another datagram besides the response stays within the bytes received.

        If so it is counted: an address without proof is sent no more bytes than it sent.
        """
        if not self.proved:
            if self.request.size - extra_bytes < REFUSAL_BYTES + extra_bytes:
                return False
            self._spent_bytes += extra_bytes
        return True

    @property
    def read_only(self) -> bool:
        """Whether the sender says that it cannot be reached unasked."""
        return bool(self.request.flags & READ_ONLY)

    def answer(self, result: list[Any], code: Code = Code.OK) -> None:
        """Send the response."""
        self._respond(self, code, result)


SendResponse = Callable[[Incoming, Code, list[Any]], None]
"""Sends a response to the address that a request came from."""
