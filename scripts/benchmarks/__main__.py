"""Run one benchmark and print its figures as JSON: `./scripts/bench [NAME] [--json]`.

A benchmark is a module beside this one with `run(runs: int) -> dict` and one line in BENCHMARKS.
"""

import argparse
import importlib
import json
import os
import platform
import sys
from importlib import metadata

BENCHMARKS = {
    "main": ("whole_job", "join, lookup, connect and transfer between real node processes"),
}
"""Name: the module, and what it measures."""


def main() -> None:
    """Parse, run, print."""
    epilog = "\n".join(f"  {name:<8} {what}" for name, (_, what) in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="bench",
        epilog=f"benchmarks:\n{epilog}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, default="main")
    parser.add_argument("--runs", type=int, default=5, help="figures are medians of so many")
    parser.add_argument("--json", action="store_true", help="on one line")
    given = parser.parse_args()
    figures = importlib.import_module(BENCHMARKS[given.name][0]).run(max(1, given.runs))
    result = {
        "benchmark": given.name,
        "version": metadata.version("modswarm"),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        **figures,
    }
    json.dump(result, sys.stdout, indent=None if given.json else 2)
    print()


main()
