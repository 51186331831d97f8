"""Why a path carries its link, and why another one does not."""

from math import inf

import pytest

from protocol.ice.paths.report import JudgedPath, PathReason, reason_in_use, reason_not_in_use
from protocol.ice.paths.selector import PathClass, PathState

NOW = 100.0
DIRECT, RELAYED, STREAM = PathClass


def path(
    path_class: PathClass = DIRECT,
    round_trip_s: float | None = 0.1,
    *,
    family: int = 4,
    answers: bool = True,
    barred_until: float = -inf,
) -> JudgedPath:
    """One that was proved long ago, as those of an idle link."""
    return JudgedPath(
        PathState("", path_class, family, round_trip_s, NOW - 30, barred_until), answers
    )


SILENT = path(answers=False)
BARRED = path(barred_until=NOW + 1)


@pytest.mark.parametrize(
    ("in_use", "others", "reason"),
    [
        (path(), [], PathReason.ONLY),
        (path(RELAYED), [SILENT, BARRED], PathReason.ONLY),
        (path(RELAYED), [path(STREAM)], PathReason.CLASS),
        (path(round_trip_s=None), [path(RELAYED, 0.01)], PathReason.CLASS),
        (path(), [path(round_trip_s=0.12), path(RELAYED, 0.01)], PathReason.ROUND_TRIP),
        (path(), [path(round_trip_s=0.09), path(round_trip_s=0.2)], PathReason.IN_USE),
        (path(), [path(round_trip_s=0.102, family=6)], PathReason.IN_USE),
        (path(answers=False), [path()], PathReason.UNANSWERED),
    ],
)
def test_why_a_path_is_in_use(
    in_use: JudgedPath, others: list[JudgedPath], reason: PathReason
) -> None:
    assert reason_in_use(in_use, others, NOW, chooses=True) is reason


@pytest.mark.parametrize(
    ("other", "in_use", "reason"),
    [
        (path(RELAYED, 0.01), path(), PathReason.CLASS),
        (path(STREAM, 0.01), path(RELAYED), PathReason.CLASS),
        (path(round_trip_s=0.11), path(), PathReason.ROUND_TRIP),
        (path(round_trip_s=0.09), path(), PathReason.IN_USE),
        (path(), path(RELAYED), PathReason.IN_USE),
        (BARRED, path(RELAYED), PathReason.LEFT),
        (path(answers=False, barred_until=NOW + 1), path(), PathReason.LEFT),
        (path(barred_until=NOW), path(), PathReason.ROUND_TRIP),
        (SILENT, path(RELAYED), PathReason.UNANSWERED),
    ],
)
def test_why_a_path_is_not_in_use(
    other: JudgedPath, in_use: JudgedPath, reason: PathReason
) -> None:
    assert reason_not_in_use(other, in_use.state, NOW, chooses=True) is reason


def test_a_choice_that_our_measures_do_not_explain_is_the_peers() -> None:
    better = path(round_trip_s=0.09)
    assert reason_in_use(path(), [better], NOW, chooses=False) is PathReason.PEER
    assert reason_not_in_use(better, path().state, NOW, chooses=False) is PathReason.PEER
