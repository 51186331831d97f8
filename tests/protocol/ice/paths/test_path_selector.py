"""Which path carries a link: the order, the hysteresis, and a random model of both."""

import random
from dataclasses import dataclass
from math import inf

import pytest

from protocol import limits
from protocol.ice.paths.selector import (
    BETTER_BY_S,
    BETTER_FOR_S,
    IPV6_BONUS_S,
    PROVED_S,
    PathClass,
    PathSelector,
    PathState,
)

DIRECT, RELAYED, STREAM = PathClass


def path(
    key: str,
    path_class: PathClass = DIRECT,
    *,
    rtt_ms: float | None = 50,
    family: int = 4,
    proved_at: float = 0.0,
    barred_until: float = -inf,
) -> PathState:
    round_trip_s = None if rtt_ms is None else rtt_ms / 1000
    return PathState(key, path_class, family, round_trip_s, proved_at, barred_until)


def chosen_after(current: PathState, other: PathState, seconds: int) -> int | None:
    """The second in which the link changes, where each is measured once a second."""
    selector = PathSelector()
    for second in range(seconds):
        proved = path(
            str(other.key),
            other.path_class,
            rtt_ms=None if other.round_trip_s is None else other.round_trip_s * 1000,
            family=other.family,
            proved_at=second,
        )
        if selector.choose(current, [proved], second) is not None:
            return second
    return None


@pytest.mark.parametrize(
    ("current", "other", "moves"),
    [
        (path("a", RELAYED), path("b", rtt_ms=500), 0),
        (path("a", RELAYED), path("b", rtt_ms=None), 0),
        (path("a", STREAM), path("b", RELAYED, rtt_ms=500), 0),
        (path("a"), path("b", RELAYED, rtt_ms=1), None),
        (path("a", RELAYED), path("b", STREAM, rtt_ms=1), None),
        (path("a"), path("b", rtt_ms=46), None),
        (path("a"), path("b", rtt_ms=44), 5),
        (path("a"), path("b", rtt_ms=None), None),
        (path("a", rtt_ms=None), path("b"), 5),
        (path("a"), path("b", rtt_ms=47, family=6), 5),
        (path("a"), path("b", rtt_ms=49, family=6), None),
        (path("a", family=6), path("b", rtt_ms=43), None),
        (path("a", family=6), path("b", rtt_ms=41), 5),
    ],
)
def test_the_order_of_paths(current: PathState, other: PathState, moves: int | None) -> None:
    assert chosen_after(current, other, 60) == moves


def test_a_lead_that_breaks_off_begins_anew() -> None:
    selector, current = PathSelector(), path("a")
    for second in range(60):
        rtt_ms = 49 if second % 5 == 4 else 10
        assert (
            selector.choose(current, [path("b", rtt_ms=rtt_ms, proved_at=second)], second) is None
        )


def test_a_lead_that_passes_from_path_to_path_is_that_of_each_alone() -> None:
    selector, current = PathSelector(), path("a")
    for second in range(60):
        leads, other = ("b", "c") if second % 2 else ("c", "b")
        others = [
            path(leads, rtt_ms=10, proved_at=second),
            path(other, rtt_ms=20, proved_at=second),
        ]
        assert selector.choose(current, others, second) is None


def test_only_a_path_proved_lately_and_without_a_penalty_is_changed_to() -> None:
    selector = PathSelector()
    now = 100.0
    old = path("old", proved_at=now - PROVED_S - 1)
    barred = path("barred", proved_at=now, barred_until=now + 1)
    good = path("good", RELAYED, rtt_ms=300, proved_at=now)
    assert selector.choose(None, [old, barred], now) is None
    assert selector.choose(None, [old, barred, good], now) is good


def test_a_path_under_a_penalty_is_left_at_once_for_a_worse_one() -> None:
    selector = PathSelector()
    current = path("a", proved_at=100, barred_until=130)
    worse = path("b", RELAYED, rtt_ms=300, proved_at=100)
    assert selector.choose(current, [worse], 100) is worse
    assert selector.choose(current, [], 100) is None


@dataclass
class Way:
    """A path of the model. `alive`: checks are answered now."""

    key: str
    path_class: PathClass
    family: int
    rtt_s: float
    alive: bool = True
    proved_at: float = -inf
    measured_s: float | None = None
    barred_until: float = -inf


@pytest.mark.parametrize("seed", range(40))
def test_in_a_random_model_paths_are_proved_changes_bounded_and_the_best_is_found(
    seed: int,
) -> None:
    """Paths die and come back for 120 s, and then rest for 60 s."""
    rng = random.Random(seed)
    ways = [
        Way(f"{kind.name}{number}", kind, rng.choice((4, 6)), rng.uniform(0.005, 0.3))
        for kind in PathClass
        for number in range(rng.randint(1, 3))
    ]
    by_key = {way.key: way for way in ways}
    selector, changes, flips = PathSelector(), 0, 0
    current: str | None = None
    for tick in range(360):
        now = tick / 2
        for way in ways:
            if now < 120 and rng.random() < 0.01:
                way.alive, flips = not way.alive, flips + 1
            if now >= 120:
                way.alive = True
            if way.alive and rng.random() < 0.9:
                way.proved_at = now
                way.measured_s = way.rtt_s + rng.uniform(-0.001, 0.001)
        states = {
            way.key: PathState(
                way.key,
                way.path_class,
                way.family,
                way.measured_s,
                way.proved_at,
                way.barred_until,
            )
            for way in ways
        }
        used = None if current is None else states[current]
        is_dead = used is None or now - used.proved_at > 1.5
        others = [state for key, state in states.items() if key != current]
        best = selector.choose(None if is_dead else used, others, now)
        if best is not None:
            assert best.counts(now)
            if is_dead and current is not None:
                by_key[current].barred_until = now + limits.PATH_SILENT_PENALTY_S
            changes, current = changes + 1, str(best.key)
        elif is_dead:
            assert not any(state.counts(now) for state in others), "a proved path is not used"
    assert changes <= 2 * flips + len(ways) + 2
    assert current is not None
    least_class, least_s = min(
        (way.path_class, way.rtt_s - IPV6_BONUS_S * (way.family == 6)) for way in ways
    )
    found = by_key[current]
    assert found.path_class is least_class
    bonus_s = IPV6_BONUS_S * (found.family == 6)
    assert found.rtt_s - bonus_s <= least_s + BETTER_BY_S + 0.003
    assert BETTER_FOR_S < 60
