"""What an experiment is: parameters, a run that gives a report, and what to draw of it.

A module of `simulations.experiments` is an experiment if it has

    PARAMETERS   a frozen dataclass; each field with a default becomes a command-line option
    run          takes the parameters and a `say` for progress, gives a ExperimentReport

and its docstring's first line says what it finds out.
"""

import importlib
import json
import pkgutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from protocol.errors import BadInput
from simulations import experiments

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


def catalogue() -> dict[str, ModuleType]:
    """The experiments by name (with dashes), in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(experiments.__path__))
    return {name.replace("_", "-"): _load(name) for name in names}


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"simulations.experiments.{name}")


def find(name: str) -> ModuleType:
    """The experiment of this name; raises BadInput."""
    known = catalogue()
    if name not in known:
        raise BadInput(f"no experiment is called {name!r}; there are {', '.join(known)}")
    return known[name]


def summary(module: ModuleType) -> str:
    """What an experiment finds out, in one line."""
    return (module.__doc__ or "").strip().splitlines()[0]


def perform(module: ModuleType, parameters: Any, say: Say) -> ExperimentReport:
    """Run an experiment and time it."""
    started = time.perf_counter()
    report: ExperimentReport = module.run(parameters, say)
    return replace(report, wall_s=time.perf_counter() - started)


def save(name: str, report: ExperimentReport, parameters: Any, folder: Path) -> list[Path]:
    """Write NAME.json and NAME.png into `folder`; returns their paths."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    data, picture = folder / f"{name}.json", folder / f"{name}.png"
    data.write_text(json.dumps(report.as_json(parameters), indent=2) + "\n")
    figure = Figure(figsize=(9, 5.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    report.draw(figure)
    figure.savefig(picture)
    return [data, picture]
