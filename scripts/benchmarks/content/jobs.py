"""One job done by each of the three: by ours, by HTTP, by libtorrent, in the same places."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.content.commands import at_once
from scripts.benchmarks.content.ideal import spread
from scripts.benchmarks.content.ours import CpuMeter, Node, nodes
from scripts.benchmarks.content.places import Place
from scripts.benchmarks.content.rivals import torrents, web

_MEGA = 1e6
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """A mod that getters want from sources. `shape` makes the lines slow once all is prepared."""

    source: Path
    size: int
    sources: Sequence[Place]
    getters: Sequence[Place]
    folder: Path
    shape: Callable[[], None] = lambda: None


def ours(job: Job) -> dict[str, Any]:
    """Shared by the first source, fetched by the others in peace, then by the getters at once."""
    with nodes([*job.sources, *job.getters], job.folder / "nodes") as made:
        count = len(job.sources)
        sharers, getters = made[:count], made[count:]
        link = sharers[0].share(job.source)
        if count > 1:
            _spread(job, link, sharers[1:])
        job.shape()
        return _by_nodes(job, link, sharers, getters)


def _by_nodes(
    job: Job, link: str, sharers: Sequence[Node], getters: Sequence[Node]
) -> dict[str, Any]:
    sent, took = CpuMeter(*sharers), CpuMeter(*getters)
    targets = [job.folder / f"ours-{number}" for number in range(len(getters))]
    # Ten commands that start at once on one machine would take turns, which ten people's do not.
    by_command = len(getters) == 1
    works = [
        (lambda node=node, to=to: (node.get if by_command else node.fetch)(link, to))
        for node, to in zip(getters, targets, strict=True)
    ]
    got = at_once(works)
    failed = [one.failure for one in got if one.failure]
    good = [one for one in got if not one.failure]
    told = {
        "node": spread([one.seconds for one in good], failed),
        **({"command": spread([one.whole_s for one in good])} if by_command else {}),
        "getter_cpu_ms_per_MB": max(took.ms_per_mb(job.size)),
        "sharer_cpu_ms_per_MB": round(sum(sent.ms_per_mb(job.size * len(getters))), 2),
        "getter_rss_MB": round(max(node.rss_mb() for node in getters), 1),
    }
    if good:
        if by_command:
            told["command_cpu_ms"] = round(good[0].command_cpu_s * _MILLI)
        told["first_byte_ms"] = good[0].told.get("first_byte_ms")
        told["connect_ms"] = good[0].told["connect_ms"]
        told["sources"] = max(len(one.told["sources"]) for one in good)
    for target in targets:
        shutil.rmtree(target, ignore_errors=True)
    return told


def by_http(job: Job, name: str = "mod.bin") -> dict[str, Any]:
    """The same file from nginx in the first source's place, by one curl for each getter."""
    with web.server(job.sources[0], job.source, job.folder / "nginx") as server:
        job.shape()
        before = server.cpu_s()
        targets = [job.folder / f"http-{number}" for number in range(len(job.getters))]
        works = [
            (lambda place=place, to=to: server.get(place, name, to))
            for place, to in zip(job.getters, targets, strict=True)
        ]
        got = at_once(works)
        for target in targets:
            target.unlink()
        megabytes = job.size / _MEGA
        spent_s = server.cpu_s() - before
        return {
            "getter": spread([one.seconds for one in got]),
            "command": spread([one.whole_s for one in got]),
            "getter_cpu_ms_per_MB": _per_mb(max(one.cpu_s for one in got), megabytes),
            "sharer_cpu_ms_per_MB": _per_mb(spent_s, megabytes * len(got)),
            "first_byte_ms": round(got[0].first_byte_s * _MILLI, 1),
        }


def by_torrent(job: Job) -> dict[str, Any]:
    """The same folder by libtorrent; each getter is told of all others, as by a tracker."""
    torrent = torrents.make(job.source, job.folder)
    folder = job.folder / "torrents"
    with torrents.clients(job.sources, job.getters, torrent, folder) as (seeds, getters):
        job.shape()
        before = [seed.cpu_s() for seed in seeds]
        works = [
            (lambda one=one: one.get([*seeds, *(other for other in getters if other is not one)]))
            for one in getters
        ]
        got = at_once(works)
        spent_s = sum(seed.cpu_s() for seed in seeds) - sum(before)
    shutil.rmtree(folder)
    megabytes = job.size / _MEGA
    return {
        "getter": spread([one.seconds for one in got]),
        "command": spread([one.whole_s for one in got]),
        "getter_cpu_ms_per_MB": _per_mb(max(one.cpu_s for one in got), megabytes),
        "sharer_cpu_ms_per_MB": _per_mb(spent_s, megabytes * len(got)),
        "hash_s": round(torrent.hash_s, 3),
    }


def _per_mb(seconds: float, megabytes: float) -> float:
    return round(seconds * _MILLI / megabytes, 2)


def _spread(job: Job, link: str, others: Sequence[Node]) -> None:
    """Make sources of these."""
    targets = [job.folder / f"source-{number}" for number in range(len(others))]
    works = [
        (lambda node=node, to=to: node.fetch(link, to))
        for node, to in zip(others, targets, strict=True)
    ]
    failed = [one.failure for one in at_once(works) if one.failure]
    if failed:
        raise RuntimeError(f"a source could not be prepared: {failed[0]}")
