"""Two processes with a data channel between them, and how fast it carries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.process import Process

PEER = Path(__file__).with_name("peer.py")
"""One end of a data channel of ours, or of stock."""

_MEGA = 1e6


@dataclass(frozen=True, slots=True)
class Speed:
    """Megabytes of messages a second, and milliseconds of CPU for each megabyte on either side."""

    MBps: float
    send_cost: float
    receive_cost: float


def measure(sender: Process, receiver: Process, seconds: float, warm_up_s: float) -> Speed:
    """Connect two processes and measure for so long, after a while that does not count."""
    peers = (sender, receiver)
    try:
        pair_up(sender, receiver)
        time.sleep(warm_up_s)
        before = mark(peers)
        time.sleep(seconds)
        after = mark(peers)
    finally:
        for peer in peers:
            peer.end()
    took_s = after[1][0] - before[1][0]
    megabytes = (after[1][2] - before[1][2]) / _MEGA
    cpu_ms = [1000 * (new[1] - old[1]) for old, new in zip(before, after, strict=True)]
    cost = [used / megabytes if megabytes else 0.0 for used in cpu_ms]
    return Speed(round(megabytes / took_s, 2), round(cost[0], 2), round(cost[1], 2))


def pair_up(sender: Process, receiver: Process) -> None:
    """Let two processes exchange descriptions, and wait until their channel is open."""
    receiver.tell(sender.hear())
    sender.tell(receiver.hear())
    for peer in (sender, receiver):
        assert peer.hear() == "open"


def mark(peers: Sequence[Process]) -> list[list[float]]:
    """Seconds, seconds of CPU, and bytes received so far, of each process."""
    for peer in peers:
        peer.tell("mark")
    return [peer.hear() for peer in peers]


def own_pair(seconds: float, warm_up_s: float, **options: Any) -> Speed:
    """Two peers of ours with these options."""
    sender = Process(PEER, {"sends": True, **options})
    receiver = Process(PEER, {"sends": False, **options})
    return measure(sender, receiver, seconds, warm_up_s)
