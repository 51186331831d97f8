"""The churn experiment: its policies, a small run, and what a run must notice."""

import asyncio
import math
import random
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure

from protocol.errors import BadInput
from simulations.experiments import churn
from simulations.experiments.churn import Parameters
from simulations.residents.churn import CHURN_MODELS, ChurnModel, Weibull
from simulations.residents.publishers import RecordOwner, refresh_s_of
from simulations.residents.world import World, cipher_named, simulated_settings
from simulations.runtime.running import run_virtually

SMALL = Parameters(
    nodes=24,
    hours=1.0,
    settle_hours=0.2,
    policy=("product",),
    publishers=2,
    records=3,
    reads=8,
    cipher="test",
    processes=1,
)

RESTLESS = ChurnModel(Weibull(1.0, 400.0), Weibull(1.0, 400.0))


def test_policies() -> None:
    assert refresh_s_of("product") is None
    assert refresh_s_of("never") == math.inf
    assert refresh_s_of("3h") == 3 * 3600
    assert refresh_s_of("0.5h") == 1800


@pytest.mark.parametrize("policy", ["", "h", "3", "0h", "-1h", "infh", "nanh", "always"])
def test_what_is_no_policy(policy: str) -> None:
    with pytest.raises(BadInput, match="no refresh policy"):
        refresh_s_of(policy)
    with pytest.raises(BadInput, match="no refresh policy"):
        churn.run(replace(SMALL, policy=("product", policy)), lambda _: None)


def test_a_small_run_keeps_the_contract() -> None:
    said: list[str] = []
    report = churn.run(SMALL, said.append)
    result = report.as_json(SMALL)
    assert result["hours"] == 1.0
    assert result["model"] == "ipfs"
    (row,) = result["policies"]
    assert row["policy"] == "product"
    assert (result["found"], result["bytes_per_s"]) == (row["found"], row["bytes_per_s"])
    assert 0.95 <= row["found"] <= 1.0
    assert 0.95 <= row["found_peer"] <= 1.0
    assert 20 < row["bytes_per_s"] < 5000
    assert 20 < row["publisher_bytes_per_s"] < 5000
    assert 0 < row["online"] < 24
    assert row["crashed"] > 0
    assert row["stopped"] > 0
    moments = row["over_time"]
    assert [one["hour"] for one in moments] == [round(number / 6, 3) for number in range(1, 7)]
    assert all(0 <= one["reads"] <= 8 for one in moments)
    assert sum(one["reads"] for one in moments) == row["reads"] > 40
    assert len(said) == 1
    _check_plot(report, lines=1)


def _check_plot(report: Any, lines: int) -> None:
    figure = Figure()
    report.draw(figure)
    above, below = figure.axes
    assert len(above.lines) == len(below.lines) == lines
    assert "%" in above.get_ylabel()
    assert "hours" in below.get_xlabel()


def test_without_refresh_restless_holders_lose_what_publishers_keep_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHURN_MODELS, "ipfs", RESTLESS)
    parameters = replace(SMALL, nodes=14, hours=0.8, policy=("0.1h", "never"), records=2, minutes=6)
    report = churn.run(parameters, lambda _: None)
    refreshed, abandoned = report.data["policies"]
    assert refreshed["found"] > 0.9
    last = [one for one in abandoned["over_time"] if one["hour"] > 0.6]
    assert sum(one["found"] for one in last) < 0.5 * sum(one["reads"] for one in last)
    assert abandoned["found_peer"] > 0.9, "peer records are refreshed whatever the policy"
    _check_plot(report, lines=2)


def test_a_seed_has_one_history_and_another_seed_another() -> None:
    tiny = replace(SMALL, nodes=14, hours=0.4)
    first, again = (churn.run(tiny, lambda _: None) for _ in range(2))
    assert first.data == again.data
    assert first.log_hash == again.log_hash
    assert churn.run(replace(tiny, seed=2), lambda _: None).log_hash != first.log_hash


def test_policies_side_by_side_are_what_they_are_one_by_one() -> None:
    tiny = replace(SMALL, nodes=14, hours=0.4, policy=("product", "never"))
    one_by_one = churn.run(tiny, lambda _: None)
    side_by_side = churn.run(replace(tiny, processes=2), lambda _: None)
    assert one_by_one.data == side_by_side.data
    assert one_by_one.log_hash == side_by_side.log_hash


def test_publishers_refresh_by_the_policy() -> None:
    async def main(refresh_s: float | None) -> list[int]:
        world = World(1, settings=simulated_settings(cipher=cipher_named("test")))
        await world.populate(4)
        publisher = world.add(RecordOwner, unreachable=True)
        assert isinstance(publisher, RecordOwner)
        await publisher.start()
        await publisher.running.registrations.registered.wait()
        published: list[int] = []
        server = publisher.running.server
        original = server.publish

        async def publish(record: Any) -> Any:
            published.append(record.kind)
            return await original(record)

        server.publish = publish  # type: ignore[method-assign]
        publisher.publish(3, random.Random(1), refresh_s)
        await asyncio.sleep(3.5 * 3600)
        await world.close()
        return published

    assert run_virtually(main(math.inf)).count(2) == 3
    assert run_virtually(main(None)).count(2) == 3
    assert run_virtually(main(3600.0)).count(2) == 3 * 4
