"""Links as they are given: the key in one must not stand where other users of the machine read it.

The command line of a process does (`ps`), and the shell keeps it; a prompt, a pipe and a file do
not.
"""

import sys
from pathlib import Path

import click

from protocol import limits
from protocol.errors import BadInput

_STDIN = "-"
_READ_CHARS = 2 * limits.LINK_TEXT_BYTES
"""More than a link has, so that a longer text is told as too long and not cut."""


def link_text(argument: str | None, file: Path | None) -> str:
    """The text of a link: `argument`, or the first line of standard input or of `file`.

    Without any it is asked for at the terminal, and not shown. Raises BadInput, UsageError.
    """
    if file is not None:
        if argument is not None:
            raise click.UsageError("Give the link or --link-file, not both.")
        return sys.stdin.readline(_READ_CHARS) if str(file) == _STDIN else _first_line(file)
    if argument == _STDIN:
        return sys.stdin.readline(_READ_CHARS)
    if argument is not None:
        return argument
    if not sys.stdin.isatty():
        raise click.UsageError("Missing argument 'LINK'; `-` reads it from standard input.")
    answer: str = click.prompt("Link (it is not shown)", hide_input=True, err=True)
    return answer


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as text:
            return text.readline(_READ_CHARS)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadInput(f"cannot read a link from {file}: {reason}") from None
