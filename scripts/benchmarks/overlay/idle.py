"""What a node costs that does nothing, in a world of many.

`python overlay_idle.py NODES` gives the processor time of one of NODES simulated nodes that have
joined, as a share of a core: the node's own work and the simulated socket's under it.
"""

import asyncio
import json
import sys
import time

from simulations.internet.latency import SyntheticLatency
from simulations.residents.world import World
from simulations.runtime.running import run_virtually

_SETTLE_S = 60.0
_IDLE_S = 3600.0
"""An hour, in which every table and every record is refreshed once."""


async def _idle(nodes: int) -> dict[str, float]:
    world = World(1, latency=SyntheticLatency(1, min(nodes, 512)))
    await world.populate(nodes)
    await asyncio.sleep(_SETTLE_S)
    delivered, started = world.internet.carrier.delivered, time.process_time()
    await asyncio.sleep(_IDLE_S)
    seconds = time.process_time() - started
    return {
        "idle_cpu_percent": round(100 * seconds / _IDLE_S / nodes, 4),
        "idle_packets_per_s": round(
            (world.internet.carrier.delivered - delivered) / _IDLE_S / nodes, 3
        ),
    }


if __name__ == "__main__":
    json.dump(run_virtually(_idle(int(sys.argv[1]))), sys.stdout)
