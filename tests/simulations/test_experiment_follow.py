"""The experiment `follow`: followers hear by links or by polls, come and go, and are counted."""

import itertools
import random
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from simulations.experiments import follow
from simulations.experiments.parts.follow_figures import Moments, times_of
from simulations.experiments.parts.sessions import Sessions
from simulations.residents.churn import CHURN_MODELS

FOLLOWERS = 4
SMALL = follow.Parameters(
    nodes=30,
    followers=FOLLOWERS,
    kilobytes=60.0,
    changed_kilobytes=10.0,
    churn="none",
    settle_s=20.0,
    minutes=6.0,
    cipher="test",
    processes=1,
)
LINKED_S, UNLINKED_S = 5.0, 300.0


def test_a_version_comes_by_links_at_once_and_without_by_polls() -> None:
    report = follow.run(SMALL, lambda _: None)
    unlinked, linked = report.data["legs"]
    for leg in (unlinked, linked):
        assert leg["have"] == leg["online"] == FOLLOWERS
        assert leg["new_bytes"] <= leg["publisher_bytes"] <= 40 * leg["new_bytes"]
        assert leg["followers_bytes"] > 0
        assert leg["over_time"]["have"][-1] == FOLLOWERS
        assert leg["p99_s"] == leg["there_p99_s"] >= leg["heard_p99_s"]
    assert LINKED_S < unlinked["p99_s"] <= UNLINKED_S
    assert linked["p99_s"] <= LINKED_S
    figure = Figure()
    report.draw(figure)
    above, below = figure.axes
    assert (len(above.lines), len(below.lines)) == (3, 4)


def test_a_seed_has_one_history_though_people_come_and_go() -> None:
    restless = replace(
        SMALL, nodes=8, links=(1,), churn="ipfs", churn_times=600.0, settle_s=30.0, minutes=1.0
    )
    first, again = (follow.run(restless, lambda _: None) for _ in range(2))
    assert first.log_hash == again.log_hash
    (leg,), (same,) = first.data["legs"], again.data["legs"]
    for what in ("online", "have", "p50_s", "heard_p50_s", "there_p50_s", "nearest_datagrams"):
        assert leg[what] == same[what]
    assert leg["over_time"]["have"] == same["over_time"]["have"]
    assert leg["online"] < FOLLOWERS
    assert 0 < leg["have"] <= leg["have_been_there"]
    assert follow.run(replace(restless, seed=2), lambda _: None).log_hash != first.log_hash


def test_people_are_away_as_long_as_the_model_says() -> None:
    model = CHURN_MODELS["ipfs"]
    people = [Sessions(model, random.Random(seed), times=60.0, away_s=None) for seed in range(400)]
    drawn = [list(itertools.islice(one, 40)) for one in people]
    there = sum(one[0][0] == 0 for one in drawn) / len(drawn)
    assert there == pytest.approx(model.availability, abs=0.1)
    away = [
        later[0] - before[1] for sessions in drawn for before, later in itertools.pairwise(sessions)
    ]
    assert sum(away) / len(away) == pytest.approx(model.down.mean_s / 60, rel=0.1)
    late = next(one for one, sessions in zip(people, drawn, strict=True) if sessions[0][0] > 0)
    assert late.until(0.0) == []


def test_shares_are_of_all_people() -> None:
    assert times_of("", [3.0, 1.0, 2.0], 4) == {"p50_s": 2.0, "p90_s": None, "p99_s": None}
    assert times_of("x_", [1.0] * 9 + [7.0], 10) == {"x_p50_s": 1.0, "x_p90_s": 1.0, "x_p99_s": 7.0}


def test_moments_grow_sparse() -> None:
    moments = Moments()
    for quarter in range(2400):
        if moments.is_due(quarter / 4):
            moments.note(quarter / 4, quarter, 0, 0)
    assert moments.seconds[:3] == [0.0, 0.25, 0.5]
    assert len(moments.seconds) < 130
    assert moments.as_json([0.0, 0.4, 9e9])["have_been_there"][:3] == [1, 1, 2]
