"""Two people whose link is to last: what happens to it, and how long nothing passes meanwhile."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.links.link import Link
from protocol.errors import LinkClosed, ModswarmError
from simulations.experiments.parts import path_events as events
from simulations.experiments.parts.path_events import Event, Stage

_TYPES: Final = range(64, 96)
_FRAME: Final = bytes((0x92, _TYPES[0], 0xC5)) + (3000).to_bytes(2) + bytes(3000)
"""More than a packet carries."""
_FRAME_EACH_S: Final = 0.2
_LEAD_S: Final = 5.0
"""How long frames are sent before an event in use."""
_BUSY_S: Final = 40.0
"""How long they are sent in all."""
_AFTER_S: Final = 25.0
"""After an event of which a link without traffic was not told by it."""
_STEP_S: Final = 0.1
_REDIAL_S: Final = 0.5


def _unplug(stage: Stage) -> None:
    """Pull the callee's cable for a while, in which there is no path."""
    stage.callee.host.unplug()
    stage.world.loop.call_later(10.0, stage.callee.host.plug)


_EVENTS: Final[dict[str, Event]] = {
    "router forgets": events.reboot_router,
    "routers forget": events.reboot_both,
    "caller moves": events.move(caller=True),
    "callee moves": events.move(callee=True),
    "both move": events.move(caller=True, callee=True),
    "relay dies": events.kill_relay,
    "relay slow": events.slow_relay,
    "direct cut": events.close_direct,
    "one way forth": events.pass_forth_alone,
    "one way back": events.pass_back_alone,
    "black hole": events.limit_direct(1280),
    "checks alone": events.pass_checks_alone,
    "callee sleeps": events.sleep,
    "cable pulled": _unplug,
}


@dataclass(frozen=True, slots=True)
class Outage:
    """How long nothing passed at most around an event, while there was a path."""

    at_s: float
    pair: int
    event: str
    seconds: float
    in_use: bool
    relinked: int


@dataclass(slots=True)
class Upkeep:
    """What machines sent and received while their link was idle."""

    idle_bytes: int = 0
    idle_s: float = 0.0

    @property
    def bytes_s(self) -> float:
        """Of one machine, both directions."""
        return self.idle_bytes / self.idle_s if self.idle_s else 0.0


@dataclass(slots=True)
class LastingPair:
    """One pair, its link, and the outages so far. `rng` draws what happens and when."""

    stage: Stage
    number: int
    rng: random.Random
    each_s: float
    outages: list[Outage] = field(default_factory=list)
    upkeep: Upkeep = field(default_factory=Upkeep)
    _heard: int = 0
    _relinked: int = 0

    async def live(self, until_s: float) -> None:
        """Events at random until then; the first link is there."""
        self._listen()
        while self._now < until_s:
            await self._idle()
            await self._undergo(self.rng.choice(list(_EVENTS)), in_use=self.rng.random() < 0.5)
            self._undo()

    @property
    def _now(self) -> float:
        return self.stage.world.loop.time()

    def _listen(self) -> None:
        self.stage.ends[1].register(_TYPES, self._take)

    def _take(self, _frame: bytes) -> None:
        self._heard += 1

    async def _idle(self) -> None:
        hosts = [one.host for one in self.stage.people]
        before = sum(host.sent_bytes + host.received_bytes for host in hosts)
        seconds = self.each_s * self.rng.uniform(0.5, 1.0)
        await asyncio.sleep(seconds)
        after = sum(host.sent_bytes + host.received_bytes for host in hosts)
        self.upkeep.idle_bytes += after - before
        self.upkeep.idle_s += seconds * len(hosts)

    async def _undergo(self, name: str, *, in_use: bool) -> None:
        """One event, in the middle of traffic or a while before it."""
        at_s, relinked = self._now, self._relinked
        if not in_use:
            _EVENTS[name](self.stage)
            await asyncio.sleep(_AFTER_S)
        sending = asyncio.create_task(self._send(), name="send")
        watching = asyncio.create_task(self._longest_outage(), name="watch")
        await asyncio.sleep(_LEAD_S)
        if in_use:
            _EVENTS[name](self.stage)
        longest_s = await watching
        sending.cancel()
        await asyncio.wait([sending])
        seconds, links = round(longest_s, 2), self._relinked - relinked
        self.outages.append(Outage(at_s, self.number, name, seconds, in_use, links))

    def _undo(self) -> None:
        events.open_direct(self.stage)
        for one in self.stage.publics:
            one.host.plug()
            self.stage.world.internet.set_access(one.host, None)

    async def _longest_outage(self) -> float:
        """The longest time without a frame in _BUSY_S, as long as there is a path."""
        longest = outage = 0.0
        heard = self._heard
        for _ in range(round(_BUSY_S / _STEP_S)):
            await asyncio.sleep(_STEP_S)
            has_path = all(one.host.barred is None for one in self.stage.people)
            outage = outage + _STEP_S if has_path and heard == self._heard else 0.0
            heard = self._heard
            longest = max(longest, outage)
        return longest

    async def _send(self) -> None:
        """Frames from the caller, by a new link where the last one has ended."""
        while True:
            try:
                self.stage.ends[0].send(_FRAME)
            except LinkClosed:
                await self._link_again()
            await asyncio.sleep(_FRAME_EACH_S)

    async def _link_again(self) -> None:
        caller, callee = self.stage.people
        with contextlib.suppress(ModswarmError), caller.host.running():
            link = await caller.running_node.pool.connect(callee.identity.peer_id)
            theirs = await self._their_end()
            if theirs is not None:
                self._relinked += 1
                self.stage.ends = [link, theirs]
                self._listen()
        await asyncio.sleep(_REDIAL_S)

    async def _their_end(self) -> Link | None:
        """The callee's end of a link that is new."""
        return await their_end(self.stage, lambda link: link is not self.stage.ends[1])


async def their_end(stage: Stage, fits: Callable[[Link], bool] = lambda _: True) -> Link | None:
    """The callee's end of the link, once it is there; None if it does not come soon."""
    pool, caller_id = stage.callee.running_node.pool, stage.caller.identity.peer_id
    for _ in range(500):
        found = pool.get(caller_id)
        if found is not None and fits(found):
            return found
        await asyncio.sleep(0.01)
    return None
