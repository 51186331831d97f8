"""Downloads: those that go on, that wait for their turn, and that ended lately."""

from dataclasses import dataclass
from enum import StrEnum

from node.answers.marks import ModId, Seconds
from node.content.progress import Progress


class DownloadState(StrEnum):
    """What a download does."""

    WAITING = "waiting"
    ACTIVE = "active"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"


class Priority(StrEnum):
    """Which downloads go before which: the first of these first, alike ones as they came."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class DownloadView:
    """A download."""

    id: int
    mod_id: ModId
    name: str
    """Empty until the mod's manifest is here."""
    place: str
    """The folder that is written; until the mod's name is known, that in which it will be."""
    state: DownloadState
    priority: Priority
    watched: bool
    """Whether a command waits for it: it then needs no turn, and ends with that command."""
    added: float
    """In seconds since 1970."""
    progress: Progress | None
    """Of this run of the node; null before it began."""
    reason: str
    """Why it failed, or why the last try did; empty if it did not."""
    retry_s: Seconds | None
    """In how many seconds it is tried again; null if it waits for its turn or for a person."""


@dataclass(frozen=True, slots=True)
class DownloadList:
    """The downloads in the order in which they have their turns, those that ended last."""

    downloads: tuple[DownloadView, ...]
    at_once: int
    """How many go on at once, besides those that are watched."""
