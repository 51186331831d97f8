"""Words of the command line: an empty or blank one is refused, with what to give instead.

A script's variable that is not set leaves an empty word; as a path it would be the folder at hand.
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from protocol import limits
from protocol.texts.characters import is_blank, printable


class Word(click.ParamType[str]):
    """Text that is not blank, of at most `most` characters; `what` is as in `give WHAT`."""

    name = "text"

    def __init__(self, what: str, most: int = limits.PASTED_CHARS) -> None:
        self._what = what
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a usage error for a blank one."""
        return _checked(self, str(value), self._what, param, ctx, self._most)


class PathWord(click.Path):
    """A path that is not blank; `what` as in `Word`, other arguments as in `click.Path`."""

    def __init__(self, what: str, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)
        self._what = what

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """The path; a usage error for a blank one."""
        _checked(self, str(value), self._what, param, ctx, limits.PATH_CHARS)
        return super().convert(value, param, ctx)


def shell_word(text: str) -> str:
    """`text` as one word of a command line, for a person to copy: harmless to the terminal."""
    shown = printable(text)
    if sys.platform == "win32":  # where single quotes are letters
        return shown if shown.isalnum() else f'"{shown}"'
    return shlex.quote(shown)


def _checked(
    kind: click.ParamType[Any],
    text: str,
    what: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
    most: int,
) -> str:
    """`text`, unless it is blank or too long: then a usage error of its parameter."""
    if is_blank(text):
        kind.fail(f"it is {'blank' if text else 'empty'}; give {what}", param, ctx)
    if len(text) > most:
        kind.fail(f"it is longer than {most} characters; give {what}", param, ctx)
    return text
