"""Few polls and updates of a node go on at one time, and few followers look a version up first.

What takes long lets others begin beside it: neither silent nodes nor slow peers keep others back.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from node.content.download.patience import LookUpTime
from node.holders.turn import turn
from protocol import limits
from protocol.content.lineage.spreading import look_up_pause_s
from protocol.randomness import Random


class FollowTurns:
    """Those of all followers of a node."""

    def __init__(self) -> None:
        self._polls = asyncio.Semaphore(limits.FOLLOW_POLLS)
        self._updates = asyncio.Semaphore(limits.FOLLOW_UPDATES)

    @contextlib.asynccontextmanager
    async def poll(self) -> AsyncIterator[None]:
        """One poll's."""
        async with _acquired(self._polls, limits.FOLLOW_POLL_TURN_S):
            yield

    @contextlib.asynccontextmanager
    async def update(self) -> AsyncIterator[None]:
        """One update's."""
        async with _acquired(self._updates, limits.FOLLOW_UPDATE_TURN_S):
            yield


@contextlib.asynccontextmanager
async def _acquired(gate: asyncio.Semaphore, slow_s: float) -> AsyncIterator[None]:
    await gate.acquire()
    async with turn(gate, slow_s):
        yield


class LookUpTimes:
    """When the versions of one lineage are looked up: at once, but for the one that others told."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._now = asyncio.get_running_loop().time
        self._told = b""
        self._time = LookUpTime()

    def told(self, mod_id: bytes, *, has_fellows: bool) -> None:
        """Others told of a version, and so of all who follow it; `has_fellows`: see `spreading`."""
        if mod_id != self._told:
            pause_s = look_up_pause_s(self._rng, has_fellows=has_fellows)
            self._told, self._time = mod_id, LookUpTime(self._now() + pause_s)

    def of(self, mod_id: bytes) -> LookUpTime:
        """That of a version."""
        return self._time if mod_id == self._told else LookUpTime()

    def come(self) -> None:
        """A person waits: all are looked up at once."""
        self._time.not_after(LookUpTime())
