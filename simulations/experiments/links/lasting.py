"""Whether links last a day through everything that can happen to their paths, at what upkeep.

A few pairs of people keep a link each. Most of the time it is idle; from time to time something
happens: a router forgets, a machine changes networks or sleeps, a relay dies, a direct path is cut
or swallows what is large. Half of the events come in the middle of traffic, the others before it.
An outage is the longest time without a frame around an event, while both machines are there, and
so a path is: relays are many. A link that ended is made anew by the application.
"""

import asyncio
import gc
import tempfile
import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulations.experiments.parts.lasting_pair import LastingPair, Outage, their_end
from simulations.experiments.parts.path_events import Stage
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean, quantile
from simulations.internet import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in, populate_publics, settle, try_link
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

GOAL_S = 5.0
_HOUR_S = 3600.0
_SITES = ("port-restricted", "symmetric", "ipv6")
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(12, "public nodes of the overlay")
    pairs: int = option(3, "pairs that keep a link")
    hours: float = option(24.0, "virtual hours")
    each_s: float = option(180.0, "virtual seconds between two events of a pair, at most")
    samples: int = option(24, "how often memory is looked at")
    trace: bool = option(False, "count bytes by tracemalloc besides objects, several times slower")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))


PARAMETERS = Parameters


@dataclass(frozen=True, slots=True)
class Memory:
    """What Python keeps at a time, after its collector ran; `kib` is 0 unless it is traced."""

    at_s: float
    objects: int
    kib: int


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """One world, in which all pairs live."""
    if parameters.trace:
        tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
            pairs, memory, log_hash = run_virtually(_world(parameters, Path(folder), say))
    finally:
        tracemalloc.stop()
    outages = [outage for pair in pairs for outage in pair.outages]
    data = _data(parameters, pairs, outages, memory)
    return ExperimentReport(data, lambda figure: _draw(figure, outages, memory), log_hash)


async def _world(
    parameters: Parameters, folder: Path, say: Say
) -> tuple[list[LastingPair], list[Memory], str]:
    settings = simulated_settings(cipher=cipher_named(parameters.cipher))
    world = World(parameters.seed, latency=UniformLatency(0.05), settings=settings, folder=folder)
    with virtual_libraries(world.internet):
        publics = await populate_publics(world, parameters.nodes, v6=True)
        pairs = [await _linked(world, publics, parameters, n) for n in range(parameters.pairs)]
        ends_at_s = world.loop.time() + parameters.hours * _HOUR_S
        memory: list[Memory] = []
        async with asyncio.TaskGroup() as tasks:
            for pair in pairs:
                tasks.create_task(pair.live(ends_at_s))
            for number in range(parameters.samples):
                left_s = ends_at_s - world.loop.time()
                await asyncio.sleep(left_s / (parameters.samples - number))
                memory.append(_sample(world))
                say(_progress(memory[-1], pairs))
        await world.close()
    return pairs, memory, world.internet.log.digest()


async def _linked(
    world: World, publics: list[WholeResident], parameters: Parameters, number: int
) -> LastingPair:
    site = SITES[_SITES[number % len(_SITES)]]
    caller, callee = (move_in(world, site) for _ in range(2))
    await asyncio.gather(settle(caller), settle(callee))
    outcome, link = await try_link(caller, callee)
    stage = Stage(world, publics, caller, callee)
    theirs = await their_end(stage)
    assert link is not None, outcome.failure
    assert theirs is not None, "the callee never had its end"
    stage.ends = [link, theirs]
    rng = derive_rng(parameters.seed, "lasting", number)
    return LastingPair(stage, number, rng, parameters.each_s)


def _sample(world: World) -> Memory:
    world.internet.sockets.forget_destinations()
    gc.collect()
    kib = tracemalloc.get_traced_memory()[0] // _KIB if tracemalloc.is_tracing() else 0
    return Memory(round(world.loop.time(), 1), len(gc.get_objects()), kib)


def _progress(memory: Memory, pairs: Sequence[LastingPair]) -> str:
    outages = [outage for pair in pairs for outage in pair.outages]
    worst = max((one.seconds for one in outages), default=0.0)
    hours = memory.at_s / _HOUR_S
    return f"{hours:.1f} h: {len(outages)} events, worst {worst} s, {memory.objects} objects"


def _data(
    parameters: Parameters,
    pairs: Sequence[LastingPair],
    outages: Sequence[Outage],
    memory: Sequence[Memory],
) -> dict[str, Any]:
    seconds = [one.seconds for one in outages]
    too_long = [one for one in outages if one.seconds > GOAL_S]
    return {
        "hours": parameters.hours,
        "pairs": parameters.pairs,
        "cipher": parameters.cipher,
        "events": len(outages),
        "goal_s": GOAL_S,
        "met": not too_long,
        "outage_p50_s": quantile(seconds, 0.5),
        "outage_p99_s": quantile(seconds, 0.99),
        "outage_max_s": max(seconds, default=0.0),
        "too_long": [asdict(one) for one in too_long],
        "relinked": sum(one.relinked for one in outages),
        "upkeep_bytes_s": round(mean([pair.upkeep.bytes_s for pair in pairs]), 1),
        "memory": [asdict(one) for one in memory],
        "growth": round(growth(memory), 4),
        "by_event": _by_event(outages),
    }


def growth(memory: Sequence[Memory]) -> float:
    """By which share the objects of the last quarter are more than those of the second one."""
    quarter = len(memory) // 4
    if not quarter:
        return 0.0
    early = mean([one.objects for one in memory[quarter : 2 * quarter]])
    late = mean([one.objects for one in memory[-quarter:]])
    return late / early - 1


def _by_event(outages: Sequence[Outage]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in sorted({one.event for one in outages}):
        those = [one for one in outages if one.event == name]
        found[name] = {
            "events": len(those),
            "max_s": max(one.seconds for one in those),
            "relinked": sum(one.relinked for one in those),
        }
    return found


def _draw(figure: Any, outages: Sequence[Outage], memory: Sequence[Memory]) -> None:
    """Each outage at its time, by kind of event, and below what memory was in use."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    names = sorted({one.event for one in outages})
    for place, name in enumerate(names):
        those = [one for one in outages if one.event == name]
        hours = [one.at_s / _HOUR_S for one in those]
        marker = "osD^v<>"[place % 7]
        upper.plot(hours, [one.seconds for one in those], marker, ms=4, label=name, ls="none")
    upper.axhline(GOAL_S, color="red", ls="--", lw=1.0)
    upper.set_ylabel("longest outage (virtual seconds)")
    upper.set_title(f"{len(outages)} events; the goal is below the dashed line")
    upper.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    upper.grid(visible=True, alpha=0.3)
    lower.plot([one.at_s / _HOUR_S for one in memory], [one.objects / 1000 for one in memory])
    lower.set_ylim(0, 1.2 * max((one.objects / 1000 for one in memory), default=1.0))
    lower.set_ylabel("1000 objects")
    lower.set_xlabel("virtual hours")
    lower.grid(visible=True, alpha=0.3)
