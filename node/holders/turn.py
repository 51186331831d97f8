"""The turns of calls to holders, of which few begin at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from protocol import limits


@contextlib.asynccontextmanager
async def turn(gate: asyncio.Semaphore) -> AsyncIterator[None]:
    """A turn that was acquired of those at once; one that is slow to link gives it up early."""
    holds = True

    def give_up() -> None:
        nonlocal holds
        if holds:
            holds = False
            gate.release()

    timer = asyncio.get_running_loop().call_later(limits.CONNECTING_SLOW_S, give_up)
    try:
        yield
    finally:
        timer.cancel()
        give_up()
