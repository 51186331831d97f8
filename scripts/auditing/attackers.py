"""The attackers of `tests/hostile/`: what pytest collects there, with outcomes and figures."""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from scripts.auditing.page import Section, table
from scripts.auditing.programs import ROOT, NotRun, run

FOLDER = ROOT / "tests" / "hostile"
TITLE = "Attackers"

_LIMIT_S = 1800
_PRINTED_CHARS = 400
_OUTCOMES = {"failure": "FAILED", "error": "FAILED", "skipped": "skipped"}


def section(folder: Path = FOLDER, limit_s: float = _LIMIT_S) -> Section:
    """Run all tests of a folder; what they print or record are their figures."""
    with tempfile.TemporaryDirectory(prefix="modswarm-audit-") as place:
        report = Path(place) / "report.xml"
        options = ("-c", "pyproject.toml", "--rootdir", str(ROOT), "-n", "auto", "-p")
        told = (f"--junit-xml={report}", "-o", "junit_logging=system-out")
        command = (sys.executable, "-m", "pytest", *options, "no:cacheprovider", *told)
        try:
            ran = run((*command, str(folder)), limit_s)
            # pytest wrote it from our own tests a moment ago.
            cases = list(ET.parse(report).getroot().iter("testcase"))  # noqa: S314
            if not cases:
                raise NotRun(f"there are no tests in {folder.name}")
        except NotRun as reason:
            return Section(TITLE, "", missing=[str(reason)])
        except (OSError, ET.ParseError):
            words = (ran.stdout + ran.stderr).strip().splitlines()[-1:]
            return Section(
                TITLE, "", missing=[f"pytest ended with status {ran.returncode}: {words}"]
            )
    rows = sorted((_file(one), one.get("name", ""), _outcome(one), _figures(one)) for one in cases)
    counts = Counter(outcome for _, _, outcome, _ in rows)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    findings = [f"{file} {name} fails" for file, name, outcome, _ in rows if outcome == "FAILED"]
    missing = [f"{file} {name}: {why}" for file, name, why in _skips(cases)]
    body = f"{summary}.\n\n{table(('file', 'attack', 'outcome', 'figures'), rows)}"
    return Section(TITLE, body, findings, missing)


def _file(case: ET.Element) -> str:
    return case.get("classname", "").rpartition(".")[2]


def _outcome(case: ET.Element) -> str:
    return next((_OUTCOMES[child.tag] for child in case if child.tag in _OUTCOMES), "held")


def _skips(cases: list[ET.Element]) -> Iterator[tuple[str, str, str]]:
    for case in cases:
        for child in case.findall("skipped"):
            yield _file(case), case.get("name", ""), child.get("message", "")


def _figures(case: ET.Element) -> str:
    recorded = [f"{one.get('name')} {one.get('value')}" for one in case.iter("property")]
    lines = (case.findtext("system-out") or "").splitlines()
    printed = " ".join(line.strip() for line in lines if not line.startswith("-----")).strip()
    return "; ".join([*recorded, *filter(None, [printed[:_PRINTED_CHARS]])])
