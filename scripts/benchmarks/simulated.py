"""How fast the simulated internet carries real nodes, how much memory each takes, beside stock.

Each size is a process of its own, so that its memory is its own:
`python simulated.py ours|stock NODES`.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from typing import Any

from simulations.internet.latency import SyntheticLatency
from simulations.residents.stock import StockWorld
from simulations.residents.world import World
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_rng

_SEED = 1
_LOOKUPS = 1000
_SETTLE_S = 30.0
_KIB = 1024
STOCK_NODES = 1000


def run(sizes: list[int]) -> dict[str, Any]:
    """The figures of each size, and of the stock library at STOCK_NODES."""
    stock = _in_process("stock", min(STOCK_NODES, max(sizes)))
    rows = [_in_process("ours", nodes) for nodes in sizes]
    same_size = next((row for row in rows if row["nodes"] == stock["nodes"]), rows[-1])
    return {
        "sizes": rows,
        "stock": stock,
        "packets_vs_stock": round(same_size["packets_per_s"] / stock["packets_per_s"], 2),
    }


def _in_process(library: str, nodes: int) -> dict[str, Any]:
    words = [sys.executable, __file__, library, str(nodes)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


async def _ours(nodes: int) -> dict[str, Any]:
    empty_kib = _resident_kib()
    started = time.perf_counter()
    world = World(_SEED, latency=SyntheticLatency(_SEED, min(nodes, 512)))
    await world.populate(nodes)
    joined_s = time.perf_counter() - started
    joining = world.internet.carrier.delivered
    await asyncio.sleep(_SETTLE_S)
    rng = derive_rng(_SEED, "bench")

    async def look_up() -> None:
        resident = rng.choice(world.residents)
        with resident.host.running():
            await resident.running.server.lookup(rng.randbytes(20))

    return await _measure(world, look_up, nodes, joined_s, joining, empty_kib)


async def _stock(nodes: int) -> dict[str, Any]:
    empty_kib = _resident_kib()
    started = time.perf_counter()
    world = StockWorld(_SEED, SyntheticLatency(_SEED, min(nodes, 512)))
    await world.populate(nodes)
    joined_s = time.perf_counter() - started
    joining = world.internet.carrier.delivered
    await asyncio.sleep(_SETTLE_S)
    rng = derive_rng(_SEED, "bench")

    async def look_up() -> None:
        host, server = rng.choice(world.servers)
        with host.running():
            await world.closest(server, rng.randbytes(20))

    return await _measure(world, look_up, nodes, joined_s, joining, empty_kib)


async def _measure(
    world: World | StockWorld,
    look_up: Any,
    nodes: int,
    joined_s: float,
    joining: int,
    empty_kib: int,
) -> dict[str, Any]:
    delivered, virtual_s = world.internet.carrier.delivered, world.loop.time()
    started = time.perf_counter()
    for _ in range(_LOOKUPS):
        await look_up()
    wall_s = time.perf_counter() - started
    return {
        "nodes": nodes,
        "join_wall_s": round(joined_s, 2),
        "join_packets_per_s": round(joining / joined_s),
        "join_packets_per_node": round(joining / nodes, 1),
        "lookups": _LOOKUPS,
        "lookups_wall_s": round(wall_s, 2),
        "packets_per_s": round((world.internet.carrier.delivered - delivered) / wall_s),
        "virtual_s_per_real_s": round((world.loop.time() - virtual_s) / wall_s, 2),
        "MiB_per_node": round((_resident_kib() - empty_kib) / _KIB / nodes, 4),
        "log_hash": world.internet.log.digest(),
    }


def _resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    measured = {"ours": _ours, "stock": _stock}[sys.argv[1]]
    json.dump(run_virtually(measured(int(sys.argv[2]))), sys.stdout)
