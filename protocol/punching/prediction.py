"""Which external ports a router that counts upwards will give next.

Between a sample and the mapping that is wanted the router makes mappings for others: a Poisson
number of them, with the measured rate times the sample's age as its mean. The window holds as many
ports as it takes to be right in WINDOW_CHANCE of all cases.
"""

from math import exp

from protocol import limits
from protocol.reachability.nat_report import NatReport

_WINDOW_CHANCE = 0.945
_PORT_MIN = 1024


def window(age_s: float, rate: float) -> int:
    """How many ports to try, for a sample of this age and foreign mappings a second."""
    mean = max(0.0, age_s) * rate
    term = covered = exp(-mean)
    ports = 1
    while covered < _WINDOW_CHANCE and ports < limits.PORT_WINDOW_MAX:
        term *= mean / ports
        covered += term
        ports += 1
    return ports


def predicted_ports(
    report: NatReport, *, older_s: float, own_mappings: int, stride: int = 1, both: bool = False
) -> list[int]:
    """The ports that the peer's next mappings may have, the next one first; none without a sample.

    `older_s`: how much older than reported the sample is when the peer first sends. `own_mappings`:
    how many destinations the peer sends to at that moment, ours among them. With a `stride` of 2
    the ports are every second one: where `both` sides count, the one that takes two steps at a
    time meets the other whatever the two have missed, at the sum of both; so the window is double.
    """
    step, sample = report.kind.port_step, report.sample_port
    if not step or not sample:
        return []
    foreign = window(report.sample_age_ms / 1000 + older_s, report.rate_per_min / 60)
    count = min((foreign + own_mappings - 1) * (1 + both), limits.PORT_WINDOW_MAX)
    return _ports_after(sample, step, stride, 0, count)


def more_ports(report: NatReport, count: int, stride: int = 1) -> list[int]:
    """The ports beyond a window of `count`, for a peer that witnesses have seen.

    Rates are measured from few mappings, and often too low.
    """
    step, sample = report.kind.port_step, report.sample_port
    return _ports_after(sample, step, stride, count, limits.PORT_WINDOW_MAX) if count else []


def _ports_after(sample: int, step: int, stride: int, first: int, end: int) -> list[int]:
    span = limits.PORT_MAX + 1 - _PORT_MIN
    ahead = (step * (1 + number * stride) for number in range(first, end))
    return [_PORT_MIN + (sample + distance - _PORT_MIN) % span for distance in ahead]
