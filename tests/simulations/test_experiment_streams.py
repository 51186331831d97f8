"""The figures of a way without UDP: what it carries, and what a loss costs it."""

from typing import Any

from simulations.experiments.links.streams import Parameters, run

LINE_MB_S = 1.0


def test_a_stream_fills_a_clean_line_and_a_loss_costs_it_more_than_udp() -> None:
    parameters = Parameters(mb_s=LINE_MB_S, loss=(0.0, 0.03), seconds=8.0)
    report = run(parameters, lambda _: None)
    rows: dict[tuple[str, float], dict[str, Any]] = {
        (row["way"], row["loss"]): row for row in report.data["rows"]
    }
    clean, lossy = rows["stream", 0.0], rows["stream", 0.03]
    assert clean["goodput_mb_s"] >= 0.5 * LINE_MB_S
    assert lossy["goodput_mb_s"] < 0.5 * rows["relay", 0.03]["goodput_mb_s"]
    assert clean["alone_max_ms"] < 60.0
    assert lossy["alone_max_ms"] > 95.0, "a lost packet holds frames back for a round trip"
    assert clean["alone_p50_ms"] < clean["beside_p99_ms"]
