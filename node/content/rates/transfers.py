"""How fast content may go now: limits of the configuration, of a schedule by the hour, of commands.

A command's limit stands before the schedule's, and that before the configuration's, until the node
ends or another command says `config`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from node.answers.rates import LimitFrom, LimitsView, LimitView
from node.content.rates.settings import DirectionSettings, RateSettings
from protocol.rates.transfer_rate import TransferRate
from protocol.texts.rates import Rate, rate_in

CONFIG: Final = "config"
"""Instead of a rate: that of the configuration and its schedule."""
_LOOK_EVERY_S: Final = 10.0
_HOUR_MIN: Final = 60
_NO_LIMITS: Final = DirectionSettings()


class Direction:
    """The limits of one direction, by default none. `minute`: which of this machine's day it is."""

    def __init__(
        self,
        settings: DirectionSettings = _NO_LIMITS,
        minute: Callable[[], int] = lambda: 0,
    ) -> None:
        self._settings = settings
        self._minute = minute
        self._commanded: Rate | str = CONFIG
        self._commanded_each: Rate | str = CONFIG
        self._now = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._rates: tuple[Rate, Rate] = (None, None)
        self.rate = TransferRate()
        self.look()

    @property
    def is_scheduled(self) -> bool:
        """Whether the limit depends on the hour."""
        return bool(self._settings.schedule)

    def command(self, all_peers: str | None, each_peer: str | None) -> None:
        """Set limits until the node ends, as `rate_in` reads them or CONFIG; None changes nothing.

        Raises BadInput, and then changes nothing either.
        """
        commanded = [None if text is None else _commanded(text) for text in (all_peers, each_peer)]
        if all_peers is not None:
            self._commanded = commanded[0]
        if each_peer is not None:
            self._commanded_each = commanded[1]
        self.look()

    def look(self) -> None:
        """Apply what holds now: call it from time to time, as hours pass and clocks are set."""
        rates = self._all_peers(), self._each_peer()
        if rates != self._rates:
            self._rates = rates
            self.rate.limit(*rates)
            self._changed.set()
            self._changed = asyncio.Event()

    async def paid(self, peer: bytes, size: int) -> None:
        """Wait until `size` bytes may go to a peer; where all are held back they take turns.

        Who waits may hold a turn of the line: one that sends nothing for LINE_LAPSE_S holds up no
        other.
        """
        while (wait_s := self.rate.peer_wait_s(peer, self._now())) > 0:
            await self._passed(wait_s)
        if not self.rate.is_limited:
            return
        async with self._turn:
            while (wait_s := self.rate.wait_s(self._now())) > 0:
                await self._passed(wait_s)
            self.rate.spend(peer, size, self._now())

    async def _passed(self, seconds: float) -> None:
        """Wait, until the limits change."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def view(self) -> LimitView:
        """What holds now, and why."""
        settings, set_by = self._settings, LimitFrom.CONFIG
        if not isinstance(self._commanded, str):
            set_by = LimitFrom.COMMAND
        elif settings.schedule.says(self._minute()):
            set_by = LimitFrom.SCHEDULE
        is_config = isinstance(self._commanded_each, str)
        each_set_by = LimitFrom.CONFIG if is_config else LimitFrom.COMMAND
        return LimitView(*self._rates, set_by, each_set_by, settings.schedule.text)

    def _all_peers(self) -> Rate:
        if not isinstance(self._commanded, str):
            return self._commanded
        settings = self._settings
        return settings.schedule.rate_at(self._minute(), otherwise=settings.all_peers)

    def _each_peer(self) -> Rate:
        commanded = self._commanded_each
        return self._settings.each_peer if isinstance(commanded, str) else commanded


class TransferLimits:
    """The limits of a node. `wall` gives seconds since 1970; the hours are of this machine."""

    def __init__(self, settings: RateSettings, wall: Callable[[], float]) -> None:
        def minute() -> int:
            told = time.localtime(wall())
            return told.tm_hour * _HOUR_MIN + told.tm_min

        self.up = Direction(settings.up, minute)
        self.down = Direction(settings.down, minute)

    async def follow_hours(self) -> None:
        """Apply the schedules as the hours pass, also after a sleep or a clock that is set."""
        while self.up.is_scheduled or self.down.is_scheduled:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.up.look()
            self.down.look()

    def command(
        self,
        *,
        up: str | None = None,
        down: str | None = None,
        up_per_peer: str | None = None,
        down_per_peer: str | None = None,
    ) -> None:
        """Set limits until the node ends; raises BadInput, and then changes nothing."""
        for text in (up, down, up_per_peer, down_per_peer):
            if text is not None:
                _commanded(text)
        self.up.command(up, up_per_peer)
        self.down.command(down, down_per_peer)

    def view(self) -> LimitsView:
        """What holds now."""
        return LimitsView(self.up.view(), self.down.view())


def _commanded(text: str) -> Rate | str:
    return CONFIG if text.strip().lower() == CONFIG else rate_in(text)
