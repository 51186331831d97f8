"""How our flows share a bottleneck: with each other, and with the kernel's TCP CUBIC.

And what they leave of a TCP download whose acknowledgements take the way of our upload.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.line.shaped_line import FAR_ADDRESS, NEAR_ADDRESS, Line, shaped, why_not
from scripts.benchmarks.link.pairs import PEER
from scripts.benchmarks.process import Process
from simulations.experiments.line import PAYLOAD_SHARE, Parameters, jain
from simulations.experiments.line import run as simulate

_TCP_PEER = Path(__file__).parents[1] / "line" / "tcp_peer.py"
_TCP_PAYLOAD_SHARE = 1448 / 1500
_MBPS = 100.0
_RTT_MS = 50.0
_QUEUE_MS = 2 * _RTT_MS
_HOME = (20.0, 20.0, 300.0)
"""The line of a home, whose queue is deep: Mbit/s, round trip and queue in ms, each way."""

_BITS = 8
_MEGA = 1e6

Pair = tuple[Process, Process]
"""Sender and receiver."""


def run(seconds: float, *, twice: bool = True) -> dict[str, Any]:
    """Jain's index of two of our flows, and our share beside CUBIC's; why not, where it cannot be.

    The index is of the simulated internet. The rest is of namespaces: `vs_tcp`, and unless once is
    enough `jain_kernel` and `tcp_download_mbps`.
    """
    parameters = Parameters(
        mbps=_MBPS, rtt_ms=_RTT_MS, queue_ms=_QUEUE_MS, flows=2, seconds=min(seconds, 20.0)
    )
    figures: dict[str, Any] = {"jain": simulate(parameters, lambda _: None).data["jain"]}
    reason = why_not()
    if reason is not None:
        return {**figures, "vs_tcp": None, "why_not": reason}
    if twice:
        with shaped(_MBPS, _RTT_MS, _QUEUE_MS) as line:
            ours = received_together([_own_pair(line), _own_pair(line)], seconds)
        figures["jain_kernel"] = round(jain(ours), 3)
        figures["tcp_download_mbps"] = download_beside(seconds)
    with shaped(_MBPS, _RTT_MS, _QUEUE_MS) as line:
        own, tcp = received_together([_own_pair(line), _tcp_pair(line)], seconds)
    own_share, tcp_share = own / PAYLOAD_SHARE, tcp / _TCP_PAYLOAD_SHARE
    return {**figures, "vs_tcp": round(own_share / (own_share + tcp_share), 3)}


def download_beside(seconds: float) -> dict[str, float]:
    """Mbit/s of payload of a home's TCP download: alone, beside our upload, beside that of TCP."""
    uploads: dict[str, list[Callable[[Line], Pair]]] = {
        "alone": [],
        "beside_ours": [_own_pair],
        "beside_tcp": [_tcp_pair],
    }
    figures = {}
    for name, makes in uploads.items():
        with shaped(*_HOME, both_ways=True) as line:
            pairs = [_download(line), *(make(line) for make in makes)]
            received = received_together(pairs, seconds)[0]
        figures[name] = round(received * _BITS / seconds / _MEGA, 2)
    return figures


def received_together(pairs: Sequence[Pair], seconds: float) -> list[int]:
    """Bytes that each pair's receiver gets in this time, all pairs at once."""
    receivers = [receiver for _, receiver in pairs]
    try:
        for sender, receiver in pairs:
            receiver.tell(sender.hear())
            sender.tell(receiver.hear())
        for pair in pairs:
            for peer in pair:
                assert peer.hear() == "open"
        before = [_received(peer) for peer in receivers]
        time.sleep(seconds)
        return [_received(peer) - had for peer, had in zip(receivers, before, strict=True)]
    finally:
        for pair in pairs:
            for peer in pair:
                peer.end()


def _received(peer: Process) -> int:
    peer.tell("mark")
    return int(peer.hear()[2])


def _own_pair(line: Line) -> Pair:
    return (
        Process(
            PEER,
            {"sends": True, "data_path": "native", "address": NEAR_ADDRESS},
            line.at(line.near),
        ),
        Process(
            PEER,
            {"sends": False, "data_path": "native", "address": FAR_ADDRESS},
            line.at(line.far),
        ),
    )


def _tcp_pair(line: Line) -> Pair:
    return (
        Process(_TCP_PEER, {"sends": True, "address": FAR_ADDRESS}, line.at(line.near)),
        Process(_TCP_PEER, {"sends": False, "address": FAR_ADDRESS}, line.at(line.far)),
    )


def _download(line: Line) -> Pair:
    return (
        Process(_TCP_PEER, {"sends": True, "address": NEAR_ADDRESS}, line.at(line.far)),
        Process(_TCP_PEER, {"sends": False, "address": NEAR_ADDRESS}, line.at(line.near)),
    )
