"""The attackers of `tests/hostile/`: outcomes, honest people's times, memory and CPU.

Times and numbers are what tests tell by pytest's `record_property`: of what is told often, the
highest.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "hostile"

_OUTCOMES = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}
_PRINTED_CHARS = 400
_MOST_TOLD = 10
_BY_THE_MOST = ("memory_MB", "cpu_s", "memory_kB_per_attacker", "cpu_ms_per_attacker")
_THOUSAND = 1e3


def hostile_tests(chosen: Sequence[str]) -> dict[str, Any]:
    """A row for each test of these files or ids, and which take most; all of FOLDER if none."""
    cases = list(_ran(chosen or [str(FOLDER)]).iter("testcase"))
    rows = dict(sorted((_name(one), _row(one)) for one in cases))
    return {
        "attackers": rows,
        "most": {figure: _most(rows, figure) for figure in _BY_THE_MOST},
        "failed": [name for name, row in rows.items() if row["outcome"] == "FAILED"],
    }


def _ran(chosen: Sequence[str]) -> "ET.Element":
    with tempfile.TemporaryDirectory(prefix="modswarm-attacks-") as place:
        report = Path(place) / "report.xml"
        options = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "-n", "auto")
        plugins = ("-p", "no:cacheprovider", "-p", "scripts.benchmarks.attack.metered_tests")
        told = (f"--junit-xml={report}", "-o", "junit_logging=system-out")
        family = ("-o", "junit_family=xunit1")  # the one that has properties
        command = (sys.executable, "-m", "pytest", *options, *plugins, *told, *family, *chosen)
        ran = subprocess.run(command, stdout=sys.stderr, check=False)
        if not report.exists():
            raise SystemExit(f"pytest ended with status {ran.returncode}")
        # pytest wrote it from our own tests a moment ago.
        return ET.parse(report).getroot()  # noqa: S314


def _name(case: ET.Element) -> str:
    return f"{Path(case.get('file', '')).name}::{case.get('name')}"


def _row(case: ET.Element) -> dict[str, Any]:
    row: dict[str, Any] = {"outcome": "held"}
    for child in case:
        if child.tag in _OUTCOMES:
            row = {"outcome": _OUTCOMES[child.tag], "why": child.get("message", "")}
    for one in case.iter("property"):
        name, value = one.get("name", ""), round(json.loads(one.get("value", "")), 3)
        row[name] = max(value, row.get(name, value))
    if attackers := row.get("attackers"):
        for figure, each in (("memory_MB", "memory_kB"), ("cpu_s", "cpu_ms")):
            more = row[figure] - row.get(f"alone_{figure}", 0)
            row[f"{each}_per_attacker"] = round(max(0, more) * _THOUSAND / attackers, 1)
    lines = (case.findtext("system-out") or "").splitlines()
    if printed := " ".join(line.strip() for line in lines if not line.startswith("-----")).strip():
        row["printed"] = printed[:_PRINTED_CHARS]
    return row


def _most(rows: dict[str, dict[str, Any]], figure: str) -> dict[str, float]:
    """The rows in which it is highest, highest first."""
    found = [(row[figure], name) for name, row in rows.items() if figure in row]
    return {name: value for value, name in sorted(found, reverse=True)[:_MOST_TOLD]}
