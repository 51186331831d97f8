"""Progress on standard error while long work runs; silent for JSON and without a terminal."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from node.faces.cli.output import counted

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_STAGES = {
    "reading": "Reading files",
    "finding": "Looking for sources",
    "manifest": "Fetching the manifest",
    "chunks": "Fetching",
    "files": "Writing files",
}
"""What the user reads for each stage."""


class Bar:
    """One bar for all stages of the work, in turn; without `bars` it shows nothing."""

    def __init__(self, bars: "Progress | None" = None) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=None, visible=False, sources="") if bars else None
        self._stage = ""

    def show(self, progress: dict[str, Any]) -> None:
        """Take a progress object of the control API."""
        if self._bars is None or self._task is None:
            return
        if progress["stage"] != self._stage:
            self._stage = progress["stage"]
            # A bar cannot forget its total, and not every stage has one.
            self._bars.remove_task(self._task)
            self._task = self._bars.add_task("", total=None, sources="")
        sources = progress["sources"]
        self._bars.update(
            self._task,
            description=_STAGES.get(self._stage, self._stage),
            total=progress["bytes_total"] or None,
            completed=progress["bytes_done"],
            sources=f"from {counted(sources, 'source')}" if sources else "",
        )

    def rest(self) -> None:
        """Hide the bar until the next stage."""
        self._stage = ""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, visible=False)


def columns() -> "tuple[ProgressColumn, ...]":
    """What a bar shows; what is not known yet is left out instead of a question mark."""
    from rich import progress
    from rich.text import Text

    class WhereKnown(progress.ProgressColumn):
        """Another column, shown once some of a known size is done, and where asked its speed."""

        def __init__(self, column: progress.ProgressColumn, *, needs_speed: bool) -> None:
            super().__init__()
            self._column = column
            self._needs_speed = needs_speed

        def render(self, task: progress.Task) -> Any:
            known = task.total and task.completed and (task.speed or not self._needs_speed)
            return self._column.render(task) if known else Text()

    return (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        WhereKnown(progress.DownloadColumn(), needs_speed=False),
        WhereKnown(progress.TransferSpeedColumn(), needs_speed=True),
        WhereKnown(progress.TimeRemainingColumn(), needs_speed=True),
        progress.TextColumn("{task.fields[sources]}", markup=False),
    )


@contextmanager
def bar(*, quiet: bool) -> Iterator[Bar]:
    """A progress bar; without a terminal as standard error, or if `quiet`, it shows nothing."""
    if quiet or not sys.stderr.isatty():
        yield Bar()
        return
    # rich costs a tenth of a second, which only a visible bar is worth.
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    # What is printed meanwhile goes above the bar, unless it goes to a file or a pipe.
    redirect = sys.stdout.isatty()
    with progress.Progress(
        *columns(), console=console, transient=True, redirect_stdout=redirect
    ) as bars:
        yield Bar(bars)


def follow(lines: Iterable[dict[str, Any]], shown: Bar) -> Any:
    """Show the progress in a stream of the control API and return its result."""
    for line in lines:
        if line.get("progress"):
            shown.show(line["progress"])
        if "result" in line:
            shown.rest()
            return line["result"]
    raise RuntimeError("a stream of the control API ended without a result or an error")
