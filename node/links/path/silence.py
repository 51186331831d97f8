"""Notices when a peer sends, and when it falls silent: its path may be gone, or ours to it."""

import asyncio
from collections.abc import Callable
from typing import Final

from node.net.udp.beat import Beat

_PERIOD_S: Final = 0.25
_LEAST_PERIODS: Final = 2
"""A frame now and then is no stream whose end says anything."""


class SilenceWatch:
    """Calls `flows` four times a second while data arrive, and `silent` once after each stream of
    them that has ended.

    Who only receives has nothing unacknowledged by which to notice that a mapping is lost, and who
    sends cannot call a peer whose registrars know the lost one.
    """

    def __init__(
        self,
        beat: Beat,
        loop: asyncio.AbstractEventLoop,
        flows: Callable[[], None],
        silent: Callable[[], None],
    ) -> None:
        self._beat = beat
        self._loop = loop
        self._flows = flows
        self._silent = silent
        self._has_heard = False
        self._periods = 0
        self._is_running = False

    def heard(self) -> None:
        """Data of the peer have arrived."""
        self._has_heard = True
        if not self._is_running:
            self._is_running = True
            self._periods = 0
            self._beat.set(self._look, self._loop.time() + _PERIOD_S)

    def stop(self) -> None:
        """Watch no more, until data arrive."""
        self._is_running = False
        self._beat.set(self._look, None)

    def _look(self) -> None:
        if not self._is_running:
            return
        if self._has_heard:
            self._has_heard = False
            self._periods += 1
            self._beat.set(self._look, self._loop.time() + _PERIOD_S)
            self._flows()
            return
        self._is_running = False
        if self._periods >= _LEAST_PERIODS:
            self._silent()
