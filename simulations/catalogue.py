"""The experiments by name: every module of `simulations.experiments` and of its package `links`.

Such a module has

    PARAMETERS   a frozen dataclass; each field with a default becomes a command-line option
    run          takes the parameters and a `say` for progress, gives an ExperimentReport

and its docstring's first line says what it finds out.
"""

import importlib
import pkgutil
import time
from dataclasses import replace
from types import ModuleType
from typing import Any

from protocol.errors import BadInput
from simulations import experiments
from simulations.experiments import links
from simulations.harness.report import ExperimentReport, Say


def all_experiments() -> dict[str, ModuleType]:
    """The experiments by name (with dashes), in alphabetical order."""
    found = {
        module.name.replace("_", "-"): f"{package.__name__}.{module.name}"
        for package in (experiments, links)
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    }
    return {name: importlib.import_module(found[name]) for name in sorted(found)}


def find(name: str) -> ModuleType:
    """The experiment of this name; raises BadInput."""
    known = all_experiments()
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
