"""One connection of an HTTP client: its requests, one after another, and what is sent to it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, cast

from protocol import limits
from protocol.content.origins.requests import HttpRefusal, refusal_head
from protocol.errors import LinkClosed

_END: Final = b"\r\n\r\n"
_LOOK_S: Final = 0.02
"""So often it is looked whether little enough waits for a client, besides when half has left."""

Serve = Callable[["WebClient", bytes], Awaitable[None]]
"""Answers a request by its head; raises HttpRefusal."""


class WebClient(asyncio.Protocol):
    """A connection; a `LineUser`. `serve` it until the client or its place is gone."""

    def __init__(self, peer_id: bytes, network: bytes, transport: asyncio.Transport) -> None:
        self.peer_id = peer_id
        self.network = network
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._came = b""
        self._arrived = asyncio.Event()
        self._moved = asyncio.Event()
        self._lost = self._asks_no_more = False
        transport.set_write_buffer_limits(
            high=limits.HTTP_QUEUE_BYTES, low=limits.HTTP_QUEUE_BYTES // 2
        )
        transport.set_protocol(self)

    # The connection -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """More of a head; what goes beyond one is left to the kernel until that is read."""
        self._came += data
        if len(self._came) > limits.HTTP_HEAD_BYTES:
            self._transport.pause_reading()
        self._arrived.set()

    def eof_received(self) -> bool:
        """The client sends no more: the requests that are here are answered still."""
        self._asks_no_more = True
        self._arrived.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._lost = True
        self._arrived.set()
        self._moved.set()

    def pause_writing(self) -> None:
        """The client takes less than is sent."""

    def resume_writing(self) -> None:
        """Half of what it was behind with has left."""
        self._moved.set()

    # What a line needs ----------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the client."""
        return self._transport.get_write_buffer_size()

    async def drained(self, most_bytes: int | None = None) -> None:
        """Return once the client has taken what was sent, or all but so much.

        Raises LinkClosed, also for one that takes too long, which is ended.
        """
        most = limits.HTTP_QUEUE_BYTES if most_bytes is None else most_bytes
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.HTTP_TAKE_S):
                while self.buffered_bytes > most and not self._lost:
                    self._moved.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._moved.wait(), _LOOK_S)
        if self._lost or self.buffered_bytes > most:
            self.end()
            raise LinkClosed("the client has gone, or takes nothing")

    # Requests -------------------------------------------------------------------------------

    async def run(self, serve: Serve, busy: Callable[[bool], None]) -> None:
        """Serve its requests until it is gone; `busy` learns whether one is under way."""
        try:
            while (head := await self._next_head()) is not None:
                busy(True)
                await serve(self, head)
                busy(False)
        except HttpRefusal as refusal:
            self.send(refusal_head(refusal))
        except LinkClosed:
            pass
        except asyncio.CancelledError:
            self.end()
            raise
        await self._finish()

    async def _next_head(self) -> bytes | None:
        """The next request's head; None where there is none, or not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.HTTP_HEAD_S):
                while _END not in self._came:
                    if len(self._came) > limits.HTTP_HEAD_BYTES:
                        raise HttpRefusal(431)
                    if self._lost or self._asks_no_more:
                        return None
                    self._arrived.clear()
                    await self._arrived.wait()
        head, end, rest = self._came.partition(_END)
        if not end:
            return None
        if len(head) > limits.HTTP_HEAD_BYTES:
            raise HttpRefusal(431)
        self._came = rest
        if not self._lost:
            self._transport.resume_reading()
        return head

    def send(self, data: bytes) -> None:
        """Queue bytes of an answer; raises LinkClosed."""
        if self._lost:
            raise LinkClosed("the client has gone")
        self._transport.write(data)

    async def _finish(self) -> None:
        """Let what was sent arrive, within bounds, and close."""
        with contextlib.suppress(LinkClosed, TimeoutError):
            async with asyncio.timeout(limits.HTTP_LINGER_S):
                await self.drained(0)
        self._transport.close()
        self._loop.call_later(limits.HTTP_LINGER_S, self._transport.abort)

    def end(self) -> None:
        """End it at once."""
        self._lost = True
        self._arrived.set()
        self._moved.set()
        self._transport.abort()


def transport_of(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """As what it is: that of a stream."""
    return cast("asyncio.Transport", transport)
