"""Places that are written now: each by one `get` or update at a time, of all nodes on its disk."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from node.content.assemble.held_place import HeldPlace
from node.content.hidden_names import lock_of
from node.tasks import in_thread
from protocol.errors import TargetExists


class TargetClaims:
    """The targets that this node writes now; each is held against other nodes as well."""

    def __init__(self) -> None:
        self._targets: set[Path] = set()

    @property
    def locks(self) -> frozenset[Path]:
        """The locks of this process: to look at one of them may let go of it."""
        return frozenset(map(lock_of, self._targets))

    def check(self, target: Path) -> None:
        """Raise TargetExists where a target is not apart from one that is being written."""
        for other in self._targets:
            if target == other:
                raise TargetExists(f"{target} is being written already")
            if target.is_relative_to(other) or other.is_relative_to(target):
                raise TargetExists(f"{other} is being written already, and {target} is not apart")

    @contextlib.asynccontextmanager
    async def claiming(self, target: Path) -> AsyncIterator[None]:
        """While inside, nothing else writes to a target, a real path.

        Raises TargetExists where something does, DiskError.
        """
        self.check(target)
        self._targets.add(target)
        try:
            async with _holding(target):
                yield
        finally:
            self._targets.discard(target)


@contextlib.asynccontextmanager
async def _holding(target: Path) -> AsyncIterator[None]:
    """Hold a target against other nodes; raises TargetExists, DiskError."""
    taking = asyncio.get_running_loop().run_in_executor(None, HeldPlace.take, target)
    try:
        held = await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_give_back)
        raise
    try:
        yield
    finally:
        await in_thread(held.release)


def _give_back(taken: "asyncio.Future[HeldPlace]") -> None:
    """Nothing waits for this place any more."""
    if not taken.cancelled() and taken.exception() is None:
        taken.result().release()
