"""A path in doubt: whether it is gone, and restarts of ICE until the peer answers again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from node.links.path.ice import IcePath
from node.links.restarting.parts import RestartParts
from protocol.description import IceCandidate
from protocol.identity import PeerId, peer_id_text

ROUND_TRIP_S: Final = 0.2
"""Of a path that has none measured."""

_PAUSE_S: Final = 1.0
"""Before another restart, when one has failed; then twice as long each time."""

_LOOKED_EACH_S: Final = 0.5
"""A pause ends so soon after this machine has got other addresses."""

_MOVED_ROUND_TRIPS: Final = 1.5
_SILENT_ROUND_TRIPS: Final = 3.0
_SILENT_S: Final = 0.2
"""How long an answer to the consent check is waited for: if contacts see this node elsewhere than
the peer was told, and otherwise, where a loss may be all there is to it."""


class Mending:
    """Of one link. `restart` restarts its ICE, if it may; `told` are the addresses of ours that the
    peer knows.
    """

    def __init__(
        self,
        parts: RestartParts,
        peer_id: PeerId,
        ice: IcePath,
        told: Callable[[], tuple[IceCandidate, ...]],
        restart: Callable[[], Awaitable[None]],
    ) -> None:
        self._parts = parts
        self._name = peer_id_text(peer_id)
        self._ice = ice
        self._told = told
        self._restart = restart
        self._loop = asyncio.get_running_loop()

    async def run(self, doubted_at: float) -> None:
        """Until the peer answers again, or consent has run out and ended the path.

        The network may have come only after the last try, so it is looked at before each.
        """
        pause_s = _PAUSE_S
        await self._wait_for_answer(doubted_at)
        while self._is_silent(doubted_at):
            if not self._ice.carries_since(doubted_at):
                await self._restart()
            if self._is_silent(doubted_at):
                await self._pause(pause_s)
                await self._look_around(self._silent_s)
                pause_s *= 2

    def _is_silent(self, doubted_at: float) -> bool:
        return self._ice.agent.answered_at <= doubted_at and not self._ice.ended

    @property
    def _silent_s(self) -> float:
        return _SILENT_ROUND_TRIPS * (self._ice.round_trip_s or ROUND_TRIP_S) + _SILENT_S

    async def _wait_for_answer(self, doubted_at: float) -> None:
        """Give the peer the time that its answer takes, and learn where contacts see us by now."""
        limit_s = self._silent_s
        await self._look_around(limit_s)
        if self._parts.paths.named_candidates() != self._told():
            limit_s = _MOVED_ROUND_TRIPS * (self._ice.round_trip_s or ROUND_TRIP_S)
        await asyncio.sleep(max(0.0, doubted_at + limit_s - self._loop.time()))

    async def _look_around(self, limit_s: float) -> None:
        looking = self._parts.tasks.start(self._parts.look_around(), name=self._name)
        await asyncio.wait([looking], timeout=limit_s)
        looking.cancel()

    async def _pause(self, pause_s: float) -> None:
        """Wait, but no longer than until this machine has other addresses."""
        hosts = self._parts.paths.host_addresses
        before = set(hosts())
        for _ in range(round(pause_s / _LOOKED_EACH_S)):
            await asyncio.sleep(_LOOKED_EACH_S)
            if set(hosts()) != before:
                return
