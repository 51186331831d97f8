"""The figures of links whose paths change: each scenario of experiment `paths` reaches its goal.

At a fraction of the experiment's rate, as packets are what takes time.
"""

import pytest

from simulations.experiments.links.paths import Parameters, run, run_scenario
from simulations.experiments.parts.path_figures import Outcome
from simulations.experiments.parts.path_scenarios import SCENARIOS, Scenario
from simulations.experiments.parts.path_transfer import Move, Trace

MB_S = 0.2

REACHED = (
    *("relay-to-direct", "relay-killed", "both-relays-killed", "router-forgets"),
    *("routers-forget", "nat-remaps", "nats-remap", "cable-pulled"),
    *("one-way-forth", "one-way-back", "two-equal-paths", "sleep-wake", "lying-relay"),
    *("checks-alone", "mtu-1400-after-1432", "mtu-black-hole-new", "mtu-black-hole"),
    *("mobile-v4-sender", "mobile-v4-receiver", "mobile-v4-both"),
    *("mobile-v6-sender", "mobile-v6-receiver", "mobile-v6-both"),
)


@pytest.mark.parametrize("name", REACHED)
def test_a_scenario_reaches_its_goal(name: str) -> None:
    outcome, _ = run_scenario(name, Parameters(mb_s=MB_S))
    assert outcome.misses() == []
    assert outcome.trace.is_intact
    assert outcome.trace.sent_bytes > 0


def test_a_scenario_has_one_history() -> None:
    parameters = Parameters(mb_s=MB_S, scenarios=("nat-remaps",))
    first, again = (run(parameters, lambda _: None) for _ in range(2))
    assert (first.log_hash, first.data) == (again.log_hash, again.data)


def outcome_of(trace: Trace, scenario: Scenario) -> Outcome:
    return Outcome("any", scenario, event_s=2.0, end_s=10.0, line_bytes_s=1000.0, trace=trace)


def trace_of(*arrivals: float, moves: tuple[Move, ...] = (Move(0.0, "direct v4"),)) -> Trace:
    return Trace([(at_s, 1000) for at_s in arrivals], list(moves), is_intact=True)


def test_a_stall_is_the_longest_pause_from_the_event_on() -> None:
    trace = trace_of(0.1, 1.9, 2.1, 5.1, 6.0)
    assert trace.stall_s(2.0, 10.0) == pytest.approx(3.0)
    assert trace.stall_s(0.0, 2.0) == pytest.approx(1.8)
    assert trace.stall_s(4.0, 10.0) == pytest.approx(1.1), "its part after that time"
    trace.lost = "the peer stopped answering"
    assert trace.stall_s(2.0, 10.0) == pytest.approx(4.0), "until the end, if the link is lost"


def test_each_miss_is_told() -> None:
    trace = trace_of(2.0, 5.0, moves=(Move(0.0, "relay A"), Move(3.0, "direct v4")))
    goal = Scenario(
        SCENARIOS["relay-killed"].event, "", stall_s=2.0, ends="relay", stays=True, goodput=0.5
    )
    assert outcome_of(trace, goal).misses() == [
        *("stall 3.00 s", "ends by direct v4", "1 moves", "26.9% of the line")
    ]
    trace.is_intact = False
    assert "what arrived is not what was sent" in outcome_of(trace, goal).misses()
    trace.lost = "closed by us"
    assert "link lost: closed by us" in outcome_of(trace, goal).misses()
    reached = Scenario(SCENARIOS["relay-killed"].event, "", stall_s=3.5, ends="direct")
    steady = trace_of(2.0, 5.0, moves=(Move(0.0, "direct v4"),))
    assert outcome_of(steady, reached).misses() == []
