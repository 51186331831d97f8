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
        self._ways = 0
        self.ways_told = 0
        """How often the way has changed, as far as `_recv` has told."""

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

    def begin_anew(self) -> None:
        """From now on datagrams go another way, and what came before is worth nothing: the next
        `_recv` raises ConnectionError.
        """
        self._ways += 1
        self._queue.clear()
        self._wake()

    @property
    def has_new_way(self) -> bool:
        """Whether `_recv` has yet to tell of another way."""
        return self.ways_told != self._ways

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
        """The next datagram; raises ConnectionError at the end, and once for each new way."""
        while self.has_new_way or not self._queue:
            if self._ended:
                raise ConnectionError("the path has ended")
            if self.has_new_way:
                self.ways_told = self._ways
                raise ConnectionError("the path goes another way")
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
