"""Which downloads begin now, and which give their turn to one of a higher priority."""

from collections.abc import Collection
from dataclasses import dataclass, field

from node.answers.downloads import DownloadState, Priority
from node.content.queue.entry import DownloadEntry

_ORDER = {priority: place for place, priority in enumerate(Priority)}


@dataclass(slots=True)
class Turns:
    """What follows from the state of all downloads."""

    begin: list[DownloadEntry] = field(default_factory=list)
    give_way: list[DownloadEntry] = field(default_factory=list)
    """They wait for another turn; others begin once these have ended."""
    look_at: float | None = None
    """When one is to be tried again, on the loop's clock."""


def rank(entry: DownloadEntry) -> tuple[bool, int, int]:
    """The order of turns: ended ones last."""
    return not entry.is_unfinished, _ORDER[entry.priority], entry.number


def turns(
    entries: Collection[DownloadEntry], running: Collection[int], at_once: int, now: float
) -> Turns:
    """What begins and what gives way. `running`: numbers of those whose task has not ended.

    A watched one needs no turn. One that only writes its files any more keeps its own.
    """
    in_order = sorted(entries, key=rank)
    held = [one for one in in_order if one.number in running and not one.foreground]
    ending = sum(one.state is not DownloadState.ACTIVE for one in held)
    free = at_once - len(held)
    lasting = [one for one in held if one.state is DownloadState.ACTIVE and one.lacks_chunks]
    found, due = Turns(), []
    for entry in in_order:
        if entry.state is not DownloadState.WAITING or entry.number in running:
            continue
        if entry.try_at > now:
            due.append(entry.try_at)
        elif entry.foreground:
            found.begin.append(entry)
        elif free > 0:
            free -= 1
            found.begin.append(entry)
        elif free + ending > 0:
            ending -= 1
        elif lasting and _goes_before(entry, lasting[-1]):
            found.give_way.append(lasting.pop())
    found.look_at = min(due, default=None)
    return found


def _goes_before(entry: DownloadEntry, other: DownloadEntry) -> bool:
    return _ORDER[entry.priority] < _ORDER[other.priority]
