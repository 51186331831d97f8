"""Figures that need more than one call of each pair: the time of a punch, and idle links."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocol.errors import ModswarmError
from scripts.lab.kinds import KINDS, Kind
from scripts.lab.lab import Lab
from scripts.lab.matrix import Outcome, Pair
from scripts.lab.ways import Way, means, predicted

PUNCH_SLACK_MS = 10.0
"""What a punch may take besides the skew of both sides and one round trip."""

IDLE_STEP_S = 200.0
"""A node closes links that nothing has used for five minutes, so a long wait has pauses. The first
links are older than the wait by the time that the calls took."""


def punching_kinds(count: int) -> list[Kind]:
    """So many kinds that are all port-restricted, for pairs that never met."""
    return [replace(KINDS["port"], name=f"port{number}") for number in range(count)]


def punching_pairs(kinds: Sequence[Kind]) -> list[Pair]:
    """Each kind's two hosts."""
    return [
        Pair(f"{kind.name}.a", f"{kind.name}.b", predicted(kind, kind), means(kind, kind))
        for kind in kinds
    ]


def punching(lab: Lab, pairs: Sequence[Pair], delay_ms: float) -> tuple[dict[str, Any], bool]:
    """Let pairs call one after the other; how long ICE took at the side that began later."""
    outcomes = [outcome for pair in pairs for outcome in lab.call([pair])]
    took = [one.link["stages"] for one in outcomes if one.link is not None]
    ice = sorted(stages["ice_ms"] for stages in took)
    round_trip_ms = 2 * delay_ms
    goal_ms = round_trip_ms + PUNCH_SLACK_MS
    told = {
        "pairs": len(outcomes),
        "direct": sum(one.way is Way.DIRECT for one in outcomes),
        "round_trip_ms": round_trip_ms,
        "goal_ms": goal_ms,
        "ice_ms": ice,
        "stages_p50_ms": {name: _median(took, name) for name in (took[0] if took else ())},
        "call_to_link_p50_ms": _p50([one.took_ms for one in outcomes if one.link]),
        "failures": [one.failure for one in outcomes if one.failure],
    }
    return told, len(ice) == len(outcomes) and statistics.median(ice) <= goal_ms


def _median(took: Sequence[dict[str, Any]], name: str) -> float | None:
    return _p50([stages[name] for stages in took if stages[name] is not None])


def _p50(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 1) if values else None


@dataclass(frozen=True, slots=True)
class Idled:
    """A link that nothing used for a while, and what became of it."""

    caller: str
    callee: str
    way: Way
    lived: bool
    what: str

    def json(self) -> dict[str, Any]:
        """As the results tell it."""
        return {
            "caller": self.caller,
            "callee": self.callee,
            "way": self.way.value,
            "lived": self.lived,
            "what": self.what,
        }


def idle(lab: Lab, outcomes: Sequence[Outcome], seconds: float) -> list[Idled]:
    """Leave all links alone for so long, with a small mod over each after every step."""
    begun = time.monotonic()
    found = {index: _before(one) for index, one in enumerate(outcomes) if one.link}
    left = seconds
    while left > 0:
        time.sleep(min(left, IDLE_STEP_S))
        left -= IDLE_STEP_S
        folder, age_s = lab.folder / f"idle-{left:.0f}", time.monotonic() - begun
        for index, idled in found.items():
            if idled.lived:
                found[index] = _use(lab, outcomes[index], folder, age_s)
    return list(found.values())


def _before(outcome: Outcome) -> Idled:
    pair = outcome.pair
    return Idled(pair.caller, pair.callee, outcome.way, True, "not used yet")


def _use(lab: Lab, outcome: Outcome, folder: Path, age_s: float) -> Idled:
    """Fetch a mod that only the callee has, and see that no new link was made for it."""
    pair = outcome.pair
    caller, callee = lab.nodes[pair.caller], lab.nodes[pair.callee]
    source = folder / f"mod-{pair.caller}-{pair.callee}"
    source.mkdir(parents=True)
    (source / "file").write_text(f"{source}\n")  # another each time, or nothing is to fetch
    before = caller.link_to(callee)
    if before is None:
        return Idled(pair.caller, pair.callee, outcome.way, False, "the caller closed the link")
    try:
        link = callee.share(source)
        caller.fetch(link, folder / f"{source.name}-fetched")
    except ModswarmError as failure:
        return Idled(pair.caller, pair.callee, outcome.way, False, str(failure))
    after = caller.link_to(callee)
    lived = after is not None and after["age_s"] >= age_s - 1
    used = after is not None and after["bytes_received"] > before["bytes_received"]
    what = "used" if used else "the mod came another way"
    if not lived:
        what = "another link was made for it"
    return Idled(pair.caller, pair.callee, outcome.way, lived and used, what)
