"""What a node costs that does nothing: memory of a real process, time in a world of many.

`python overlay_idle.py NODES` gives the processor time of one of NODES simulated nodes that have
joined, as a share of a core: the node's own work and the simulated socket's under it.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import psutil

from node.faces.demo.processes import NodeProcess, wait_until
from simulations.internet.latency import SyntheticLatency
from simulations.world import World, run_virtually

_SETTLE_S = 60.0
_IDLE_S = 3600.0
"""An hour, in which every table and every record is refreshed once."""
_START_S = 60.0
_MB = 1e6


def _resident_mb() -> float:
    """Megabytes of a real node that has started and has opened no link."""
    with tempfile.TemporaryDirectory(prefix="modswarm-bench-") as folder:
        node = NodeProcess(Path(folder) / "node", "--listen", "127.0.0.1:0")
        node.start()
        try:
            wait_until(lambda: node.running() is not None, _START_S, "starting a node")
            process = node._process
            assert process is not None
            resident: int = psutil.Process(process.pid).memory_info().rss
            return round(resident / _MB, 1)
        finally:
            node.end()


async def _idle(nodes: int, resident_mb: float) -> dict[str, float]:
    world = World(1, latency=SyntheticLatency(1, min(nodes, 512)))
    await world.populate(nodes)
    await asyncio.sleep(_SETTLE_S)
    delivered, started = world.internet.delivered, time.process_time()
    await asyncio.sleep(_IDLE_S)
    seconds = time.process_time() - started
    return {
        "idle_rss_MB": resident_mb,
        "idle_cpu_percent": round(100 * seconds / _IDLE_S / nodes, 4),
        "idle_packets_per_s": round((world.internet.delivered - delivered) / _IDLE_S / nodes, 3),
    }


if __name__ == "__main__":
    json.dump(run_virtually(_idle(int(sys.argv[1]), _resident_mb())), sys.stdout)
