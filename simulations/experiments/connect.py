"""Which pairs of peers get a link, how fast and by which path, for a mix of NAT boxes.

Each pair is drawn from the mix, joins an overlay of public nodes, registers there, and one side
calls the other. The default mix: Halkes and Pouwelse (UDP NAT and Firewall Puncturing in the Wild,
2010) found about 64 % of peers behind boxes that should allow hole punching; how the rest and the
kinds of filtering divide is our assumption, and `--mix` takes any other.
"""

import asyncio
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import BadInput, ModswarmError
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import quantile
from simulations.internet.boxes.behaviour import Dependence, NatBehaviour, PortAssignment
from simulations.internet.host import Host
from simulations.libraries.seams import virtual_libraries
from simulations.residents.whole import WholeResident
from simulations.residents.world import World
from simulations.runtime.loop import run_virtually
from simulations.seeds import derive_rng

_EI = Dependence.ENDPOINT_INDEPENDENT
_AD = Dependence.ADDRESS_DEPENDENT
_APD = Dependence.ADDRESS_AND_PORT_DEPENDENT
_RANDOM = PortAssignment.RANDOM

NATS: dict[str, NatBehaviour | None] = {
    "public": None,
    "full-cone": NatBehaviour(mapping=_EI, filtering=_EI),
    "restricted": NatBehaviour(mapping=_EI, filtering=_AD),
    "port-restricted": NatBehaviour(mapping=_EI, filtering=_APD),
    "symmetric": NatBehaviour(mapping=_APD, filtering=_APD, ports=_RANDOM),
    "blocked": NatBehaviour(blocks_udp=True),
}
DEFAULT_MIX = (
    *("public=0.15", "full-cone=0.12", "restricted=0.07", "port-restricted=0.45"),
    *("symmetric=0.18", "blocked=0.03"),
)
_PUNCHABLE = {"public", "full-cone", "restricted", "port-restricted"}
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(24, "public nodes of the overlay")
    pairs: int = option(100, "pairs that try to link")
    mix: tuple[str, ...] = option(DEFAULT_MIX, f"KIND=SHARE of {', '.join(NATS)}")
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


@dataclass(frozen=True, slots=True)
class PairOutcome:
    """What came of one pair; `seconds` counts from the call to the open link."""

    caller: str
    callee: str
    linked: bool
    seconds: float
    path: str
    failure: str = ""


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """All pairs in one world, one after another."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        attempts, log_hash = run_virtually(_world(parameters, Path(folder), say))
    return ExperimentReport(_data(attempts), lambda figure: _draw(figure, attempts), log_hash)


async def _world(parameters: Parameters, folder: Path, say: Say) -> tuple[list[PairOutcome], str]:
    shares = parse_mix(parameters.mix)
    latency = latency_of(parameters.latency_matrix, parameters.seed)
    world = World(parameters.seed, latency=latency, folder=folder)
    rng = derive_rng(parameters.seed, "pairs")
    attempts = []
    with virtual_libraries(world.internet):
        await world.populate(parameters.nodes)
        for number in range(parameters.pairs):
            kinds = rng.choices(list(shares), list(shares.values()), k=2)
            attempts.append(await _attempt(world, kinds[0], kinds[1]))
            if number % 10 == 9:
                say(f"{number + 1} of {parameters.pairs} pairs")
        await world.close()
    return attempts, world.internet.log.digest()


def parse_mix(texts: tuple[str, ...]) -> dict[str, float]:
    """The shares by kind of box; raises BadInput."""
    shares: dict[str, float] = {}
    for text in texts:
        kind, _, share = text.partition("=")
        try:
            shares[kind] = float(share)
        except ValueError:
            raise BadInput(f"a mix is made of KIND=SHARE, not {text!r}") from None
        if kind not in NATS:
            raise BadInput(f"no NAT box is called {kind!r}; there are {', '.join(NATS)}")
    return shares


async def _attempt(world: World, caller_kind: str, callee_kind: str) -> PairOutcome:
    caller, callee = _move_in(world, caller_kind), _move_in(world, callee_kind)
    started = world.loop.time()
    path, failure = "none", ""
    try:
        async with asyncio.timeout(_WAIT_S):
            await _settle(callee)
            await _settle(caller)
            started = world.loop.time()
            with caller.host.running():
                link = await caller.running_node.pool.connect(callee.identity.peer_id)
            path = link.path.way
    except (ModswarmError, TimeoutError) as error:
        failure = str(error) or "it never joined the overlay"
    seconds = world.loop.time() - started
    await caller.stop()
    await callee.stop()
    return PairOutcome(caller_kind, callee_kind, path != "none", seconds, path, failure)


def _move_in(world: World, kind: str) -> WholeResident:
    """A whole node behind a box of this kind."""
    behaviour = NATS[kind]
    host: Host = world.internet.add_host(
        behind=world.internet.add_nat(behaviour) if behaviour else None
    )
    resident = world.add(WholeResident, unreachable=behaviour is not None, host=host)
    assert isinstance(resident, WholeResident)
    return resident


async def _settle(resident: WholeResident) -> None:
    await resident.start()
    await resident.running.joined.wait()
    if resident.unreachable:
        await resident.running.registrations.registered.wait()


def _data(attempts: list[PairOutcome]) -> dict[str, Any]:
    linked = [one for one in attempts if one.linked]
    times = [one.seconds for one in linked]
    punchable = [one for one in attempts if {one.caller, one.callee} <= _PUNCHABLE]
    direct = sum(one.path == "direct" for one in punchable)
    return {
        "pairs": len(attempts),
        "success": round(len(linked) / len(attempts), 4),
        "direct_of_punchable": round(direct / len(punchable), 4) if punchable else None,
        "p50_s": round(quantile(times, 0.5), 3),
        "p95_s": round(quantile(times, 0.95), 3),
        "paths": dict(Counter(one.path for one in attempts)),
        "by_nat": _by_nat(attempts),
    }


def _by_nat(attempts: list[PairOutcome]) -> list[dict[str, Any]]:
    rows = []
    for caller in NATS:
        for callee in NATS:
            cell = [one for one in attempts if (one.caller, one.callee) == (caller, callee)]
            if not cell:
                continue
            times = [one.seconds for one in cell if one.linked]
            rows.append(
                {
                    "caller": caller,
                    "callee": callee,
                    "pairs": len(cell),
                    "success": round(len(times) / len(cell), 3),
                    "p50_s": round(quantile(times, 0.5), 3) if times else None,
                    "failure": next((one.failure for one in cell if one.failure), ""),
                }
            )
    return rows


def _draw(figure: Any, attempts: list[PairOutcome]) -> None:
    """A matrix: caller's box by callee's box, coloured by success, with the median time."""
    axes = figure.subplots()
    kinds = list(NATS)
    grid = [[float("nan")] * len(kinds) for _ in kinds]
    for row in _by_nat(attempts):
        y, x = kinds.index(row["caller"]), kinds.index(row["callee"])
        grid[y][x] = 100 * row["success"]
        linked = round(row["success"] * row["pairs"])
        timed = f"\n{row['p50_s']:.2f} s" if row["p50_s"] is not None else ""
        axes.text(x, y, f"{linked} of {row['pairs']}{timed}", ha="center", va="center", fontsize=9)
    image = axes.imshow(grid, vmin=0, vmax=100, cmap="RdYlGn", alpha=0.6, aspect="auto")
    labels = [f"{kind}\n(no box)" if NATS[kind] is None else kind for kind in kinds]
    axes.set_xticks(range(len(kinds)), labels)
    axes.set_yticks(range(len(kinds)), labels)
    axes.set_xlabel("NAT box of the callee")
    axes.set_ylabel("NAT box of the caller")
    linked = sum(one.linked for one in attempts)
    axes.set_title(
        f"{linked} of {len(attempts)} pairs got a link; below, how many of each kind did, and\n"
        "the median time to the link in virtual seconds (white: no such pair was drawn)"
    )
    figure.colorbar(image, label="pairs that got a link (%)")
