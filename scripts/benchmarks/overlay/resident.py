"""Memory of real node processes: before their first link, and with one open that carried a mod.

Three nodes on loopback: two unreachable ones, and the one through which they find each other.
"""

import json
import os
import sys

import psutil

from node.faces.cli.bars import Bar
from node.faces.demo.overlay import overlay
from node.faces.demo.processes import NodeProcess, make_identities
from node.faces.demo.story import carry

_NODES = 3
_MOD_BYTES = 2**20
_MB = 1e6


def measure() -> dict[str, float]:
    """Megabytes resident, of the larger of the two ends."""
    with overlay(_NODES, make_identities, _ignore_step) as (built, folder):
        before = max(map(_resident_mb, built.endpoints))
        source = folder / "source"
        source.mkdir()
        (source / "mod.bin").write_bytes(os.urandom(_MOD_BYTES))
        carry(built, source, folder / "fetched", _ignore_step, Bar())
        if not all(node.client.get("/v1/links")["links"] for node in built.endpoints):
            raise RuntimeError("no link is open, so nothing would be measured")
        after = max(map(_resident_mb, built.endpoints))
    return {"idle_rss_MB": before, "linked_rss_MB": after}


def _resident_mb(node: NodeProcess) -> float:
    assert node._process is not None
    resident: int = psutil.Process(node._process.pid).memory_info().rss
    return round(resident / _MB, 1)


def _ignore_step(_step: str, _sentence: str) -> None:
    return


if __name__ == "__main__":
    json.dump(measure(), sys.stdout)
