"""What an experiment gives: data, a picture, and the hash of its history; and how it is saved."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulations.harness import extras

Say = Callable[[str], None]


@dataclass(slots=True)
class ExperimentReport:
    """The result: `data` is JSON-ready, `draw` paints it into a matplotlib figure.

    `log_hash` covers the history of every world that the run made.
    """

    data: dict[str, Any]
    draw: Callable[[Any], None]
    log_hash: str
    wall_s: float = field(default=0.0)

    def as_json(self, parameters: Any) -> dict[str, Any]:
        """Everything that goes into the file and the last line."""
        head = {
            "seed": parameters.seed,
            "nodes": getattr(parameters, "nodes", None),
            "log_hash": self.log_hash,
            "wall_s": round(self.wall_s, 2),
        }
        return {key: value for key, value in head.items() if value is not None} | self.data


def blank_figure() -> Any:
    """A figure of matplotlib to draw into; raises ExtraMissing."""
    figure = extras.require("matplotlib.figure")
    canvas = extras.require("matplotlib.backends.backend_agg")
    blank = figure.Figure(figsize=(9, 5.5), dpi=120, layout="constrained")
    canvas.FigureCanvasAgg(blank)
    return blank


def save(name: str, report: ExperimentReport, parameters: Any, folder: Path) -> list[Path]:
    """Write NAME.json and NAME.png into `folder`; returns their paths. Raises ExtraMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    data, picture = folder / f"{name}.json", folder / f"{name}.png"
    data.write_text(json.dumps(report.as_json(parameters), indent=2) + "\n")
    figure = blank_figure()
    report.draw(figure)
    figure.savefig(picture)
    return [data, picture]
