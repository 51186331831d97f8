"""The lab's results as tables for people and as JSON for programs."""

import statistics
from collections.abc import Sequence
from typing import Any

from scripts.lab.matrix import Outcome, faults_of
from scripts.lab.probe import Finding
from scripts.lab.ways import Way

_LETTERS = {Way.DIRECT: "D", Way.RELAYED: "R", Way.NONE: "-"}
_IMPROVED = "U"
_LEGEND = (
    "D direct, U relayed at first and then direct, R relayed, - no link; ms until then\n"
    "! not as the table says; ~ relayed, as few searches may be"
)
_WORDS_CHARS = 300


def findings_table(findings: Sequence[Finding]) -> str:
    """What the probe found, a line for each network and family."""
    lines = []
    for finding in findings:
        mark = "ok" if finding.right else "NO"
        lines.append(f"{mark}  {finding.site:<14} {finding.family}  {finding.found}")
        if not finding.right:
            lines.append(f"    {'':<14} {'':<4}  but it should have: {finding.expected}")
    return "\n".join(lines)


def matrix_table(outcomes: Sequence[Outcome]) -> str:
    """Callers down, callees across: the way and the ms, `!` where it is not as the table says."""
    wrong = faults_of(outcomes)
    cells = {(_kind(one.pair.caller), _kind(one.pair.callee)): one for one in outcomes}
    callers = list(dict.fromkeys(caller for caller, _ in cells))
    far = [name for name in callers if any(key != (name, name) for key in cells if name in key)]
    width = max(len(name) for name in callers) + 1
    lines = []
    if far:
        lines.append(" " * width + "".join(f"{name[:8]:>9}" for name in far))
        for caller in far:
            row = "".join(f"{_cell(cells.get((caller, callee)), wrong):>9}" for callee in far)
            lines.append(f"{caller:<{width}}{row}")
    lines += [
        f"{name:<{width}}{_cell(cells[name, name], wrong):>9}"
        for name in callers
        if name not in far
    ]
    return "\n".join([*lines, "", _LEGEND])


def _kind(host: str) -> str:
    return host.rpartition(".")[0]


def _cell(outcome: Outcome | None, wrong: Sequence[Outcome]) -> str:
    if outcome is None:
        return ""
    mark = "!" if outcome in wrong else "" if outcome.right else "~"
    if outcome.direct_ms is not None:
        return f"{mark}{_IMPROVED} {outcome.direct_ms:.0f}"
    return f"{mark}{_LETTERS[outcome.way]} {outcome.took_ms:.0f}"


def faults(outcomes: Sequence[Outcome]) -> str:
    """One line for each pair that did not go as it must."""
    lines = []
    for one in faults_of(outcomes):
        pair = one.pair
        expected = f"{pair.expected.value} ({pair.means})"
        line = f"{pair.caller} -> {pair.callee}: {one.way.value}, expected {expected}"
        if one.failure:
            line += f": {one.failure['name']}: {one.failure['message'][:_WORDS_CHARS]}"
        elif one.strange:
            line += f"; its remote address {one.strange} is not the callee's"
        elif one.callee_way is not one.way:
            seen = one.callee_way.value if one.callee_way else "no link"
            line += f"; the callee sees {seen}"
        lines.append(line)
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts and percentiles."""
    possible = [one for one in outcomes if one.pair.expected is not Way.NONE]
    linked = [one for one in possible if one.way is not Way.NONE]
    took = sorted(one.took_ms for one in linked)
    unordered = {_unordered(one) for one in possible}
    linked_unordered = {_unordered(one) for one in linked}
    return {
        "pairs": len(outcomes),
        "pairs_with_udp": len(possible),
        "linked": len(linked),
        "direct": sum(one.way is Way.DIRECT for one in linked),
        "relayed_at_first": sum(one.direct_ms is not None for one in linked),
        "relayed": sum(one.way is Way.RELAYED for one in linked),
        "as_expected": len(outcomes) - len(faults_of(outcomes)),
        "searches": sum(one.pair.searches for one in outcomes),
        "excused": sum(one.missed for one in outcomes if not one.right),
        "kinds_pairs_with_udp": len(unordered),
        "kinds_pairs_linked_in_any_direction": len(linked_unordered),
        "p50_ms": round(statistics.median(took), 1) if took else None,
        "p95_ms": took[int(0.95 * (len(took) - 1))] if took else None,
    }


def _unordered(outcome: Outcome) -> frozenset[str]:
    return frozenset({_kind(outcome.pair.caller), _kind(outcome.pair.callee)})


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """One pair."""
    return {
        "caller": outcome.pair.caller,
        "callee": outcome.pair.callee,
        "expected": outcome.pair.expected.value,
        "means": outcome.pair.means,
        "way": outcome.way.value,
        "right": outcome.right,
        "missed": outcome.missed,
        "took_ms": outcome.took_ms,
        "direct_ms": outcome.direct_ms,
        "link": outcome.link,
        "failure": outcome.failure,
    }
