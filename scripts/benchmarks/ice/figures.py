"""What ICE costs: the processor time of a connect, and of the consent checks of idle links; and
how soon links open.

`agents_ms` is our two agents alone, in simulated time, with three candidates each of which one pair
works. `sockets_ms` is one pair on loopback with asyncio's sockets, for ours and for aioice. What is
of the product itself, from the call to a message, comes from `many_links`.
"""

import time
from statistics import median
from typing import Any

from protocol.ice.unproved import NetworkAllowance
from scripts.benchmarks.ice.in_memory import End, World
from scripts.benchmarks.ice.on_loopback import measure
from scripts.benchmarks.many_links.figures import connecting

_ROUNDS = 5
_CONNECTS = 200
_LINKS = 200
_IDLE_S = 600.0


def run() -> dict[str, Any]:
    """Figures are medians of rounds."""
    connects = [_connect_ms() for _ in range(_ROUNDS)]
    sockets = [measure(_CONNECTS) for _ in range(_ROUNDS)]
    return {
        "agents_ms": round(median(connects), 3),
        "sockets_ms": {name: round(median(one[name] for one in sockets), 3) for name in sockets[0]},
        "consent_percent_of_core": _consent_percent(),
        "links_idle": _LINKS,
        **connecting(),
    }


def _linked(count: int) -> tuple[World, list[End]]:
    world, allowance = World(), NetworkAllowance()
    ends = [
        End(number, controlling=number % 2 == 0, allowance=allowance)
        for number in range(2, 2 * count + 2)
    ]
    for place in range(0, len(ends), 2):
        world.link(ends[place], ends[place + 1])
    return world, ends


def _connect_ms() -> float:
    """Milliseconds for both ends, from making the agents to the nomination."""
    before = time.process_time()
    world, ends = _linked(_CONNECTS)
    world.run(lambda: ends[-1].is_open and ends[-2].is_open)
    elapsed_s = time.process_time() - before
    if not all(end.is_open for end in ends):
        raise RuntimeError("not all pairs of agents have linked")
    return 1000 * elapsed_s / _CONNECTS


def _consent_percent() -> float:
    """Percent of a core for one end of so many idle links."""
    world, ends = _linked(_LINKS)
    world.run(lambda: all(end.is_open for end in ends))
    begun = world.now + 10.0
    world.run(lambda: world.now >= begun)
    before = time.process_time()
    world.run(lambda: world.now >= begun + _IDLE_S)
    elapsed_s = time.process_time() - before
    return round(100 * elapsed_s / _IDLE_S / 2, 3)
