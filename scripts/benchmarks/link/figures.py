"""The data channel of a link: ours beside stock, libwebrtc and HTTP, all in one run.

What runs on the real clock runs alone, and so do idle links, which cost more on busy processors.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from scripts.benchmarks.link import cost, fairness, gigabit, shaped
from scripts.benchmarks.link.pairs import PEER, Speed, measure, own_pair
from scripts.benchmarks.many_links.figures import idling
from scripts.benchmarks.process import Process

_WRTC_PEER = Path(__file__).with_name("wrtc_peer.py")
_LOSSES = (0.0, 0.001, 0.01)
_DELAY_S = 0.025
"""One way, and as much back: 50 ms."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds of each measurement, without its warming up.

    Idle links are watched for longer than the interval between two consent checks.
    """

    warm_up_s: float
    loopback_s: float
    rtt50_s: float
    rtt50_warm_up_s: float
    gigabit_s: float
    idle_s: float
    idle_links: int
    shaped_s: float
    paths: tuple[shaped.Path, ...]
    fairness_s: float


_FULL = Effort(1.0, 5.0, 6.0, 2.0, 5.0, 60.0, 200, 8.0, shaped.PATHS, 60.0)
_QUICK = Effort(0.4, 0.8, 1.0, 0.8, 0.8, 10.0, 60, 1.5, shaped.PATHS[:3:2], 3.0)


def run(quick: bool, pcap: Path | None = None) -> dict[str, Any]:
    """All figures; null for what cannot be measured on this machine.

    With `pcap` one more link, over 50 ms with losses, is written to a file instead of measured:
    writing costs speed.
    """
    effort = _QUICK if quick else _FULL
    if pcap is not None:
        _trace(pcap)
    return {
        "loopback": _loopback(effort),
        "rtt50": _rtt50(effort),
        "gigabit_vs_http": _gigabit(effort),
        **cost.run(quick),
        **_shaped(effort, quick=quick),
        **_idle(effort),
    }


def _trace(pcap: Path) -> None:
    path = {"data_path": "native", "loss": _LOSSES[-1], "delay_s": _DELAY_S}
    sender = Process(PEER, {"sends": True, "pcap": str(pcap.resolve()), **path})
    measure(sender, Process(PEER, {"sends": False, **path}), seconds=1.0, warm_up_s=0.0)
    _say(f"wrote {pcap}")


def _loopback(effort: Effort) -> dict[str, Any]:
    times = (effort.loopback_s, effort.warm_up_s)
    ours = _told("loopback, ours", own_pair(*times, data_path="native"))
    plain = _told(
        "loopback, ours without offload", own_pair(*times, data_path="native", offload=False)
    )
    stock = _told("loopback, stock", own_pair(*times, data_path="stock"))
    foreign = None
    if find_spec("webrtc") is not None:
        sender, receiver = (Process(_WRTC_PEER, {"sends": sends}) for sends in (True, False))
        foreign = _told("loopback, libwebrtc", measure(sender, receiver, *times))
    return {
        "ours_MBps": ours.MBps,
        "ours_no_gso_MBps": plain.MBps,
        "stock_MBps": stock.MBps,
        "libwebrtc_MBps": foreign and foreign.MBps,
        "ours_cpu_ms_per_MB": [ours.send_cost, ours.receive_cost],
    }


def _rtt50(effort: Effort) -> list[dict[str, Any]]:
    def one(data_path: str, loss: float) -> Speed:
        seconds, warm_up_s = effort.rtt50_s, effort.rtt50_warm_up_s
        speed = own_pair(seconds, warm_up_s, data_path=data_path, loss=loss, delay_s=_DELAY_S)
        return _told(f"50 ms, {100 * loss:g} % lost, {data_path}", speed)

    # The stock path idles most of the time, so its runs hardly disturb each other.
    with ThreadPoolExecutor(len(_LOSSES)) as pool:
        stock = list(pool.map(lambda loss: one("stock", loss), _LOSSES))
    return [
        {"loss": loss, "ours_MBps": one("native", loss).MBps, "stock_MBps": slow.MBps}
        for loss, slow in zip(_LOSSES, stock, strict=True)
    ]


def _gigabit(effort: Effort) -> float | None:
    if not gigabit.possible():
        _say("1 Gbit/s: no namespaces without root, ip and tc")
        return None
    try:
        ours, http = gigabit.run(effort.gigabit_s, effort.warm_up_s)
    except CalledProcessError as error:
        _say(f"1 Gbit/s: {' '.join(error.cmd)} failed")
        return None
    _told("1 Gbit/s, ours", ours)
    _told("1 Gbit/s, HTTP", http)
    return round(ours.MBps / http.MBps, 3)


def _shaped(effort: Effort, *, quick: bool) -> dict[str, Any]:
    rows = shaped.run(effort.shaped_s, effort.paths, kernel=not quick)
    for row in rows:
        _say(f"shaped: {row}")
    shares = fairness.run(effort.fairness_s, twice=not quick)
    _say(f"fairness: {shares}")
    return {"shaped": rows, "fairness": shares}


def _idle(effort: Effort) -> dict[str, float]:
    cost = idling(effort.idle_s, effort.idle_links)
    _say(f"200 idle links: {cost}")
    return {"idle200_cpu_percent": cost["cpu_percent"], "idle200_MB_each": cost["MB_each"]}


def _told(what: str, speed: Speed) -> Speed:
    _say(f"{what}: {speed.MBps} MB/s, {speed.send_cost} and {speed.receive_cost} ms CPU per MB")
    return speed


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
