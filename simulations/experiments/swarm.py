"""How fast one sharer's mod reaches many getters that come and go, against the fluid bound.

The bound (`parts/fluid`) is what no way to share can beat with the lines of those that are there.
Getters have lines of the kinds that homes have. Sessions are drawn from those of IPFS's peers, met
in the middle, and do not depend on what was fetched: who has all of the mod leaves as others do.
One that ended begins anew a while later, with what the vault had.
"""

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Final

from protocol.content.link import ModLink
from protocol.errors import ModswarmError
from simulations.experiments.parts.fluid import FluidGetter, fluid_bound_s
from simulations.experiments.parts.people import HOME_LINES, join, move_in, whole
from simulations.experiments.parts.sessions import Sessions
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.internet.latency import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.churn import CHURN_MODELS
from simulations.residents.flow_links import PAYLOAD_SHARE, flow_links
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_SHARER: Final = (20.0, 50.0)
_AWAY_S: Final = 5.0
_AGAIN_S: Final = 1.0
"""After a `get` that failed a person waits so long."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(16, "public nodes of the overlay")
    getters: int = option(200, "nodes that fetch at once")
    megabytes: float = option(20.0, "size of the mod, in 10^6 bytes")
    rtt_ms: float = option(50.0, "round trip between any two nodes")
    churn: str = option("ipfs", "the model by which sessions end, or none", ("none", *CHURN_MODELS))
    churn_times: float = option(60.0, "how many times as fast as the model's sessions end")
    links: str = option(
        "flows", "how links carry messages: as flows, or by packets", ("flows", "packets")
    )


PARAMETERS = Parameters


@dataclass(slots=True)
class _Outcome:
    """What became of the getters: when each had its copy, and when each was there."""

    seconds: list[float]
    sessions: list[Sessions]
    failed: int
    sharer_bytes: int
    log_hash: str

    @property
    def ended(self) -> int:
        """Sessions that ended before the last copy was there."""
        last_s = max(self.seconds)
        return sum(len(one.until(last_s)) - 1 for one in self.sessions)


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """One sharer, all getters at once."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        outcome = run_virtually(_world(parameters, Path(folder), say))
    times = sorted(outcome.seconds)
    bound_s = _bound_s(parameters, outcome)
    data = {
        "getters": parameters.getters,
        "bytes": int(parameters.megabytes * 1_000_000),
        "copies": len(times),
        "sessions_ended": outcome.ended,
        "gets_failed": outcome.failed,
        "p50_s": round(quantile(times, 0.5), 3),
        "p95_s": round(quantile(times, 0.95), 3),
        "last_s": round(times[-1], 3),
        "fluid_bound_s": round(bound_s, 3),
        "last_over_bound": round(times[-1] / bound_s, 3),
        "sharer_sent_copies": round(outcome.sharer_bytes / parameters.megabytes / 1e6, 2),
    }
    return ExperimentReport(data, lambda figure: _draw(figure, times, bound_s), outcome.log_hash)


def _bound_s(parameters: Parameters, outcome: _Outcome) -> float:
    """The fluid bound with the sessions as they were until all had their copy."""
    last_s = max(outcome.seconds)
    there = [one.until(last_s) for one in outcome.sessions]
    lines = zip(_lines(parameters.getters), there, strict=True)
    getters = [FluidGetter(up, down, sessions) for (up, down), sessions in lines]
    return fluid_bound_s(parameters.megabytes * 8 / PAYLOAD_SHARE, _SHARER[0], getters)


def _lines(getters: int) -> list[tuple[float, float]]:
    return [HOME_LINES[place % len(HOME_LINES)] for place in range(getters)]


async def _world(parameters: Parameters, folder: Path, say: Say) -> _Outcome:
    latency = UniformLatency(parameters.rtt_ms / 1000)
    world = World(parameters.seed, latency=latency, folder=folder)
    with virtual_libraries(world.internet), _carried(parameters, world):
        await world.populate(parameters.nodes)
        lines = [_SHARER, *_lines(parameters.getters)]
        sharer, *getters = [move_in(world, *line) for line in lines]
        await asyncio.gather(*(join(one) for one in (sharer, *getters)))
        link = await _share(sharer, parameters, folder)
        say(f"{parameters.getters} getters start")
        people = [_Person(one, link, folder, parameters) for one in getters]
        before = sharer.host.sent_bytes
        seconds = await _all_copies(people, say)
        sent = sharer.host.sent_bytes - before
        await world.close()
    failed = sum(person.failed for person in people)
    sessions = [person.sessions for person in people]
    return _Outcome(seconds, sessions, failed, sent, world.internet.log.digest())


async def _all_copies(people: list["_Person"], say: Say) -> list[float]:
    """Let all of them live until each has the mod; the seconds after which each had it."""
    async with asyncio.TaskGroup() as group:
        lives = [group.create_task(person.live()) for person in people]
        telling = group.create_task(_tell(people, say))
        seconds = await asyncio.gather(*(person.has_it for person in people))
        for task in (telling, *lives):
            task.cancel()
    return seconds


async def _tell(people: list["_Person"], say: Say) -> None:
    """Say now and then how far they are: a second of many getters takes long."""
    for seconds in itertools.count(1):
        await asyncio.sleep(1.0)
        say(f"{seconds} s: {sum(one.has_it.done() for one in people)} copies")


def _carried(parameters: Parameters, world: World) -> contextlib.AbstractContextManager[None]:
    if parameters.links == "packets":
        return contextlib.nullcontext()
    return flow_links(world.internet)


async def _share(sharer: WholeResident, parameters: Parameters, folder: Path) -> ModLink:
    mod = folder / "mod"
    mod.mkdir()
    content = derive_rng(parameters.seed, "mod").randbytes(int(parameters.megabytes * 1e6))
    (mod / "content.bin").write_bytes(content)
    with sharer.host.running():
        return (await sharer.running_node.sharing.share(mod)).link


class _Person:
    """One getter, session after session. `has_it`: the seconds after which it had the mod."""

    def __init__(
        self, resident: WholeResident, link: ModLink, folder: Path, parameters: Parameters
    ) -> None:
        self._resident = resident
        self._link = link
        self._target = folder / f"disk{resident.number}" / "out"
        self._target.parent.mkdir()  # of its own, as on a machine of its own
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self.has_it: asyncio.Future[float] = self._loop.create_future()
        self.failed = 0
        self.sessions = Sessions(
            CHURN_MODELS.get(parameters.churn),
            derive_rng(parameters.seed, "session", str(resident.number)),
            times=parameters.churn_times,
            away_s=_AWAY_S,
        )

    async def live(self) -> None:
        """Be there in all sessions, and fetch the mod until it is here."""
        for since, until in self.sessions:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._began_at + until):
                    await self._session(self._began_at + since)
            await whole(self._resident.stop())

    async def _session(self, since: float) -> None:
        if self._resident.node is None:
            await asyncio.sleep(since - self._loop.time())
            await whole(join(self._resident))
        while not self.has_it.done():
            try:
                await self._fetch()
            except ModswarmError:
                self.failed += 1
                await asyncio.sleep(_AGAIN_S)
            else:
                self.has_it.set_result(self._loop.time() - self._began_at)
                shutil.rmtree(self._target)
        await asyncio.sleep(inf)

    async def _fetch(self) -> None:
        with self._resident.host.running():
            sharing = self._resident.running_node.sharing
            task = self._resident.host.create_task(sharing.get(self._link, self._target))
        await task


def _draw(figure: Any, times: list[float], bound_s: float) -> None:
    """How many getters have the mod over time, and the fluid bound."""
    axes = figure.subplots()
    shares = [100 * (place + 1) / len(times) for place in range(len(times))]
    end_s = 1.1 * max(times[-1], 1.5 * bound_s)
    moments, heights = [0.0, *times, end_s], [0.0, *shares, shares[-1]]
    axes.step(moments, heights, where="post", linewidth=2, label="measured")
    axes.axvline(bound_s, linestyle="--", color="C2", label=f"{bound_s:.1f} s: fluid bound")
    axes.axvline(1.5 * bound_s, linestyle=":", color="C3", label="1.5 times that")
    axes.set_xlim(0, end_s)
    axes.set_xlabel("time since all began to fetch it (virtual seconds)")
    axes.set_ylabel("getters that have the whole mod (%)")
    axes.set_title(f"One sharer and {len(times)} getters with lines of homes")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper left")
