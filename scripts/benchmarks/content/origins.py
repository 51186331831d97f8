"""A mod from an HTTP server: beside a plain GET of the same bytes by aiohttp, and beside a peer."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.content import places, sources
from scripts.benchmarks.content.commands import timed
from scripts.benchmarks.content.ideal import ratio, sources_s
from scripts.benchmarks.content.ours import Node
from scripts.benchmarks.content.places import LOOPBACK, Place
from scripts.benchmarks.content.rivals import web
from scripts.benchmarks.content.rows import Setting

_MBPS, _ROUND_TRIP_MS = 100.0, 20.0
_EACH_MBPS, _GETTER_MBPS = 20.0, 200.0
_GET = "scripts.benchmarks.content.rivals.aiohttp_get"
_TRIES = 3


def origin(setting: Setting) -> dict[str, Any]:
    """An origin alone on a line and on loopback, and with a peer on lines of their own."""
    folder, size = setting.folder, setting.sizes.line
    source = sources.one_file(folder / "mod", size)
    told = {}
    with places.line(_MBPS, _ROUND_TRIP_MS) as (near, far):
        told["line"] = _alone(source, folder / "line", near, far)
    here = Place(LOOPBACK)
    told["loopback"] = _alone(source, folder / "loopback", here, here)
    told["with a peer"] = _together(source, setting.sizes.sources, folder / "together")
    return {**told, "bytes": size}


def _alone(source: Path, folder: Path, server_place: Place, place: Place) -> dict[str, Any]:
    """The best of some tries of each, in turns."""
    folder.mkdir()
    with _node(Place(LOOPBACK), folder / "sharer", 0) as sharer:
        link = sharer.share(source)
        files = _exported(sharer, folder / "www")
    ours, theirs = [], []
    with web.server(server_place, folder / "www", folder / "nginx") as server:
        for number in range(_TRIES):
            with _node(place, folder / f"getter{number}", 1, origin=server.url) as getter:
                got = getter.fetch(link, folder / f"out{number}")
            if got.failure:
                return {"failure": got.failure}
            assert got.told["sources"] == [server.url]
            ours.append(got.seconds)
            urls = [f"{server.url}/{Path(file).name}" for file in files]
            command = (sys.executable, "-m", _GET, str(folder / "got"), *urls)
            ran = timed([*place.prefix, *command])
            if ran.status:
                raise RuntimeError(f"aiohttp: {ran.errors.strip()[-300:]}")
            theirs.append(float(json.loads(ran.output)["seconds"]))
    return {
        "ours_s": [round(one, 3) for one in ours],
        "aiohttp_s": [round(one, 3) for one in theirs],
        "speed": ratio(min(theirs), min(ours)),
    }


def _together(source: Path, size: int, folder: Path) -> dict[str, Any]:
    """An origin and a peer with a line each; the ideal is the sum of their lines."""
    folder.mkdir()
    if size != sum(path.stat().st_size for path in source.rglob("*") if path.is_file()):
        source = sources.one_file(folder / "mod", size)
    with places.star(3) as star:
        server_place, peer_place, place = star.ends
        with _node(peer_place, folder / "sharer", 0) as sharer:
            link = sharer.share(source)
            files = _exported(sharer, folder / "www")
            with (
                web.server(server_place, folder / "www", folder / "nginx") as server,
                _node(place, folder / "getter", 1, origin=server.url, via=sharer) as getter,
            ):
                getter.connect(sharer)
                star.shape([(_EACH_MBPS, _EACH_MBPS)] * 2 + [(_GETTER_MBPS, _GETTER_MBPS)])
                got = getter.fetch(link, folder / "out")
    if got.failure:
        return {"failure": got.failure}
    sent = sum(Path(file).stat().st_size for file in files)
    ideal_s = sources_s(sent, 2, _EACH_MBPS, _GETTER_MBPS)
    return {
        "ours_s": round(got.seconds, 3),
        "ideal_s": round(ideal_s, 3),
        "of_both_lines": ratio(ideal_s, got.seconds),
        "sources": len(got.told["sources"]),
    }


def _exported(sharer: Node, folder: Path) -> list[str]:
    """The paths of the two files of the mod that was shared last."""
    mod_id = sharer.ask("/v1/mods")["mods"][-1]["mod_id"]

    def export() -> dict[str, Any]:
        body = {"mod_id": mod_id, "to": str(folder)}
        *_, last = sharer.process.client.stream("/v1/exports", body)
        told: dict[str, Any] = last["result"]
        return told

    told = sharer.place.within(export)
    return [told["manifest"], told["chunks"]]


@contextlib.contextmanager
def _node(
    place: Place, folder: Path, number: int, *, origin: str = "", via: Node | None = None
) -> Iterator[Node]:
    """A node with an origin in its settings."""
    made = Node(place, folder, number, via)
    if origin:
        made.process.home.mkdir(parents=True)
        settings = f"origins = [{json.dumps(origin)}]\n"
        (made.process.home / "config.toml").write_text(settings, encoding="utf-8")
    try:
        made.start()
        made.wait()
        yield made
    finally:
        made.process.ask_to_end()
        made.process.end()
