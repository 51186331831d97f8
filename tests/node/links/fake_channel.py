"""Channels in memory: what one side sends, the other gets in the next turn, unless changed."""

import asyncio
from collections.abc import Callable

from protocol import limits
from protocol.errors import LinkClosed, RemoteError

Tamper = Callable[[list[bytes]], list[bytes]]


class FakeChannel:
    """One end. `tamper` gets each batch of messages on its way in and says what arrives."""

    max_message_bytes = limits.MESSAGE_BYTES

    def __init__(self) -> None:
        self.receiver: Callable[[bytes], None] | None = None
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.fault: RemoteError | None = None
        self.buffered_bytes = 0
        self.acknowledged_bytes = 0
        self.round_trip_s: float | None = None
        self.sent: list[bytes] = []
        self.tamper: Tamper = list
        self.close_reason: str | None = None
        self._other: FakeChannel | None = None
        self._incoming: list[bytes] = []

    @classmethod
    def pair(cls) -> tuple["FakeChannel", "FakeChannel"]:
        """Two ends of one channel."""
        one, other = cls(), cls()
        one._other, other._other = other, one
        return one, other

    async def open(self) -> None:
        """It always is."""

    def send(self, message: bytes) -> None:
        if self.closed.done():
            raise LinkClosed(self.closed.result())
        assert self._other is not None
        self.sent.append(message)
        self._other.arrive(message)

    def arrive(self, message: bytes) -> None:
        """Let a message come in from any sender."""
        self._incoming.append(message)
        if len(self._incoming) == 1:
            asyncio.get_running_loop().call_soon(self._deliver)

    async def drained(self, most_bytes: int | None = None) -> None:
        """Nothing is ever buffered."""

    async def close(self, reason: str = "") -> None:
        if self.close_reason is None:
            self.close_reason = reason
        for end in (self, self._other):
            if end is not None and not end.closed.done():
                end.closed.set_result(f"closed by the peer: {reason}" if end is not self else "")

    def _deliver(self) -> None:
        batch, self._incoming = self._incoming, []
        for message in self.tamper(batch):
            assert self.receiver is not None
            self.receiver(message)
