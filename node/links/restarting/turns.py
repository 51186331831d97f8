"""How many restarts of one link there may be, whichever side asks for them."""

import asyncio
from collections import deque
from typing import Final

from protocol import limits

_MINUTE_S: Final = 60.0

TURN_AFTER_S: Final = _MINUTE_S / limits.LINK_RESTARTS
"""When a peer that is refused may ask again."""


class RestartTurns:
    """LINK_RESTARTS in a minute."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._taken_at: deque[float] = deque(maxlen=limits.LINK_RESTARTS)

    @property
    def left(self) -> int:
        """How many there may be now."""
        since = self._loop.time() - _MINUTE_S
        return limits.LINK_RESTARTS - sum(at > since for at in self._taken_at)

    def has_turn(self) -> bool:
        """Whether there may be one."""
        return self.left > 0

    def take(self) -> bool:
        """Whether one more is within the bound; counts it if so."""
        if not self.has_turn():
            return False
        self._taken_at.append(self._loop.time())
        return True
