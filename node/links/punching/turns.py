"""Whose search by many probes it is: one at a time in a node, and a pause between two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

from protocol import limits
from protocol.places.tenure import network_of
from protocol.places.turns import SearchOrder, TurnWanted


class SearchTurns:
    """Made inside a running loop. `order` says whose turn is next."""

    def __init__(self, order: SearchOrder) -> None:
        self._order = order
        self._waiting: dict[TurnWanted, asyncio.Future[None]] = {}
        self._holder: TurnWanted | None = None
        self._next_at = -inf
        self._began_at = -inf
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def is_waited_for(self) -> bool:
        """Whether a search waits for its turn."""
        return bool(self._waiting)

    @property
    def is_free(self) -> bool:
        """Whether a search that asked now would have its turn at once."""
        return not self._waiting and self._holder is None and self._next_at <= self._loop.time()

    @asynccontextmanager
    async def turn(self, wanted: TurnWanted) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the `with` block."""
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._waiting[wanted] = waiting
        try:
            self._pass_on()
            await waiting
            yield
        finally:
            self._waiting.pop(wanted, None)
            if self._holder is wanted:
                self._holder = None
            self._pass_on()

    def spend(self, wanted: TurnWanted, host: str) -> None:
        """The search whose turn it is begins, with a peer at this host: the next one has to wait.

        A peer that proved another address before, or none, counts for the network of this one.
        """
        now = self._began_at = self._loop.time()
        self._next_at = now + limits.BIRTHDAY_PAUSE_S
        if (network := network_of(host)) != wanted.network:
            self._order.count_network(network, now)

    def give_back(self, made: float) -> None:
        """The search whose turn it is made only this part of what it may: so much is the pause."""
        self._next_at = self._began_at + made * limits.BIRTHDAY_PAUSE_S

    def _pass_on(self) -> None:
        """Give the turn to the next search, if it is free."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._holder is not None or not self._waiting:
            return
        now = self._loop.time()
        if now < self._next_at:
            self._timer = self._loop.call_at(self._next_at, self._pass_on)
            return
        self._holder = self._order.choose(tuple(self._waiting), now)
        self._waiting.pop(self._holder).set_result(None)
