"""How long a transfer stalls when the path of its link dies, changes or gets better.

Each scenario is a world of its own: public nodes, and two people's nodes between which a transfer
runs. In its middle one thing happens (a relay dies, a router forgets, a machine changes networks),
and the transfer is to go on: every byte once, in order, with a stall below the scenario's goal.

A stall is the longest time without a byte at the receiver, from the event on.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.links.link import Link
from protocol.errors import BadInput
from simulations.experiments.parts.path_events import Stage
from simulations.experiments.parts.path_figures import Outcome, draw, row_of, table
from simulations.experiments.parts.path_scenarios import SCENARIOS, Scenario
from simulations.experiments.parts.path_transfer import Transfer
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.internet import UniformLatency
from simulations.internet.lines import Access
from simulations.libraries.seams import virtual_libraries
from simulations.residents.pairs import move_in, populate_publics, settle, try_link
from simulations.residents.sites import Site
from simulations.residents.whole import WholeResident
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

ALL = "all"
_OPENED_S = 5.0
"""Within this the callee has its end of a link, too."""
_LOOKED_EACH_S = 0.01


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    scenarios: tuple[str, ...] = option((ALL,), f"{ALL}, or some of {', '.join(SCENARIOS)}")
    nodes: int = option(12, "public nodes of the overlay")
    mb_s: float = option(0.8, "the rate of either line, in MB/s")
    rtt_ms: float = option(50.0, "round trip between any two places")
    before_s: float = option(6.0, "virtual seconds of the transfer before the event")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Every scenario in a world of its own."""
    outcomes, hashes = [], []
    for name in named(parameters.scenarios):
        outcome, log_hash = run_scenario(name, parameters)
        outcomes.append(outcome)
        hashes.append(log_hash)
        say(table([outcome]))
    rows = [row_of(one) for one in outcomes]
    data: dict[str, Any] = {
        "mb_s": parameters.mb_s,
        "rtt_ms": parameters.rtt_ms,
        "cipher": parameters.cipher,
        "met": sum(row["met"] for row in rows),
        "of": len(rows),
        "scenarios": rows,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    return ExperimentReport(data, lambda figure: draw(figure, outcomes), combined)


def named(names: tuple[str, ...]) -> list[str]:
    """The scenarios of these names; raises BadInput."""
    if names == (ALL,):
        return list(SCENARIOS)
    for name in names:
        if name not in SCENARIOS:
            raise BadInput(f"no scenario is called {name!r}; there are {', '.join(SCENARIOS)}")
    return list(names)


def run_scenario(name: str, parameters: Parameters) -> tuple[Outcome, str]:
    """What came of one scenario, and the hash of its history."""
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        return run_virtually(_world(name, parameters, Path(folder)))


async def _world(name: str, parameters: Parameters, folder: Path) -> tuple[Outcome, str]:
    settings = simulated_settings(cipher=cipher_named(parameters.cipher))
    latency = UniformLatency(parameters.rtt_ms / 1000)
    world = World(parameters.seed, latency=latency, settings=settings, folder=folder)
    scenario = SCENARIOS[name]
    with virtual_libraries(world.internet):
        publics = await populate_publics(world, parameters.nodes, v6=scenario.v6)
        caller, callee = (_moved_in(world, site, parameters) for site in scenario.sites)
        stage = Stage(world, publics, caller, callee)
        outcome = await _perform(name, scenario, stage, parameters)
        await world.close()
    return outcome, world.internet.log.digest()


def _moved_in(world: World, site: Site, parameters: Parameters) -> WholeResident:
    person, rate = move_in(world, site), parameters.mb_s * 1_000_000
    world.internet.set_access(person.host, Access(up_bytes_s=rate, down_bytes_s=rate))
    return person


async def _perform(name: str, scenario: Scenario, stage: Stage, parameters: Parameters) -> Outcome:
    """The call, the transfer, and the event in its middle."""
    await asyncio.gather(*map(settle, stage.people))
    scenario.before(stage)
    told, link = await try_link(stage.caller, stage.callee)
    event_s, end_s = parameters.before_s, parameters.before_s + scenario.lasts_s
    outcome = Outcome(name, scenario, event_s, end_s, parameters.mb_s * 1_000_000)
    theirs = await _their_end(stage) if link is not None else None
    if link is None or theirs is None:
        outcome.trace.lost = told.failure or "the callee never had its end of the link"
        return outcome
    stage.ends = [link, theirs]
    rng = derive_rng(parameters.seed, "transfer", name)
    transfer = Transfer(stage.caller, (link, theirs), rng, scenario.bytes_s)
    outcome.trace = transfer.trace
    ended = asyncio.Event()
    running = asyncio.create_task(transfer.run(ended), name="transfer")
    await asyncio.sleep(event_s)
    scenario.event(stage)
    await asyncio.wait([running], timeout=scenario.lasts_s)
    ended.set()
    await running
    return outcome


async def _their_end(stage: Stage) -> Link | None:
    """The callee's end of the link, or None."""
    pool, caller_id = stage.callee.running_node.pool, stage.caller.identity.peer_id
    for _ in range(round(_OPENED_S / _LOOKED_EACH_S)):
        if (found := pool.get(caller_id)) is not None:
            return found
        await asyncio.sleep(_LOOKED_EACH_S)
    return None
