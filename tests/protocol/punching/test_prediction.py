"""Predicted ports: windows as wide as age and rate ask, in models of routers that count."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import limits
from protocol.punching.prediction import predicted_ports, window
from protocol.reachability.nat_report import NatReport
from protocol.reachability.network_view import FilteringKind, MappingKind, NatKind

RUNS = 4000


def report(port: int = 40_000, age_s: float = 0.0, rate: float = 0.0, step: int = 1) -> NatReport:
    kind = NatKind(MappingKind.SEQUENTIAL, FilteringKind.DEPENDENT, port_step=step)
    return NatReport(kind, port, round(1000 * age_s), round(60 * rate))


@pytest.mark.parametrize(
    ("age_s", "rate", "ports"),
    [(0.0, 20.0, 1), (0.1, 20.0, 5), (0.5, 20.0, 16), (10.0, 0.0, 1), (60.0, 1000.0, 64)],
)
def test_the_window_grows_with_age_times_rate(age_s: float, rate: float, ports: int) -> None:
    assert window(age_s, rate) == ports
    assert window(-age_s, rate) == 1


def foreign_mappings(rng: random.Random, age_s: float, rate: float) -> int:
    """How many mappings others have made in the time."""
    count, at = 0, rng.expovariate(rate)
    while at < age_s:
        count, at = count + 1, at + rng.expovariate(rate)
    return count


@pytest.mark.parametrize(("age_s", "least"), [(0.1, 0.935), (0.19, 0.935), (0.43, 0.935)])
def test_a_window_hits_the_next_mapping_of_a_router_that_counts(age_s: float, least: float) -> None:
    rng = random.Random(11)
    ports = predicted_ports(report(age_s=age_s, rate=20.0), older_s=0.0, own_mappings=1)
    hits = 0
    for _ in range(RUNS):
        hits += 40_000 + 1 + foreign_mappings(rng, age_s, 20.0) in ports
    assert least < hits / RUNS < 0.98


def test_a_window_of_5_hits_in_94_7_percent_at_a_tenth_of_a_second() -> None:
    rng = random.Random(12)
    assert window(0.1, 20.0) == 5
    hits = sum(foreign_mappings(rng, 0.1, 20.0) < 5 for _ in range(20_000))
    assert hits / 20_000 == pytest.approx(0.947, abs=0.005)


def test_a_sample_that_travels_ages_and_each_destination_of_the_peer_is_a_mapping() -> None:
    plain = predicted_ports(report(rate=20.0), older_s=0.0, own_mappings=1)
    assert plain == [40_001]
    assert len(predicted_ports(report(rate=20.0), older_s=0.1, own_mappings=1)) == 5
    assert predicted_ports(report(step=-2), older_s=0.0, own_mappings=3) == [39_998, 39_996, 39_994]


def test_without_a_sample_or_a_step_nothing_is_predicted() -> None:
    assert predicted_ports(report(port=0), older_s=0.0, own_mappings=1) == []
    assert predicted_ports(report(step=0), older_s=0.0, own_mappings=1) == []


def test_two_routers_that_count_meet_whatever_both_have_missed() -> None:
    """One side takes every second port: for each number of missed ones there is a meeting."""
    window_ports = 16
    for missed_by_one in range(6):
        for missed_by_other in range(6):
            one = _sprayed(own=30_000 + missed_by_one, towards=50_000, stride=2, ports=window_ports)
            other = _sprayed(
                own=50_000 + missed_by_other, towards=30_000, stride=1, ports=window_ports
            )
            assert {(theirs, ours) for ours, theirs in other} & one
    one = _sprayed(own=30_001, towards=50_000, stride=1, ports=window_ports)
    other = _sprayed(own=50_000, towards=30_000, stride=1, ports=window_ports)
    assert not {(theirs, ours) for ours, theirs in other} & one  # why the stride is there


def _sprayed(own: int, towards: int, stride: int, ports: int) -> set[tuple[int, int]]:
    """The mappings (own external port, destination port) of a router that counts from `own`."""
    age_s = 0.5
    assert window(age_s, 20.0) == ports
    aims = predicted_ports(
        report(towards, age_s=age_s, rate=20.0), older_s=0.0, own_mappings=1, stride=stride
    )
    return {(own + 1 + number, port) for number, port in enumerate(aims)}


@given(
    st.integers(1, 65535),
    st.integers(-256, 256),
    st.floats(0, 60),
    st.floats(0, 1000),
    st.integers(1, 8),
    st.sampled_from([1, 2]),
)
def test_predicted_ports_are_unprivileged_different_and_bounded(
    port: int, step: int, age_s: float, rate: float, own_mappings: int, stride: int
) -> None:
    made = report(port, age_s, rate, step)
    ports = predicted_ports(made, older_s=0.0, own_mappings=own_mappings, stride=stride)
    assert len(set(ports)) == len(ports) <= limits.PORT_WINDOW_MAX
    assert all(1024 <= one <= limits.PORT_MAX for one in ports)
