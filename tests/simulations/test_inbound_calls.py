"""Many calls to one node at once: every honest caller gets its link, and the bounds hold."""

from dataclasses import replace

import pytest

from protocol import limits
from simulations.experiments import inbound

SMALL = inbound.Parameters(nodes=12, networks=60, rate=50.0, seconds=1.2)


def test_fifty_calls_a_second_all_get_their_link() -> None:
    report = inbound.run(SMALL, lambda _: None)
    assert report.data["why_lost"] == {}
    assert report.data["calls"] == 60
    assert 10 < report.data["attempts_max"] <= limits.LINK_ATTEMPTS
    assert report.data["links_max"] <= limits.LINKS


def test_calls_that_nothing_follows_take_no_slot_from_those_that_come_to_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sixth of the slots, so that they are all taken after a second or two."""
    monkeypatch.setattr(limits, "LINK_ATTEMPTS", 24)
    parameters = replace(SMALL, networks=12, rate=3.0, seconds=4.0, stalls=16.0)
    report = inbound.run(parameters, lambda _: None)
    assert report.data["attempts_max"] == 24
    assert report.data["why_lost"] == {}
    assert report.data["calls"] == 12


def test_calls_beyond_a_bound_are_told_when_to_come_again_and_get_their_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "LINK_ATTEMPTS", 4)
    report = inbound.run(SMALL, lambda _: None)
    assert report.data["why_lost"] == {}
    assert report.data["calls"] == 60
    assert report.data["attempts_max"] == 4
