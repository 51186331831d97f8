"""The congestion control alone, and on modelled paths against its goals."""

import pytest

from protocol.sctp.send.congestion import AckSample, FixedWindow
from protocol.sctp.send.estimates import PathEstimate
from protocol.sctp.send.pathmodel import GAINS, PathModel, Phase
from tests.protocol.sctp.measure_sctp import against_cubic, against_itself, bulk_pair, busy, shaped
from tests.protocol.sctp.model_link import Bottleneck, World

PACKET = 1188


class Pipe:
    """Feeds a control with what an ideal path of a rate and a round trip would show."""

    def __init__(self, rate: float, rtt_s: float) -> None:
        self.rate = rate
        self.rtt_s = rtt_s
        self.now = 0.0
        self.delivered = 0
        self.control = PathModel(PACKET)
        self.foreign_s = 0.0
        """Delay of a queue that is not ours."""

    def round(self, *, lost: float = 0.0, app_limited: bool = False, lost_before: int = 0) -> None:
        """Let one round trip pass in which the window was sent, `lost_before` bytes before it."""
        window = self.control.window_bytes
        pipe = self.rate * self.rtt_s
        rtt_s = self.foreign_s + self.rtt_s * max(1.0, window / pipe)
        steps = 10
        for step in range(steps):
            self.now += rtt_s / steps
            prior = self.delivered if step == 0 else self.delivered - window // steps * step
            acked = int(window * (1 - lost)) // steps
            self.delivered += acked
            self.control.on_ack(
                AckSample(
                    now=self.now,
                    delivered=self.delivered,
                    prior_delivered=prior if step == 0 else 0,
                    acked_bytes=acked,
                    lost_bytes=int(window * lost + lost_before) // steps,
                    flight_bytes=window,
                    rate=min(self.rate, window / self.rtt_s),
                    rtt_s=rtt_s,
                    app_limited=app_limited,
                )
            )


def test_startup_doubles_until_the_pipe_is_full_and_then_drains() -> None:
    pipe = Pipe(1_250_000.0, 0.05)
    assert pipe.control.window_bytes == 10 * PACKET
    seen = []
    for _ in range(12):
        seen.append(pipe.control.phase)
        pipe.round()
    assert seen[0] is Phase.STARTUP
    assert Phase.DRAIN in seen or pipe.control.phase is not Phase.STARTUP
    assert pipe.control.path.rate == pytest.approx(1_250_000, rel=0.01)
    assert pipe.control.window_bytes < 2.2 * 1_250_000 * 0.05


def test_an_application_that_sends_little_does_not_end_startup() -> None:
    pipe = Pipe(1_250_000.0, 0.05)
    for _ in range(10):
        pipe.round(app_limited=True)
    assert pipe.control.phase is Phase.STARTUP


def test_two_percent_of_loss_change_nothing_and_twenty_do() -> None:
    calm, wild = Pipe(12_500_000.0, 0.05), Pipe(12_500_000.0, 0.05)
    for _ in range(15):
        calm.round()
        wild.round()
    before = calm.control.window_bytes
    for _ in range(5):
        calm.round(lost=0.02)
        wild.round(lost=0.2)
    assert calm.control.window_bytes > 0.9 * before
    assert wild.control.window_bytes < 0.7 * before


def test_a_timeout_shrinks_the_window_and_can_be_undone() -> None:
    pipe = Pipe(1_250_000.0, 0.05)
    for _ in range(10):
        pipe.round()
    before = pipe.control.window_bytes
    pipe.control.on_timeout()
    pipe.control.on_timeout()
    assert pipe.control.window_bytes == 2 * PACKET
    pipe.control.on_timeout_undone()
    assert pipe.control.window_bytes == before


def test_losses_after_a_timeout_do_not_press_the_window_down_for_long() -> None:
    pipe = Pipe(12_500_000.0, 0.05)
    for _ in range(15):
        pipe.round()
    before = pipe.control.window_bytes
    pipe.control.on_timeout()
    for _ in range(3):
        pipe.round(lost_before=before // 2)
    for _ in range(12):
        pipe.round()
    assert pipe.control.window_bytes > 0.5 * before


def test_a_stale_round_trip_is_measured_again() -> None:
    pipe = Pipe(1_250_000.0, 0.05)
    for _ in range(10):
        pipe.round()
    pipe.rtt_s = 0.08
    seen = set()
    for _ in range(300):
        pipe.round()
        seen.add(pipe.control.phase)
    assert Phase.PROBE_RTT in seen
    assert pipe.control.path.min_rtt_s is not None
    assert 0.05 < pipe.control.path.min_rtt_s < 0.16


def test_a_queue_of_another_flow_is_noticed_and_fought_for_moderately() -> None:
    pipe = Pipe(12_500_000.0, 0.05)
    for _ in range(40):
        pipe.round()
    control = pipe.control
    competed_alone = control.competing
    assert not competed_alone
    pipe.foreign_s = 0.1
    for _ in range(15):
        pipe.round()
    assert control.competing
    for _ in range(60):
        pipe.round()
    if control.phase is not Phase.PROBE_RTT:
        assert 1.5 < control.window_bytes / control.path.pipe_bytes < 1.9
    pipe.foreign_s = 0.0
    for _ in range(100):
        pipe.round()
    assert not control.competing


def test_every_phase_has_gains_and_the_machine_visits_them() -> None:
    assert set(GAINS) == set(Phase)


def test_a_fixed_window_is_fixed() -> None:
    control = FixedWindow(1000)
    control.on_timeout()
    control.on_timeout_undone()
    assert (control.window_bytes, control.pacing_rate) == (1000, float("inf"))


@pytest.mark.parametrize(
    ("loss", "reorder", "goal"),
    [(0.0, 0.0, 0.95), (0.001, 0.0, 0.93), (0.01, 0.0, 0.85), (0.02, 0.0, 0.8), (0.0, 0.01, 0.93)],
)
def test_goal_a_line_of_50_ms_is_filled_within_two_seconds(
    loss: float, reorder: float, goal: float
) -> None:
    figures = shaped(10e6, 0.05, 1, loss=loss, reorder=reorder, start=2, seconds=6)
    assert figures["share"] >= goal
    assert figures["timeouts"] == 0


def test_goal_a_long_thin_line_with_loss() -> None:
    assert shaped(10e6, 0.2, 1, loss=0.01, start=0, seconds=15)["share"] >= 0.8


@pytest.mark.parametrize("absent_s", [0.005, 0.01])
def test_goal_a_short_line_is_filled_by_machines_that_are_busy_elsewhere(absent_s: float) -> None:
    figures = busy(50e6, 0.0005, absent_s)
    assert figures["share"] >= 0.93
    assert figures["steady_delay_ms"] < 40


def test_goal_a_queue_of_a_second_is_not_filled() -> None:
    figures = shaped(10e6, 0.05, 0, queue_s=1.0, seconds=8)
    assert figures["worst_delay_ms"] <= 100
    assert figures["steady_delay_ms"] <= 40
    assert figures["share"] >= 0.95


def test_a_short_queue_on_a_long_path_costs_no_timeout() -> None:
    """Slow start overruns it so that no SACK has room for all the holes, and flight seems full."""
    figures = shaped(60e6, 0.15, 1, queue_s=0.04, loss=0.01, start=3, seconds=3)
    assert figures["timeouts"] == 0
    assert figures["share"] >= 0.75
    assert figures["repeated"] < 1.1 * figures["lost"] + 50


@pytest.mark.parametrize("order", ["together", "cubic first", "ours first"])
def test_goal_half_of_a_line_shared_with_tcp_cubic(order: str) -> None:
    share = against_cubic(
        4e6,
        0.05,
        2,
        60,
        cubic_first_s=10 if order == "cubic first" else 0,
        own_first_s=10 if order == "ours first" else 0,
    )
    assert 0.35 <= share <= 0.65


def test_goal_two_of_ours_share_alike() -> None:
    assert against_itself(4e6, 0.05, 2, 20) >= 0.9
    assert against_itself(4e6, 0.05, 1, 20, stagger_s=5.0) >= 0.9


@pytest.mark.parametrize("queue_s", [1.0, 0.05])
def test_goal_a_line_that_others_leave_is_filled_within_three_seconds(queue_s: float) -> None:
    """They left a fiftieth of it, with a queue that delays or one that is overrun at once."""
    full, part, rtt_s = 2.5e6, 0.02, 0.1
    for seed in (1, 2, 3):
        line = Bottleneck(full * part, full * part * queue_s)
        pair = bulk_pair(World(), line, rtt_s, seed=seed)
        pair.run(4)
        line.rate, line.queue_bytes = full, full * rtt_s
        pair.run(3)
        before = pair.server.received_bytes
        pair.run(2)
        assert (pair.server.received_bytes - before) / 2 >= 0.85 * full


def rate_read_by(rates: list[float]) -> float:
    """A path's estimate of its rate after these, of a full flight, four in a round trip."""
    path, rtt_s, over_bytes = PathEstimate(), 0.04, 25_000
    for number, rate in enumerate(rates):
        path.add(
            AckSample(
                now=number * rtt_s / 4,
                delivered=(number + 4) * over_bytes // 4,
                prior_delivered=number * over_bytes // 4,
                acked_bytes=over_bytes // 4,
                lost_bytes=0,
                flight_bytes=over_bytes,
                rate=rate,
                rtt_s=rtt_s,
                app_limited=False,
            ),
            PACKET,
            10.0,
        )
    return path.rate


def test_a_packet_too_many_in_what_was_read_together_does_not_raise_the_rate() -> None:
    noise = [(number * 8 % 21 - 10) / 10 * PACKET / 25_000 for number in range(400)]
    for end in range(61, 400):
        assert rate_read_by([625_000 * (1 + one) for one in noise[:end]]) == pytest.approx(
            625_000, rel=0.02
        )


def test_rates_far_above_count_once_a_whole_round_was_so() -> None:
    steady = [625_000.0] * 102  # and the round that is under way has shown two of them
    assert rate_read_by([*steady, 900_000.0]) < 665_000
    assert rate_read_by([*steady, *[900_000.0] * 2]) < 700_000
    assert rate_read_by([*steady, *[900_000.0] * 2, *steady, *[900_000.0] * 2]) < 700_000
    assert rate_read_by([*steady, *[900_000.0] * 3]) == 900_000
