"""What one overlay node costs: processor time a packet, memory a contact, a node that idles.

Answering is measured without sockets: requests that peers made beforehand go straight into our
endpoint's demultiplexer or the stock library's `datagram_received`, and answers end in a sink.
Both know their askers and have full tables. Ours authenticates and decrypts each request and seals
each answer; stock does neither.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

_ROUNDS = 5
_HERE = Path(__file__).parent


def run(nodes: int) -> dict[str, Any]:
    """Rates are requests answered a second of processor time; medians of rounds that take turns."""
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], "stock": []}
    for _ in range(_ROUNDS):
        for library, measured in rounds.items():
            measured.append(_in_process("answering.py", library))
    rates = {
        f"{library}_{kind}": round(median(one[kind] for one in measured))
        for library, measured in rounds.items()
        for kind in ("pings_per_s", "find_node_per_s")
    }
    ours_us = [1e6 / rates["ours_pings_per_s"], 1e6 / rates["ours_find_node_per_s"]]
    return {
        **rates,
        "pings_vs_stock": round(rates["ours_pings_per_s"] / rates["stock_pings_per_s"], 2),
        "find_node_vs_stock": round(
            rates["ours_find_node_per_s"] / rates["stock_find_node_per_s"], 2
        ),
        "us_per_ping": round(ours_us[0], 1),
        "us_per_find_node": round(ours_us[1], 1),
        "bytes_per_contact": _in_process("memory.py")["bytes_per_contact"],
        **_in_process("resident.py"),
        "nodes": nodes,
        **_in_process("idle.py", str(nodes)),
    }


def _in_process(*words: str) -> dict[str, Any]:
    command = [sys.executable, str(_HERE / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
