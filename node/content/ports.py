"""What content needs of a link, so that it can be tested without a network."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol.identity import PeerId


class SourceWatch(Protocol):
    """Learns how the links that were found for a download serve it."""

    def opened(self, peer_id: bytes, give_way: Callable[[], None]) -> None:
        """A download asks this peer, until `give_way` is called."""

    def heard(self, peer_id: bytes, size: int) -> None:
        """So many bytes of a manifest or a chunk came of it, good or not."""

    def proved(self, peer_id: bytes, size: int) -> None:
        """A chunk of so many bytes that it sent was what was asked for."""

    def named(self, peer_id: bytes, peers: Sequence[PeerId]) -> None:
        """It says that these hold some of the mod as well."""

    def left(self, peer_id: bytes, *, for_good: bool = False) -> bool:
        """The download goes on without it, `for_good` if it broke a rule; whether its link was
        opened for the download alone.
        """


class PeerWatch(Protocol):
    """Looks for sources of one mod among the peers of this node's links."""

    def came(self, peer_id: PeerId) -> None:
        """A linked peer asks this node for the mod."""

    def linked(self, peer_id: PeerId) -> None:
        """A link with a peer has opened."""


class HeldLink(Protocol):
    """A link is not closed as idle, until `close`."""

    def close(self) -> None:
        """Let go; may be called again."""


HoldLink = Callable[[PeerId], HeldLink]
"""Keeps the link to a peer from being closed as idle; raises LinkClosed."""


class LineUser(Protocol):
    """What the node's line needs of one that takes turns on it."""

    @property
    def peer_id(self) -> bytes:
        """The peer that takes what is sent."""

    @property
    def network(self) -> bytes:
        """The public network of its address as `tenure.network_of` gives it, or RELAYED."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that were sent and wait for the network."""

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once little is queued, or no more than so much; raises LinkClosed."""


class LinkPort(LineUser, Protocol):
    """An open, ordered, reliable connection to one peer that carries whole frames."""

    @property
    def max_frame_bytes(self) -> int:
        """The longest frame that `send` takes."""

    @property
    def round_trip_s(self) -> float | None:
        """The smoothed round trip of its packets, in seconds; None until one was measured."""

    @property
    def closed(self) -> "asyncio.Future[str]":
        """Done with the reason once the link has ended."""

    def register(self, types: range, handler: Callable[[bytes], None]) -> None:
        """Give frames of these types to `handler`, in order."""

    def serve(self, is_awaited: Callable[[], bool]) -> None:
        """From now on `is_awaited` tells whether the peer waits for what it asked for."""

    def send(self, frame: bytes) -> None:
        """Queue a frame; raises LinkClosed."""

    async def close(self, reason: str = "") -> None:
        """End the link."""
