"""How fast one sharer's mod reaches n getters over lines of given rates, against the ideal.

The ideal is the time that the bytes of the mod need on the slower of the sharer's line, shared by
all getters, and a getter's own line, as if every getter could pass on what it has. `alone_s` is the
time that it takes if none does, and the sharer sends everything to all of them.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.texts.links import link_in
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.internet.latency import UniformLatency
from simulations.internet.lines import Access
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_BITS = 8
_MEGA = 1_000_000
_PAYLOAD_SHARE = 0.94
"""Of a full IP packet, what is left for data under UDP, DTLS and SCTP."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(16, "public nodes of the overlay")
    getters: int = option(4, "nodes that fetch at once")
    megabytes: float = option(8.0, "size of the mod, in 10^6 bytes")
    up_mbps: float = option(20.0, "every line's rate towards the network, in Mbit/s")
    down_mbps: float = option(50.0, "every line's rate from the network, in Mbit/s")
    rtt_ms: float = option(50.0, "round trip between any two nodes")


PARAMETERS = Parameters


@dataclass(frozen=True, slots=True)
class _Download:
    """One getter's download."""

    seconds: float
    sources: int
    bytes_fetched: int
    lookup_s: float
    connect_s: float


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """One sharer, all getters at once."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        arrivals, log_hash = run_virtually(_world(parameters, Path(folder), say))
    times = sorted(one.seconds for one in arrivals)
    data = {
        "getters": parameters.getters,
        "bytes": int(parameters.megabytes * _MEGA),
        "p50_s": round(quantile(times, 0.5), 3),
        "last_s": round(times[-1], 3),
        "ideal_s": round(_ideal_s(parameters), 3),
        "alone_s": round(_alone_s(parameters), 3),
        "arrivals": [
            {
                "seconds": round(one.seconds, 3),
                "sources": one.sources,
                "bytes": one.bytes_fetched,
                "lookup_s": round(one.lookup_s, 3),
                "connect_s": round(one.connect_s, 3),
            }
            for one in arrivals
        ],
    }
    return ExperimentReport(data, lambda figure: _draw(figure, times, parameters), log_hash)


async def _world(parameters: Parameters, folder: Path, say: Say) -> tuple[list[_Download], str]:
    latency = UniformLatency(parameters.rtt_ms / 1000)
    world = World(parameters.seed, latency=latency, folder=folder)
    with virtual_libraries(world.internet):
        await world.populate(parameters.nodes)
        people = [_move_in(world, parameters) for _ in range(parameters.getters + 1)]
        for one in people:
            await one.start()
            await one.running.joined.wait()
        link = await _share(people[0], parameters, folder)
        say(f"{parameters.getters} getters start")
        arrivals = await asyncio.gather(
            *(_get(one, link, folder / f"out{one.number}") for one in people[1:])
        )
        await world.close()
    return list(arrivals), world.internet.log.digest()


def _move_in(world: World, parameters: Parameters) -> WholeResident:
    access = Access(
        up_bytes_s=parameters.up_mbps * _MEGA / _BITS,
        down_bytes_s=parameters.down_mbps * _MEGA / _BITS,
    )
    resident = world.add(WholeResident, host=world.internet.add_host(access=access))
    assert isinstance(resident, WholeResident)
    return resident


async def _share(sharer: WholeResident, parameters: Parameters, folder: Path) -> str:
    mod = folder / "mod"
    mod.mkdir()
    content = derive_rng(parameters.seed, "mod").randbytes(int(parameters.megabytes * _MEGA))
    (mod / "content.bin").write_bytes(content)
    with sharer.host.running():
        shared = await sharer.running_node.sharing.share(mod)
    return str(shared.link)


async def _get(getter: WholeResident, link: str, target: Path) -> _Download:
    loop = asyncio.get_running_loop()
    started = loop.time()
    with getter.host.running():
        task = getter.host.create_task(getter.running_node.sharing.get(link_in(link), target))
    report = await task
    return _Download(
        loop.time() - started,
        len(report.sources),
        report.bytes_fetched,
        (report.lookup_ms or 0.0) / 1000,
        (report.connect_ms or 0.0) / 1000,
    )


def _seconds_of(megabytes: float, mbps: float) -> float:
    """How long a line is busy with so many megabytes of a mod."""
    return megabytes * _BITS / _PAYLOAD_SHARE / mbps


def _ideal_s(parameters: Parameters) -> float:
    """The sharer sends every byte once, and the getters do the rest."""
    return max(
        _seconds_of(parameters.megabytes, parameters.up_mbps),
        _seconds_of(parameters.megabytes, parameters.down_mbps),
    )


def _alone_s(parameters: Parameters) -> float:
    """The sharer sends every byte to every getter."""
    every = parameters.getters * parameters.megabytes
    return max(_seconds_of(every, parameters.up_mbps), _ideal_s(parameters))


def _draw(figure: Any, times: list[float], parameters: Parameters) -> None:
    """How many getters have the mod over time, between the two bounds."""
    ideal_s, alone_s = _ideal_s(parameters), _alone_s(parameters)
    end_s = 1.05 * max(times[-1], alone_s)
    axes = figure.subplots()
    shares = [100 * (place + 1) / len(times) for place in range(len(times))]
    moments, heights = [0.0, *times, end_s], [0.0, *shares, shares[-1]]
    axes.step(moments, heights, where="post", label="measured", linewidth=2)
    axes.axvline(
        ideal_s, linestyle="--", color="C2", label=f"{ideal_s:.1f} s: getters pass on all they get"
    )
    axes.axvline(
        alone_s, linestyle=":", color="C3", label=f"{alone_s:.1f} s: the sharer alone sends it all"
    )
    axes.set_xlim(0, end_s)
    axes.set_xlabel("time since all getters began (virtual seconds)")
    axes.set_ylabel("getters that have the whole mod (%)")
    axes.set_title(
        f"One sharer and {parameters.getters} getters of {parameters.megabytes:g} MB, "
        f"{parameters.up_mbps:g} Mbit/s up and {parameters.down_mbps:g} down each"
    )
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center")
