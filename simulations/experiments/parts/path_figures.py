"""What came of the scenarios of experiment `paths`: figures, goals, and their plots."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from simulations.experiments.parts.path_scenarios import Scenario
from simulations.experiments.parts.path_transfer import Trace

_SETTLED_S: Final = 2.0
"""After the beginning of a transfer, before its rate counts."""
_LAST_S: Final = 5.0
PAYLOAD_SHARE: Final = 0.93
"""Of what a line carries: frames, without the bytes of Noise, SCTP, DTLS, UDP and IP."""
_COLUMNS: Final = 4
_COLOURS: Final = {"direct v4": "#bfe3bf", "direct v6": "#a9d6e5", "relay A": "#ffe0a3"}
_OTHER_COLOURS: Final = ("#f7b98b", "#e8a0bf", "#c9b1e8", "#d8d8a8")


@dataclass(slots=True)
class Outcome:
    """One scenario's transfer; times are virtual seconds since it began."""

    name: str
    scenario: Scenario
    event_s: float
    end_s: float
    line_bytes_s: float
    trace: Trace = field(default_factory=Trace)

    @property
    def stall_s(self) -> float:
        """The longest from the event on, without the time in which a machine is not there."""
        return self.trace.stall_s(self.event_s + self.scenario.absent_s, self.end_s)

    @property
    def stall_before_s(self) -> float:
        """The longest before the event."""
        return self.trace.stall_s(_SETTLED_S, self.event_s)

    @property
    def paths(self) -> list[str]:
        """The path at the event, and those that followed, at the sender's end."""
        return [move.path for move in self.trace.paths_between(self.event_s, self.end_s)]

    @property
    def goodput(self) -> float:
        """Of what the line could carry from the event on, the share that arrived."""
        could = self.line_bytes_s * PAYLOAD_SHARE * (self.end_s - self.event_s)
        return self.trace.bytes_between(self.event_s, self.end_s) / could

    @property
    def last_goodput(self) -> float:
        """The same of the last seconds before the end."""
        could = self.line_bytes_s * PAYLOAD_SHARE * _LAST_S
        return self.trace.bytes_between(self.end_s - _LAST_S, self.end_s) / could

    def misses(self) -> list[str]:
        """Why the goal was not reached, in words; empty if it was."""
        scenario, paths, missed = self.scenario, self.paths, []
        if self.trace.lost:
            missed.append(f"link lost: {self.trace.lost}")
        elif not self.trace.is_intact:
            missed.append("what arrived is not what was sent")
        if scenario.stall_s is not None and self.stall_s > scenario.stall_s:
            missed.append(f"stall {self.stall_s:.2f} s")
        if not paths or not paths[-1].startswith(scenario.ends):
            missed.append(f"ends by {paths[-1] if paths else 'no path'}")
        if scenario.stays and len(paths) > 1:
            missed.append(f"{len(paths) - 1} moves")
        if scenario.goodput is not None and self.goodput < scenario.goodput:
            missed.append(f"{self.goodput:.1%} of the line")
        return missed


def goal_of(scenario: Scenario) -> str:
    """What is to be reached, in a few words."""
    words = []
    if scenario.stall_s is not None:
        words.append(f"stall <= {scenario.stall_s:g} s")
    if scenario.ends:
        words.append(("stays " if scenario.stays else "ends ") + scenario.ends)
    if scenario.goodput is not None:
        words.append(f">= {scenario.goodput:.0%} of the line")
    return ", ".join([*words, "intact"])


def row_of(outcome: Outcome) -> dict[str, Any]:
    """The figures, as JSON; times in virtual seconds, goodput as share of the line."""
    trace, misses = outcome.trace, outcome.misses()
    moves = trace.paths_between(0.0, outcome.end_s)
    return {
        "scenario": outcome.name,
        "what": outcome.scenario.what,
        "goal": goal_of(outcome.scenario),
        "met": not misses,
        "misses": misses,
        "stall_s": round(outcome.stall_s, 3),
        "stall_before_s": round(outcome.stall_before_s, 3),
        "goodput": round(outcome.goodput, 4),
        "last_goodput": round(outcome.last_goodput, 4),
        "intact": trace.is_intact,
        "lost": trace.lost,
        "bytes": sum(size for _, size in trace.arrivals),
        "event_s": outcome.event_s,
        "moves": [{"at_s": round(move.at_s, 3), "path": move.path} for move in moves],
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """One line for each scenario: goal, what was measured, and whether that meets it."""
    return "\n".join(_line(one) for one in outcomes)


def _line(outcome: Outcome) -> str:
    misses = outcome.misses()
    verdict = "met" if not misses else "NOT MET: " + "; ".join(misses)
    measured = f"stall {outcome.stall_s:7.3f} s, {outcome.goodput:4.0%} of the line"
    shown = " > ".join(outcome.paths)
    return f"{outcome.name:20} {goal_of(outcome.scenario):38} {measured}  {shown:32} {verdict}"


def draw(figure: Any, outcomes: Sequence[Outcome]) -> None:
    """For each scenario the bytes over time, on the colour of the path in use."""
    columns = min(_COLUMNS, len(outcomes))
    rows = -(-len(outcomes) // columns)
    figure.set_size_inches(max(9.0, 4.6 * columns), max(5.5, 3.1 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place < len(outcomes):
            _draw_one(axes, outcomes[place])
        else:
            axes.set_visible(False)
    met = sum(not one.misses() for one in outcomes)
    figure.suptitle(
        f"One transfer each, with one event at the dashed line: {met} of {len(outcomes)} goals met"
    )


def _draw_one(axes: Any, outcome: Outcome) -> None:
    trace, shown = outcome.trace, set()
    moves = trace.paths_between(0.0, outcome.end_s)
    ends = [*(move.at_s for move in moves[1:]), outcome.end_s]
    for move, until_s in zip(moves, ends, strict=False):
        label = move.path if move.path not in shown else None
        shown.add(move.path)
        axes.axvspan(move.at_s, until_s, color=_colour(move.path), label=label, lw=0)
        axes.axvline(move.at_s, color="grey", lw=0.5)
    total, times, sums = 0, [0.0], [0.0]
    for at_s, size in trace.arrivals:
        total += size
        times.append(at_s)
        sums.append(total / 1e6)
    axes.plot(times, sums, color="black", lw=1.4)
    axes.axvline(outcome.event_s, color="red", ls="--", lw=1.0)
    axes.set_xlim(0, outcome.end_s)
    axes.set_ylim(bottom=0)
    verdict = "met" if not outcome.misses() else "not met: " + "; ".join(outcome.misses())
    axes.set_title(
        f"{outcome.name}: stall {outcome.stall_s:.2f} s\n{verdict[:60]}",
        fontsize="small",
        color="black" if not outcome.misses() else "darkred",
    )
    axes.set_xlabel("virtual seconds", fontsize="x-small")
    axes.set_ylabel("MB delivered", fontsize="x-small")
    axes.tick_params(labelsize="x-small")
    axes.legend(fontsize="x-small", loc="upper left")


def _colour(path: str) -> str:
    """The same for a path everywhere."""
    return _COLOURS.get(path) or _OTHER_COLOURS[sum(path.encode()) % len(_OTHER_COLOURS)]
