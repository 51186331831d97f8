"""Whose search by many probes it is: one at a time in a node, and a pause between two."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf

from protocol import limits


class SearchTurns:
    """Made inside a running loop. Searches take their turns in the order in which they ask."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._next_at = -inf
        self._loop = asyncio.get_running_loop()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it inside the `with` block."""
        async with self._lock:
            await asyncio.sleep(max(0.0, self._next_at - self._loop.time()))
            yield

    def spend(self) -> None:
        """The search whose turn it is sends: the next one has to wait."""
        self._next_at = self._loop.time() + limits.BIRTHDAY_PAUSE_S
