"""Connections to the servers of origins: a request waits for its download's turn, and ends with it.

The turns are of each server (scheme, host and port) by itself, whatever URLs or redirects lead
there, and of all servers together.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

from yarl import URL

from protocol import limits
from protocol.content.origins.connection_turns import ConnectionTurn, ConnectionTurns, TurnShare

_LOOK_S: Final = 0.25
"""So often it is looked whether a turn is over, while a request waits."""


class TurnOver(Exception):
    """A request ended in favour of another download's: it is made anew in its next turn."""


class Asker:
    """What asks a server for one download: how many of its requests wait for their turn."""

    def __init__(self, share: TurnShare) -> None:
        """`share`: that of the download."""
        self.share = share
        self.own_share = TurnShare(share.weight)
        """Beside those for other servers, where one that is dead must not stand in the way."""
        self._waiting = self._asking = 0

    @property
    def waits(self) -> bool:
        """Whether the server has nothing to answer, as this node's other downloads are first."""
        return self._waiting > 0 and not self._asking

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, one more waits."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, one more has its turn."""
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1


class Connection:
    """A request's turn, at its server and among all."""

    def __init__(self, now: float, *turns: tuple[ConnectionTurns, ConnectionTurn]) -> None:
        self.asked_at = now
        self._turns = turns

    def brought(self) -> None:
        """Bytes of the answer's body came."""
        for _, turn in self._turns:
            turn.brought()

    def keep(self, *, is_long: bool) -> None:
        """Let it last until the answer's end; raises TurnOver where too many long ones do."""
        if not all(turns.keep(turn, is_long=is_long) for turns, turn in self._turns):
            raise TurnOver


class OriginConnections:
    """The requests of a node to all servers of origins."""

    def __init__(self) -> None:
        self._servers: dict[str, _Queue] = {}
        self._all = _Queue(limits.ORIGIN_CONNECTIONS_ALL)

    def others_wait(self, url: URL, asker: Asker) -> bool:
        """Whether another download waits for a connection to a server."""
        server = self._servers.get(_server_of(url))
        waits_here = server is not None and server.turns.others_wait(asker.share)
        return waits_here or self._all.turns.others_wait(asker.own_share)

    @contextlib.asynccontextmanager
    async def turn(
        self, url: URL, asker: Asker, *, is_long: bool = False
    ) -> AsyncIterator[Connection]:
        """Inside, a request may be made; raises TurnOver there once its turn is over."""
        name = _server_of(url)
        server = self._servers.setdefault(name, _Queue(limits.ORIGIN_CONNECTIONS))
        async with contextlib.AsyncExitStack() as held:
            held.callback(self._left, name)
            with asker.waiting():
                turns = [
                    (one.turns, await held.enter_async_context(one.turn(share, is_long)))
                    for one, share in ((server, asker.share), (self._all, asker.own_share))
                ]
            with asker.asking():
                yield Connection(asyncio.get_running_loop().time(), *turns)

    def _left(self, name: str) -> None:
        server = self._servers.get(name)
        if server is not None and server.turns.is_idle:
            del self._servers[name]


def _server_of(url: URL) -> str:
    return str(url.origin())


class _Queue:
    """The requests to one server, or to all of them together, and when their turns end."""

    def __init__(self, most: int) -> None:
        self.turns = ConnectionTurns(most)
        self._begins: dict[ConnectionTurn, asyncio.Future[None]] = {}
        self._ends: dict[ConnectionTurn, asyncio.Timeout] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.asynccontextmanager
    async def turn(self, share: TurnShare, is_long: bool) -> AsyncIterator[ConnectionTurn]:
        """Inside, a request has its turn; raises TurnOver there once that is over."""
        turn = self.turns.ask(share, is_long=is_long)
        begins = self._begins[turn] = asyncio.get_running_loop().create_future()
        try:
            self._go_on()
            await begins
            async with asyncio.timeout(None) as end:
                self._ends[turn] = end
                yield turn
        except TimeoutError as error:
            if turn.is_ending:
                raise TurnOver from error
            raise
        finally:
            del self._begins[turn]
            self._ends.pop(turn, None)
            self.turns.leave(turn, asyncio.get_running_loop().time())
            self._go_on()

    def _go_on(self) -> None:
        """Begin the turns that may, end one that must, and look again while one waits."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while (begun := self.turns.begin(now)) is not None:
            if not self._begins[begun].done():
                self._begins[begun].set_result(None)
        over = self.turns.give_way(now)
        if over is not None and over in self._ends:
            self._ends[over].reschedule(now)
        if self.turns.any_waits and self._timer is None:
            self._timer = loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self._go_on()
