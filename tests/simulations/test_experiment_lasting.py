"""Links last through all that happens to their paths; a day in small."""

import pytest

from simulations.experiments.links.lasting import GOAL_S, Memory, Parameters, growth, run

MINUTES = 20.0
UPKEEP_BYTES_S = 400.0
"""Of a node whose link is idle, with all that it has to do with the overlay, both directions."""


def test_no_link_is_without_a_path_for_long() -> None:
    told: list[str] = []
    parameters = Parameters(hours=MINUTES / 60, each_s=60.0, samples=8)
    data = run(parameters, told.append).data
    assert data["events"] >= 30
    assert len(data["by_event"]) >= 10
    assert data["too_long"] == []
    assert data["outage_max_s"] <= GOAL_S
    assert data["relinked"] == 0
    assert 0 < data["upkeep_bytes_s"] < UPKEEP_BYTES_S
    assert data["growth"] < 0.02
    assert len(told) == 8


def test_growth_compares_the_second_quarter_with_the_last() -> None:
    objects = (1, 9, 100, 100, 200, 200, 110, 130)
    assert growth([Memory(0.0, count, 0) for count in objects]) == pytest.approx(0.2)
    assert growth([Memory(0.0, 5, 0)] * 3) == 0.0
