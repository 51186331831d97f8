"""Links as they are given: the key in one must not stand where other users of the machine read it.

The command line of a process does (`ps`), and the shell keeps it; a prompt, a pipe and a file do
not. All but a prompt may hold a whole message, whose lines mail has broken.
"""

import codecs
import sys
from pathlib import Path
from typing import Any

import click

from node.faces.cli.terminal.hidden import ask_hidden
from node.faces.cli.terminal.words import PathWord
from node.machine.refusals import refused
from protocol import limits
from protocol.errors import BadInput, BadLink
from protocol.texts.links import any_link_in, holds_link

_STDIN = "-"
_READ_BYTES = 4 * limits.PASTED_CHARS + 1
"""More than a pasted text has, so that a longer one is told as too long and not cut."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What `>` of Windows PowerShell writes begins so."""


link_file = click.option(
    "--link-file",
    type=PathWord("a file that holds a link", dir_okay=False),
    metavar="FILE",
    help="Read the link from this file.",
)
"""The option whose value is `file` of `link_text`."""


def link_text(argument: str | None, file: Path | None) -> str:
    """The text of a link: `argument`, or what standard input or `file` holds.

    Without any it is asked for at the terminal, and not shown. Raises BadInput, UsageError.
    """
    if file is not None:
        if argument is not None:
            raise click.UsageError("Give the link or --link-file, not both.")
        return _from_stdin() if str(file) == _STDIN else from_file(file, "a link")
    if argument == _STDIN:
        return _from_stdin()
    if argument is not None:
        return argument
    if not sys.stdin.isatty():
        raise click.UsageError("Missing argument 'LINK'; `-` reads it from standard input.")
    return ask_hidden("Link (it is not shown)", _goes_on)


def _goes_on(text: str) -> bool:
    """Whether a link begins in `text` and does not end there."""
    return holds_link(text) and not _holds_whole_link(text)


def _holds_whole_link(text: str) -> bool:
    """Whether a link with its key stands in `text`."""
    try:
        return any_link_in(text).parts[1] is not None
    except BadLink:
        return False


def _from_stdin() -> str:
    """All of a pipe; of a terminal the lines up to a whole link, or to an empty one."""
    if not sys.stdin.isatty():
        source: Any = getattr(sys.stdin, "buffer", sys.stdin)
        return _decoded(source.read(_READ_BYTES))
    text = ""
    while len(text) <= limits.PASTED_CHARS and not _holds_whole_link(text):
        line = sys.stdin.readline(limits.PASTED_CHARS + 1)
        if not line.strip():
            break
        text += line
    return text


def from_file(file: Path, what: str) -> str:
    """The text of a file that holds `what`; raises BadInput."""
    try:
        with file.open("rb") as source:
            return _decoded(source.read(_READ_BYTES))
    except OSError as error:
        raise refused(error, f"cannot read {what} from {file}", BadInput) from None


def _decoded(data: bytes | str) -> str:
    """Text in UTF-8 or UTF-16; what is none of them is no link, and need not be told apart."""
    if isinstance(data, str):
        return data
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8", "replace")
