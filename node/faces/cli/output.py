"""Results, for people or as one JSON document; names from peers cannot steer the terminal."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from protocol.texts import characters
from protocol.texts.amounts import counted, size_text

_ENDS = (".", "!", "?")
_SHORT_S = 0.1
_MINUTE_S = 60
_HOUR_MIN = 60
_DAY_H = 24


def show_json(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(value))


def printable(value: Any) -> str:
    """Text without control characters: a mod's name must not steer the terminal."""
    return characters.printable(str(value))


def sentence(text: str) -> str:
    """A message as a whole sentence: with its full stop, so that advice can follow it."""
    shown = printable(text).strip()
    return shown if shown.endswith(_ENDS) else f"{shown}."


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: letters of East Asia and emoji take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # costs 10 ms, which few tables need

    return cell_len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - columns(text))


def aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """The lines of a table whose rows have as many cells each."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    padded = [
        [_padded(cell, width) for cell, width in zip(row, widths, strict=True)] for row in cells
    ]
    return ["  ".join(row).rstrip() for row in padded]


def show_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], empty: str, *, err: bool = False
) -> None:
    """Rows in aligned columns, never shortened so that ids can be copied; or the sentence."""
    found = list(rows)
    if not found:
        click.echo(empty, err=err)
        return
    for line in aligned([headings, *found]):
        click.echo(line, err=err)


def show_facts(facts: Iterable[tuple[str, Any]], *, err: bool = False) -> None:
    """A name and a value on each line."""
    pairs = [(name, printable(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}", err=err)


def size(count: float | None) -> str:
    """Bytes as people read them: 1.3 MB."""
    return "-" if count is None else size_text(count)


def duration(seconds: float | None) -> str:
    """A time as people read it: 4 ms, 0.25 s, 1 min 3 s, 2 h 5 min, 1 day 3 h."""
    if seconds is None:
        return "-"
    if seconds < _SHORT_S:
        return milliseconds(seconds * 1000)
    if round(seconds, 2) < _MINUTE_S:
        return f"{seconds:.2f} s"
    minutes, rest_s = divmod(round(seconds), _MINUTE_S)
    if minutes < _HOUR_MIN:
        return _two(f"{minutes} min", rest_s, "s")
    hours, minutes = divmod(round(seconds / _MINUTE_S), _HOUR_MIN)
    if hours < _DAY_H:
        return _two(f"{hours} h", minutes, "min")
    days, hours = divmod(round(seconds / _MINUTE_S / _HOUR_MIN), _DAY_H)
    return _two(counted(days, "day"), hours, "h")


def _two(whole: str, rest: int, unit: str) -> str:
    return f"{whole} {rest} {unit}" if rest else whole


def moment(seconds: float) -> str:
    """Seconds since 1970 as a local time of this computer: 2026-11-25 18:42."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def time_of_day(seconds: float) -> str:
    """The same without its day, to the second: 18:42:07."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def milliseconds(value: float | None) -> str:
    """A measured time, or a dash if the step was not needed."""
    return "-" if value is None else f"{value:.0f} ms"


def yes_no(value: bool | None) -> str:
    """Yes, no, or a dash for unknown."""
    return "-" if value is None else "yes" if value else "no"
