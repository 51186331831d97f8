"""Progress on standard error while long work runs: a bar, or without a terminal a few lines.

A line tells once that sources are waited for, silent or searched on, until more has come; and every
30 s how far the work is. There is none with JSON.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
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
_LINE_EACH_S = 30.0
"""How often a line says how far the work is, where there is no bar."""


class Bar:
    """One bar for all stages of the work, in turn; without `bars` there are lines.

    If it is `quiet` there are none. `now` gives seconds of any clock that only goes on.
    """

    def __init__(
        self,
        bars: "Progress | None" = None,
        *,
        quiet: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bars = bars
        self._quiet = quiet
        self._now = now
        self._told = ""
        self._told_bytes = 0
        self._line_at = now() + _LINE_EACH_S
        self._task = (
            bars.add_task("", total=None, visible=False, sources="", speed="") if bars else None
        )
        self._stage = ""

    def show(self, progress: dict[str, Any]) -> None:
        """Take a progress object of the control API."""
        self._say_once(progress)
        if self._bars is None or self._task is None:
            self._say_how_far(progress)
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
        now_told = self._state(progress)
        if now_told != self._told and not self._quiet:
            if now_told == "waiting":
                self._say(_sentence(progress))
            elif now_told in {"paused", "silent", "settling"}:
                self._say(f"{words_for(progress)}.")
        if now_told != self._told:
            self._told, self._told_bytes = now_told, progress["bytes_done"]

    def _state(self, progress: dict[str, Any]) -> str:
        """What a line tells of, or the stage. A search during a wait is part of the wait."""
        stage, done = str(progress["stage"]), progress["bytes_done"]
        if stage == "finding" and progress.get("wait_left_s"):
            stage = "settling"
        is_silent = self._bars is None and progress.get("silent_s", 0) >= _SILENT_SAID_S
        if stage == "chunks":
            is_in_vain = self._told == "waiting" and done <= self._told_bytes
            return "silent" if is_silent else "waiting" if is_in_vain else stage
        goes_on = self._told in {"waiting", "settling"} and stage == "finding"
        return self._told if goes_on else stage

    def _say_how_far(self, progress: dict[str, Any]) -> None:
        if self._quiet or self._now() < self._line_at:
            return
        self._line_at = self._now() + _LINE_EACH_S
        facts = [done_share(progress)] if progress["bytes_total"] else []
        facts += filter(None, [_speed(progress)])
        told = f": {', '.join(facts)}" if facts else ""
        self._say(f"{words_for(progress)}{told}.")

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
    if stage == "finding" and progress.get("wait_left_s"):
        left = duration(ceil(progress["wait_left_s"]))
        return f"No source is found yet; as this node has just started, it looks on for {left}"
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
    """A progress bar; without a terminal as standard error lines instead; nothing if `quiet`."""
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
