"""Whether records survive while nodes come and go, and what that costs every node in traffic.

All nodes that can be reached, and so keep records, come and go (`simulations.residents.churn`);
a part of those that leave crash. Publishers stay, cannot be reached, and keep their records alive
by the policy:

    product   the node's own republishing
    never     published once
    3h        as the node's own republisher, but every three hours; any number

Every few minutes random nodes that run and have joined read records of random publishers; a read
that finds none is a record lost at that time. `found` is of provider records, `found_peer` of the
publishers' peer records, which the node itself republishes whatever the policy. Traffic is that
of a node that comes and goes, in both directions, headers of IPv4 and UDP included, over the time
in which it runs; what the reads cause is left out. `publisher_bytes_per_s` is that of publishers,
which also keep NAT mappings to registrars open.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from node.overlay.membership import Membership
from protocol import records
from simulations.harness.options import latency_of, option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean, quantile
from simulations.residents.churn import CHURN_MODELS, Churn, ChurningResident
from simulations.residents.publishers import RecordOwner, refresh_s_of
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_HOUR_S = 3600.0
_MINUTE_S = 60.0
_READ_S = 30.0
"""Time for the reads of one moment; no read takes longer."""

_REGISTERED_S = 60.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(200, "nodes that come and go")
    hours: float = option(24.0, "virtual time from the publishing on")
    model: str = option("ipfs", "how nodes come and go", tuple(CHURN_MODELS))
    policy: tuple[str, ...] = option(("product", "never"), "product, never, or hours such as 3h")
    crashes: float = option(0.5, "share of departures that are crashes")
    publishers: int = option(10, "peers that publish, and stay")
    records: int = option(10, "provider records of each publisher")
    reads: int = option(40, "reads at each moment, of either kind")
    minutes: float = option(10.0, "time between two moments of reading")
    settle_hours: float = option(1.0, "churn before the publishing")
    cipher: str = option("real", "packet cipher: real or test", ("real", "test"))
    latency_matrix: Path | None = option(None, "file with measured round-trip times")
    processes: int = option(os.cpu_count() or 1, "runs side by side")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Every policy in a world of its own."""
    for policy in parameters.policy:
        refresh_s_of(policy)
    rows, hashes = [], []
    for policy, (row, log_hash) in zip(parameters.policy, _legs(parameters), strict=True):
        rows.append(row)
        hashes.append(log_hash)
        say(f"{policy}: found {row['found']:.2%}, {row['bytes_per_s']} B/s")
    first = rows[0]
    data = {
        "hours": parameters.hours,
        "model": parameters.model,
        "found": first["found"],
        "found_peer": first["found_peer"],
        "bytes_per_s": first["bytes_per_s"],
        "publisher_bytes_per_s": first["publisher_bytes_per_s"],
        "crashes": parameters.crashes,
        "cipher": parameters.cipher,
        "policies": rows,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    return ExperimentReport(data, lambda figure: _draw(figure, parameters, rows), combined)


def _legs(parameters: Parameters) -> Iterator[tuple[dict[str, Any], str]]:
    """What each policy's world gave, in their order."""
    of_policy = partial(_run_policy, parameters)
    workers = min(parameters.processes, len(parameters.policy))
    if workers == 1:
        yield from map(of_policy, parameters.policy)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(of_policy, parameters.policy)


def _run_policy(parameters: Parameters, policy: str) -> tuple[dict[str, Any], str]:
    return run_virtually(_Leg(parameters, policy).run())


# One policy ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Moment:
    """What the reads of one moment found, and how the network stood. `hour` after publishing."""

    hour: float
    found: int = 0
    reads: int = 0
    found_peer: int = 0
    reads_peer: int = 0
    online: int = 0
    joined: int = 0


@dataclass(slots=True)
class _Idle:
    """Traffic and presence summed over the time without reads."""

    traffic_bytes: int = 0
    present_s: float = 0.0

    def add(self, before: "_Idle", after: "_Idle") -> None:
        """Count what came between two sums."""
        self.traffic_bytes += after.traffic_bytes - before.traffic_bytes
        self.present_s += after.present_s - before.present_s

    def per_s(self) -> float:
        """Bytes per second of a node that runs."""
        return self.traffic_bytes / self.present_s if self.present_s else 0.0


class _Leg:
    """One world, one policy, from publishing to the last read."""

    def __init__(self, parameters: Parameters, policy: str) -> None:
        self.parameters = parameters
        self.policy = policy
        self.rng = derive_rng(parameters.seed, "reads")
        self.moments: list[_Moment] = []
        self.idle = _Idle()
        self.idle_publishers = _Idle()

    async def run(self) -> tuple[dict[str, Any], str]:
        """The row of the result, and the hash of the history."""
        parameters = self.parameters
        await self._prepare()
        churn = Churn(
            CHURN_MODELS[parameters.model], crashes=parameters.crashes, seed=parameters.seed
        )
        coming_and_going = asyncio.create_task(churn.run(self.churning), name="churn")
        await asyncio.sleep(parameters.settle_hours * _HOUR_S)
        self._publish()
        await self._observe()
        coming_and_going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await coming_and_going
        churn.check()
        log_hash = self.world.internet.log.digest()
        await self.world.close()
        return self._row(churn), log_hash

    async def _prepare(self) -> None:
        """All nodes joined, all publishers registered."""
        parameters = self.parameters
        settings = simulated_settings(cipher=cipher_named(parameters.cipher))
        latency = latency_of(parameters.latency_matrix, parameters.seed)
        self.world = World(parameters.seed, latency=latency, settings=settings)
        await self.world.populate(parameters.nodes, kind=ChurningResident)
        self.churning = [one for one in self.world.residents if isinstance(one, ChurningResident)]
        self.publishers: list[RecordOwner] = []
        for _ in range(parameters.publishers):
            publisher = self.world.add(RecordOwner, unreachable=True)
            assert isinstance(publisher, RecordOwner)
            await publisher.start()
            self.publishers.append(publisher)
        for publisher in self.publishers:
            await publisher.running.registrations.registered.wait()
        await asyncio.sleep(_REGISTERED_S)

    def _publish(self) -> None:
        rng = derive_rng(self.parameters.seed, "mods")
        for publisher in self.publishers:
            publisher.publish(self.parameters.records, rng, refresh_s_of(self.policy))

    async def _observe(self) -> None:
        """Read at every moment, and measure traffic between the moments."""
        parameters = self.parameters
        started = self.world.loop.time()
        pause_s = parameters.minutes * _MINUTE_S
        for number in range(1, int(parameters.hours * _HOUR_S / pause_s) + 1):
            before = _totals(self.churning), _totals(self.publishers)
            await asyncio.sleep(started + number * pause_s - self.world.loop.time())
            self.idle.add(before[0], _totals(self.churning))
            self.idle_publishers.add(before[1], _totals(self.publishers))
            self.moments.append(await self._read_all(number * pause_s / _HOUR_S))

    async def _read_all(self, hour: float) -> _Moment:
        """The reads of one moment. Those of readers that leave meanwhile do not count."""
        joined = [one for one in self.churning if one.has_joined]
        moment = _Moment(hour, online=sum(one.membership is not None for one in self.churning))
        moment.joined = len(joined)
        if not joined:
            return moment
        reads = [
            (reader, kind, reader.host.create_task(_read(reader.running, kind, key)))
            for kind in (records.PROVIDER, records.PEER)
            for reader, key in self._readers(joined, kind)
        ]
        memberships = [reader.membership for reader, _, _ in reads]
        await asyncio.wait([task for _, _, task in reads], timeout=_READ_S)
        for (reader, kind, task), membership in zip(reads, memberships, strict=True):
            if reader.membership is not membership or not task.done():
                continue
            if kind == records.PROVIDER:
                moment.reads += 1
                moment.found += task.result()
            else:
                moment.reads_peer += 1
                moment.found_peer += task.result()
        return moment

    def _readers(
        self, joined: Sequence[ChurningResident], kind: int
    ) -> list[tuple[ChurningResident, bytes]]:
        """Random readers, each with the key that it reads."""
        chosen = []
        for _ in range(self.parameters.reads):
            publisher = self.rng.choice(self.publishers)
            key = (
                records.provider_key(self.rng.choice(publisher.mods))
                if kind == records.PROVIDER
                else records.peer_key(publisher.identity.peer_id)
            )
            chosen.append((self.rng.choice(joined), key))
        return chosen

    def _row(self, churn: Churn) -> dict[str, Any]:
        moments = self.moments
        joins = [seconds for one in self.churning for seconds in one.joins_s]
        return {
            "policy": self.policy,
            "found": _share([(one.found, one.reads) for one in moments]),
            "found_peer": _share([(one.found_peer, one.reads_peer) for one in moments]),
            "reads": sum(one.reads for one in moments),
            "bytes_per_s": round(self.idle.per_s(), 1),
            "publisher_bytes_per_s": round(self.idle_publishers.per_s(), 1),
            "online": round(mean([one.online for one in moments]), 1),
            "joined": _share([(one.joined, one.online) for one in moments]),
            "crashed": churn.crashed,
            "stopped": churn.stopped,
            "starts": sum(one.starts for one in self.churning),
            "join_p50_s": round(quantile(joins, 0.5), 2),
            "join_p99_s": round(quantile(joins, 0.99), 2),
            "over_time": [
                {
                    "hour": round(one.hour, 3),
                    "found": one.found,
                    "reads": one.reads,
                    "found_peer": one.found_peer,
                    "reads_peer": one.reads_peer,
                    "online": one.online,
                }
                for one in moments
            ],
        }


def _totals(residents: Sequence[ChurningResident]) -> _Idle:
    return _Idle(
        sum(one.traffic_bytes for one in residents), sum(one.present_s for one in residents)
    )


async def _read(membership: Membership, kind: int, key: bytes) -> bool:
    reading = await membership.server.read(key, kind, enough=lambda seen: bool(seen.records))
    return bool(reading.records)


def _share(counts: Sequence[tuple[int, int]]) -> float:
    """The sum of parts over the sum of wholes; 0.0 of nothing."""
    whole = sum(one for _, one in counts)
    return round(sum(part for part, _ in counts) / whole, 5) if whole else 0.0


def _draw(figure: Any, parameters: Parameters, rows: list[dict[str, Any]]) -> None:
    """Found over time, a line for each policy, above the number of nodes that run."""
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for row in rows:
        hours, found = _by_hour(row["over_time"])
        label = f"{row['policy']}: {row['found']:.2%} found, {row['bytes_per_s']:.0f} B/s a node"
        above.plot(hours, found, marker="o", markersize=3, label=label)
        times = [one["hour"] for one in row["over_time"]]
        below.plot(times, [one["online"] for one in row["over_time"]], linewidth=1)
    above.set_ylabel("provider records found\n(% of the hour's reads)")
    above.set_ylim(bottom=None, top=100.5)
    above.set_title(
        f"Records under {parameters.model.upper()}-like churn of {parameters.nodes} nodes, "
        f"{parameters.crashes:.0%} of departures are crashes"
    )
    above.legend(fontsize="small", title="refresh policy")
    below.set_xlabel("time since publishing (hours)")
    below.set_ylabel("nodes that run")
    below.set_ylim(0, parameters.nodes)
    for axes in (above, below):
        axes.grid(visible=True, alpha=0.3)


def _by_hour(moments: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """The middle of each hour with reads, and the percentage found in it."""
    hours: dict[int, list[dict[str, Any]]] = {}
    for one in moments:
        if one["reads"]:
            hours.setdefault(math.ceil(one["hour"]) - 1, []).append(one)
    found = [
        100 * _share([(one["found"], one["reads"]) for one in of_hour])
        for of_hour in hours.values()
    ]
    return [hour + 0.5 for hour in hours], found
