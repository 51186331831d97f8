"""When a relayed link looks for what it lacks: at once, then with growing pauses."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from node.links.restarting.parts import RestartParts
from node.tasks import TaskOwner
from protocol import limits

AGAIN_S: Final = 4.0
"""How long after an attempt another one follows, then twice as long each time: an
attempt goes on for 3 s beside the relay."""

_LOOKS_AROUND_S: Final = 1.0
"""What contacts see of a new network is waited for so long."""


class Seeking:
    """Of one link, for a direct path or for a second relay; a relay carries it meanwhile.

    `lacks`: whether it is still looked for. `attempt` restarts ICE, where that is possible now, and
    returns once it is over. `goes_on`: whether further attempts follow one that found nothing.
    """

    def __init__(
        self,
        parts: RestartParts,
        lacks: Callable[[], bool],
        attempt: Callable[[], Awaitable[None]],
        goes_on: Callable[[], bool],
    ) -> None:
        self._parts = parts
        self._lacks = lacks
        self._attempt = attempt
        self._goes_on = goes_on
        self._task: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether an attempt is made, or will be."""
        return self._task is not None and not self._task.done()

    def begin(self, tasks: TaskOwner, name: str, pause_s: float, *, moved: bool = False) -> None:
        """Look after a pause, and for no other one that was about to follow.

        `moved`: contacts are asked first where they see this node by now.
        """
        self.end()
        self._task = tasks.start(self._run(pause_s, moved), name=name)

    def end(self) -> None:
        """Look for none."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, pause_s: float, moved: bool) -> None:
        await asyncio.sleep(pause_s)
        if moved:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOKS_AROUND_S):
                    await self._parts.look_around()
        while self._lacks():
            await self._attempt()
            if not self._goes_on():
                return
            pause_s = min(max(2 * pause_s, AGAIN_S), limits.SEEKING_PAUSE_MAX_S)
            await asyncio.sleep(pause_s)
