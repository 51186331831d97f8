"""What aiortc's DTLS asks of an ICE transport: datagrams of the peer, one at a time."""

import asyncio
from collections import deque
from collections.abc import Callable

from protocol import limits


class DtlsDatagrams:
    """Datagrams of DTLS, until they end; `send` takes those for the peer.

    `role` and `state` are what aiortc reads of its own transport; it takes no role from here, as
    offer and answer decide.
    """

    role = "controlling"

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._give_away = send
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    @property
    def state(self) -> str:
        """`completed`, or `closed` at the end."""
        return "closed" if self._ended else "completed"

    def put(self, datagram: bytes) -> None:
        """Queue a datagram of the peer, unless too many wait."""
        if self._ended or len(self._queue) >= limits.ICE_DATAGRAMS_WAITING:
            return
        self._queue.append(datagram)
        self._wake()

    def end(self) -> None:
        """Nothing more comes or goes."""
        self._ended = True
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What aiortc calls ----------------------------------------------------------------------

    async def _recv(self) -> bytes:
        """The next datagram; raises ConnectionError at the end."""
        while not self._queue:
            if self._ended:
                raise ConnectionError("the path has ended")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        """Send; raises ConnectionError at the end."""
        if self._ended:
            raise ConnectionError("the path has ended")
        self._give_away(data)
