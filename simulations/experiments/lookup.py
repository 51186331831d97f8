"""How long lookups take, what they cost and what they miss, with a part of all contacts dead.

Dead means silenced after the tables have settled; lookups start at once, with no refresh between.
`closest` finds the k nearest contacts, each having answered in this lookup; `read` ends at the
first valid record; `publish` (with --op) when the publisher is told, its recall being the share of
stores confirmed by then. `contacts_share` compares the tables with full ones,
and `join_packets` are datagrams for each node until then. With --stock the unmodified kademlia
library does the same on an internet of the same seed.
"""

from concurrent.futures import ProcessPoolExecutor
from typing import Any

from simulations.experiments.parts.lookup_legs import OurLeg, Parameters, StockLeg
from simulations.harness.report import ExperimentReport, Say
from simulations.runtime.running import run_virtually
from simulations.seeds import derive_seed

PARAMETERS = Parameters

_SHORTEST_S = 0.005
"""What takes less, or nothing as it is at hand, is drawn here."""

_TITLES = {
    "closest": "find the k closest",
    "read": "read the first record",
    "publish": "publish a record",
}


def run(parameters: Parameters, say: Say) -> ExperimentReport:
    """Every share of dead nodes in a world of its own."""
    libraries = ("ours", "stock") if parameters.stock else ("ours",)
    legs = [(name, dead) for dead in parameters.dead for name in libraries]
    with ProcessPoolExecutor(min(parameters.processes, len(legs))) as pool:
        pending = [pool.submit(_leg, name, parameters, dead) for name, dead in legs]
        results = []
        hashes = []
        for (name, dead), leg in zip(legs, pending, strict=True):
            rows, log_hash, samples = leg.result()
            results += [
                row | {"samples": sample} for row, sample in zip(rows, samples, strict=True)
            ]
            hashes.append(log_hash)
            say(f"{name} with {dead:.0%} dead: done")
    samples_of = [(row, row.pop("samples")) for row in results]
    data = {
        "packets_per_s": max(row["packets_per_s"] for row in results if row["who"] == "ours"),
        "cipher": parameters.cipher,
        "results": results,
    }
    combined = f"{derive_seed(0, *hashes):016x}"
    return ExperimentReport(data, lambda figure: _draw(figure, parameters, samples_of), combined)


def _leg(
    library: str, parameters: Parameters, dead: float
) -> tuple[list[dict[str, Any]], str, list[list[float]]]:
    leg = OurLeg(parameters, dead) if library == "ours" else StockLeg(parameters, dead)
    return run_virtually(leg.run())


def _draw(
    figure: Any, parameters: Parameters, samples_of: list[tuple[dict[str, Any], list[float]]]
) -> None:
    """Cumulative distributions of latency: ours solid, stock dashed, a colour for each share."""
    panels = figure.subplots(1, len(parameters.op), sharey=True, squeeze=False)[0]
    for op, axes in zip(parameters.op, panels, strict=True):
        for row, samples in samples_of:
            if row["op"] != op or not samples:
                continue
            ordered = sorted(max(one, _SHORTEST_S) for one in samples)
            axes.plot(
                ordered,
                [100 * (place + 1) / len(ordered) for place in range(len(ordered))],
                linestyle="--" if row["who"] == "stock" else "-",
                color=f"C{parameters.dead.index(row['dead'])}",
                label=f"{row['who']}, {row['dead']:.0%} dead: median {row['p50_s']:.2f} s",
            )
        axes.set_xscale("log")
        axes.set_xlabel("time (virtual seconds)")
        axes.set_title(_TITLES[op])
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.12))
    panels[0].set_ylabel("done (% of lookups)")
    figure.suptitle(f"How long lookups take among {parameters.nodes} nodes")
