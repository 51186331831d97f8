"""Progress on standard error while long work runs; silent for JSON and without a terminal."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

import click

from node.faces.cli.output import duration, size
from protocol.texts.amounts import counted

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_STAGES = {
    "reading": "Reading files",
    "checking": "Checking the vault",
    "finding": "Looking for sources",
    "manifest": "Fetching the manifest",
    "chunks": "Fetching",
    "waiting": "Waiting",
    "files": "Writing files",
    "queued": "Waiting for its turn",
    "paused": "Paused by another command; `modswarm resume` lets it go on",
}
"""What the user reads for each stage."""
_SILENT_S = 2
_SILENT_SAID_S = 5
"""For how long nothing has come when a bar says so, and when a line does, where there is no bar."""


class Bar:
    """One bar for all stages of the work, in turn; without `bars` it shows nothing.

    But unless it is `quiet`, it says in a line that sources are silent, or lost and waited for.
    """

    def __init__(self, bars: "Progress | None" = None, *, quiet: bool = False) -> None:
        self._bars = bars
        self._quiet = quiet
        self._told = ""
        self._task = (
            bars.add_task("", total=None, visible=False, sources="", speed="") if bars else None
        )
        self._stage = ""

    def show(self, progress: dict[str, Any]) -> None:
        """Take a progress object of the control API."""
        self._say_once(progress)
        if self._bars is None or self._task is None:
            return
        if progress["stage"] != self._stage:
            self._stage = progress["stage"]
            # A bar cannot forget its total, and not every stage has one.
            self._bars.remove_task(self._task)
            self._task = self._bars.add_task("", total=None, sources="", speed="")
        sources = progress["sources"]
        self._bars.update(
            self._task,
            description=words_for(progress),
            total=progress["bytes_total"] or None,
            completed=progress["bytes_done"],
            sources=f"from {counted(sources, 'source')}" if sources else "",
            speed=_speed(progress),
        )

    def _say_once(self, progress: dict[str, Any]) -> None:
        """Say in a line, where it begins, that nothing comes."""
        stage = progress["stage"]
        is_silent = self._bars is None and progress.get("silent_s", 0) >= _SILENT_SAID_S
        now_told = "silent" if is_silent and stage == "chunks" else stage
        if now_told != self._told and not self._quiet:
            if now_told == "waiting":
                self._say(_sentence(progress))
            elif now_told in {"paused", "silent"}:
                self._say(f"{words_for(progress)}.")
        self._told = now_told

    def _say(self, line: str) -> None:
        if self._bars is not None:
            self._bars.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)

    def rest(self) -> None:
        """Hide the bar until the next stage."""
        self._stage = ""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, visible=False)


def done_share(progress: dict[str, Any] | None) -> str:
    """How much of a download is here: 42 %, or a dash where that is not known."""
    if not progress or not progress["bytes_total"]:
        return "-"
    return f"{100 * progress['bytes_done'] // progress['bytes_total']} %"


def rate(progress: dict[str, Any]) -> str:
    """How fast it comes, or a dash while nothing does."""
    told = progress.get("bytes_per_second", 0)
    return f"{size(told)}/s" if told else "-"


def time_left(progress: dict[str, Any]) -> str:
    """How long it takes at that rate, or a dash where that is not known."""
    left_s = progress.get("left_s")
    return "-" if left_s is None else duration(ceil(left_s))


def _speed(progress: dict[str, Any]) -> str | None:
    """The rate and the time left of what comes from others; empty while nothing comes.

    None for work on this machine, whose rate is not told.
    """
    if progress["stage"] in {"reading", "files"}:
        return None
    told = [rate(progress)] if progress.get("bytes_per_second") else []
    return ", ".join([*told, *([f"{time_left(progress)} left"] if progress.get("left_s") else [])])


def words_for(progress: dict[str, Any]) -> str:
    """What goes on, in words."""
    stage = str(progress["stage"])
    if stage == "finding" and progress.get("unanswered"):
        return f"Waiting for an answer of {counted(progress['unanswered'], 'peer')}"
    if stage == "finding" and progress.get("holders"):
        return f"{counted(progress['holders'], 'peer')} known to share it{_linking(progress)}"
    if _is_silent(progress):
        return f"Fetching; nothing has come for {duration(progress['silent_s'])}"
    if stage == "waiting":
        return (
            f"Waiting for {_lost(progress)} or another source,"
            f" {duration(ceil(progress['wait_left_s']))} more"
        )
    return _STAGES.get(stage, stage)


def _is_silent(progress: dict[str, Any]) -> bool:
    """Whether a source owes something and has sent nothing for long."""
    return bool(progress["stage"] == "chunks" and progress.get("silent_s", 0) >= _SILENT_S)


def _linking(progress: dict[str, Any]) -> str:
    first, others = progress["linking_with"], progress["linking"] - 1
    if not first:
        return ""
    return f"; linking with {first}" + (f" and {others} more" if others > 0 else "")


def _lost(progress: dict[str, Any]) -> str:
    names, others = progress["waiting_for"], progress["lost"] - 1
    first = str(names[0]) if names else "the source"
    return first + (f", {others} more" if others > 0 else "")


def _sentence(progress: dict[str, Any]) -> str:
    """That sources are waited for, what is kept, and what to do: once, where no bar shows it."""
    kept = f"{size(progress['bytes_done'])} of {size(progress['bytes_total'])} are kept"
    return (
        f"{words_for(progress)}; {kept}. Ctrl-C stops it, and the same command goes on from there."
    )


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
            known = task.total and task.completed
            if self._needs_speed:  # what comes from others is told by the node itself
                known = known and task.speed and task.fields["speed"] is None
            return self._column.render(task) if known else Text()

    class Told(progress.ProgressColumn):
        """The rate and the time left, as the node tells them."""

        def render(self, task: progress.Task) -> Any:
            return Text(task.fields["speed"] or "")

    return (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        WhereKnown(progress.DownloadColumn(), needs_speed=False),
        WhereKnown(progress.TransferSpeedColumn(), needs_speed=True),
        WhereKnown(progress.TimeRemainingColumn(), needs_speed=True),
        Told(),
        progress.TextColumn("{task.fields[sources]}", markup=False),
    )


@contextmanager
def bar(*, quiet: bool) -> Iterator[Bar]:
    """A progress bar; without a terminal as standard error, or if `quiet`, it shows nothing."""
    if quiet or not sys.stderr.isatty():
        yield Bar(quiet=quiet)
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
