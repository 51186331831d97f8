"""What came of many pairs: figures by kind of site, and their plot."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.links.stages import Stage
from simulations.harness.statistics import quantile
from simulations.residents.pairs import PairOutcome
from simulations.residents.sites import SITES, can_be_punched

_BY_RELAY = {"relayed", "stream"}
_HARD = {"port-restricted", "symmetric"}
"""The pair that a direct path takes the longest to find for."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two kinds of sites, and the outcome of the first call and, if it linked, of the second."""

    caller: str
    callee: str
    first: PairOutcome
    again: PairOutcome | None

    @property
    def has_udp(self) -> bool:
        """Whether UDP passes on both sides."""
        return SITES[self.caller].passes_udp and SITES[self.callee].passes_udp

    @property
    def can_be_punched(self) -> bool:
        """Whether a direct path can be opened."""
        return can_be_punched(SITES[self.caller], SITES[self.callee])


def data_of(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The figures, as JSON; shares are of pairs, times virtual seconds."""
    udp = [one for one in pairs if one.has_udp]
    punchable = [one for one in udp if one.can_be_punched]
    hard = [one for one in udp if {one.caller, one.callee} == _HARD]
    first = [one.first.seconds for one in udp if one.first.linked]
    again = [one.again.seconds for one in udp if one.again is not None and one.again.linked]
    return {
        "pairs": len(pairs),
        "success": _share(pairs, lambda one: one.first.linked),
        "blocked_pairs": len(pairs) - len(udp),
        "linked_of_blocked": _share(
            [one for one in pairs if not one.has_udp], lambda one: one.first.linked
        ),
        "linked_of_udp": _share(udp, lambda one: one.first.linked),
        "linked_again_of_linked": _share(
            [one for one in udp if one.again is not None],
            lambda one: one.again is not None and one.again.linked,
        ),
        "punchable_pairs": len(punchable),
        "direct_of_punchable": _share(punchable, _is_direct),
        "relayed_of_udp": _share(udp, _is_relayed),
        "port_restricted_x_symmetric": {
            "pairs": len(hard),
            "direct": _share(hard, _is_direct),
            **_times([one.first.direct_s for one in hard if one.first.direct_s is not None]),
        },
        **_times(first),
        "uncached": _times(first),
        "cached": _times(again),
        "stages_p50_s": _stages(udp),
        "paths": dict(Counter(one.first.way for one in pairs)),
        "failures": _failures(udp),
        "by_nat": _by_kinds(pairs),
    }


def draw(figure: Any, pairs: Sequence[Pair]) -> None:
    """A matrix: caller's site by callee's site, coloured by success, with the median time."""
    axes = figure.subplots()
    kinds = [kind for kind in SITES if any(kind in (one.caller, one.callee) for one in pairs)]
    grid = [[float("nan")] * len(kinds) for _ in kinds]
    for row in _by_kinds(pairs):
        y, x = kinds.index(row["caller"]), kinds.index(row["callee"])
        grid[y][x] = 100 * row["success"]
        linked = round(row["success"] * row["pairs"])
        timed = f"\n{row['p50_s']:.2f} s" if row["p50_s"] is not None else ""
        timed += f"\n{row['relayed']} relayed" if row["relayed"] else ""
        size = 9 if len(kinds) < 8 else 4
        text = f"{linked} of {row['pairs']}{timed}"
        axes.text(x, y, text, ha="center", va="center", fontsize=size)
    image = axes.imshow(grid, vmin=0, vmax=100, cmap="RdYlGn", alpha=0.6, aspect="auto")
    labels = [f"{kind}\n(no box)" if SITES[kind].is_public else kind for kind in kinds]
    turned = 0 if len(kinds) < 8 else 60
    axes.set_xticks(range(len(kinds)), labels, rotation=turned)
    axes.set_yticks(range(len(kinds)), labels)
    axes.set_xlabel("what the callee is behind")
    axes.set_ylabel("what the caller is behind")
    linked = sum(one.first.linked for one in pairs)
    axes.set_title(
        f"{linked} of {len(pairs)} pairs got a link; below, how many of each kind did, and\n"
        "the median time to the link in virtual seconds (white: no such pair was drawn)"
    )
    figure.colorbar(image, label="pairs that got a link (%)")


def _is_relayed(pair: Pair) -> bool:
    """Whether the first path went by a relay, also where the caller reached that by a stream."""
    return pair.first.way in _BY_RELAY


def _is_direct(pair: Pair) -> bool:
    """Whether the path was direct, or became so within seconds."""
    return pair.first.direct_s is not None


def _share(pairs: Sequence[Pair], holds: Callable[[Pair], bool]) -> float | None:
    return round(sum(map(holds, pairs)) / len(pairs), 4) if pairs else None


def _times(seconds: Sequence[float]) -> dict[str, float | None]:
    if not seconds:
        return {"p50_s": None, "p95_s": None}
    return {f"p{int(100 * share)}_s": round(quantile(seconds, share), 3) for share in (0.5, 0.95)}


def _stages(pairs: Sequence[Pair]) -> dict[str, float]:
    """How long each stage of a first call took at the median."""
    linked = [one.first.stages for one in pairs if one.first.linked]
    return {
        stage.value: round(quantile([one.get(stage, 0.0) for one in linked], 0.5), 3)
        for stage in Stage
        if linked
    }


def _failures(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Calls without a link where UDP passes on both sides: how many of each kind, and one of them.

    Failures that differ in what stands behind a semicolon or in addresses alone are of one kind.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in pairs:
        for outcome in (one.first, one.again):
            if outcome is not None and not outcome.linked:
                reason = outcome.failure.partition(";")[0]
                found.setdefault((one.caller, one.callee, reason), []).append(outcome.failure)
    return [
        {"caller": caller, "callee": callee, "calls": len(failures), "failure": failures[0]}
        for (caller, callee, _), failures in found.items()
    ]


def _by_kinds(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    rows = []
    for caller in SITES:
        for callee in SITES:
            cell = [one for one in pairs if (one.caller, one.callee) == (caller, callee)]
            if not cell:
                continue
            times = [one.first.seconds for one in cell if one.first.linked]
            rows.append(
                {
                    "caller": caller,
                    "callee": callee,
                    "pairs": len(cell),
                    "success": round(len(times) / len(cell), 3),
                    "direct": sum(map(_is_direct, cell)),
                    "relayed": sum(map(_is_relayed, cell)),
                    "p50_s": round(quantile(times, 0.5), 3) if times else None,
                    "failure": next((one.first.failure for one in cell if one.first.failure), ""),
                }
            )
    return rows
