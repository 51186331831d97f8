"""A mod of 1 MB over 100 Mbit/s and 20 ms in a warm overlay: without a link open, and with one."""

from typing import Any

from scripts.benchmarks.content import places, sources
from scripts.benchmarks.content.ours import Got, nodes
from scripts.benchmarks.content.rows import Setting

_ROUND_TRIP_MS = 20


def small(setting: Setting) -> dict[str, Any]:
    """Milliseconds from the request to the first verified byte and to the end."""
    folder, size = setting.folder, setting.sizes.small
    first = sources.one_file(folder / "first", size, 11)
    second = sources.one_file(folder / "second", size, 12)
    with (
        places.line(100, _ROUND_TRIP_MS) as (near, far),
        nodes([near, far], folder / "nodes") as (sharer, getter),
    ):
        links = [sharer.share(source) for source in (first, second)]
        cold = getter.get(links[0], folder / "cold")
        warm = getter.get(links[1], folder / "warm")
    return {
        "bytes": size,
        "round_trip_ms": _ROUND_TRIP_MS,
        "without a link": _told(cold),
        "with a link": _told(warm),
    }


def _told(got: Got) -> dict[str, Any]:
    if got.failure:
        return {"failure": got.failure}
    told = {name: got.told.get(name) for name in ("first_byte_ms", "lookup_ms", "connect_ms")}
    return {**told, "seconds": got.seconds, "command_s": round(got.whole_s, 3)}
