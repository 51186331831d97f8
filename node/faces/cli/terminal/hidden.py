"""A question at a terminal whose answer is not shown, and may be pasted in several lines.

`getpass` reads one line and drops what is typed ahead, which is the rest of a broken link.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

from protocol import limits

_REST = "The rest of it (an empty line if that was all)"


def ask_hidden(question: str, goes_on: Callable[[str], bool]) -> str:
    """The answer: one line, and further ones for as long as it `goes_on`, up to an empty one.

    Raises click.Abort where the input ends before it.
    """
    with _without_echo() as read_line:
        text = read_line(question)
        while goes_on(text) and len(text) <= limits.PASTED_CHARS:
            line = read_line(_REST)
            if not line.strip():
                break
            text += line
    return text


@contextlib.contextmanager
def _without_echo() -> Iterator[Callable[[str], str]]:
    """What asks for a line; what was typed behind the last one is dropped at the end."""
    if sys.platform == "win32":
        yield _line_by_click
        return
    import termios

    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, termios.error):
        yield _line_by_click
        return
    unseen = list(before)
    unseen[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, unseen)
        yield _line
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)


def _line(question: str) -> str:
    click.echo(f"{question}: ", nl=False, err=True)
    line = sys.stdin.buffer.readline(limits.PASTED_CHARS)
    click.echo(err=True)
    if not line:
        raise click.Abort
    return line.decode("utf-8", "replace")


def _line_by_click(question: str) -> str:
    answer: str = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
    return f"{answer}\n"
