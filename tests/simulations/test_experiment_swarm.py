"""The experiment `swarm`: its bound by hand, its sessions, and its flows beside real packets."""

import itertools
import random
from math import inf

import pytest

from simulations.experiments import swarm
from simulations.experiments.parts.fluid import ALWAYS, FluidGetter, fluid_bound_s
from simulations.experiments.parts.sessions import Sessions
from simulations.residents.churn import CHURN_MODELS


@pytest.mark.parametrize(
    ("sharer_up", "getters", "bound_s"),
    [
        (2.0, [FluidGetter(8, 8)], 6),  # the sharer's line: 12 / 2
        (8.0, [FluidGetter(8, 8), FluidGetter(8, 3)], 4),  # the slowest line: 12 / 3
        (6.0, [FluidGetter(1, 9), FluidGetter(0, 9), FluidGetter(2, 9)], 4),  # all: 36 / (6 + 3)
        (9.0, [FluidGetter(0, 2, ((0, 1), (4, 6), (7, inf)))], 10),  # there for 1 + 2 + 3 s
        (9.0, [FluidGetter(0, 4, ((5, 8),))], 8),  # all that it needs, and no longer there
        (9.0, [FluidGetter(0, 4, ((5, 7),))], inf),
        # 24 to carry: 3 + 3 a second until 2, 3 until 4, 3 + 3 from then on.
        (3.0, [FluidGetter(0, 99), FluidGetter(3, 99, ((0, 2), (4, inf)))], 5),
        # Their sessions end with 8 of 24 carried, and the sharer alone carries 2 a second.
        (2.0, [FluidGetter(1, 99, ((0, 2),)), FluidGetter(1, 99, ((0, 2),))], 10),
        (1.0, [FluidGetter(0, 99, ((3, inf),))], 12),  # the sharer does not wait for anybody
    ],
)
def test_the_bound_is_that_of_hand_made_cases(
    sharer_up: float, getters: list[FluidGetter], bound_s: float
) -> None:
    assert fluid_bound_s(12, sharer_up, getters) == pytest.approx(bound_s)


def test_rounding_of_rates_that_come_and_go_bounds_nothing() -> None:
    rates = [0.1, 0.2, 0.3, 0.7]
    getters = [FluidGetter(rate, 99, ((0, 1), (2, inf))) for rate in rates]
    # 40 to carry at 2 + 1.3, but for a second at 2.
    assert fluid_bound_s(10, 2, getters) == pytest.approx((40 + 1.3) / 3.3)


def test_sessions_are_the_same_however_far_they_are_asked() -> None:
    def made() -> Sessions:
        return Sessions(CHURN_MODELS["ipfs"], random.Random(7), times=60.0, away_s=5.0)

    one, other = made(), made()
    first = list(itertools.islice(one, 5))
    assert first[0][0] == 0
    assert all(later[0] == before[1] + 5 for before, later in itertools.pairwise(first))
    amid = (first[2][0] + first[2][1]) / 2
    assert other.until(amid) == [*first[:2], (first[2][0], inf)]
    away = first[1][1] + 2.5
    assert other.until(away) == first[:2]
    assert list(itertools.islice(other, 5)) == first == list(itertools.islice(one, 5))


def test_without_churn_a_getter_is_always_there() -> None:
    sessions = Sessions(None, random.Random(7), times=60.0, away_s=5.0)
    assert tuple(sessions) == ALWAYS == tuple(sessions.until(1e6))


def test_flows_take_as_long_as_packets() -> None:
    last = {}
    for links in ("flows", "packets"):
        parameters = swarm.Parameters(nodes=4, getters=10, megabytes=1.0, churn="none", links=links)
        report = swarm.run(parameters, lambda _: None)
        assert report.data["copies"] == 10
        last[links] = report.data["last_s"]
    assert last["flows"] == pytest.approx(last["packets"], rel=0.25)


def test_copies_are_whole_though_nearly_all_sessions_end() -> None:
    parameters = swarm.Parameters(nodes=4, getters=4, megabytes=2.0, churn_times=5000.0)
    data = swarm.run(parameters, lambda _: None).data
    assert data["copies"] == 4
    assert data["sessions_ended"] >= 4
    assert data["fluid_bound_s"] <= data["last_s"] < inf
