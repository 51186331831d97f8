"""Questions at a terminal. A no is no interruption: it is told what was not done."""

import sys

import click

from node.faces.cli import exits


def at_a_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def wants(question: str, *, default: bool, otherwise: str) -> None:
    """Go on after a yes; after a no say `otherwise` and end the command as not done.

    Raises click.Abort for Ctrl-C and where the input ends.
    """
    if not click.confirm(question, default=default, err=True):
        click.echo(otherwise, err=True)
        raise click.exceptions.Exit(exits.FAILURE)
