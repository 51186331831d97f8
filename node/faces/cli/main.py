"""The command `modswarm`: finds commands, and turns every error into a sentence and a status."""

import importlib
import io
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from node.faces.api import errors
from node.faces.cli import exits
from node.faces.cli.output import printable, sentence
from node.faces.cli.terminal import interrupts
from node.faces.cli.terminal.typos import GroupWithHints
from node.machine import streams
from node.machine.refusals import refused
from protocol.errors import FolderProblems, ModswarmError

_log = logging.getLogger(__name__)

COMMANDS = {
    "run": "running",
    "status": "asking",
    "id": "asking",
    "ls": "asking",
    "peers": "asking",
    "links": "connecting",
    "share": "versions.sharing",
    "get": "mods",
    "follow": "versions.following",
    "unfollow": "versions.following",
    "versions": "versions.following",
    "lineage": "versions.lineages",
    "rm": "mods",
    "export": "transfers.exporting",
    "downloads": "transfers.queueing",
    "pause": "transfers.queueing",
    "resume": "transfers.queueing",
    "cancel": "transfers.queueing",
    "limits": "transfers.limiting",
    "vault": "asking",
    "scrub": "asking",
    "pin": "asking",
    "unpin": "asking",
    "cache": "transfers.caching",
    "stop": "running",
    "connect": "connecting",
    "doctor": "doctoring",
    "dht": "dht",
    "demo": "trying",
    "simulate": "trying",
}
"""In which module beside this one a command is; its function has the command's name."""

_RENAMED = {"id": "identity"}

_EPILOG = "\b\nExit statuses:\n" + "\n".join(
    f"  {status:>3}  {meaning}" for status, meaning in exits.MEANINGS.items()
)


class Commands(GroupWithHints):
    """Imports a command's module when the command is asked for, and ends with its exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a new user needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"node.faces.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, _RENAMED.get(cmd_name, cmd_name))
        return command


@click.group(
    cls=Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="modswarm", message="modswarm %(version)s")
def modswarm() -> None:
    """Share mods from person to person, without servers.

    Start a node with `modswarm run` and leave it running; the other commands talk to it.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its status; never with a traceback."""
    given = list(sys.argv[1:] if args is None else args)
    # A node must not wait for the program that reads what it says.
    with streams.harmless(background=given[:1] == ["run"]):
        status = _status(given)
    sys.exit(status)


def _status(args: list[str]) -> int:
    try:
        with interrupts.watched(exits.when_interrupted(args)):
            result = modswarm.main(args, prog_name="modswarm", standalone_mode=False)
    except click.ClickException as error:
        _show_usage(error)
        _fail_in_json(args, _named("usage", error.format_message()))
        return exits.USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return exits.when_interrupted(args)
    except ModswarmError as error:
        told = _as_json(error)
        _fail(args, errors.message_of(error), told, exits.advice_for(error), _problems_of(error))
        return exits.exit_status_of(error)
    except OSError as error:
        _log.debug("%s failed", args[:1], exc_info=True)
        failure = refused(error, f"cannot go on{_at(error)}")
        _fail(args, str(failure), _as_json(failure), exits.advice_for(failure))
        return exits.exit_status_of(failure)
    except Exception as error:  # noqa: BLE001 (users get a sentence, and -vv the traceback)
        _log.debug("%s failed", args[:1], exc_info=True)
        message = f"modswarm failed by a defect of its own: {error!r}"
        _fail(args, message, _named("defect", message))
        return exits.FAILURE
    return result if isinstance(result, int) else exits.OK


def _as_json(error: ModswarmError) -> dict[str, Any]:
    # Costs a fifth of what all other imports do, which a command that works out need not wait for.
    from node.faces.api.details import as_json

    return as_json(error)


def _at(error: OSError) -> str:
    return f" with {error.filename}" if isinstance(error.filename, str) else ""


def _problems_of(error: ModswarmError) -> list[str]:
    if not isinstance(error, FolderProblems):
        return []
    return [*error.problems, *([f"and {error.more} more"] if error.more else [])]


def _fail(
    args: list[str],
    message: str,
    told: dict[str, Any],
    advice: str = "",
    problems: Sequence[str] = (),
) -> None:
    told_first = f"{printable(message)}:" if problems else sentence(message)
    click.echo(f"Error: {told_first}", err=True)
    for problem in problems:
        click.echo(f"  {printable(problem)}", err=True)
    if advice:
        click.echo(advice, err=True)
    _fail_in_json(args, told)


def _show_usage(error: click.ClickException) -> None:
    """What click says of a command line, of which any word may have been pasted."""
    shown = io.StringIO()
    error.show(shown)
    *usage, said = shown.getvalue().rstrip("\n").split("\n")
    for line in (*map(printable, usage), sentence(said)):
        click.echo(line, err=True)


def _fail_in_json(args: list[str], told: dict[str, Any]) -> None:
    if "--json" in args:
        click.echo(json.dumps(told))


def _named(name: str, message: str) -> dict[str, Any]:
    """The JSON of a failure that is none of the project's errors."""
    return {"error": {"name": name, "message": message}}
