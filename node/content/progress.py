"""The progress of a long job, and the callback that gets it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `stage` is one of "reading", "finding", "manifest", "chunks", "files"."""

    stage: str
    chunks_total: int = 0
    chunks_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_fetched: int = 0
    """From sources, in this run."""
    sources: int = 0


ReportProgress = Callable[[Progress], None]
"""Called on the event loop, often; must return at once."""


def ignore_progress(_: Progress) -> None:
    """A ReportProgress that does nothing."""
