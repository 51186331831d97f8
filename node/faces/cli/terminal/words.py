"""Words of the command line: an empty or blank one is refused, with what to give instead.

A script's variable that is not set leaves an empty word; as a path it would be the folder at hand.
"""

from pathlib import Path
from typing import Any

import click


class Word(click.ParamType[str]):
    """Text that is not blank; `what` says what it is, as in `give WHAT`."""

    name = "text"

    def __init__(self, what: str) -> None:
        self._what = what

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text; a usage error for a blank one."""
        return _checked(self, str(value), self._what, param, ctx)


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
        _checked(self, str(value), self._what, param, ctx)
        return super().convert(value, param, ctx)


def _checked(
    kind: click.ParamType[Any],
    text: str,
    what: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> str:
    """`text`, unless it is blank: then a usage error of its parameter."""
    if not text.strip():
        kind.fail(f"it is {'blank' if text else 'empty'}; give {what}", param, ctx)
    return text
