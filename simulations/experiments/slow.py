"""How much slower lookups get when a part of all contacts answers only after 4.9 s (slow loris).

Twice: with contacts that are slow from the start, so that no table should hold them (`after_s` is
null); and with ones that were prompt until tables had settled, with lookups at once and some
minutes after they turned slow, while nodes only maintain their tables and do these lookups. `raise`
compares each median with that of the same lookups in a world without any slow contacts.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from protocol import records
from protocol.overlay.contacts import Contact
from protocol.records import ProviderBody
from simulations.attacks.attackers import DELAY_S, DelayingNode
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean, quantile
from simulations.residents.world import (
    INTRODUCERS,
    Resident,
    World,
    cipher_named,
    simulated_settings,
)
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_SETTLE_S = 30.0
_RECORDS = 50
_AT_ONCE = 50
_AFTER_S = (0, 60, 300, 900, 1800)
_TITLES = {"closest": "find the k closest", "read": "read the first record"}

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(300, "nodes in the network")
    slow: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.3), "shares of slow nodes")
    lookups: int = option(300, "lookups and as many reads for each point")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")
    processes: int = option(os.cpu_count() or 1, "worlds side by side")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """A world without slow contacts, then two for each share."""
    trials = [(0.0, False)]
    trials += [(share, turns) for share in parameters.slow for turns in (False, True)]
    points: list[dict[str, Any]] = []
    hashes: list[str] = []
    with ProcessPoolExecutor(min(parameters.processes, len(trials))) as pool:
        pending = [pool.submit(_trial, parameters, *trial) for trial in trials]
        for (share, turns), trial in zip(trials, pending, strict=True):
            rows, log_hash = trial.result()
            points += rows
            hashes.append(log_hash)
            say(f"{share:.0%} slow, {'turned' if turns else 'from the start'}: done")
    usual = {row["op"]: row["p50_s"] for row in points if row["slow"] == 0}
    for row in points:
        before_s = usual[row["op"]]  # 0 where every node holds every record
        row["raise"] = round(row["p50_s"] / before_s - 1, 3) if before_s else None
    data = {"cipher": parameters.cipher, "points": points}
    return ExperimentReport(
        data, lambda figure: _draw(figure, points), f"{derive_seed(0, *hashes):016x}"
    )


def _trial(parameters: Parameters, share: float, turns: bool) -> tuple[list[dict[str, Any]], str]:
    return run_virtually(_Trial(parameters, share, turns=turns).run())


class _World(World):
    """Joining nodes know prompt nodes: a node that knows only slow ones cannot join at all."""

    def introducers(self, newcomer: Resident) -> list[Contact]:
        """See World."""
        prompt = [
            one.contact
            for one in self.residents[: newcomer.number]
            if isinstance(one, DelayingNode) and not one.delays
        ]
        return self._introducing.sample(prompt, min(INTRODUCERS, len(prompt)))


class _Trial:
    """One world. `turns`: the slow ones become so after the tables have settled."""

    def __init__(self, parameters: Parameters, share: float, *, turns: bool) -> None:
        self.parameters = parameters
        self.share = share
        self.turns = turns
        self.rng = derive_rng(parameters.seed, "lookups")

    async def run(self) -> tuple[list[dict[str, Any]], str]:
        """The rows, and the hash of the history."""
        await self._prepare()
        if not self.turns:
            rows = await self._measure(None)
        else:
            for one in self.slow:
                one.delays = True
            turned_at = self.world.loop.time()
            rows = []
            for after_s in _AFTER_S:
                await asyncio.sleep(turned_at + after_s - self.world.loop.time())
                rows += await self._measure(after_s)
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return rows, log_hash

    async def _prepare(self) -> None:
        parameters = self.parameters
        self.world = _World(
            parameters.seed,
            latency=latency_of(parameters.latency_matrix, parameters.seed),
            settings=simulated_settings(cipher=cipher_named(parameters.cipher)),
        )
        slow_numbers = set(
            derive_rng(parameters.seed, "slow").sample(
                range(1, parameters.nodes), int(self.share * parameters.nodes)
            )
        )

        def make(world: World, number: int, *rest: Any) -> DelayingNode:
            resident = DelayingNode(world, number, *rest)
            resident.delays = number in slow_numbers and not self.turns
            return resident

        await self.world.populate(parameters.nodes, kind=make)
        await asyncio.sleep(_SETTLE_S)
        all_nodes = [one for one in self.world.residents if isinstance(one, DelayingNode)]
        self.slow = [one for one in all_nodes if one.number in slow_numbers]
        self.prompt = [one for one in all_nodes if one.number not in slow_numbers]
        self.keys = []
        for _ in range(_RECORDS):
            publisher, mod_id = self.rng.choice(self.prompt).running, self.rng.randbytes(32)
            record = publisher.republisher.make(
                records.PROVIDER, ProviderBody(mod_id, complete=True)
            )
            await publisher.server.publish(record)
            self.keys.append(records.provider_key(mod_id))

    async def _measure(self, after_s: int | None) -> list[dict[str, Any]]:
        """Lookups and reads of many nodes side by side, so that hardly any time passes."""
        slow_in_tables = self._slow_in_tables()
        found: list[tuple[float, float]] = []
        reads: list[float] = []
        for start in range(0, self.parameters.lookups, _AT_ONCE):
            count = min(_AT_ONCE, self.parameters.lookups - start)
            askers = [self.rng.choice(self.prompt) for _ in range(count)]
            found += await _all(askers, self._closest)
            reads += await _all(askers, self._read)
        times = {"closest": [seconds for seconds, _ in found], "read": reads}
        return [
            {
                "slow": self.share,
                "after_s": after_s,
                "op": op,
                "p50_s": round(quantile(seconds, 0.5), 3),
                "p90_s": round(quantile(seconds, 0.9), 3),
                "p99_s": round(quantile(seconds, 0.99), 3),
                "recall": round(mean([recall for _, recall in found]), 4),
                "slow_in_tables": round(slow_in_tables, 4),
            }
            for op, seconds in times.items()
        ]

    async def _closest(self, asker: DelayingNode) -> tuple[float, float]:
        target, started = self.rng.randbytes(20), self.world.loop.time()
        lookup = await asker.running.server.lookup(target)
        seconds = self.world.loop.time() - started
        others = [one for one in self.prompt if one is not asker]
        true = self.world.true_closest(target, others, self.world.settings.k)
        found = {contact.peer_id for contact in lookup.closest()}
        return seconds, len(found.intersection(true)) / len(true)

    async def _read(self, reader: DelayingNode) -> float:
        key, started = self.rng.choice(self.keys), self.world.loop.time()
        await reader.running.server.read(
            key, records.PROVIDER, enough=lambda reading: bool(reading.records)
        )
        return self.world.loop.time() - started

    def _slow_in_tables(self) -> float:
        """The share of slow contacts in the tables of the others."""
        ids = {one.identity.peer_id for one in self.slow}
        held = [
            entry.contact.peer_id in ids
            for one in self.prompt
            for entry in one.running.server.tables.entries()
        ]
        return mean(held)


async def _all(
    askers: Sequence[DelayingNode], ask: Callable[[DelayingNode], Coroutine[Any, Any, _Answer]]
) -> list[_Answer]:
    return await asyncio.gather(*(one.host.create_task(ask(one)) for one in askers))


def _draw(figure: Any, points: Sequence[dict[str, Any]]) -> None:
    """Above against the share of slow contacts, below against the time since they turned slow."""
    panels = figure.subplots(2, 2, sharey="col")
    for column, op in enumerate(_TITLES):
        rows = [row for row in points if row["op"] == op]
        for axes in panels[:, column]:
            _draw_bound(axes, rows)
        _draw_by_share(panels[0, column], rows)
        _draw_by_time(panels[1, column], rows)
        panels[0, column].set_title(_TITLES[op])
    for axes in panels[0]:  # and the panels below, which share the scale
        axes.set_ylim(bottom=0)
    for axes in panels[:, 0]:
        axes.set_ylabel("median (virtual seconds)")
    for axes in panels[:, 1]:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"Lookups while some contacts answer only after {DELAY_S} s")


def _draw_bound(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    usual_s = next(row["p50_s"] for row in rows if not row["slow"])
    axes.axhspan(usual_s, 1.2 * usual_s, color="C2", alpha=0.2, label="up to 20 % above usual")
    axes.grid(visible=True, alpha=0.3)


def _draw_by_share(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    moments = {"slow from the start": None, "just turned slow": 0}
    moments[f"turned {_AFTER_S[-1] // 60} min ago"] = _AFTER_S[-1]
    for label, after_s in moments.items():
        line = [row for row in rows if row["after_s"] == after_s or not row["slow"]]
        shares = [100 * row["slow"] for row in line]
        axes.plot(shares, [row["p50_s"] for row in line], marker="o", label=label)
    axes.set_xlabel("slow contacts (% of all)")


def _draw_by_time(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    for share in sorted({row["slow"] for row in rows if row["slow"]}):
        line = [row for row in rows if row["slow"] == share and row["after_s"] is not None]
        minutes = [row["after_s"] / 60 for row in line]
        axes.plot(minutes, [row["p50_s"] for row in line], marker="o", label=f"{share:.0%} slow")
    axes.set_xlabel("time since they turned slow (minutes)")
