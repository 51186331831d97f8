"""A grid of runs over seeds and parameters, on all cores or on a Ray cluster, resumable.

A SPEC.toml names an experiment, values that all runs share, lists to vary, and figures to plot:

    experiment = "lookup"
    figures = ["p50_s", "recall"]
    x = "nodes"

    [fixed]
    lookups = 200

    [vary]
    nodes = [100, 300, 1000]
    seed = [1, 2, 3]

Each run is a process of its own. Its result is one line of results.jsonl, written when it ends; a
sweep that is started again skips the runs whose line is there.
"""

import itertools
import json
import math
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from node.machine.refusals import refused
from protocol.errors import BadInput
from simulations import catalogue
from simulations.harness import extras
from simulations.harness.report import blank_figure
from simulations.harness.statistics import mean

_MAX_RUNS = 10_000
_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for 95 % by degrees of freedom from 1; above the last 1.96 is close."""

_ONLY_LOCAL: dict[str, dict[str, Any]] = {"local": {"include_dashboard": False}}
"""What `ray.init` is told besides when it starts a cluster of its own on this machine."""

Run = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spec:
    """A sweep to do."""

    name: str
    runs: tuple[Run, ...]
    figures: tuple[str, ...]
    x: str


def load(path: Path) -> Spec:
    """Read a SPEC.toml; raises BadInput naming what is wrong."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise refused(error, f"cannot read {path}", BadInput) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read as a sweep: {error}") from None
    unknown = set(data) - {"experiment", "figures", "x", "fixed", "vary"}
    if unknown:
        raise BadInput(f"{path}: unknown entries {', '.join(sorted(unknown))}")
    module = catalogue.find(str(data.get("experiment")))
    fixed, vary = data.get("fixed", {}), data.get("vary", {})
    known = {one.name for one in fields(module.PARAMETERS)}
    strange = [name for name in (*fixed, *vary) if name not in known]
    if strange:
        raise BadInput(f"{path}: {data['experiment']} has no parameter {', '.join(strange)}")
    if not all(isinstance(values, list) and values for values in vary.values()):
        raise BadInput(f"{path}: each entry of [vary] needs a list of values")
    grid = itertools.product(*vary.values())
    runs = tuple(fixed | dict(zip(vary, values, strict=True)) for values in grid)
    if not 0 < len(runs) <= _MAX_RUNS:
        raise BadInput(f"{path}: {len(runs)} runs; a sweep has 1 to {_MAX_RUNS}")
    x = str(data.get("x", next(iter(vary), "seed")))
    return Spec(str(data["experiment"]), runs, tuple(data.get("figures", ())), x)


def command(name: str, run: Run) -> list[str]:
    """The words of one run, to say after `modswarm simulate`."""
    words = ["run", name]
    for key, value in run.items():
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words += [flag] if value else []
        elif isinstance(value, list):
            words += [flag, *map(str, value)]
        else:
            words += [flag, str(value)]
    return [*words, "--json"]


def perform(name: str, run: Run) -> Run:
    """Do one run in a process of its own; raises BadInput with how to repeat it if it fails."""
    words = command(name, run)
    done = subprocess.run(  # noqa: S603 - our own interpreter and words, no shell
        [sys.executable, "-P", "-m", "simulations", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise BadInput(
            f"a run failed: {last[0]}. Repeat it with: modswarm simulate {' '.join(words)}"
        )
    return {"parameters": run, "result": json.loads(done.stdout.strip().splitlines()[-1])}


def sweep(
    spec: Spec, folder: Path, *, workers: int, ray_address: str | None, on_done: Callable[[], None]
) -> list[Run]:
    """Do what is missing, and return all results in the order of the grid."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.jsonl"
    known = {_key(one["parameters"]): one for one in _read(path)}
    missing = [run for run in spec.runs if _key(run) not in known]
    for _ in range(len(spec.runs) - len(missing)):
        on_done()
    spread = _on_ray(ray_address) if ray_address is not None else _on_cores(workers)
    with path.open("a") as results:
        for one in spread(spec.name, missing):
            known[_key(one["parameters"])] = one
            results.write(json.dumps(one) + "\n")
            results.flush()
            on_done()
    return [known[_key(run)] for run in spec.runs]


Spread = Callable[[str, list[Run]], Iterator[Run]]


def _on_cores(workers: int) -> Spread:
    def spread(name: str, runs: list[Run]) -> Iterator[Run]:
        with ThreadPoolExecutor(workers) as pool:
            pending = [pool.submit(perform, name, run) for run in runs]
            try:
                for one in as_completed(pending):
                    yield one.result()
            finally:
                for one in pending:
                    one.cancel()

    return spread


def _on_ray(address: str) -> Spread:
    def spread(name: str, runs: list[Run]) -> Iterator[Run]:
        # Ray reports its use to its makers unless told not to before it is imported.
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        ray = extras.require("ray", "ray")
        try:
            ray.init(address=address, log_to_driver=False, **_ONLY_LOCAL.get(address, {}))
        except (ConnectionError, ValueError) as error:
            raise BadInput(f"no Ray cluster at {address}: {error}") from None
        try:
            remote = ray.remote(num_cpus=1)(perform)
            pending = [remote.remote(name, run) for run in runs]
            while pending:
                (done,), pending = ray.wait(pending, num_returns=1)
                yield ray.get(done)
        finally:
            ray.shutdown()

    return spread


def _read(path: Path) -> list[Run]:
    """The results so far; a line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return lines


def _key(run: Run) -> str:
    return json.dumps(run, sort_keys=True)


def series(
    spec: Spec, results: Iterable[Run], figure: str
) -> dict[str, list[tuple[Any, float, float]]]:
    """For each line of the plot its points: x, mean over seeds, half the 95 % interval."""
    groups: dict[str, dict[Any, list[float]]] = {}
    for one in results:
        x = one["parameters"].get(spec.x)
        for label, value in _values(one["result"], figure):
            groups.setdefault(label, {}).setdefault(x, []).append(value)
    return {
        label: [(x, mean(values), _half_interval(values)) for x, values in sorted(points.items())]
        for label, points in groups.items()
    }


def _values(result: Run, figure: str) -> Iterator[tuple[str, float]]:
    """A figure of the result itself, or of each row of its lists of rows."""
    value = result.get(figure)
    if isinstance(value, int | float):
        yield figure, float(value)
        return
    for rows in result.values():
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            continue
        for row in rows:
            if isinstance(row.get(figure), int | float):
                names = [
                    f"{key} {row[key]}"
                    for key in ("who", "op", "dead", "d", "policy")
                    if key in row
                ]
                yield " ".join(names) or figure, float(row[figure])


def _half_interval(values: list[float]) -> float:
    count = len(values)
    if count < 2:
        return 0.0
    average = mean(values)
    deviation = math.sqrt(sum((value - average) ** 2 for value in values) / (count - 1))
    t = _T_95[count - 2] if count - 2 < len(_T_95) else 1.96
    return t * deviation / math.sqrt(count)


def plot(spec: Spec, results: list[Run], folder: Path) -> list[Path]:
    """One picture for each figure of the spec, with confidence intervals over seeds."""
    written = []
    for name in spec.figures:
        figure = blank_figure()
        axes = figure.subplots()
        for label, points in series(spec, results, name).items():
            xs, means, halves = zip(*points, strict=True)
            axes.errorbar(xs, means, yerr=halves, marker="o", capsize=3, label=label)
        axes.set_xlabel(spec.x)
        axes.set_ylabel(name)
        axes.set_title(f"{spec.name}: {name}, mean and 95 % interval over seeds")
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
        path = folder / f"{name}.png"
        figure.savefig(path)
        written.append(path)
    return written
