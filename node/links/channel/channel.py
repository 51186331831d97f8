"""The data channel that a link needs from either SCTP: messages in order, and their end."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from protocol import limits
from protocol.errors import RemoteError

LABEL = "modswarm"
SCTP_PORT = 5000
STREAM = 0
"""The one negotiated data channel of a link (PROTOCOL.md, 7)."""

CLOSED_BY_PEER = "closed by the peer"
"""How the reason of a channel begins that the peer closed."""

LOW_WATER_BYTES = 256 * 1024
"""With this much buffered or less `drained` returns, where the rate of the path tells no better."""


class Channel(Protocol):
    """One ordered, reliable data channel over ICE and DTLS, which it owns and closes."""

    max_message_bytes: int

    receiver: Callable[[bytes], None] | None
    """Called for each message, in order. Set it before `open`; without one, messages are lost."""

    closed: asyncio.Future[str]
    """Done once the channel can carry nothing more; the result is the reason, for people. Shield
    it when waiting: it belongs to the channel."""

    @property
    def fault(self) -> RemoteError | None:
        """What the peer broke, if that has ended the channel."""
        ...

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that wait for the network."""
        ...

    @property
    def acknowledged_bytes(self) -> int:
        """What the peer has acknowledged so far, where SCTP tells before a message is whole."""
        ...

    @property
    def round_trip_s(self) -> float | None:
        """The smoothed round trip of packets; None until one was measured."""
        ...

    async def open(self) -> None:
        """Return once messages can be sent; raises LinkClosed."""
        ...

    def send(self, message: bytes) -> None:
        """Queue one message of at most `max_message_bytes`; raises LinkClosed."""
        ...

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once few bytes are buffered, or no more than so many; raises LinkClosed."""
        ...

    async def close(self, reason: str = "") -> None:
        """Tell the peer why, drop what is still queued, and free SCTP, DTLS and ICE in order.

        Called once, from a task that is never cancelled.
        """
        ...


def spoken_reason(text: str) -> bytes:
    """A reason as it is sent: UTF-8 of at most CLOSE_REASON_BYTES."""
    return text.encode()[: limits.CLOSE_REASON_BYTES]


def closed_by_peer(reason: bytes) -> str:
    """A peer's reason, made fit for people: printable, and of bounded length."""
    text = reason[: limits.CLOSE_REASON_BYTES].decode(errors="ignore")
    printable = "".join(letter for letter in text if letter.isprintable())
    return f"{CLOSED_BY_PEER}: {printable}" if printable else CLOSED_BY_PEER
