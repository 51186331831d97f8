"""Fuzz the decoders, then a whole node, for a given time, and print what was found.

Each half is a process of its own: libFuzzer ends the process that it fuzzes in. Their corpora
are kept in .fuzz/ for the next run.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from node.machine import streams

ROOT = Path(__file__).parents[2]
HALVES = ("decoders", "node")
_GRACE_S = 120
_GROWTH_MAX = 0.02
"""Growth of live objects in the second half of a run up to which memory counts as flat."""


def main() -> None:
    """Parse, run both halves, print; the status is 1 if anything was found or memory grew."""
    parser = argparse.ArgumentParser(prog="fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for both halves together")
    parser.add_argument("--json", action="store_true", help="on one line")
    given = parser.parse_args()
    figures = {half: _fuzz(half, max(1, given.seconds // len(HALVES))) for half in HALVES}
    json.dump(figures, sys.stdout, indent=None if given.json else 2)
    print()
    sys.exit(any(map(_is_bad, figures.values())))


def _is_bad(told: dict[str, Any]) -> bool:
    return bool(told["found"] or told["status"] or told.get("growth", 0.0) > _GROWTH_MAX)


def _fuzz(half: str, seconds: int) -> dict[str, Any]:
    work = ROOT / ".fuzz" / half
    work.mkdir(parents=True, exist_ok=True)
    figures = work / "figures.json"
    figures.unlink(missing_ok=True)
    ran = subprocess.run(
        [sys.executable, "-m", "scripts.fuzzing.worker", half, str(seconds), str(work)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        timeout=seconds + _GRACE_S,
        check=False,
    )
    if ran.returncode:
        print(ran.stderr[-3000:], file=sys.stderr)
    told = json.loads(figures.read_text()) if figures.exists() else {"found": []}
    return {
        "seconds": seconds,
        "inputs": _statistic(ran.stderr, r"stat::number_of_executed_units: +(\d+)"),
        "branches": _statistic(ran.stderr, r"cov: (\d+)"),
        "peak_rss_MB": _statistic(ran.stderr, r"stat::peak_rss_mb: +(\d+)"),
        "status": ran.returncode,
        **told,
    }


def _statistic(said: str, pattern: str) -> int | None:
    """The last number that libFuzzer gave by this pattern."""
    found = re.findall(pattern, said)
    return int(found[-1]) if found else None


with streams.harmless():
    main()
