"""The attackers of `tests/hostile/`, as `./scripts/bench attack --hostile` tells of them."""

from collections import Counter
from typing import Any

from scripts.auditing import programs
from scripts.auditing.page import Section, table
from scripts.auditing.programs import NotRun

TITLE = "Attackers"

_LIMIT_S = 3600


def section(limit_s: float = _LIMIT_S) -> Section:
    """Run all of them."""
    try:
        told = programs.last_json(programs.run((*programs.COSTS, "--hostile"), limit_s))
        rows = told["attackers"]
        if not rows:
            raise NotRun("there are no tests")
    except NotRun as reason:
        return Section(TITLE, "", missing=[f"`./scripts/bench attack --hostile`: {reason}"])
    counts = Counter(row["outcome"] for row in rows.values())
    summary = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    findings = [f"{name} fails" for name in told["failed"]]
    missing = [f"{name}: {row['why']}" for name, row in rows.items() if row["outcome"] == "skipped"]
    cells = [(name, row["outcome"], _figures(row)) for name, row in rows.items()]
    body = (
        f"{summary}.\n\n{_most(told['most'])}\n\n{table(('attack', 'outcome', 'figures'), cells)}"
    )
    return Section(TITLE, body, findings, missing)


def _most(figures: dict[str, dict[str, float]]) -> str:
    rows = [
        (figure, name, value) for figure, most in figures.items() for name, value in most.items()
    ]
    return table(("most", "attack", "value"), rows)


def _figures(row: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {value}" for name, value in row.items() if name not in ("outcome", "why")
    )
