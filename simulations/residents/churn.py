"""How long nodes stay and stay away, and a driver that makes residents come and go accordingly.

Sessions and absences are drawn from Weibull distributions, whose shape below 1 says that a node
that has stayed long stays longer. A network is observed in the middle of all periods, so the first
period of each resident is drawn as what is left of one that is under way (the renewal process's
stationary distribution, Cox 1962, 5.2).
"""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from simulations.residents.world import Resident
from simulations.seeds import derive_rng

_HOUR_S: Final = 3600.0
_MINUTE_S: Final = 60.0
_HEADER_BYTES: Final = 28
"""IPv4 and UDP."""


@dataclass(frozen=True, slots=True)
class Weibull:
    """Lengths of periods, in seconds."""

    shape: float
    scale_s: float

    @property
    def mean_s(self) -> float:
        """The mean length."""
        return self.scale_s * math.gamma(1 + 1 / self.shape)

    def draw_s(self, rng: random.Random) -> float:
        """The length of a period that begins now."""
        return rng.weibullvariate(self.scale_s, self.shape)

    def remaining_s(self, rng: random.Random) -> float:
        """What is left of a period met at a random time.

        Long periods are met more often: (length / scale)**shape of those met follows a gamma
        distribution of 1 + 1 / shape. Where in it they are met is uniform.
        """
        scaled: float = rng.gammavariate(1 + 1 / self.shape, 1.0) ** (1 / self.shape)
        return rng.random() * self.scale_s * scaled


@dataclass(frozen=True, slots=True)
class ChurnModel:
    """How a population comes and goes: lengths of sessions and absences."""

    up: Weibull
    down: Weibull

    @property
    def availability(self) -> float:
        """The share of time that a node is there, in the long run."""
        return self.up.mean_s / (self.up.mean_s + self.down.mean_s)


CHURN_MODELS: Final = {
    # IPFS: its sessions; how long its peers stay away has no such figure, and is taken to be alike.
    "ipfs": ChurnModel(Weibull(0.61, 3.66 * _HOUR_S), Weibull(0.61, 3.66 * _HOUR_S)),
    # KAD: both periods as fitted by Steiner, En-Najjary and Biersack (IEEE/ACM ToN 17(5), 2009).
    "kad": ChurnModel(Weibull(0.615, 169.5 * _MINUTE_S), Weibull(0.476, 413.7 * _MINUTE_S)),
}


@dataclass(slots=True)
class ChurningResident(Resident):
    """A resident that comes and goes, and adds up its presence and traffic over all its sessions.

    Traffic is what its sockets sent and received, with the headers of IPv4 and UDP. `joins_s` has
    one entry for each session long enough to join in it: how long joining took.
    """

    joins_s: list[float] = field(default_factory=list)
    starts: int = 0
    _present_since: float | None = None
    _past_s: float = 0.0
    _past_bytes: int = 0

    async def start(self) -> None:
        """See Resident."""
        self.starts += 1
        self._present_since = self.world.loop.time()
        await Resident.start(self)

    async def stop(self) -> None:
        """See Resident."""
        self._end_session()
        await Resident.stop(self)

    def crash(self) -> None:
        """See Resident."""
        self._end_session()
        Resident.crash(self)

    @property
    def present_s(self) -> float:
        """Virtual seconds for which its node has run so far."""
        if self._present_since is None:
            return self._past_s
        return self._past_s + self.world.loop.time() - self._present_since

    @property
    def traffic_bytes(self) -> int:
        """Bytes in both directions so far."""
        return self._past_bytes + self._session_bytes()

    @property
    def has_joined(self) -> bool:
        """Whether its node runs and is in the overlay."""
        return self.membership is not None and self.membership.joined.is_set()

    def _session_bytes(self) -> int:
        if self.membership is None:
            return 0
        counters = self.membership.server.counters
        datagrams = counters.datagrams_sent + counters.datagrams_received
        return counters.bytes_sent + counters.bytes_received + _HEADER_BYTES * datagrams

    def _end_session(self) -> None:
        """Book the session that runs, before its node is gone."""
        if self._present_since is None or self.membership is None:
            return
        self._past_s = self.present_s
        self._past_bytes = self.traffic_bytes
        if self.membership.joining.joined_at is not None:
            self.joins_s.append(self.membership.joining.joined_at - self._present_since)
        self._present_since = None


class Churn:
    """Makes residents come and go by a model; `crashes` is the share of silent departures.

    A departure in order stops the node; a crash tells no peer. In both cases the resident keeps its
    identity, its address and the contacts that the node knew, and starts with them again.
    """

    def __init__(self, model: ChurnModel, *, crashes: float, seed: int) -> None:
        self._model = model
        self._crashes = crashes
        self._seed = seed
        self.crashed = 0
        self.stopped = 0
        self._defects: list[BaseException] = []

    async def run(self, residents: Sequence[Resident]) -> None:
        """Let each come and go until this is cancelled. All of them run at the beginning.

        Must not run on any host, as a host's own tasks die with it.
        """
        async with asyncio.TaskGroup() as group:
            for resident in residents:
                group.create_task(self._live(resident), name=f"churn of {resident.number}")

    def check(self) -> None:
        """Raise what went wrong in nodes that have left, as `World.close` does for the others."""
        if self._defects:
            raise BaseExceptionGroup("nodes had defects", self._defects)

    async def _live(self, resident: Resident) -> None:
        rng = derive_rng(self._seed, "habits", resident.number)
        is_up = rng.random() < self._model.availability
        if not is_up:
            await self._leave(resident, rng)
        await asyncio.sleep(self._period(is_up).remaining_s(rng))
        while True:
            if is_up:
                await self._leave(resident, rng)
            else:
                await resident.start()
            is_up = not is_up
            await asyncio.sleep(self._period(is_up).draw_s(rng))

    def _period(self, is_up: bool) -> Weibull:
        return self._model.up if is_up else self._model.down

    async def _leave(self, resident: Resident, rng: random.Random) -> None:
        self._defects += resident.defects
        if rng.random() < self._crashes:
            self.crashed += 1
            resident.crash()
        else:
            self.stopped += 1
            await resident.stop()
