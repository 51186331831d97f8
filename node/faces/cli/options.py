"""Options that commands have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from node.faces.cli.terminal.words import PathWord
from node.faces.log import log_to_stderr
from node.machine.folders import absolute, default_home

Command = Callable[..., Any]


def _absolute(ctx: click.Context, option: click.Parameter, value: Path) -> Path:
    return absolute(value)


home = click.option(
    "--home",
    callback=_absolute,
    type=PathWord("the folder of a node", file_okay=False),
    envvar="MODSWARM_HOME",
    default=default_home,
    show_default="the platform's folder for application data",
    help="The node's home folder (MODSWARM_HOME).",
)

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _log(ctx: click.Context, option: click.Parameter, verbose: int) -> None:
    log_to_stderr(verbose)


verbosity = click.option(
    "-v",
    "--verbose",
    count=True,
    callback=_log,
    expose_value=False,
    help="Log on standard error; twice for all.",
)


def asking(command: Command) -> Command:
    """What every command that asks a running node takes."""
    return home(json_flag(verbosity(command)))
