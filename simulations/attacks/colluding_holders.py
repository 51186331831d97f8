"""Attackers: holders of a mod that act together, send what they are asked for in any order, and do
nothing for which an honest holder would be left.

Those of one `Ring` know of one another. Each sends good chunks for as long as it serves them all,
and then keeps what is left from the getter: by answering just before it counts as late.
"""

import asyncio
import random
from dataclasses import dataclass

from node.content.ports import LinkPort
from node.content.vault.vault import Vault
from protocol import limits
from protocol.content import frames
from protocol.errors import LinkClosed
from simulations.attacks.holders import HostileHolder

_MARGIN_S = 0.03
"""So long before it would count as late a holder answers."""

_SENT_BEFORE = 20
"""So many chunks are sent before one is held."""

_FAST_AT_S = 4.0
_SLOW_BYTES_PER_SECOND = 1e6
"""Until then holders are slow that will take over what others owe."""

_IDLE_S = 0.02
"""After so long what a holder is asked for was asked of another one before."""

_Wanted = tuple[int, int]
"""A stream and a chunk."""


@dataclass
class Ring:
    """What holders that act together know."""

    rng: random.Random
    sent: int = 0
    """The chunks that they sent in all."""
    held: int | None = None
    """The chunk that none of them sends, once they have sent enough."""
    has_turned: bool = False
    """Whether they send nothing any more."""


class RingHolder(HostileHolder):
    """Sends one chunk after another; each attacker changes the step."""

    def __init__(self, link: LinkPort, vault: Vault, ring: Ring) -> None:
        super().__init__(link, vault)
        self._ring = ring
        self._todo: dict[_Wanted, None] = {}
        self._news = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._began = self._progressed = self._now()
        self._sent = 0

    async def run(self) -> None:
        """Answer until the link closes or the task is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(super().run())

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Note what is wanted."""
        if not self._todo:
            self._progressed = self._now()
        self._todo.update(dict.fromkeys((request.stream, chunk) for chunk in request.chunks))
        self._news.set()

    async def cancelled(self, request: frames.Cancel) -> None:
        """Forget what was wanted, and confirm."""
        for wanted in [one for one in self._todo if one[0] == request.stream]:
            del self._todo[wanted]
        await super().cancelled(request)

    async def _work(self) -> None:
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._todo:
                    await self.step(next(iter(self._todo)))
        except LinkClosed:
            return

    async def step(self, wanted: _Wanted) -> None:
        """Deal with the chunk that was asked for first."""
        await self.give(wanted)

    async def give(self, wanted: _Wanted, *, good: bool = True) -> None:
        """Send a chunk, or as many other bytes, unless it was taken back meanwhile."""
        data = await self.chunk(*wanted)
        if wanted not in self._todo:
            return
        await self.send_chunk(*wanted, data if good else bytes(len(data)))
        self._todo.pop(wanted, None)
        self._sent += 1
        self._progressed = self._now()
        self._ring.sent += 1

    def lack(self) -> None:
        """Say of all that is wanted that it is not here."""
        for stream, chunk in tuple(self._todo):
            self.send(frames.Missing(stream, (chunk,)))
        self._todo.clear()

    async def until_nearly_late(self, wanted: _Wanted) -> None:
        """Wait until it would soon be late with this chunk."""
        size = len(await self.chunk(*wanted))
        in_time_s = limits.LATE_S + size / limits.LATE_BYTES_PER_SECOND
        due = self._progressed + in_time_s - _MARGIN_S
        await asyncio.sleep(max(0.0, due - self._now()))


class JustInTime(RingHolder):
    """Sends each chunk just before it would be late, so that it holds the others for long."""

    async def step(self, wanted: _Wanted) -> None:
        """Wait, then send."""
        if self._sent:
            await self.until_nearly_late(wanted)
        await self.give(wanted)


class OneChunkRound(RingHolder):
    """All send all but one chunk, which goes round: each lacks it just before it would be late."""

    lies = False

    async def step(self, wanted: _Wanted) -> None:
        """Send another one, or none."""
        ring = self._ring
        if ring.held is None and self._sent and ring.sent > _SENT_BEFORE:
            ring.held = wanted[1]
        other = next((one for one in self._todo if one[1] != ring.held), None)
        if other is not None:
            await self.give(other)
            return
        await self.until_nearly_late(wanted)
        if self.lies and wanted in self._todo:
            await self.give(wanted, good=False)
        elif wanted in self._todo:
            self.lack()


class OneLieRound(OneChunkRound):
    """The same with a lie in place of each Missing."""

    lies = True


class TakesOver(RingHolder):
    """Fast only at the end: once one is given what another holder owed all lack everything."""

    async def asked_for_chunks(self, request: frames.GetChunks) -> None:
        """Tell by the time whether these were taken from another holder."""
        was_idle = self._sent and not self._todo and self._now() - self._progressed > _IDLE_S
        if was_idle and self._now() > self._began + _FAST_AT_S:
            self._ring.has_turned = True
        await super().asked_for_chunks(request)

    async def step(self, wanted: _Wanted) -> None:
        """Send, or lack everything."""
        if self._ring.has_turned:
            self.lack()
            return
        if self._now() < self._began + _FAST_AT_S:
            await asyncio.sleep(len(await self.chunk(*wanted)) / _SLOW_BYTES_PER_SECOND)
        await self.give(wanted)


class Erratic(RingHolder):
    """Draws what it does next: sends at once or just in time, lacks all, lies, is late."""

    async def step(self, wanted: _Wanted) -> None:
        """One of these."""
        rng = self._ring.rng
        one = rng.choice(tuple(self._todo))
        what = rng.choices(("send", "in time", "lack", "lie", "late"), (60, 20, 10, 1, 2))[0]
        if what in ("in time", "lack", "lie"):
            await self.until_nearly_late(wanted)
        if what == "late":
            await asyncio.sleep(rng.uniform(0.5, 3.0))
        elif what == "lack":
            self.lack()
        elif one in self._todo:
            await self.give(one, good=what != "lie")
