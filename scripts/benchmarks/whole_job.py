"""The main job with real processes on loopback.

Each run is an overlay of its own with the same identities. The bytes are random, so that what is
measured is carrying them and not compressing them.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from node.config import Config
from node.faces.cli.bars import Bar
from node.faces.demo.overlay import overlay
from node.faces.demo.processes import make_identities
from node.faces.demo.story import carry

_NODES = 8
_FILES = 8
_FILE_BYTES = 4 * 2**20
_FIGURES = ("lookup_ms", "connect_ms", "transfer_MBps", "seconds")


def run(runs: int) -> dict[str, Any]:
    """Medians and extremes of `runs` runs: milliseconds, megabytes a second, seconds."""
    with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as name:
        folder = Path(name)
        source = _make_source(folder / "source")
        identities = [folder / "identities" / str(number) for number in range(_NODES)]
        _say(f"making {_NODES} identities")
        make_identities(identities, lambda _: None)
        measured = [_run_once(source, identities, f"{1 + number}/{runs}") for number in range(runs)]
    joins = [one for each in measured for one in each["joins_ms"]]
    return {
        "data_path": Config().data_path,
        "runs": runs,
        "nodes": _NODES,
        "bytes": _FILES * _FILE_BYTES,
        "join_ms": _spread(joins),
        **{name: _spread([each[name] for each in measured]) for name in _FIGURES},
    }


def _run_once(source: Path, identities: list[Path], number: str) -> dict[str, Any]:
    def copy_identities(homes: Iterable[Path], _: object) -> None:
        for identity, home in zip(identities, homes, strict=True):
            shutil.copytree(identity, home)

    with overlay(_NODES, copy_identities, _ignore_step) as (built, folder):
        joins = [node.status()["join_ms"] for node in built.all[1:]]
        told = carry(built, source, folder / "fetched", _ignore_step, Bar())
    _say(f"run {number}: {told['transfer_MBps']} MB/s, linked in {told['connect_ms']} ms")
    return {**told, "joins_ms": joins}


def _make_source(folder: Path) -> Path:
    folder.mkdir()
    for number in range(_FILES):
        (folder / f"{number}.bin").write_bytes(os.urandom(_FILE_BYTES))
    return folder


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 2), "min": min(values), "max": max(values)}


def _ignore_step(step: str, sentence: str) -> None:
    return


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
