"""What a follower fetches of a later version: its missing chunks, or a patch, and what that costs.

Measured without a network, in a process for the publisher and one for the follower, so that each
has its own peak of memory.
"""

import tempfile
from pathlib import Path
from typing import Any

from scripts.benchmarks.content.apart import told_by
from scripts.benchmarks.content.patching import cases
from scripts.benchmarks.content.patching.cases import Pair
from scripts.benchmarks.content.rows import Setting

PLACES = "1 % in 200 places"
"""A row, which is told beside the cases of `delta`."""

_MB = 1_000_000
_SLACK_BYTES = 64 * 1024
_PLACES_GOAL = 1.5
_PLACES_BYTES = {False: 50 * _MB, True: 5 * _MB}
_MODULE = "scripts.benchmarks.content.patching.process"


def patched(setting: Setting) -> dict[str, Any]:
    """Each pair of versions; what cannot be had is said to be skipped."""
    size = _PLACES_BYTES[setting.quick]
    told: dict[str, Any] = {PLACES: _many_places(setting.folder / "places", size)}
    told |= _both("assets", cases.assets(setting.folder / "assets"), setting.folder)
    for name in () if setting.quick else ("numpy", "matplotlib"):
        pair = cases.wheels(setting.folder / name, name)
        if pair is None:
            told[name] = {"skipped": "its wheels cannot be had from PyPI here"}
        else:
            told |= _both(name, pair, setting.folder)
    return told


def _both(name: str, pair: Pair, folder: Path) -> dict[str, Any]:
    """Unpacked, and as one archive."""
    archives = cases.zipped(pair, folder / f"{name} zipped")
    return {name: _measured(pair), f"{name}, zipped": _measured(archives)}


def _many_places(folder: Path, size: int) -> dict[str, Any]:
    folder.mkdir()
    told = _measured(cases.many_places(folder, size))
    changed = cases.changed_bytes(size)
    goal = _PLACES_GOAL * changed + told["manifest_bytes"] + _SLACK_BYTES
    return {**told, "changed_bytes": changed, "fetched_over_goal": _over(told, goal)}


def _over(told: dict[str, Any], goal: float) -> float:
    fetched = sum(int(told[f"{what}_bytes"]) for what in ("manifest", "patch", "left"))
    return round(fetched / goal, 3)


def _measured(pair: Pair) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as name:
        folder = Path(name)
        shared = told_by(_MODULE, "share", folder / "publisher", *pair)
        links = shared.pop("links")
        applied = told_by(_MODULE, "apply", folder / "publisher", folder / "follower", *links)
    missing = applied["missing_bytes"]
    fetched = applied["patch_bytes"] + applied["left_bytes"]
    return {
        **shared,
        **applied,
        "missing_MB": round(missing / _MB, 3),
        "patch_MB": round(fetched / _MB, 3),
        "patch_over_missing": round(fetched / missing, 4) if missing else None,
    }
