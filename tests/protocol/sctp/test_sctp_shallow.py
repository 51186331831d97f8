"""Lines whose queue holds few packets: bursts are as large as it bears."""

from itertools import groupby
from math import inf

import pytest

from tests.protocol.sctp.measure_sctp import bulk_pair
from tests.protocol.sctp.model_link import Bottleneck, Pair, World


def shallow(mbps: float, rtt_s: float, queue_s: float, seed: int) -> Pair:
    """A transfer over such a line, three seconds old, between hosts that wake each millisecond."""
    rate = mbps * 125_000
    line = Bottleneck(rate, max(rate * queue_s, 4000))
    pair = bulk_pair(World(), line, rtt_s, seed=seed, wake_s=0.001)
    pair.run(3)
    return pair


@pytest.mark.parametrize(
    ("mbps", "rtt_s", "queue_s", "goal_mbps", "dropped"),
    [
        (20, 0.02, 0.005, 17.2, 0.03),
        (100, 0.02, 0.002, 75, 0.025),
        (100, 0.02, 0.005, 87, 0.015),
        (100, 0.05, 0.005, 81, 0.02),
        (50, 0.1, 0.005, 38, 0.02),
        (5, 0.02, 0.015, 4.4, 0.01),
    ],
)
def test_a_line_with_a_short_queue_is_filled_and_few_packets_are_dropped(
    mbps: float, rtt_s: float, queue_s: float, goal_mbps: float, dropped: float
) -> None:
    """Nearly as much as one burst a millisecond and a SACK for every second packet bring."""
    for seed in (1, 2):
        pair = shallow(mbps, rtt_s, queue_s, seed)
        line, received = pair.forward.bottleneck, pair.server.received_bytes
        before, sent = line.dropped, pair.forward.sent
        pair.run(5)
        assert (pair.server.received_bytes - received) / 5 >= goal_mbps * 125_000
        assert line.dropped - before <= dropped * (pair.forward.sent - sent)


def test_bursts_are_small_after_losses_and_grow_while_there_are_none() -> None:
    pair = shallow(20, 0.02, 0.2, seed=1)
    sender = pair.client.association.sender
    assert sender is not None
    assert sender.congestion.burst_share == 1.0
    pair.forward.bottleneck.queue_bytes = 5000
    pair.run(2)
    assert pair.forward.bottleneck.dropped > 0
    assert sender.congestion.burst_share < 0.1
    pair.forward.bottleneck.queue_bytes = inf
    pair.run(1)
    assert 0.2 < sender.congestion.burst_share < 0.6
    pair.run(3)
    assert sender.congestion.burst_share == 1.0


@pytest.mark.parametrize(
    ("mbps", "rtt_s", "most_bytes"),
    [(5, 0.02, 11_300), (20, 0.02, 19_000), (100, 0.02, 46_000), (100, 0.1, 46_000)],
)
def test_what_a_shut_window_held_back_does_not_leave_at_once(
    mbps: float, rtt_s: float, most_bytes: int
) -> None:
    """Acknowledgements come some times in a round trip: each would free as much as came between."""
    rate = mbps * 125_000
    pair = bulk_pair(World(), Bottleneck(rate, rate * 0.2), rtt_s)
    pair.run(2)
    left: list[tuple[float, int]] = []
    send = pair.forward.send

    def noting(size: int, deliver: object) -> None:
        left.append((pair.world.now, size))
        send(size, deliver)  # type: ignore[arg-type]

    pair.forward.send = noting  # type: ignore[method-assign]
    pair.run(4)
    bursts = [sum(size for _, size in group) for _, group in groupby(left, key=lambda one: one[0])]
    assert max(bursts) <= most_bytes < 64 * 1024
