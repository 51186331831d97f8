"""Notices within seconds that this machine has other addresses, or that it slept."""

import asyncio
from collections.abc import Callable

from node.environment import Environment
from protocol import limits


class Moves:
    """Looks at the host's addresses and both clocks; `moved` is told whether the host slept.

    Some systems stop the monotonic clock during sleep, so that the wall clock runs ahead; on the
    others it is the pause between two looks that was too long.
    """

    def __init__(self, environment: Environment, moved: Callable[[bool], None]) -> None:
        self._environment = environment
        self._moved = moved

    async def run(self) -> None:
        """Look every HOST_CHECKED_S, until cancelled."""
        loop = asyncio.get_running_loop()
        hosts, wall, at = self._hosts(), self._environment.wall(), loop.time()
        while True:
            await asyncio.sleep(limits.HOST_CHECKED_S)
            now_hosts, now_wall, now = self._hosts(), self._environment.wall(), loop.time()
            late_s = max(now - at, now_wall - wall) - limits.HOST_CHECKED_S
            slept = late_s > limits.CLOCK_JUMP_S
            if slept or now_hosts != hosts:
                self._moved(slept)
            hosts, wall, at = now_hosts, now_wall, now

    def _hosts(self) -> frozenset[str]:
        return frozenset(self._environment.host_addresses())
