"""Notices when a path carries far less than waits for it: a relay may pass checks and a trickle."""

import asyncio
from collections.abc import Callable

from node.net.udp.beat import Beat
from protocol import limits
from protocol.sctp.association import Association


class RateWatch:
    """Calls `slow` after each SLOW_PATH_S in which little was acknowledged of what was to be sent.

    A peer that has no room for more is no fault of the path.
    """

    def __init__(
        self,
        beat: Beat,
        loop: asyncio.AbstractEventLoop,
        association: Association,
        slow: Callable[[], None],
    ) -> None:
        self._beat = beat
        self._loop = loop
        self._association = association
        self._slow = slow
        self._delivered_bytes = 0
        self._backlog_bytes = 0
        self.is_running = False

    def begin(self) -> None:
        """Look until all that is to be sent has been acknowledged."""
        sender = self._association.sender
        self.is_running = sender is not None and not sender.idle
        if sender is not None and self.is_running:
            self._delivered_bytes = sender.delivered_bytes
            self._backlog_bytes = sender.backlog_bytes
            self._beat.set(self._look, self._loop.time() + limits.SLOW_PATH_S)

    def stop(self) -> None:
        """Look no more."""
        self.is_running = False
        self._beat.set(self._look, None)

    def _look(self) -> None:
        sender = self._association.sender
        if sender is not None and sender.peer_window:
            due_bytes = min(limits.SLOW_PATH_RATE * limits.SLOW_PATH_S, self._backlog_bytes)
            if sender.delivered_bytes - self._delivered_bytes < due_bytes:
                self._slow()
        self.begin()
