"""How soon followers that come and go have a new version, and what that costs its publisher.

All followers have the version before: one fetched it, and all others get a copy of what that one
has. They stay and stay away as IPFS's peers do, but many times as fast; the publisher stays. The
first leg is that of followers whose links have all been closed as idle, so that they hear of a
version by polls; in the others each has links open to some of those that follow. A follower that is
away has nothing, so shares are shown beside those that have been there at all. The load is that of
the contacts nearest to the record, beside all other nodes.
"""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from node.answers.mods import ShareResult
from protocol import limits
from protocol.records import lineage_key
from simulations.experiments.parts.follow_figures import Moments, draw_legs, times_of
from simulations.experiments.parts.followers import (
    FollowingPerson,
    OpenLinks,
    close_links,
    datagrams_of,
)
from simulations.experiments.parts.people import HOME_LINES, join, move_in
from simulations.experiments.parts.sessions import Sessions
from simulations.harness.options import option
from simulations.harness.report import ExperimentReport, Say
from simulations.harness.statistics import mean
from simulations.internet.latency import UniformLatency
from simulations.libraries.seams import virtual_libraries
from simulations.residents.churn import CHURN_MODELS
from simulations.residents.flow_links import flow_links
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.collector import collect_now
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng, derive_seed

_PUBLISHER: Final = (20.0, 50.0)
_BEGIN_S: Final = 0.25
"""Between one follower's beginning to follow and the next one's."""
_COLLECTED: Final = 50
_COLLECT_S: Final = 20.0
"""After so many followers have begun, and later so often, what has ended leaves the memory."""
_LOOK_S: Final = 0.25
_TOLD_S: Final = 10.0
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Parameters:
    """What to run."""

    seed: int = option(1, "the seed of everything")
    nodes: int = option(16, "public nodes of the overlay that follow nothing")
    followers: int = option(60, "nodes that follow the mod")
    links: tuple[int, ...] = option((0, 2), "links that each keeps open, a leg each")
    kilobytes: float = option(300.0, "size of the mod, in 10^3 bytes")
    changed_kilobytes: float = option(30.0, "what of it the new version changes")
    rtt_ms: float = option(50.0, "round trip between any two nodes")
    churn: str = option(
        "ipfs", "the model by which people come and go, or none", ("none", *CHURN_MODELS)
    )
    churn_times: float = option(60.0, "how many times as fast as the model's they do")
    settle_s: float = option(120.0, "virtual time of that before the version is shared")
    minutes: float = option(5.0, "virtual time to wait for all to have it")
    cipher: str = option("real", "cipher of the overlay's packets: real or test", ("real", "test"))
    processes: int = option(os.cpu_count() or 1, "legs side by side")


PARAMETERS = Parameters


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Each number of links in a world of its own."""
    rows, hashes = [], []
    for row, log_hash in _legs(parameters, say):
        rows.append(row)
        hashes.append(log_hash)
        say(
            f"{row['links']} links: half after {row['p50_s']} s, 90 % after {row['p90_s']} s, "
            f"99 % after {row['p99_s']} s"
        )
    data = {
        "followers": parameters.followers,
        "bytes": int(parameters.kilobytes * 1000),
        "churn": parameters.churn,
        "churn_times": parameters.churn_times,
        "legs": rows,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    title = (
        f"{parameters.followers} followers of a mod of {parameters.kilobytes:g} kB, "
        f"{parameters.changed_kilobytes:g} kB of it new"
    )

    def draw(figure: Any) -> None:
        draw_legs(figure, title, parameters.followers, rows)

    return ExperimentReport(data, draw, combined)


def _legs(parameters: Parameters, say: Say) -> Iterator[tuple[dict[str, Any], str]]:
    workers = min(parameters.processes, len(parameters.links))
    if workers == 1:
        yield from (_run_leg(parameters, say, links) for links in parameters.links)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(partial(_run_leg, parameters, None), parameters.links)


def _run_leg(parameters: Parameters, say: Say | None, links: int) -> tuple[dict[str, Any], str]:
    with tempfile.TemporaryDirectory(prefix="modswarm-") as folder:
        leg = _Leg(parameters, links, Path(folder), say or _unsaid)
        return run_virtually(leg.run())


async def _collect() -> None:
    """Nodes come and go: forget those that went, until cancelled."""
    while True:
        await asyncio.sleep(_COLLECT_S)
        collect_now()


def _unsaid(_: str) -> None:
    """Of legs side by side only the outcome is told."""


# One leg ------------------------------------------------------------------------------------------


class _Leg:
    """One world, from the first follower to the last one that has the new version."""

    def __init__(self, parameters: Parameters, links: int, folder: Path, say: Say) -> None:
        self.parameters = parameters
        self.links = links
        self.folder = folder
        self.say = say
        self.moments = Moments()
        self.links_max = 0

    async def run(self) -> tuple[dict[str, Any], str]:
        """The row of the result, and the hash of the history."""
        parameters = self.parameters
        self.world = World(
            parameters.seed,
            latency=UniformLatency(parameters.rtt_ms / 1000),
            settings=simulated_settings(cipher=cipher_named(parameters.cipher)),
            folder=self.folder,
        )
        with virtual_libraries(self.world.internet), flow_links(self.world.internet):
            await self.world.populate(parameters.nodes)
            await self._follow()
            await self._live()
            row = self._row()
            await self.world.close()
        return row, self.world.internet.log.digest()

    async def _follow(self) -> None:
        """The first version is shared, and all follow it and start, one after another."""
        parameters = self.parameters
        self.publisher = move_in(self.world, *_PUBLISHER)
        await join(self.publisher)
        self.mod = self.folder / "mod"
        self.mod.mkdir()
        kept = int((parameters.kilobytes - parameters.changed_kilobytes) * 1000)
        content = derive_rng(parameters.seed, "mod").randbytes(kept)
        (self.mod / "kept.bin").write_bytes(content)
        lineage = (await self._share(1)).lineage
        self.key = lineage_key(lineage.lineage_key)
        first = self._person(HOME_LINES[0])
        await first.follow(lineage)
        await first.resident.stop()
        self.people = [first]
        async with asyncio.TaskGroup() as group:
            for place in range(1, parameters.followers):
                person = self._person(HOME_LINES[place % len(HOME_LINES)])
                person.copy(first)
                self.people.append(person)
                group.create_task(join(person.resident))
                await asyncio.sleep(_BEGIN_S)
                if not place % _COLLECTED:
                    collect_now()
            group.create_task(join(first.resident))
        self.say(f"{self.links} links: {len(self.people)} follow")

    def _person(self, line: tuple[float, float]) -> FollowingPerson:
        parameters = self.parameters
        resident = move_in(self.world, *line)
        sessions = Sessions(
            CHURN_MODELS.get(parameters.churn),
            derive_rng(parameters.seed, "session", str(resident.number)),
            times=parameters.churn_times,
            away_s=None,
        )
        return FollowingPerson(resident, sessions, self.folder)

    async def _share(self, version: int) -> ShareResult:
        content = derive_rng(self.parameters.seed, "changed", version)
        changed = content.randbytes(int(self.parameters.changed_kilobytes * 1000))
        (self.mod / "changed.bin").write_bytes(changed)
        with self.publisher.host.running():
            work = self.publisher.running_node.sharing.share(self.mod)
            return await self.publisher.host.create_task(work)

    async def _live(self) -> None:
        """All come and go; the second version is shared, and reaches them."""
        residents = [self.publisher, *(one.resident for one in self.people)]
        links = OpenLinks(residents, self.links, derive_rng(self.parameters.seed, "links"))
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(one.live(links)) for one in self.people]
            lives.append(group.create_task(links.keep(self.publisher)))
            lives.append(group.create_task(_collect()))
            await asyncio.sleep(self.parameters.settle_s)
            if not self.links:
                await close_links(residents)
            before = self._load_of_all()
            lives.append(group.create_task(self._update()))
            await self._observe()
            self.load = {one: n - before[one] for one, n in self._load_of_all().items()}
            for task in lives:
                task.cancel()

    async def _update(self) -> None:
        began = self.world.loop.time()
        self.shared = await self._share(2)
        self.shared_s = self.world.loop.time() - began

    async def _observe(self) -> None:
        """Look until all have the new version, or the time is over."""
        loop, parameters = self.world.loop, self.parameters
        self.online = sum(one.resident.node is not None for one in self.people)
        self.nearest = self._nearest()
        for person in self.people:
            person.wait_for(2)
        sent = self.publisher.host.sent_bytes, self._followers_bytes()
        began, told_s = loop.time(), 0.0
        while (now_s := loop.time() - began) < parameters.minutes * _MINUTE_S:
            for person in self.people:
                person.look()
            self.links_max = max(self.links_max, len(self.publisher.running_node.pool.links()))
            have = sum(one.has_s is not None for one in self.people)
            is_over = have == len(self.people)
            if is_over or self.moments.is_due(now_s):
                self._note(now_s, have, *sent)
            if is_over:
                return
            if now_s >= told_s:
                self.say(f"{self.links} links, {now_s:.0f} s: {have} have it")
                told_s += _TOLD_S
            await asyncio.sleep(_LOOK_S)
        self._note(now_s, have, *sent)

    def _note(self, now_s: float, have: int, publisher_bytes: int, followers_bytes: int) -> None:
        self.moments.note(
            now_s,
            have,
            self.publisher.host.sent_bytes - publisher_bytes,
            self._followers_bytes() - followers_bytes,
        )

    def _followers_bytes(self) -> int:
        return sum(one.resident.host.sent_bytes for one in self.people)

    def _nearest(self) -> list[int]:
        """The numbers of the k nodes nearest to the record's key of those that run now."""
        running = self.world.running()
        nearest = self.world.true_closest(self.key, running, limits.K)
        return [one.number for one in running if one.identity.peer_id in nearest]

    def _load_of_all(self) -> dict[int, int]:
        """Datagrams that each node received and sent so far."""
        load = {one.number: datagrams_of(one) for one in self.world.residents}
        return load | {one.resident.number: one.datagrams for one in self.people}

    def _row(self) -> dict[str, Any]:
        people, moments = self.people, self.moments
        had = [one.has_s for one in people if one.has_s is not None]
        heard = [one.heard_s for one in people if one.heard_s is not None]
        there = [one.there_s for one in people if one.there_s is not None]
        nearest = [self.load[one] for one in self.nearest]
        others = [n for one, n in self.load.items() if one not in self.nearest]
        sent = moments.publisher_bytes[-1]
        over_time = moments.as_json([one.first_there_s for one in people])
        return {
            "links": self.links,
            "online": self.online,
            "have": len(had),
            "have_been_there": over_time["have_been_there"][-1],
            "follows_failed": sum(one.failed for one in people),
            "shared_s": round(self.shared_s, 3),
            **times_of("", had, len(people)),
            **times_of("heard_", heard, len(people)),
            **times_of("there_", there, over_time["have_been_there"][-1]),
            "last_s": moments.seconds[-1],
            "new_bytes": self.shared.new_bytes,
            "publisher_bytes": sent,
            "publisher_sent_updates": round(sent / self.shared.new_bytes, 2),
            "publisher_links_max": self.links_max,
            "followers_bytes": moments.followers_bytes[-1],
            "nearest_datagrams": round(mean(nearest)),
            "nearest_datagrams_max": max(nearest),
            "other_datagrams": round(mean(others)),
            "over_time": over_time,
        }
