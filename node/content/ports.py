"""What content needs of a link, so that it can be tested without a network."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class LinkPort(Protocol):
    """An open, ordered, reliable connection to one peer that carries whole frames."""

    @property
    def peer_id(self) -> bytes:
        """The peer at the other end."""

    @property
    def max_frame_bytes(self) -> int:
        """The longest frame that `send` takes."""

    @property
    def closed(self) -> "asyncio.Future[str]":
        """Done with the reason once the link has ended."""

    def register(self, types: range, handler: Callable[[bytes], None]) -> None:
        """Give frames of these types to `handler`, in order."""

    def send(self, frame: bytes) -> None:
        """Queue a frame; raises LinkClosed."""

    async def drained(self) -> None:
        """Return once little is queued; raises LinkClosed."""

    async def close(self, reason: str = "") -> None:
        """End the link."""
