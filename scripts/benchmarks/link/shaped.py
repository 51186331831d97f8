"""What share of a shaped line one link of ours fills: on the simulated internet and in the kernel.

The share is of what the line could carry as data in full packets, headers aside. On the simulated
internet the figures are exact and the same each time; between namespaces they are the kernel's.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.line.shaped_line import FAR_ADDRESS, NEAR_ADDRESS, shaped, why_not
from scripts.benchmarks.link.pairs import PEER, measure
from scripts.benchmarks.process import Process
from simulations.experiments.line import PAYLOAD_SHARE, Parameters
from simulations.experiments.line import run as simulate

_BITS = 8
_WARM_UP_S = 2.0
"""Figures count from then on."""


@dataclass(frozen=True, slots=True)
class Path:
    """A line and what happens on it."""

    mbps: float
    rtt_ms: float
    queue_ms: float
    loss: float = 0.0
    reorder: float = 0.0


PATHS = (
    Path(100, 50, 50),
    Path(100, 50, 50, loss=0.001),
    Path(100, 50, 50, loss=0.01),
    Path(100, 50, 50, reorder=0.01),
    Path(10, 200, 200, loss=0.01),
    Path(10, 50, 1000),
)
"""The last has a queue of a second, which must not be filled."""


def run(
    seconds: float, paths: Iterable[Path] = PATHS, *, kernel: bool = True
) -> list[dict[str, Any]]:
    """One row for each path and place, the kernel's only where namespaces can be made."""
    paths = tuple(paths)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(_simulated, paths, [seconds] * len(paths)))
    if kernel and why_not() is None:
        rows += [_in_kernel(path, seconds) for path in paths]
    return rows


def _row(path: Path, place: str, share: float) -> dict[str, Any]:
    return {
        "place": place,
        "line_Mbps": path.mbps,
        "rtt_ms": path.rtt_ms,
        "queue_ms": path.queue_ms,
        "loss": path.loss,
        "reorder": path.reorder,
        "share": round(share, 4),
    }


def _simulated(path: Path, seconds: float) -> dict[str, Any]:
    parameters = Parameters(
        mbps=path.mbps,
        rtt_ms=path.rtt_ms,
        queue_ms=path.queue_ms,
        loss=path.loss,
        reorder=path.reorder,
        warm_up_s=_WARM_UP_S,
        seconds=seconds,
    )
    data = simulate(parameters, lambda _: None).data
    return {**_row(path, "simulated", data["share"]), "worst_delay_ms": data["worst_delay_ms"]}


def _in_kernel(path: Path, seconds: float) -> dict[str, Any]:
    where = (path.mbps, path.rtt_ms, path.queue_ms)
    with shaped(*where, loss=path.loss, reorder=path.reorder) as line:
        options = {"data_path": "native", "sends": True, "address": NEAR_ADDRESS}
        sender = Process(PEER, options, line.at(line.near))
        options = {**options, "sends": False, "address": FAR_ADDRESS}
        receiver = Process(PEER, options, line.at(line.far))
        speed = measure(sender, receiver, seconds, _WARM_UP_S)
    return _row(path, "kernel", speed.MBps * _BITS / path.mbps / PAYLOAD_SHARE)
