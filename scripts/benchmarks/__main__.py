"""Run one benchmark and print its figures as JSON: `./scripts/bench [NAME] [--json]`.

A benchmark is a module in this folder or below with `run`, which takes options and gives a
dictionary, and one line in BENCHMARKS.
"""

import argparse
import importlib
import json
import os
import platform
import signal
import sys
from importlib import metadata
from pathlib import Path

from node.machine import streams
from scripts.benchmarks.content.figures import ROWS
from scripts.benchmarks.link.cost import KINDS, LINES_MBPS

_TERMINATED = 143

BENCHMARKS = {
    "attack": (
        "attack.figures",
        ["hostile"],
        "bytes and CPU of each form of request, at both sides; --hostile: of each of tests/hostile",
    ),
    "main": (
        "whole_job",
        ["runs"],
        "join, lookup, connect and transfer between real node processes",
    ),
    "content": (
        "content.figures",
        ["quick", "only"],
        "sharing and getting mods on real lines, beside nginx and libtorrent",
    ),
    "cost": (
        "link.cost",
        ["quick", "lines", "kinds"],
        "processor time of a link on lines of some Mbit/s, beside stock and HTTP; a frame's delay",
    ),
    "dht": (
        "overlay.figures",
        ["nodes"],
        "processor time and memory of an overlay node, beside stock",
    ),
    "ice": (
        "ice.figures",
        [],
        "processor time of a connect, beside aioice; offers, and 20 links at once",
    ),
    "link": (
        "link.figures",
        ["quick", "pcap"],
        "a data channel on many paths, beside stock, libwebrtc and HTTP; 200 idle links",
    ),
    "page": ("pages", ["runs"], "a web page's link in Chromium, direct and by TURN, beside none"),
    "relay": ("relay.figures", ["runs"], "processor time of relaying and goodput, beside coturn"),
    "sim": ("simulated", ["sizes"], "packets, time and memory of simulated nodes, beside stock"),
}
"""Name: the module, the options that it takes, and what it measures."""


def main() -> None:
    """Parse, run, print."""
    epilog = "\n".join(f"  {name:<8} {what}" for name, (*_, what) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="bench",
        epilog=f"benchmarks:\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, default="main")
    parser.add_argument("--runs", type=_positive, default=5, help="figures are medians of so many")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[100, 1000, 10_000], help="nodes of each world"
    )
    parser.add_argument("--nodes", type=_positive, default=1000, help="of the world that idles")
    parser.add_argument("--quick", action="store_true", help="shorter measurements, of a link")
    parser.add_argument(
        "--lines",
        type=_positive,
        nargs="+",
        default=LINES_MBPS,
        help="Mbit/s of each line of `cost`, but for links and frame",
    )
    parser.add_argument("--only", choices=ROWS, nargs="+", default=[], help="rows of `content`")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS, help="of `cost`")
    parser.add_argument(
        "--hostile", nargs="*", metavar="TEST", help="of `attack`: these of tests/hostile, or all"
    )
    parser.add_argument("--pcap", type=Path, help="file for the SCTP packets of one more link")
    parser.add_argument("--json", action="store_true", help="on one line")
    given = parser.parse_args()
    module, options, _ = BENCHMARKS[given.name]
    for option, value in vars(given).items():
        if option not in (*options, "name", "json") and value != parser.get_default(option):
            parser.error(f"{given.name} takes no --{option}")
    # What was begun ends in order: nodes, namespaces and files stay behind of none.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    benchmark = importlib.import_module(f"scripts.benchmarks.{module}")
    figures = benchmark.run(*(getattr(given, option) for option in options))
    result = {
        "benchmark": given.name,
        "version": metadata.version("modswarm"),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        **figures,
    }
    json.dump(result, sys.stdout, indent=None if given.json else 2)
    print()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


with streams.harmless():
    main()
