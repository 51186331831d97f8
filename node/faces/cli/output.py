"""Results, for people or as one JSON document; names from peers cannot steer the terminal."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

_KILO = 1000
_UNITS = ("B", "kB", "MB", "GB", "TB")
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86400


def show_json(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(json.dumps(value))


def printable(value: Any) -> str:
    """Text without control characters: a mod's name must not steer the terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(value))


def show_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], empty: str, *, err: bool = False
) -> None:
    """Rows in aligned columns, never shortened so that ids can be copied; or the sentence."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if not cells:
        click.echo(empty, err=err)
        return
    columns = list(zip(headings, *cells, strict=True))
    widths = [max(len(cell) for cell in column) for column in columns]
    for row in [list(headings), *cells]:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(padded).rstrip(), err=err)


def show_facts(facts: Iterable[tuple[str, Any]], *, err: bool = False) -> None:
    """A name and a value on each line."""
    pairs = [(name, printable(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {value}", err=err)


def counted(count: int, noun: str) -> str:
    """1 file, 2 files."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def size(count: float | None) -> str:
    """Bytes as people read them: 1.3 MB."""
    if count is None:
        return "-"
    value = float(count)
    for unit in _UNITS:
        if value < _KILO or unit == _UNITS[-1]:
            break
        value /= _KILO
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A time as people read it: 0.25 s, 3 min, 2.0 h."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE_S:
        return f"{seconds:.2f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    if seconds < _DAY_S:
        return f"{seconds / _HOUR_S:.1f} h"
    return f"{seconds / _DAY_S:.1f} days"


def milliseconds(value: float | None) -> str:
    """A measured time, or a dash if the step was not needed."""
    return "-" if value is None else f"{value:.0f} ms"


def yes_no(value: bool | None) -> str:
    """Yes, no, or a dash for unknown."""
    return "-" if value is None else "yes" if value else "no"


LINK_HEADINGS = (
    *("PEER", "DIRECTION", "PATH", "ADDRESS", "ROUND TRIP"),
    *("OPEN FOR", "SENT", "RECEIVED"),
)


def link_row(link: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a link, below `LINK_HEADINGS`."""
    return (
        link["peer_id"],
        link["direction"],
        link["path"],
        link["remote_address"],
        milliseconds(link["rtt_ms"]),
        duration(link["age_s"]),
        size(link["bytes_sent"]),
        size(link["bytes_received"]),
    )
