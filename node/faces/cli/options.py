"""Options that commands have in common, and the default home."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from node.faces.log import log_to_stderr

Command = Callable[..., Any]


def default_home() -> Path:
    """The platform's folder for a user's application data."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "modswarm"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "modswarm"
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "modswarm"


def _absolute(ctx: click.Context, option: click.Parameter, value: Path) -> Path:
    return value.absolute()


home = click.option(
    "--home",
    callback=_absolute,
    type=click.Path(file_okay=False, path_type=Path),
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
