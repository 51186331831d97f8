"""Notices when a path carries far less than waits for it: a relay may pass checks and a trickle."""

import asyncio
from collections.abc import Callable
from typing import Final

from node.net.udp.beat import Beat
from protocol import limits
from protocol.sctp.association import Association

TRANSFER_WAITING_BYTES: Final = 16 * 1024
"""A transfer keeps more than this waiting on any path (see `NativeChannel.drained`)."""


class RateWatch:
    """Calls `slow` after each SLOW_PATH_S in which less than SLOW_PATH_RATE was acknowledged of
    what was to be sent, and after SUSPECT_PATH_PERIODS of these in a row with less than
    SUSPECT_PATH_RATE, which relays carry and not every line does.

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
        self._suspect_periods = 0
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
        self._suspect_periods = 0
        self._beat.set(self._look, None)

    def _look(self) -> None:
        sender = self._association.sender
        if sender is not None and sender.peer_window:
            delivered_bytes = sender.delivered_bytes - self._delivered_bytes
            waiting_bytes = min(self._backlog_bytes, sender.backlog_bytes)
            is_suspect = delivered_bytes < self._due_bytes(limits.SUSPECT_PATH_RATE, waiting_bytes)
            self._suspect_periods = self._suspect_periods + 1 if is_suspect else 0
            is_slow = delivered_bytes < self._due_bytes(limits.SLOW_PATH_RATE, waiting_bytes)
            if is_slow or self._suspect_periods >= limits.SUSPECT_PATH_PERIODS:
                self._suspect_periods = 0
                self._slow()
        self.begin()

    def _due_bytes(self, rate: float, waiting_bytes: int) -> float:
        """What goes at this rate in a period; of what waited when it began, if that was all.

        A transfer is given on as the path takes it: with so much waiting at both ends of the
        period it had more to send all the time.
        """
        goes_bytes = rate * limits.SLOW_PATH_S
        if waiting_bytes >= TRANSFER_WAITING_BYTES:
            return goes_bytes
        return min(goes_bytes, self._backlog_bytes)
