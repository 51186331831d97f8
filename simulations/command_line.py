"""`modswarm simulate`: list, run and sweep experiments."""

import argparse
import json
import os
import shlex
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from node.machine.refusals import refused
from protocol.errors import ModswarmError
from simulations import catalogue, sweep
from simulations.harness.report import blank_figure, save

_PROGRAM = "modswarm simulate"
_OK, _FAILED, _USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the experiments")
    run = commands.add_parser("run", help="run one experiment")
    names = run.add_subparsers(dest="name", required=True)
    for name, module in catalogue.all_experiments().items():
        _add_options(names.add_parser(name, help=catalogue.summary(module)), module)
    _add_sweep_options(commands.add_parser("sweep", help="run a grid of runs"))
    _check_words(parser, given)
    options = parser.parse_args(given)
    try:
        return _COMMANDS[options.command](options)
    except ModswarmError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        print(f"Repeat it with: {_command(given)}", file=sys.stderr)
        return _FAILED
    except OSError as error:
        failure = refused(error, f"cannot go on with {error.filename or 'this'}")
        print(f"{failure}. {failure.advice}", file=sys.stderr)
        return _FAILED


def _check_words(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """End with a usage error for an empty or blank word: as a path it would be the folder here."""
    for before, word in pairwise((_PROGRAM, *words)):
        name, equals, value = word.partition("=")
        if not word.strip():
            parser.error(f"the word behind {before} is empty; give a value there")
        if name.startswith("--") and equals and not value.strip():
            parser.error(f"the value of {name} is empty; give one")


def _command(arguments: Sequence[str]) -> str:
    return f"{_PROGRAM} {shlex.join(arguments)}"


def _list(_: argparse.Namespace) -> int:
    for name, module in catalogue.all_experiments().items():
        print(f"{name:16} {catalogue.summary(module)}")
    return _OK


def _run(options: argparse.Namespace) -> int:
    module = catalogue.find(options.name)
    if options.out is not None:
        blank_figure()  # Before the run, which may take long: a plain installation cannot draw.
    values = {one.name: getattr(options, one.name) for one in fields(module.PARAMETERS)}
    parameters = module.PARAMETERS(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )
    report = catalogue.perform(module, parameters, lambda text: print(text, file=sys.stderr))
    result = report.as_json(parameters)
    if options.out is not None:
        for path in save(options.name, report, parameters, options.out):
            print(f"wrote {path}", file=sys.stderr)
    if options.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result, indent=2))
        print(f"seed {parameters.seed}, history {report.log_hash}, {report.wall_s:.1f} s")
    return _OK


def _sweep(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    spec = sweep.load(options.spec)
    if spec.figures:
        blank_figure()
    folder = options.out or Path(options.spec).with_suffix("")
    columns = (TextColumn("runs"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("runs", total=len(spec.runs))
        results = sweep.sweep(
            spec,
            folder,
            workers=options.workers,
            ray_address=options.ray,
            on_done=lambda: progress.advance(task),
        )
    for path in sweep.plot(spec, results, folder):
        print(f"wrote {path}", file=sys.stderr)
    print(json.dumps({"runs": len(results), "results": str(folder / "results.jsonl")}))
    return _OK


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", type=Path, help="the SPEC.toml")
    parser.add_argument("--out", type=Path, help="folder of the results (default: beside the spec)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="runs at once")
    parser.add_argument("--ray", metavar="ADDRESS", help="spread over a Ray cluster, or `local`")


def _add_options(parser: argparse.ArgumentParser, module: types.ModuleType) -> None:
    """One option for each field of the experiment's parameters, and those of every experiment."""
    hints = typing.get_type_hints(module.PARAMETERS)
    for one in fields(module.PARAMETERS):
        _add_option(parser, one, hints[one.name])
    parser.add_argument("--out", type=Path, help="folder for the JSON file and the plot")
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")


def _add_option(parser: argparse.ArgumentParser, one: "Field[Any]", hint: Any) -> None:
    flag = "--" + one.name.replace("_", "-")
    explained = one.metadata.get("help", "")
    default = one.default if one.default is not MISSING else None
    if hint is bool:
        parser.add_argument(flag, action="store_true", help=explained)
        return
    kind, many = _kind(hint)
    parser.add_argument(
        flag,
        type=kind,
        nargs="+" if many else None,
        default=default,
        choices=one.metadata.get("choices"),
        help=f"{explained} (default: {_shown(default)})".strip(),
    )


def _kind(hint: Any) -> tuple[Any, bool]:
    """The type of one value of an option, and whether it takes several."""
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], True
    if isinstance(hint, types.UnionType):
        (kind,) = (one for one in typing.get_args(hint) if one is not type(None))
        return kind, False
    return hint, False


def _shown(default: Any) -> str:
    return " ".join(map(str, default)) if isinstance(default, tuple) else str(default)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "run": _run,
    "sweep": _sweep,
}
