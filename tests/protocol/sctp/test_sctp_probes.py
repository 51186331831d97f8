"""Flows of one host measure their round trips at the same time."""

from weakref import ref

from protocol.sctp.send.congestion import AckSample
from protocol.sctp.send.pathmodel import PathModel, Phase
from protocol.sctp.send.probes import RoundTripProbes

PACKET = 1200
LIFETIME_S = 10.0


def heard(flow: PathModel, now: float, rtt_s: float) -> None:
    """The flow gets an acknowledgement that shows this round trip."""
    sample = AckSample(
        now=now,
        delivered=int(now * 100_000),
        prior_delivered=int((now - rtt_s) * 100_000),
        acked_bytes=PACKET,
        lost_bytes=0,
        flight_bytes=5 * PACKET,
        rate=100_000.0,
        rtt_s=rtt_s,
        app_limited=False,
    )
    flow.on_ack(sample)


def test_flows_in_use_measure_with_the_one_whose_round_trip_is_old() -> None:
    probes = RoundTripProbes()
    first, second, idle = (PathModel(PACKET, 0, probes) for _ in range(3))
    stranger = PathModel(PACKET)
    heard(first, 1.0, 0.04)
    heard(idle, 3.0, 0.04)
    at = 3.0
    while first.phase is not Phase.PROBE_RTT:
        at += 0.05
        assert at < 2 * LIFETIME_S
        for younger in (second, stranger):
            heard(younger, at, 0.05)
        heard(first, at, 0.05)
    assert second.phase is Phase.PROBE_RTT
    assert Phase.PROBE_RTT not in (idle.phase, stranger.phase)


def test_flows_that_have_ended_are_not_kept() -> None:
    probes = RoundTripProbes()
    ended = ref(PathModel(PACKET, 0, probes))
    assert ended() is None
    assert len(probes._flows) == 0
