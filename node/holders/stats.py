"""The figures of a search for holders, and how far it is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from node.content.progress import Progress
from protocol.identity import PeerId, peer_id_text


@dataclass(slots=True)
class FetchStats:
    """Figures of a search for holders, None for what it has not come to.

    `linked_at`: when the first link opened, loop's clock.
    """

    lookup_ms: float | None = None
    connect_ms: float | None = None
    linked_at: float | None = None
    record_hops: int = 0
    signaled_via: list[PeerId] = field(default_factory=list)
    sources: list[PeerId] = field(default_factory=list)

    def looked_up(self, seconds: float, hops: int) -> None:
        """The records were read."""
        self.lookup_ms, self.record_hops = seconds * 1000, hops

    def linked(self, started: float, now: float) -> None:
        """The first link opened."""
        self.linked_at, self.connect_ms = now, (now - started) * 1000


def finding(named: Collection[PeerId], calling: Sequence[PeerId]) -> Progress:
    """How far a search is that has opened no link: who is named, and who of these is called."""
    first = peer_id_text(calling[0]) if calling else ""
    return Progress("finding", holders=len(named), linking=len(calling), linking_with=first)
