"""The two sides of experiment `lookup`: our nodes and the stock library's, in a world of each.

A leg is one world with one share of dead nodes, in which every operation is done many times.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import records
from protocol.records import ProviderBody
from simulations.experiments.parts.observer import table_report
from simulations.harness.options import latency_of, option
from simulations.harness.statistics import mean, quantile
from simulations.internet.host import Host
from simulations.residents.stock import StockWorld
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.seeds import derive_rng

_SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(1000, "nodes in the network")
    dead: tuple[float, ...] = option((0.0, 0.1, 0.3), "shares of silenced nodes")
    op: tuple[str, ...] = option(("closest", "read"), "closest, read, publish or several")
    lookups: int = option(500, "lookups for each share and operation")
    records: int = option(100, "records to read; fewer than lookups, and some are read again")
    paths: int = option(1, "disjoint paths of each lookup; reads take the node's own number")
    stock: bool = option(default=False, help_text="run the stock library too")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")
    processes: int = option(os.cpu_count() or 1, "runs side by side")


@dataclass(slots=True)
class Sample:
    """One lookup: virtual seconds, share of the true k nearest found, requests, and success."""

    seconds: float
    recall: float
    requests: int
    success: bool


class Leg:
    """One world, one share of dead nodes, every operation."""

    library = ""

    def __init__(self, parameters: Parameters, dead: float) -> None:
        self.parameters = parameters
        self.dead = dead
        self.rng = derive_rng(parameters.seed, "lookups")
        self.joining: dict[str, float] = {}
        self.records = parameters.records if "read" in parameters.op else 0

    async def run(self) -> tuple[list[dict[str, Any]], str, list[list[float]]]:
        """The rows of the result, the hash of the history, and the latencies behind each row."""
        internet = await self.prepare()
        silenced = derive_rng(self.parameters.seed, "dead").sample(
            range(self.parameters.nodes), int(self.dead * self.parameters.nodes)
        )
        for number in silenced:
            self.host(number).unplug()
        alive = sorted(set(range(self.parameters.nodes)) - set(silenced))
        rows, latencies = [], []
        for op in self.parameters.op:
            delivered, started = internet.carrier.delivered, time.process_time()
            perform = {"closest": self.closest, "read": self.read, "publish": self.publish}[op]
            samples = [await self._one(perform, alive) for _ in range(self.parameters.lookups)]
            spent = time.process_time() - started
            rows.append(self._row(op, samples, (internet.carrier.delivered - delivered) / spent))
            latencies.append([one.seconds for one in samples])
        return rows, internet.log.digest(), latencies

    async def _one(
        self, perform: Callable[[int, list[int]], Awaitable[Sample]], alive: list[int]
    ) -> Sample:
        number = self.rng.choice(alive)
        with self.host(number).running():
            return await perform(number, alive)

    def _row(self, op: str, samples: list[Sample], packets_per_s: float) -> dict[str, Any]:
        found = [one.seconds for one in samples if one.success]
        return {
            "who": self.library,
            "op": op,
            "dead": self.dead,
            "packets_per_s": round(packets_per_s),
            "success": round(mean([one.success for one in samples]), 4),
            "p50_s": round(quantile(found, 0.5), 3),
            "p90_s": round(quantile(found, 0.9), 3),
            "p99_s": round(quantile(found, 0.99), 3),
            "mean_s": round(mean(found), 3),
            "recall": round(mean([one.recall for one in samples]), 4),
            "requests": round(mean([one.requests for one in samples]), 1),
        } | self.joining

    async def prepare(self) -> Any:
        """A settled world; returns its internet."""
        raise NotImplementedError

    def host(self, number: int) -> Host:
        """Where node `number` runs."""
        raise NotImplementedError

    async def closest(self, number: int, alive: list[int]) -> Sample:
        """Find the nearest contacts of a random target."""
        raise NotImplementedError

    async def read(self, number: int, alive: list[int]) -> Sample:
        """Read a record that was stored while all were alive, and that the asker does not hold.

        Only where every node holds everything, in tiny worlds, its own store answers.
        """
        raise NotImplementedError

    async def publish(self, number: int, alive: list[int]) -> Sample:
        """Publish a record, until the publisher is told that it is stored."""
        raise NotImplementedError


class OurLeg(Leg):
    """Our nodes."""

    library = "ours"

    async def prepare(self) -> Any:
        """See Leg."""
        parameters = self.parameters
        settings = simulated_settings(cipher=cipher_named(parameters.cipher))
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = World(parameters.seed, latency=latency, settings=settings)
        await self.world.populate(parameters.nodes)
        await asyncio.sleep(_SETTLE_S)
        self.joining = self._joining()
        mods = [self.rng.randbytes(32) for _ in range(self.records)]
        self.keys = [records.provider_key(mod_id) for mod_id in mods]
        for mod_id in mods:
            publisher = self.rng.choice(self.world.residents).running
            body = ProviderBody(mod_id, complete=True)
            await publisher.server.publish(publisher.republisher.make(records.PROVIDER, body))
        return self.world.internet

    def _joining(self) -> dict[str, float]:
        """How full the tables are after all have joined, and what that cost each node."""
        tables = table_report(self.world.residents, self.world.settings.k)
        return {
            "contacts": tables["mean"],
            "contacts_share": tables["share"],
            "join_packets": round(self.world.internet.carrier.delivered / self.parameters.nodes, 1),
        }

    def host(self, number: int) -> Host:
        """See Leg."""
        return self.world.residents[number].host

    async def closest(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        target = self.rng.randbytes(20)
        asker = self.world.residents[number]
        started = self.world.loop.time()
        lookup = await asker.running.server.lookup(target, paths=self.parameters.paths)
        seconds = self.world.loop.time() - started
        others = [self.world.residents[other] for other in alive if other != number]
        true = self.world.true_closest(target, others, self.world.settings.k)
        found = {contact.peer_id for contact in lookup.closest()}
        recall = len(found.intersection(true)) / len(true)
        return Sample(seconds, recall, lookup.requests, success=bool(found))

    async def read(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        server = self.world.residents[number].running.server
        now = self.world.loop.wall_time()
        held_elsewhere = [
            key for key in self.keys if not server.store.get(key, records.PROVIDER, now)
        ]
        key = self.rng.choice(held_elsewhere or self.keys)
        started = self.world.loop.time()
        reading = await server.read(
            key, records.PROVIDER, enough=lambda reading: bool(reading.records)
        )
        seconds = self.world.loop.time() - started
        found = bool(reading.records)
        return Sample(seconds, float(found), reading.requests, success=found)

    async def publish(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        publisher = self.world.residents[number].running
        body = ProviderBody(self.rng.randbytes(32), complete=True)
        record = publisher.republisher.make(records.PROVIDER, body)
        sent = publisher.server.counters.datagrams_sent
        started = self.world.loop.time()
        published = await publisher.server.publish(record)
        seconds = self.world.loop.time() - started
        share = published.confirmed / published.asked if published.asked else 0.0
        requests = publisher.server.counters.datagrams_sent - sent
        return Sample(seconds, share, requests, success=bool(published.confirmed))


class StockLeg(Leg):
    """Nodes of the stock library."""

    library = "stock"

    async def prepare(self) -> Any:
        """See Leg."""
        parameters = self.parameters
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = StockWorld(parameters.seed, latency)
        await self.world.populate(parameters.nodes)
        await asyncio.sleep(_SETTLE_S)
        self.keys = [f"mod {number}" for number in range(self.records)]
        for key in self.keys:
            host, server = self.rng.choice(self.world.servers)
            with host.running():
                await server.set(key, b"x" * 130)
        return self.world.internet

    def host(self, number: int) -> Host:
        """See Leg."""
        return self.world.servers[number][0]

    def _requests(self) -> int:
        """Requests so far: one with an answer is two datagrams, one to a dead contact is one."""
        internet = self.world.internet
        return internet.carrier.delivered // 2 + sum(internet.carrier.dropped.values())

    async def closest(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        target = self.rng.randbytes(20)
        server = self.world.servers[number][1]
        started, before = self.world.loop.time(), self._requests()
        found = await self.world.closest(server, target)
        seconds = self.world.loop.time() - started
        number_of_target = int.from_bytes(target)
        ids = [self.world.servers[other][1].node.id for other in alive if other != number]
        ids.sort(key=lambda node_id: int.from_bytes(node_id) ^ number_of_target)
        true = ids[: server.ksize]
        recall = len(set(found).intersection(true)) / len(true)
        requests = self._requests() - before
        return Sample(seconds, recall, requests, success=bool(found))

    async def read(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        server = self.world.servers[number][1]
        held_elsewhere = [key for key in self.keys if not self.world.holds(server, key)]
        key = self.rng.choice(held_elsewhere or self.keys)
        started, before = self.world.loop.time(), self._requests()
        value = await server.get(key)
        seconds = self.world.loop.time() - started
        requests = self._requests() - before
        return Sample(seconds, float(value is not None), requests, success=value is not None)

    async def publish(self, number: int, alive: list[int]) -> Sample:
        """See Leg."""
        server = self.world.servers[number][1]
        started, before = self.world.loop.time(), self._requests()
        try:
            # It says yes even if every store timed out, so its share is what it claims.
            claimed = await server.set(f"new {self.rng.random()}", b"x" * 130)
        except ValueError:  # and so it ends when it found no node to store at
            claimed = False
        seconds = self.world.loop.time() - started
        return Sample(seconds, float(claimed), self._requests() - before, success=claimed)
