"""How many lookups succeed when a share of all nodes misleads them (S/Kademlia's figure 4).

Twice: in S/Kademlia's abstract network (`simulations.experiments.parts.abstract_network`), and with
the real lookup among real nodes. There a share of the nodes starts to collude once all tables are
full and all records are stored: a colluding node answers lookups with the colluding nodes nearest
to the target alone, and keeps no records. With `--attack hide` half of the contacts that it names
are the true nearest, at an address that no host has. A lookup succeeds if it finds the honest node
whose id it looks up; a read, if it finds a record that was stored before the attack. Only honest
nodes look up.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from protocol import limits, records
from protocol.errors import RemoteError
from protocol.overlay.contacts import Contact
from protocol.overlay.lookup_steps import LookupRules
from protocol.overlay.messages import Found
from protocol.records import ProviderBody
from simulations.attacks.attackers import ColludingNode, Collusion
from simulations.experiments.parts.abstract_network import StaticNetwork, endure
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean
from simulations.internet.host import Host
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_SETTLE_S = 30.0
_RECORDS = 100
_AT_ONCE = 40
_STEP = 0.05
_STEPS = 19


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(1000, "real nodes; 0 leaves the real lookup out")
    graph_nodes: int = option(10_000, "nodes of the abstract network; 0 leaves it out")
    adversaries: tuple[float, ...] = option(
        tuple(round(step * _STEP, 2) for step in range(_STEPS)), "shares of adversarial nodes"
    )
    paths: tuple[int, ...] = option((1, 2, 4, 8), "numbers of disjoint paths")
    k: int = option(limits.K, "contacts in a bucket")
    lookups: int = option(100, "real lookups, and as many reads, for each point")
    graph_lookups: int = option(6000, "abstract lookups for each number of paths")
    attack: str = option(
        "mislead",
        "what adversaries do: mislead, or also hide true neighbours at a dead address",
        ("mislead", "hide"),
    )
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Both kinds of points, the abstract ones first."""
    points: list[dict[str, Any]] = []
    hashes: list[str] = []
    if parameters.graph_nodes:
        points += _graph_points(parameters)
        say(f"abstract network of {parameters.graph_nodes} nodes: done")
    if parameters.nodes:
        real, log_hash = run_virtually(_Real(parameters, say).run())
        points += real
        hashes.append(log_hash)
    data = {"cipher": parameters.cipher, "attack": parameters.attack, "points": points}
    return ExperimentReport(
        data, lambda figure: _draw(figure, parameters, points), f"{derive_seed(0, *hashes):016x}"
    )


# The abstract network ---------------------------------------------------------------------------


def _graph_points(parameters: Parameters) -> list[dict[str, Any]]:
    seed, k = parameters.seed, parameters.k
    network = StaticNetwork(parameters.graph_nodes, k, derive_rng(seed, "abstract network"))
    points = []
    for d in parameters.paths:
        rng = derive_rng(seed, "abstract lookups", d)
        endurance = endure(network, d, parameters.graph_lookups, rng)
        points += [
            {
                "kind": "graph",
                "k": k,
                "d": d,
                "adversaries": share,
                "success": round(endurance.success(share), 4),
                "lookups": parameters.graph_lookups,
                "mean_path": round(endurance.mean_path, 3),
            }
            for share in parameters.adversaries
        ]
    return points


# The real lookup ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one lookup or read came to."""

    success: bool
    requests: int
    seconds: float


_Trial = tuple[Host, Callable[[], Coroutine[Any, Any, _Outcome]]]


class _Real:
    """One world in which more and more residents collude."""

    def __init__(self, parameters: Parameters, say: Say) -> None:
        self.parameters = parameters
        self.say = say
        self.mods: list[bytes] = []

    async def run(self) -> tuple[list[dict[str, Any]], str]:
        """The points in ascending order of adversaries, and the hash of the history."""
        parameters = self.parameters
        await self._prepare()
        hidden = [one.contact for one in self.residents] if parameters.attack == "hide" else []
        self.collusion = Collusion(hidden)
        order = list(self.residents)
        derive_rng(parameters.seed, "who turns").shuffle(order)
        points = []
        for share in sorted(parameters.adversaries):
            while len(self.collusion) < round(share * len(order)):
                order[len(self.collusion)].collude(self.collusion)
            honest = order[len(self.collusion) :]
            points += [await self._point(share, d, honest) for d in parameters.paths]
            self.say(f"real lookups with {share:.0%} adversaries: done")
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return points, log_hash

    async def _prepare(self) -> None:
        """A settled world of honest nodes, and records in it."""
        parameters = self.parameters
        settings = simulated_settings(
            cipher=cipher_named(parameters.cipher),
            k=parameters.k,
            lookup=LookupRules(k=parameters.k),
        )
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = World(parameters.seed, latency=latency, settings=settings)
        await self.world.populate(parameters.nodes, kind=ColludingNode)
        self.residents = [one for one in self.world.residents if isinstance(one, ColludingNode)]
        await asyncio.sleep(_SETTLE_S)
        rng = derive_rng(parameters.seed, "records")
        for _ in range(_RECORDS):
            mod_id = rng.randbytes(32)
            publisher = rng.choice(self.residents).running
            record = publisher.republisher.make(
                records.PROVIDER, ProviderBody(mod_id, complete=True)
            )
            await publisher.server.publish(record)
            self.mods.append(mod_id)

    async def _point(self, share: float, d: int, honest: Sequence[ColludingNode]) -> dict[str, Any]:
        """Lookups and reads of random honest nodes; the same ones whatever `d` is."""
        rng = derive_rng(self.parameters.seed, "lookups", share)
        lookups: list[_Trial] = []
        reads: list[_Trial] = []
        for _ in range(self.parameters.lookups):
            asker, wanted = rng.sample(honest, 2)
            lookups.append((asker.host, partial(self._find, asker, wanted.identity.peer_id, d)))
            reader, key = rng.choice(honest), records.provider_key(rng.choice(self.mods))
            reads.append((reader.host, partial(self._read, reader, key, d)))
        found, read = await _perform(lookups), await _perform(reads)
        return {
            "kind": "real",
            "k": self.parameters.k,
            "d": d,
            "adversaries": share,
            "success": round(mean([one.success for one in found]), 4),
            "read": round(mean([one.success for one in read]), 4),
            "lookups": len(found),
            "requests": round(mean([one.requests for one in found]), 1),
            "read_requests": round(mean([one.requests for one in read]), 1),
            "mean_s": round(mean([one.seconds for one in found]), 3),
        }

    async def _find(self, asker: ColludingNode, wanted: bytes, d: int) -> _Outcome:
        started = self.world.loop.time()
        lookup = await asker.running.server.lookup(wanted, paths=d)
        found = any(contact.peer_id == wanted for contact in lookup.closest())
        return _Outcome(found, lookup.requests, self.world.loop.time() - started)

    async def _read(self, reader: ColludingNode, key: bytes, d: int) -> _Outcome:
        """Up to the first valid record, as the node's own `read`, over `d` paths."""
        started = self.world.loop.time()
        held = reader.running.server.store.get(key, records.PROVIDER, self.world.loop.wall_time())
        if held:
            return _Outcome(success=True, requests=0, seconds=0.0)
        found = False

        def on_found(lookup: Any, _contact: Contact, answer: Found) -> None:
            nonlocal found
            if any(self._is_valid(raw, key) for raw in answer.values):
                found = True
                lookup.stop()

        lookup = await reader.running.server.lookup(
            key, kind=records.PROVIDER, on_found=on_found, paths=d
        )
        return _Outcome(found, lookup.requests, self.world.loop.time() - started)

    def _is_valid(self, raw: bytes, key: bytes) -> bool:
        try:
            records.read(raw, key=key, now=self.world.loop.wall_time(), puzzle_bits=0)
        except RemoteError:
            return False
        return True


async def _perform(attempts: Sequence[_Trial]) -> list[_Outcome]:
    """The outcomes, in the order of the attempts, a few of which run at once."""
    outcomes: list[_Outcome] = []
    for start in range(0, len(attempts), _AT_ONCE):
        batch = attempts[start : start + _AT_ONCE]
        outcomes += await asyncio.gather(*(host.create_task(look()) for host, look in batch))
    return outcomes


def _draw(figure: Any, parameters: Parameters, points: list[dict[str, Any]]) -> None:
    """A panel for lookups and one for reads, each beside the abstract network."""
    panels = figure.subplots(1, 2, sharey=True)
    for axes, metric, title in zip(
        panels, ("success", "read"), ("find a node by its id", "read a record"), strict=True
    ):
        for number, d in enumerate(parameters.paths):
            _draw_line(axes, points, "graph", d, "success", color=f"C{number}", alpha=0.45)
            _draw_line(
                axes, points, "real", d, metric, color=f"C{number}", marker="o", markersize=4
            )
        axes.set_xlabel("adversarial nodes (% of all)")
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 103)
        axes.set_title(title)
        axes.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("successful (% of lookups or reads)")
    panels[0].legend(fontsize="small", loc="lower left")
    figure.suptitle(f"Lookups over d disjoint paths against adversaries, k = {parameters.k}")


def _draw_line(
    axes: Any, points: list[dict[str, Any]], kind: str, d: int, metric: str, **look: Any
) -> None:
    mine = [one for one in points if one["kind"] == kind and one["d"] == d]
    if mine:
        name = "abstract network" if kind == "graph" else "real nodes"
        axes.plot(
            [100 * one["adversaries"] for one in mine],
            [100 * one[metric] for one in mine],
            label=f"{name}, d = {d}",
            **look,
        )
