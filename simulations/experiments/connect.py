"""Which pairs of peers get a link, how fast and by which path, for a mix of NAT boxes.

Each pair is drawn from the mix, joins an overlay of public nodes, registers there, and one side
calls the other; then the link is closed and the same side calls once more, now that it knows the
other. Pairs come and go while others are there. Two mixes have names:

default: Halkes and Pouwelse (UDP NAT and Firewall Puncturing in the Wild, 2010) found about 64 % of
    peers behind boxes that should allow hole punching; how the rest and the kinds of filtering
    divide is our assumption.
wide: the same in coarse, with the kinds of boxes and hosts that are met besides; all shares are our
    assumption.

`--mix` takes either name, or shares of any kinds. More pairs than one world has are spread over
further worlds with seeds of their own, on all processors.
"""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from protocol.errors import BadInput
from simulations.experiments.parts.pair_figures import Pair, data_of, draw
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import (
    PairOutcome,
    close_link,
    move_in,
    populate_publics,
    settle,
    try_link,
    watch,
)
from simulations.residents.sites import SITES
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

MIXES = {
    "default": (
        *("public=0.15", "full-cone=0.12", "restricted=0.07", "port-restricted=0.45"),
        *("symmetric=0.18", "blocked=0.03"),
    ),
    "wide": (
        *("public=0.10", "full-cone=0.08", "restricted=0.05", "port-restricted=0.25"),
        *("linux=0.07", "sequential=0.06", "symmetric=0.08", "mobile=0.04", "cgnat=0.10"),
        *("upnp=0.06", "upnp-permanent=0.02", "upnp-cgnat=0.01", "dual-stack=0.03", "ipv6=0.02"),
        *("nat64=0.01", "blocked=0.02"),
    ),
}
_NEVER_JOINED = "it never joined the overlay"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(24, "public nodes of the overlay")
    pairs: int = option(100, "pairs that try to link")
    pairs_in_world: int = option(100, "how many pairs share one world at most")
    spacing: float = option(0.5, "virtual seconds between the arrivals of two pairs")
    mix: tuple[str, ...] = option(
        ("default",), f"{' or '.join(MIXES)}, or KIND=SHARE of {', '.join(SITES)}"
    )
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Each pair for the time that it takes; worlds one beside the other."""
    parse_mix(parameters.mix)  # a mistake is told before any world is made
    parts = list(_worlds(parameters))
    results = [_run_world(parts[0])] if len(parts) == 1 else _run_beside(parts, say)
    pairs = [pair for found, _ in results for pair in found]
    hashes = [log_hash for _, log_hash in results]
    data = {"mix": " ".join(parameters.mix), "worlds": len(parts), **data_of(pairs)}
    return ExperimentReport(data, lambda figure: draw(figure, pairs), _joined(hashes))


def _worlds(parameters: Parameters) -> Iterator[Parameters]:
    """The worlds; the first has the seed that was asked for."""
    size = max(1, parameters.pairs_in_world)
    for number, first in enumerate(range(0, max(1, parameters.pairs), size)):
        other = derive_rng(parameters.seed, "world", number).getrandbits(32)
        seed = other if number else parameters.seed
        yield replace(parameters, seed=seed, pairs=min(size, parameters.pairs - first))


def _run_beside(parts: list[Parameters], say: Say) -> list[tuple[list[Pair], str]]:
    """Each world in a process, as many at a time as there are processors."""
    processes = min(len(parts), os.cpu_count() or 1)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        places = {executor.submit(_run_world, part): place for place, part in enumerate(parts)}
        found: dict[int, tuple[list[Pair], str]] = {}
        for done in as_completed(places):
            found[places[done]] = done.result()
            pairs = [pair for those, _ in found.values() for pair in those]
            linked = sum(pair.first.linked for pair in pairs)
            say(f"{len(found)} of {len(parts)} worlds: {linked} of {len(pairs)} pairs linked")
    return [found[place] for place in range(len(parts))]


def _run_world(parameters: Parameters) -> tuple[list[Pair], str]:
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        return run_virtually(_world(parameters, Path(folder)))


def _joined(hashes: list[str]) -> str:
    """The one hash of all worlds."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[: len(hashes[0])]


async def _world(parameters: Parameters, folder: Path) -> tuple[list[Pair], str]:
    shares = parse_mix(parameters.mix)
    latency = latency_of(parameters.latency_matrix, parameters.seed)
    settings = simulated_settings(streams=True)
    world = World(parameters.seed, latency=latency, settings=settings, folder=folder)
    rng = derive_rng(parameters.seed, "pairs")
    drawn = [rng.choices(list(shares), list(shares.values()), k=2) for _ in range(parameters.pairs)]
    with virtual_libraries(world.internet):
        await populate_publics(world, parameters.nodes, v6=any(SITES[kind].v6 for kind in shares))
        async with asyncio.TaskGroup() as tasks:
            tried = []
            for caller, callee in drawn:
                tried.append(tasks.create_task(_try_pair(world, caller, callee)))
                await asyncio.sleep(parameters.spacing)
        await world.close()
    return [task.result() for task in tried], world.internet.log.digest()


def parse_mix(texts: tuple[str, ...]) -> dict[str, float]:
    """The shares by kind of site; raises BadInput."""
    shares: dict[str, float] = {}
    for text in MIXES.get(texts[0], texts) if len(texts) == 1 else texts:
        kind, _, share = text.partition("=")
        try:
            shares[kind] = float(share)
        except ValueError:
            raise BadInput(f"a mix is made of KIND=SHARE, not {text!r}") from None
        if kind not in SITES:
            raise BadInput(f"no NAT box is called {kind!r}; there are {', '.join(SITES)}")
    return shares


async def _try_pair(world: World, caller_kind: str, callee_kind: str) -> Pair:
    """The whole stay of one pair. Its two calls: to a peer unknown so far, and to a known one."""
    caller, callee = (move_in(world, SITES[kind]) for kind in (caller_kind, callee_kind))
    first, again = PairOutcome("none", 0.0, _NEVER_JOINED), None
    try:
        await asyncio.gather(settle(callee), settle(caller))
    except TimeoutError:
        pass
    else:
        first, again = await _call_twice(caller, callee)
    for one in (caller, callee):
        await one.stop()
    return Pair(caller_kind, callee_kind, first, again)


async def _call_twice(
    caller: WholeResident, callee: WholeResident
) -> tuple[PairOutcome, PairOutcome | None]:
    first, link = await try_link(caller, callee)
    if link is None:
        return first, None
    first = await watch(first, link)
    await close_link(link, caller, callee)
    again, link = await try_link(caller, callee)
    return first, again
