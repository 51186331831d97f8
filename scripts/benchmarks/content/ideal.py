"""What a perfect program would take on lines, and figures of several getters."""

from collections.abc import Sequence
from statistics import median
from typing import Any

_BITS = 8
_MEGA = 1e6


def swarm_s(size: float, source_mbps: float, line_mbps: float) -> float:
    """Seconds until the last of any number of getters has `size` bytes, at the earliest.

    The fluid bound of a swarm with one source (Kumar and Ross, 2006): the source has to send each
    byte once, and the slowest line has to bring all. Its third term, that all uplinks together
    carry all copies, never binds where each getter's line has one rate both ways.
    """
    return size * _BITS / _MEGA / min(source_mbps, line_mbps)


def sources_s(size: float, sources: int, uplink_mbps: float, downlink_mbps: float) -> float:
    """Seconds of one getter with so many complete sources."""
    return size * _BITS / _MEGA / min(sources * uplink_mbps, downlink_mbps)


def spread(seconds: Sequence[float], failed: Sequence[str] = ()) -> dict[str, Any]:
    """The last, the median and the first of what several getters took, and why others failed."""
    told: dict[str, Any] = {"failed": len(failed)}
    if failed:
        told["failures"] = sorted(set(failed))
    if seconds:
        told |= {
            "last_s": round(max(seconds), 3),
            "median_s": round(median(seconds), 3),
            "first_s": round(min(seconds), 3),
        }
    return told


def ratio(one: float | None, other: float | None) -> float | None:
    """`one / other` with 3 digits; None where one of them was not measured."""
    return round(one / other, 3) if one is not None and other else None


def at(figures: Any, *path: str) -> float | None:
    """A number that lies so deep in a row, or None where it is not there."""
    for name in path:
        if not isinstance(figures, dict) or name not in figures:
            return None
        figures = figures[name]
    return figures if isinstance(figures, int | float) else None
