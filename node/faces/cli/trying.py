"""What runs on this machine alone: demo, the main job with real nodes; simulate, experiments."""

import runpy
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from node.faces.api import details, errors
from node.faces.cli import bars, exits, options, output
from node.faces.cli.terminal.words import PathWord
from node.machine.folders import absolute
from protocol.errors import ModswarmError

_NODES_MIN = 3
_NODES_MAX = 64
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@click.command()
@click.option(
    "--path",
    type=PathWord("the folder or the file to share", exists=True),
    metavar="DIR",
    help="What to share; by default the largest installed Python package.",
)
@click.option("--nodes", type=click.IntRange(_NODES_MIN, _NODES_MAX), default=8, show_default=True)
@options.json_flag
@options.verbosity
def demo(path: Path | None, nodes: int, as_json: bool) -> int:
    """Show the main job on this machine: share, find, call, fetch, compare.

    Real nodes start and join each other; one shares a folder, another finds it in the DHT
    and fetches it, and every byte is compared. All traffic stays on this machine.

    With --json the steps go to standard error, and the last line of standard output is the result.
    """
    from node.faces.demo import packages, processes, story

    source = absolute(path) if path else packages.largest_package()
    tell = _teller(as_json)
    try:
        with _interruptible(), bars.bar(quiet=as_json) as bar:
            result = story.play(source, nodes, tell, bar, processes.make_identities)
    except ModswarmError as error:
        if not as_json:
            raise
        click.echo(f"Error: {output.printable(errors.message_of(error))}", err=True)
        if advice := exits.advice_for(error):
            click.echo(advice, err=True)
        failure = details.as_json(error)
        output.show_json({"ok": False, "nodes": nodes, "verified": False, **failure})
        return exits.exit_status_of(error)
    if as_json:
        output.show_json(result)
    return exits.OK


def _teller(as_json: bool) -> Callable[[str, str], None]:
    began = time.monotonic()

    def tell(step: str, sentence: str) -> None:
        elapsed_s = time.monotonic() - began
        click.echo(f"{elapsed_s:6.2f} s  {step:<12} {output.printable(sentence)}", err=as_json)

    return tell


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def simulate(words: tuple[str, ...]) -> None:
    """Run experiments with many nodes on a simulated internet.

    `modswarm simulate list` names the experiments, and `modswarm simulate run NAME --help` their
    options.
    """
    sys.argv[1:] = words
    # By its name, as `python -m simulations` would: the product imports nothing of simulations.
    runpy.run_module("simulations", run_name="__main__", alter_sys=True)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the first signal that ends a program end the demo like Ctrl-C, with cleaning up."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = [(number, signal.signal(number, interrupt)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
