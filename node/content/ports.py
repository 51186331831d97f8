"""What this room needs of a link, so that it can be tested without any."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class LinkPort(Protocol):
    """An open, ordered, reliable connection to one peer that carries whole frames."""

    receiver: Callable[[bytes], None] | None
    """Set by the one owner of the link; called for each frame, in order."""

    @property
    def peer_id(self) -> bytes:
        """Whom it leads to."""

    @property
    def max_frame_bytes(self) -> int:
        """The longest frame that `send` takes."""

    @property
    def closed(self) -> "asyncio.Future[str]":
        """Done with the reason once the link has ended."""

    def send(self, frame: bytes) -> None:
        """Queue a frame; raises LinkClosed."""

    async def drained(self) -> None:
        """Return once little is queued; raises LinkClosed."""

    async def close(self, reason: str = "") -> None:
        """End the link."""
