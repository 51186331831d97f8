"""What idle links cost: ICE's consent checks, heartbeats, timers."""

import time
from pathlib import Path

from scripts.benchmarks.process import Process

_PEER = Path(__file__).with_name("idle_peer.py")
_LINKS = 200
_SETTLE_S = 2.0


def run(seconds: float, links: int = _LINKS) -> float:
    """Percent of one core for 200 links; with fewer the figure is scaled up."""
    peers = [Process(_PEER, {"sends": sends, "links": links}) for sends in (True, False)]
    try:
        described = [peer.hear() for peer in peers]
        for peer, other in zip(peers, reversed(described), strict=True):
            peer.tell(other)
        for peer in peers:
            assert peer.hear() == "open"
        time.sleep(_SETTLE_S)
        before = _mark(peers[0])
        time.sleep(seconds)
        after = _mark(peers[0])
    finally:
        for peer in peers:
            peer.end()
    return round(100 * (after[1] - before[1]) / (after[0] - before[0]) * _LINKS / links, 2)


def _mark(peer: Process) -> list[float]:
    peer.tell("mark")
    marked: list[float] = peer.hear()
    return marked
