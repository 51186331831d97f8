"""The two eclipse experiments: small runs, and what they must show even then."""

from typing import Any

from matplotlib.figure import Figure

from simulations.experiments import content_eclipse, eclipse


def _axes(report: Any) -> list[Any]:
    figure = Figure()
    report.draw(figure)
    assert all(axes.get_xlabel() for axes in figure.axes)
    return list(figure.axes)


def test_an_attacker_with_two_networks_gets_what_the_limits_allow() -> None:
    parameters = eclipse.Parameters(nodes=20, identities=120)
    said: list[str] = []
    report = eclipse.run(parameters, said.append)
    data = report.as_json(parameters)
    assert 0 < data["in_table"] <= data["in_table_limit"] == 20
    assert 0 < data["in_bucket"] <= data["in_bucket_limit"] == 4
    assert data["share_without_limits"] > 0.7 > data["share"]
    ours, unlimited = data["results"]
    assert ours["after_restart"]["in_answer"] <= 2 < unlimited["after_restart"]["in_answer"]
    assert len(said) == 2
    left, right = _axes(report)
    assert "contacts" in left.get_ylabel()
    assert "without" in right.get_title()


def test_sybils_are_noticed_and_what_they_hide_is_found() -> None:
    parameters = content_eclipse.Parameters(
        nodes=50, keys=1, peers=1, sybils=24, observers=3, plain=20, cipher="test"
    )
    said: list[str] = []
    report = content_eclipse.run(parameters, said.append)
    data = report.as_json(parameters)
    assert data["captured"] == 1.0 > data["read_without"]
    assert data["detected"] == data["mitigated"] == data["called"] == 1.0
    assert data["false_alarms"] <= 0.05
    assert (data["judged"], data["judged_plain"]) == (6, 20)
    assert len(said) == 3
    left, right = _axes(report)
    assert "expected" in left.get_xlabel()
    assert "%" in right.get_xlabel()
