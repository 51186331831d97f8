"""What a link costs on the lines that people have: CPU of both ends, beside stock and HTTP.

Loopback hands over bursts of packets; on a line they come one by one, and each may cost a wake-up.
So everything here runs between namespaces of this machine's kernel, with a round trip of 20 ms.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmarks.line.shaped_line import (
    FAR_ADDRESS,
    NEAR_ADDRESS,
    Line,
    far_address,
    shaped,
    why_not,
)
from scripts.benchmarks.link.pairs import PEER, measure, pair_up
from scripts.benchmarks.process import Process

LINES_MBPS = (100, 20, 5)
"""Those that links are measured on."""

_HTTP_PEER = Path(__file__).with_name("http_peer.py")
_FAN_PEER = Path(__file__).with_name("fan_peer.py")
_ECHO_PEER = Path(__file__).with_name("echo_peer.py")
_UDP_PEER = Path(__file__).parents[1] / "line" / "udp_peer.py"
_RTT_MS = 20.0
_QUEUE_MS = 50.0
_LINKS = 10
_LINKS_MBPS = 5
_ECHOES = 40
_ECHOES_QUICK = 15
_BETWEEN_ECHOES_S = 0.05
_WARM_UP_S, _SECONDS = 1.5, 8.0
_WARM_UP_QUICK_S, _SECONDS_QUICK = 0.8, 1.2
_MILLI = 1000


Pair = tuple[Process, Process]
"""Sender and receiver."""


def _channel(line: Line, data_path: str, program: Path = PEER) -> Pair:
    near = {"data_path": data_path, "sends": True, "address": NEAR_ADDRESS}
    far = {"data_path": data_path, "sends": False, "address": FAR_ADDRESS}
    return Process(program, near, line.at(line.near)), Process(program, far, line.at(line.far))


def _http(line: Line) -> Pair:
    server = Process(_HTTP_PEER, {"sends": True, "address": NEAR_ADDRESS}, line.at(line.near))
    client = Process(_HTTP_PEER, {"sends": False, "address": FAR_ADDRESS}, line.at(line.far))
    return server, client


_PAIRS: dict[str, Callable[[Line], Pair]] = {
    "ours": lambda line: _channel(line, "native"),
    "stock": lambda line: _channel(line, "stock"),
    "aiohttp": _http,
}
KINDS = (*_PAIRS, "links", "frame")
"""What `run` measures."""


def run(
    quick: bool, lines: Sequence[int] = LINES_MBPS, kinds: Sequence[str] = KINDS
) -> dict[str, Any]:
    """`cost_ms_per_MB` and `frame_round_trip_ms`; null where namespaces cannot be made.

    With `kinds` only these are measured: "ours", "stock" and "aiohttp" on each line, "links" for
    ten links of one sender, "frame" for the round trip of a frame.
    """
    reason = why_not()
    if reason is not None:
        return {"cost_ms_per_MB": None, "frame_round_trip_ms": None, "cost_why_not": reason}
    pairs = {kind: pair for kind, pair in _PAIRS.items() if kind in kinds}
    times = (_SECONDS_QUICK, _WARM_UP_QUICK_S) if quick else (_SECONDS, _WARM_UP_S)
    costs = {f"{mbps:g} Mbit/s": _on_line(mbps, pairs, times) for mbps in lines if pairs}
    if "links" in kinds:
        costs[f"{_LINKS} links of {_LINKS_MBPS:g} Mbit/s"] = _many_links(times)
    echoes = _ECHOES_QUICK if quick else _ECHOES
    frame = _frame_round_trip(echoes) if "frame" in kinds else None
    return {"cost_ms_per_MB": costs, "frame_round_trip_ms": frame}


def _on_line(
    mbps: float, pairs: dict[str, Callable[[Line], Pair]], times: tuple[float, float]
) -> dict[str, Any]:
    with shaped(mbps, _RTT_MS, _QUEUE_MS) as line:
        row = {
            kind: _cost(f"{mbps:g} Mbit/s, {kind}", pair(line), times)
            for kind, pair in pairs.items()
        }
    return {**row, **_compared(row)}


def _cost(what: str, pair: Pair, times: tuple[float, float]) -> dict[str, float]:
    speed = measure(*pair, *times)
    row = {"send": speed.send_cost, "receive": speed.receive_cost, "MBps": speed.MBps}
    _say(f"{what}: {row}")
    return row


def _compared(row: dict[str, dict[str, float]]) -> dict[str, float]:
    """How much of aiohttp's CPU our receiver needs, where both were measured."""
    if not {"ours", "aiohttp"} <= row.keys():
        return {}
    return {"receive_to_aiohttp": round(row["ours"]["receive"] / row["aiohttp"]["receive"], 3)}


def _many_links(times: tuple[float, float]) -> dict[str, float]:
    with shaped(_LINKS_MBPS, _RTT_MS, _QUEUE_MS, branches=_LINKS) as line:
        near = {"sends": True, "addresses": [NEAR_ADDRESS] * _LINKS}
        far = {"sends": False, "addresses": [far_address(number) for number in range(_LINKS)]}
        sender = Process(_FAN_PEER, near, line.at(line.near))
        receiver = Process(_FAN_PEER, far, line.at(line.far))
        # Each link has its descriptions to exchange; the last exchange is that of `measure`.
        for _ in range(_LINKS - 1):
            receiver.tell(sender.hear())
            sender.tell(receiver.hear())
        return _cost(f"{_LINKS} links of {_LINKS_MBPS:g} Mbit/s", (sender, receiver), times)


def _frame_round_trip(echoes: int) -> dict[str, float]:
    """Of a frame on an idle link, and of the line itself, in turn; medians, and what is above."""
    with shaped(LINES_MBPS[0], _RTT_MS, _QUEUE_MS) as line:
        udp = (
            Process(_UDP_PEER, {"sends": True, "address": FAR_ADDRESS}, line.at(line.near)),
            Process(_UDP_PEER, {"sends": False, "address": FAR_ADDRESS}, line.at(line.far)),
        )
        pairs = (_channel(line, "native", _ECHO_PEER), udp)
        try:
            for pair in pairs:
                pair_up(*pair)
            took = [[_echo(sender) for sender, _ in pairs] for _ in range(echoes)]
        finally:
            for pair in pairs:
                for peer in pair:
                    peer.end()
    link, bare = (_MILLI * median(times) for times in zip(*took, strict=True))
    figures = {"link": round(link, 2), "line": round(bare, 2), "above": round(link - bare, 2)}
    _say(f"a frame on an idle link: {figures} ms")
    return figures


def _echo(sender: Process) -> float:
    time.sleep(_BETWEEN_ECHOES_S)
    sender.tell("echo")
    took_s: float = sender.hear()
    return took_s


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
