"""How much slower lookups get when a part of all contacts answers only after 4.9 s (slow loris).

Twice: with contacts that dawdle from the start, so that no table should hold them; and with ones
that were prompt until tables had settled, with lookups at once, again after the tables had time to
notice, and each compared with the same lookups in a world without any.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import records
from protocol.overlay.contacts import Contact
from protocol.records import ProviderBody
from simulations.attackers import Dawdler
from simulations.experiment import Report, Say
from simulations.options import latency_of, option
from simulations.seeds import derive_rng, derive_seed
from simulations.statistics import mean, quantile
from simulations.world import (
    INTRODUCERS,
    Resident,
    World,
    cipher_named,
    run_virtually,
    simulated_settings,
)

_SETTLE_S = 30.0
_RECORDS = 50


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(300, "nodes in the network")
    slow: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.3), "shares of slow nodes")
    lookups: int = option(300, "lookups and as many reads for each point")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")


PARAMETERS = Parameters

WHEN = ("from the start", "at once", "later")
"""When the lookups of a row took place: `at once` and `later` after contacts became slow."""


def run(parameters: Parameters, say: Say) -> Report:
    """A world without slow contacts, then two for each share."""
    points: list[dict[str, Any]] = []
    hashes: list[str] = []
    for share in (0.0, *parameters.slow):
        for turns in (False, True) if share else (False,):
            rows, log_hash = run_virtually(_Trial(parameters, share, turns=turns).run())
            points += rows
            hashes.append(log_hash)
        say(f"{share:.0%} slow: done")
    usual = {row["op"]: row["p50_s"] for row in points if row["slow"] == 0}
    for row in points:
        before_s = usual[row["op"]]  # 0 where everybody holds every record
        row["raise"] = round(row["p50_s"] / before_s - 1, 3) if before_s else None
    data = {"cipher": parameters.cipher, "points": points}
    return Report(data, lambda figure: _draw(figure, points), f"{derive_seed(0, *hashes):016x}")


class _World(World):
    """Newcomers have heard of prompt nodes: whoever knows only slow ones cannot join at all."""

    def introducers(self, newcomer: Resident) -> list[Contact]:
        """See World."""
        prompt = [
            one.contact
            for one in self.residents[: newcomer.number]
            if isinstance(one, Dawdler) and not one.dawdles
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
            rows = await self._measure("from the start")
        else:
            for one in self.slow:
                one.dawdles = True
            rows = await self._measure("at once")
            await asyncio.sleep(_SETTLE_S)
            rows += await self._measure("later")
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

        def make(world: World, number: int, *rest: Any) -> Dawdler:
            resident = Dawdler(world, number, *rest)
            resident.dawdles = number in slow_numbers and not self.turns
            return resident

        await self.world.populate(parameters.nodes, kind=make)
        await asyncio.sleep(_SETTLE_S)
        everyone = [one for one in self.world.residents if isinstance(one, Dawdler)]
        self.slow = [one for one in everyone if one.number in slow_numbers]
        self.prompt = [one for one in everyone if one.number not in slow_numbers]
        self.keys = []
        for _ in range(_RECORDS):
            publisher, mod_id = self.rng.choice(self.prompt).running, self.rng.randbytes(32)
            record = publisher.upkeep.make(records.PROVIDER, ProviderBody(mod_id, complete=True))
            await publisher.server.publish(record)
            self.keys.append(records.provider_key(mod_id))

    async def _measure(self, when: str) -> list[dict[str, Any]]:
        times: dict[str, list[float]] = {"closest": [], "read": []}
        recalls: list[float] = []
        for _ in range(self.parameters.lookups):
            asker = self.rng.choice(self.prompt)
            with asker.host.running():
                seconds, recall = await self._closest(asker)
                times["closest"].append(seconds)
                recalls.append(recall)
                times["read"].append(await self._read(asker))
        return [
            {
                "slow": self.share,
                "when": when,
                "op": op,
                "p50_s": round(quantile(found, 0.5), 3),
                "p90_s": round(quantile(found, 0.9), 3),
                "p99_s": round(quantile(found, 0.99), 3),
                "recall": round(mean(recalls), 4),
                "slow_in_tables": round(self._slow_in_tables(), 4),
            }
            for op, found in times.items()
        ]

    async def _closest(self, asker: Dawdler) -> tuple[float, float]:
        target, started = self.rng.randbytes(20), self.world.loop.time()
        lookup = await asker.running.server.lookup(target)
        seconds = self.world.loop.time() - started
        others = [one for one in self.prompt if one is not asker]
        true = self.world.true_closest(target, others, self.world.settings.k)
        found = {contact.peer_id for contact in lookup.closest()}
        return seconds, len(found.intersection(true)) / len(true)

    async def _read(self, reader: Dawdler) -> float:
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


def _draw(figure: Any, points: list[dict[str, Any]]) -> None:
    """The median against the share of slow contacts: a panel for each operation."""
    for place, (op, axes) in enumerate(
        zip(("closest", "read"), figure.subplots(1, 2), strict=True)
    ):
        mine = [row for row in points if row["op"] == op]
        usual = [row for row in mine if row["slow"] == 0]
        axes.axhspan(
            0, 1.2 * usual[0]["p50_s"], color="C2", alpha=0.12, label="up to 20 % above usual"
        )
        for number, when in enumerate(WHEN):
            line = usual + [row for row in mine if row["slow"] and row["when"] == when]
            shares = [100 * row["slow"] for row in line]
            axes.plot(
                shares,
                [row["p50_s"] for row in line],
                marker="o",
                color=f"C{number}",
                label=f"{when}: median",
            )
            axes.plot(
                shares,
                [row["p90_s"] for row in line],
                linestyle=":",
                color=f"C{number}",
                label=f"{when}: 90th percentile",
            )
        axes.set_ylim(bottom=0)
        axes.set_xlabel("contacts that answer after 4.9 s (% of all)")
        axes.set_ylabel("time of a lookup (virtual seconds)")
        axes.set_title("find the k closest" if op == "closest" else "read the first record")
        axes.grid(visible=True, alpha=0.3)
        if place == 0:
            axes.legend(fontsize="small")
