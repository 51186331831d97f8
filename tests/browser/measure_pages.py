"""What the link of a page carries in Chromium, beside a channel of two pages without a node.

`python -m tests.browser.measure_pages RUNS` prints medians as JSON, in MB/s; on an idle machine.
"""

import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.browser.foreign import MISSING
from tests.browser.page_node import Scene, scene
from tests.node.relay.real_relay import SECRET, real_relay

SIZE = 10_000_000


async def measured(runs: int) -> dict[str, Any]:
    """Medians of so many runs of each way; up is from the page to the node."""
    with tempfile.TemporaryDirectory() as folder:
        async with scene(Path(folder)) as stage:
            direct = await _ways(stage, "moved", runs)
            alone = [await stage.do("plain", size=SIZE) for _ in range(runs)]
    with tempfile.TemporaryDirectory() as folder:
        async with real_relay() as relay:
            given: dict[str, Any] = {"page_relays": (str(relay.address),)}
            async with scene(Path(folder), page_relay_secret=SECRET, **given) as stage:
                relayed = await _ways(stage, "relayedMoved", runs)
    return {"direct": direct, "by TURN": relayed, "Chromium with itself": _rate(alone)}


async def _ways(stage: Scene, action: str, runs: int) -> dict[str, float]:
    told = []
    for _ in range(runs):
        stage.mover.taken.clear()
        told.append(await stage.do(action, size=SIZE))
    return {way: _rate([one[way]["seconds"] for one in told]) for way in ("up", "down")}


def _rate(seconds: list[float]) -> float:
    return round(SIZE / statistics.median(seconds) / 1e6, 1)


if __name__ == "__main__":
    if MISSING["chromium"]:
        sys.exit(f"There is no Chromium: {MISSING['chromium']}")
    print(json.dumps(asyncio.run(measured(int(sys.argv[1])))))  # noqa: T201 - its output
