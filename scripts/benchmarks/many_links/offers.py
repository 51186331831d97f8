"""How soon an offer can leave, from when a link is asked for to its sealed description."""

import time

from node.environment import Environment
from protocol import limits
from protocol.errors import CallFailed
from protocol.identity import Identity
from scripts.benchmarks.many_links.local_node import LocalNode


async def offers_ready_s(offers: int) -> list[float]:
    """Seconds of each; the first offer, which warms what others use, does not count."""
    ready: list[float] = []

    async def carry(_key: bytes, _sealed: bytes) -> bytes:
        ready.append(time.perf_counter())
        raise CallFailed("the offer is ready")

    node = await LocalNode.open(carry, lambda _link: None)
    rng, took = Environment().rng, []
    for _ in range(1 + offers):
        key = Identity(rng.randbytes(limits.KEY_BYTES)).public_key
        asked = time.perf_counter()
        try:
            await node.connect(key)
        except CallFailed:
            took.append(ready[-1] - asked)
    await node.close()
    return took[1:]
