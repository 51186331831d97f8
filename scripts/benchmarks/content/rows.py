"""The rows of the table: each a job on its lines, by ours and by the rivals that are here."""

import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.content import places, sources
from scripts.benchmarks.content.ideal import sources_s, swarm_s
from scripts.benchmarks.content.jobs import Job, by_http, by_torrent, ours
from scripts.benchmarks.content.places import LOOPBACK, Place
from scripts.benchmarks.content.rivals import torrents, web

_MB = 1_000_000
_GETTERS = 10
_SOURCES = 5
_GETTER_MBPS = 200.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the mod of each row, and how many small files there are."""

    loopback: int
    line: int
    small: int
    sources: int
    fast_getters: int
    slow_getters: int
    files: int
    publish: int
    delta: int
    update: int


WHOLE = Sizes(
    500 * _MB, 50 * _MB, _MB, 50 * _MB, 20 * _MB, 5 * _MB, 20_000, 500 * _MB, 100 * _MB, 50 * _MB
)
QUICK = Sizes(50 * _MB, 10 * _MB, _MB, 5 * _MB, 4 * _MB, _MB, 1000, 50 * _MB, 5 * _MB, 5 * _MB)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where files go, how much is measured, and whether all getters of HTTP are waited for."""

    folder: Path
    sizes: Sizes
    quick: bool


Row = Callable[[Setting], dict[str, Any]]


def loopback(setting: Setting) -> dict[str, Any]:
    """One source on this machine, from disk to disk."""
    source = sources.one_file(setting.folder / "mod", setting.sizes.loopback)
    here = Place(LOOPBACK)
    job = Job(source, setting.sizes.loopback, [here], [here], setting.folder)
    return {**_by_all(job), "bytes": job.size}


def line(setting: Setting) -> dict[str, Any]:
    """One source behind 100 Mbit/s and a round trip of 20 ms."""
    size = setting.sizes.line
    source = sources.one_file(setting.folder / "mod", size)
    with places.line(100, 20) as (near, far):
        told = _by_all(Job(source, size, [near], [far], setting.folder))
    return {**told, "bytes": size, "ideal_s": sources_s(size, 1, 100, 100)}


def five_sources(setting: Setting) -> dict[str, Any]:
    """Five sources of 20 Mbit/s each; HTTP has one server of them."""
    size = setting.sizes.sources
    rates = [(20.0, _GETTER_MBPS)] * _SOURCES + [(_GETTER_MBPS, _GETTER_MBPS)]
    source = sources.one_file(setting.folder / "mod", size)

    def job(star: places.Star) -> Job:
        ends = star.ends
        return Job(
            *(source, size, ends[:_SOURCES], ends[_SOURCES:], setting.folder),
            lambda: star.shape(rates),
        )

    told = _on_stars(_SOURCES + 1, job)
    return {**told, "bytes": size, "ideal_s": sources_s(size, _SOURCES, 20, _GETTER_MBPS)}


def ten_getters(setting: Setting) -> dict[str, Any]:
    """Ten getters of one sharer at once, all with 50 Mbit/s each way."""
    return _swarm(setting, setting.sizes.fast_getters, 50.0)


def ten_slow_getters(setting: Setting) -> dict[str, Any]:
    """The same with 5 Mbit/s each way."""
    return _swarm(setting, setting.sizes.slow_getters, 5.0)


def _swarm(setting: Setting, size: int, mbps: float) -> dict[str, Any]:
    source = sources.one_file(setting.folder / "mod", size)

    def job(star: places.Star) -> Job:
        rates = [(mbps, mbps)] * (1 + _GETTERS)
        ends = star.ends
        return Job(source, size, ends[:1], ends[1:], setting.folder, lambda: star.shape(rates))

    told = _on_stars(1 + _GETTERS, job, http=not setting.quick)
    ideal_s = swarm_s(size, mbps, mbps)
    return {**told, "bytes": size, "ideal_s": round(ideal_s, 3)}


def many_files(setting: Setting) -> dict[str, Any]:
    """Small files of 1 kB on loopback; HTTP fetches one zip of them, which is then unpacked."""
    count = setting.sizes.files
    source = sources.small_files(setting.folder / "mod", count, 1000)
    here = Place(LOOPBACK)
    job = Job(source, count * 1000, [here], [here], setting.folder)
    told = {"ours": ours(job)}
    if torrents.why_not() is None:
        told["libtorrent"] = by_torrent(job)
    if web.why_not() is None:
        told["http"] = _by_zip(job)
    return {**told, "bytes": job.size, "files": count}


def _by_zip(job: Job) -> dict[str, Any]:
    packed = job.folder / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "mod.bin", "w") as made:
        for path in job.source.rglob("*.bin"):
            made.write(path, path.relative_to(job.source))
    target = job.folder / "unpacked"
    with web.server(job.sources[0], packed, job.folder / "nginx") as server:
        started = time.perf_counter()
        server.get(job.getters[0], "mod.bin", job.folder / "mod.zip")
        with zipfile.ZipFile(job.folder / "mod.zip") as got:
            got.extractall(target)
        return {"command": {"last_s": round(time.perf_counter() - started, 3)}}


def _on_stars(
    count: int, job: Callable[[places.Star], Job], *, http: bool = True
) -> dict[str, Any]:
    """Each program on a star of its own, which is not slow while its sources are prepared."""
    told = {}
    ways: list[tuple[str, Callable[[Job], dict[str, Any]]]] = [("ours", ours)]
    if torrents.why_not() is None:
        ways.append(("libtorrent", by_torrent))
    if http and web.why_not() is None:
        ways.append(("http", by_http))
    for name, way in ways:
        with places.star(count) as star:
            made = job(star)
            told[name] = way(made)
        _clear(made)
    return told


def _by_all(job: Job) -> dict[str, Any]:
    told = {"ours": ours(job)}
    _clear(job)
    if web.why_not() is None:
        told["http"] = by_http(job)
    if torrents.why_not() is None:
        told["libtorrent"] = by_torrent(job)
    return told


def _clear(job: Job) -> None:
    for path in job.folder.iterdir():
        if path.is_dir() and path != job.source:
            shutil.rmtree(path)
