"""The turns of what few of begin at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def turn(gate: asyncio.Semaphore, slow_s: float) -> AsyncIterator[None]:
    """A turn that was acquired of those at once; what takes longer than `slow_s` gives it up."""
    holds = True

    def give_up() -> None:
        nonlocal holds
        if holds:
            holds = False
            gate.release()

    timer = asyncio.get_running_loop().call_later(slow_s, give_up)
    try:
        yield
    finally:
        timer.cancel()
        give_up()
