"""The experiment "line": a whole link, ICE, DTLS and SCTP, on lines of the simulated internet."""

from collections import Counter
from pathlib import Path
from statistics import fmean
from struct import unpack
from typing import Any

import pytest

from node.links.secure.capture import SNAP_BYTES
from protocol.sctp import pcap
from simulations.experiments.line import Parameters, jain, run
from simulations.internet.lines import Access, RatedLine, pipes


def measured(**parameters: Any) -> dict[str, Any]:
    return run(Parameters(**parameters), lambda _: None).data


@pytest.mark.parametrize(
    ("loss", "reorder", "goal"),
    [(0.0, 0.0, 0.95), (0.001, 0.0, 0.93), (0.01, 0.0, 0.85), (0.0, 0.01, 0.93)],
)
def test_a_line_of_50_ms_is_filled_within_two_seconds(
    loss: float, reorder: float, goal: float
) -> None:
    """At a tenth of the rate that the benchmark takes: the packets would be ten times as many."""
    data = measured(mbps=10.0, loss=loss, reorder=reorder, warm_up_s=2.0, seconds=5.0)
    assert goal <= data["share"] <= 1.0


def test_measuring_the_round_trip_and_sparse_acknowledgements_cost_little() -> None:
    """Three times in 30 s the window shrinks to see the path without its queue.

    Shares of the four are .995 to .997, by where in the 30 s those times are.
    """
    shares = []
    for seed in range(1, 5):
        data = measured(mbps=10.0, seconds=30.0, seed=seed)
        assert data["steady_delay_ms"] <= 33.0
        shares.append(data["share"])
    assert min(shares) >= 0.9945
    assert fmean(shares) >= 0.9955


def test_a_long_thin_line_with_loss_is_filled() -> None:
    data = measured(mbps=10.0, rtt_ms=200.0, queue_ms=200.0, loss=0.01, warm_up_s=0.0, seconds=15.0)
    assert data["share"] >= 0.8


def test_a_queue_of_a_second_is_not_filled() -> None:
    data = measured(mbps=10.0, queue_ms=1000.0, warm_up_s=0.0, seconds=10.0)
    assert 10 < data["worst_delay_ms"] <= 100
    assert data["share"] >= 0.9


def test_two_links_share_a_line_alike() -> None:
    data = measured(mbps=10.0, queue_ms=100.0, flows=2, warm_up_s=4.0, seconds=15.0)
    assert data["jain"] >= 0.9
    assert len(data["shares"]) == 2


def test_the_stock_path_is_measured_by_the_same_rule() -> None:
    """What the goals are about: a hundredth of loss leaves the stock path a fraction."""
    data = measured(mbps=10.0, loss=0.01, data_path="stock", seconds=5.0)
    assert 0.0 < data["share"] < 0.7


def test_jains_index() -> None:
    assert jain([5, 5, 5]) == pytest.approx(1.0)
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)
    assert jain([0, 0]) == 0.0


def test_a_line_says_how_long_a_packet_would_wait() -> None:
    line = RatedLine(1000.0, 10_000)
    assert line.waiting_s(0.0) == 0.0
    line.carry(0.0, 500)
    line.carry(0.0, 500)
    assert line.waiting_s(0.0) == pytest.approx(1.0)
    assert line.waiting_s(0.75) == pytest.approx(0.25)
    up, down = pipes(Access(up_bytes_s=1000.0), None)  # type: ignore[arg-type]
    assert up is not None
    assert up.waiting_s(0.0) == 0.0
    assert down is None


def test_a_link_can_be_written_to_a_pcap_file(tmp_path: Path) -> None:
    file = tmp_path / "link.pcap"
    measured(mbps=10.0, seconds=1.0, flows=2, pcap=file)
    written = file.read_bytes()
    assert written.startswith(pcap.FILE_HEADER)
    at, sources, cut = len(pcap.FILE_HEADER), Counter[bytes](), 0
    while at < len(written):
        kept, total = unpack("<LL", written[at + 8 : at + 16])
        sources[written[at + 28 : at + 32]] += 1
        cut += kept < total
        assert kept <= SNAP_BYTES
        at += 16 + kept
    assert at == len(written)
    assert sources[pcap.OWN_ADDRESS.packed] > 500
    assert sources[pcap.PEER_ADDRESS.packed] > 100
    assert cut > 500
