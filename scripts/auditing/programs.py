"""Programs that the audit runs, each with a time limit; and a section for one that failed."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.auditing.page import Section, table

ROOT = Path(__file__).parents[2]

FUZZ = (sys.executable, str(ROOT / "scripts" / "fuzzing"))
COSTS = (sys.executable, "-m", "scripts.benchmarks", "attack", "--json")

_TOLD_CHARS = 2000
_FUZZ_GRACE_S = 300
_COSTS_S = 900
_FIGURES_OF_FUZZING = ("seconds", "inputs", "branches", "peak_rss_MB", "objects", "growth")


class NotRun(Exception):
    """A program could not be run to its end; the message says why."""


def run(
    command: Sequence[str], limit_s: float, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a program in the checkout; raises NotRun if it is not there or takes too long."""
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError:
        raise NotRun(f"`{command[0]}` is not installed") from None
    except subprocess.TimeoutExpired:
        raise NotRun(f"`{' '.join(command[:4])}` took longer than {limit_s:.0f} s") from None


def last_json(ran: "subprocess.CompletedProcess[str]") -> Any:
    """What a program printed as its last line; raises NotRun if that is no JSON."""
    lines = ran.stdout.strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        words = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise NotRun(f"it ended with status {ran.returncode}: {words[0]}") from None


def fuzzing(seconds: int) -> Section:
    """`./scripts/fuzz` for so long: every decoder, and a whole node."""
    title = "Fuzzing"
    try:
        ran = run((*FUZZ, "--seconds", str(seconds), "--json"), seconds + _FUZZ_GRACE_S)
        halves = last_json(ran)
    except NotRun as reason:
        return Section(title, "", missing=[str(reason)])
    findings = [f"{half}: {one}" for half, told in halves.items() for one in told["found"]]
    if ran.returncode and not findings:
        findings = [f"the fuzzer ended with status {ran.returncode}: memory grew, or it broke"]
    rows = (
        (half, *(told.get(name, "-") for name in _FIGURES_OF_FUZZING))
        for half, told in halves.items()
    )
    return Section(title, table(("half", *_FIGURES_OF_FUZZING), rows), findings)


def costs(limit_s: float = _COSTS_S) -> Section:
    """`./scripts/bench attack`: what each request form costs who asks and who answers."""
    title = "What requests cost"
    try:
        told = last_json(run(COSTS, limit_s))
    except NotRun as reason:
        return Section(title, "", missing=[f"`./scripts/bench attack`: {reason}"])
    findings = [f"{name} costs more than the bounds allow" for name in told.get("exceed", ())]
    return Section(title, _told(told), findings)


def _told(figures: dict[str, Any]) -> str:
    """Figures as tables where they are rows, else as they are."""
    parts = []
    for name, value in figures.items():
        rows = _rows(value)
        if rows:
            headings = list(dict.fromkeys(key for row in rows for key in row))
            cells = ([row.get(heading, "-") for heading in headings] for row in rows)
            parts.append(f"{name}:\n\n{table(headings, cells)}")
        else:
            parts.append(f"{name}: {json.dumps(value)[:_TOLD_CHARS]}")
    return "\n\n".join(parts)


def _rows(value: Any) -> list[dict[str, Any]]:
    """The rows that a list of dictionaries is, or a dictionary of them by name."""
    if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
        return [{"name": name, **one} for name, one in value.items()]
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return value
    return []
