"""How fast one sharer's mod reaches many getters that come and go, against the fluid bound.

The bound is what no way to share can beat (Kumar and Ross 2006): the longest of the time in which
the sharer's line sends the mod once, of that in which the slowest line takes it, and of that in
which all lines that send, the sharer's among them, send it to everybody. Getters have lines of the
kinds that homes have. Sessions end as those of IPFS's peers do, met in the middle; one that ended
begins anew a while later, and the getter goes on with what it had.
"""

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.content.link import ModLink
from protocol.errors import ModswarmError
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.internet.latency import UniformLatency
from simulations.internet.lines import Access
from simulations.libraries.seams import virtual_libraries
from simulations.residents.churn import CHURN_MODELS
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_MEGABIT: Final = 1_000_000 / 8
_PAYLOAD_SHARE: Final = 0.94
"""Of a full IP packet, what is left for data under UDP, DTLS and SCTP."""
_LINES: Final = ((5.0, 20.0), (10.0, 50.0), (20.0, 100.0), (50.0, 50.0))
"""Mbit/s up and down of the getters' lines, in equal numbers."""
_SHARER: Final = (20.0, 50.0)
_AWAY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(16, "public nodes of the overlay")
    getters: int = option(200, "nodes that fetch at once")
    megabytes: float = option(4.0, "size of the mod, in 10^6 bytes")
    rtt_ms: float = option(50.0, "round trip between any two nodes")
    churn: str = option("ipfs", "the model by which sessions end, or none")


PARAMETERS = Parameters


@dataclass(slots=True)
class _Outcome:
    """What became of the getters: the seconds of each copy, and what the sharer sent."""

    seconds: list[float]
    sessions_ended: int
    sharer_bytes: int
    log_hash: str


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """One sharer, all getters at once."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        outcome = run_virtually(_world(parameters, Path(folder), say))
    times = sorted(outcome.seconds)
    bound_s = fluid_bound_s(parameters.megabytes, _SHARER[0], _lines(parameters.getters))
    data = {
        "getters": parameters.getters,
        "bytes": int(parameters.megabytes * 1_000_000),
        "copies": len(times),
        "sessions_ended": outcome.sessions_ended,
        "p50_s": round(quantile(times, 0.5), 3),
        "p95_s": round(quantile(times, 0.95), 3),
        "last_s": round(times[-1], 3),
        "fluid_bound_s": round(bound_s, 3),
        "last_over_bound": round(times[-1] / bound_s, 3),
        "sharer_sent_copies": round(outcome.sharer_bytes / parameters.megabytes / 1e6, 2),
    }
    return ExperimentReport(data, lambda figure: _draw(figure, times, bound_s), outcome.log_hash)


def fluid_bound_s(megabytes: float, sharer_up: float, lines: list[tuple[float, float]]) -> float:
    """The least time in which all can have a mod; lines are Mbit/s up and down."""
    megabits = megabytes * 8 / _PAYLOAD_SHARE
    all_up = sharer_up + sum(up for up, _ in lines)
    return max(
        megabits / sharer_up,
        megabits / min(down for _, down in lines),
        len(lines) * megabits / all_up,
    )


def _lines(getters: int) -> list[tuple[float, float]]:
    return [_LINES[place % len(_LINES)] for place in range(getters)]


async def _world(parameters: Parameters, folder: Path, say: Say) -> _Outcome:
    latency = UniformLatency(parameters.rtt_ms / 1000)
    world = World(parameters.seed, latency=latency, folder=folder)
    with virtual_libraries(world.internet):
        await world.populate(parameters.nodes)
        lines = [_SHARER, *_lines(parameters.getters)]
        sharer, *getters = [_move_in(world, *line) for line in lines]
        await asyncio.gather(*(_join(one) for one in (sharer, *getters)))
        link = await _share(sharer, parameters, folder)
        say(f"{parameters.getters} getters start")
        people = [_Person(one, link, folder, parameters) for one in getters]
        seconds = await asyncio.gather(*(person.get() for person in people))
        sent = sum(one.bytes_sent for one in sharer.running_node.pool.links())
        await world.close()
    ended = sum(person.ended for person in people)
    return _Outcome(list(seconds), ended, sent, world.internet.log.digest())


async def _join(one: WholeResident) -> None:
    await one.start()
    await one.running.joined.wait()


def _move_in(world: World, up: float, down: float) -> WholeResident:
    access = Access(up_bytes_s=up * _MEGABIT, down_bytes_s=down * _MEGABIT)
    resident = world.add(WholeResident, host=world.internet.add_host(access=access))
    assert isinstance(resident, WholeResident)
    return resident


async def _share(sharer: WholeResident, parameters: Parameters, folder: Path) -> ModLink:
    mod = folder / "mod"
    mod.mkdir()
    content = derive_rng(parameters.seed, "mod").randbytes(int(parameters.megabytes * 1e6))
    (mod / "content.bin").write_bytes(content)
    with sharer.host.running():
        return (await sharer.running_node.sharing.share(mod)).link


class _Person:
    """One getter, session after session. `ended` counts those that ended before it had all."""

    def __init__(
        self, resident: WholeResident, link: ModLink, folder: Path, parameters: Parameters
    ) -> None:
        self._resident = resident
        self._link = link
        self._target = folder / f"out{resident.number}"
        self._model = CHURN_MODELS.get(parameters.churn)
        self._rng = derive_rng(parameters.seed, "session", str(resident.number))
        self.ended = 0

    async def get(self) -> float:
        """Fetch the mod; the seconds for which this node was there."""
        loop = asyncio.get_running_loop()
        there_s, session_s = 0.0, None
        if self._model is not None:
            session_s = self._model.up.remaining_s(self._rng)
        while True:
            started = loop.time()
            with contextlib.suppress(TimeoutError, ModswarmError):
                async with asyncio.timeout(session_s):
                    await self._fetch()
                    return there_s + loop.time() - started
            there_s += loop.time() - started
            self.ended += 1
            await self._resident.stop()
            await asyncio.sleep(_AWAY_S)
            await _join(self._resident)
            session_s = None if self._model is None else self._model.up.draw_s(self._rng)

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
    axes.set_xlabel("time for which a getter was there (virtual seconds)")
    axes.set_ylabel("getters that have the whole mod (%)")
    axes.set_title(f"One sharer and {len(times)} getters with lines of homes")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="upper left")
