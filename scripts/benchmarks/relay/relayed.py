"""What a link of ours carries through our relay: the share of the narrower leg that it fills.

    sender  --delay-->  relay  --rate and queue-->  receiver

Three namespaces of this machine's kernel with a process in each. The share is of what the leg could
carry as data in full packets, headers aside.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from protocol.addresses import Address
from protocol.overlay.contacts import Contact
from scripts.benchmarks.line.shaped_line import (
    FAR_ADDRESS,
    MIDDLE_ADDRESS,
    NEAR_ADDRESS,
    shaped,
    why_not,
)
from scripts.benchmarks.link.pairs import mark, pair_up
from scripts.benchmarks.process import Process
from scripts.benchmarks.relay.relay_process import RELAY_KEY
from simulations.experiments.line import PAYLOAD_SHARE

RELAY = Path(__file__).with_name("relay_process.py")
_PEER = Path(__file__).with_name("relayed_peer.py")
_LEGS_MBPS = (8, 40, 200)
_RTT_MS = 40.0
_QUEUE_MS = 50.0
_WARM_UP_S = 2.0
_SECONDS = 8.0
_BITS = 8
_MEGA = 1e6


def run() -> list[dict[str, Any]]:
    """One row for each leg; none where namespaces cannot be made."""
    return [] if why_not() is not None else [_through(mbps) for mbps in _LEGS_MBPS]


def _through(mbps: float) -> dict[str, Any]:
    with shaped(mbps, _RTT_MS, _QUEUE_MS) as line:
        relay = Process(RELAY, {"address": MIDDLE_ADDRESS}, line.at(line.middle))
        ends = {"data_path": "native"}
        sender = Process(
            _PEER, {**ends, "sends": True, "address": NEAR_ADDRESS}, line.at(line.near)
        )
        receiver = Process(
            _PEER, {**ends, "sends": False, "address": FAR_ADDRESS}, line.at(line.far)
        )
        all_three = (relay, sender, receiver)
        try:
            contact = Contact.at(RELAY_KEY, Address(*relay.hear()))
            for number, end in enumerate((sender, receiver), start=1):
                relay.tell([number, *end.hear()])
                end.tell([contact.packed.hex(), relay.hear()])
            pair_up(sender, receiver)
            time.sleep(_WARM_UP_S)
            before = _used_s(all_three), mark([receiver])
            time.sleep(_SECONDS)
            after = _used_s(all_three), mark([receiver])
        finally:
            for process in all_three:
                process.end()
    (started_s, _, first), (ended_s, _, last) = before[1][0], after[1][0]
    megabytes = (last - first) / _MEGA
    could = mbps / _BITS * PAYLOAD_SHARE
    costs = [
        round(1000 * (new - old) / megabytes, 2)
        for old, new in zip(before[0], after[0], strict=True)
    ]
    return {
        "leg Mbit/s": mbps,
        "MB/s": round(megabytes / (ended_s - started_s), 2),
        "share of the leg": round(megabytes / (ended_s - started_s) / could, 3),
        "CPU ms per MB: relay, sender, receiver": costs,
    }


def _used_s(processes: Sequence[Process]) -> list[float]:
    """Seconds of CPU of each."""
    times = [psutil.Process(process.pid).cpu_times() for process in processes]
    return [one.user + one.system for one in times]
