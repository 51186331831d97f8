"""The progress of a long job, and the callback that gets it."""

from collections.abc import Callable
from dataclasses import dataclass

from protocol.texts.amounts import size_text


@dataclass(frozen=True, slots=True)
class SourceRate:
    """How fast one source sends, by its name."""

    source: str
    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    `stage` is one of "reading", "finding", "manifest", "chunks", "waiting", "files", "checking"; of
    a download in the queue also "queued" and "paused".
    """

    stage: str
    chunks_total: int = 0
    chunks_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    bytes_fetched: int = 0
    """From sources, in this run: of the manifest, and of chunks."""
    sources: int = 0
    holders: int = 0
    """Peers that are known to share the mod, while sources are looked for."""
    linking: int = 0
    """Of these, those to which a link is being opened."""
    linking_with: str = ""
    """The first of them."""
    unanswered: int = 0
    """Peers with a link that were asked and have not answered, while no other one serves."""
    waiting_for: tuple[str, ...] = ()
    """The names of sources that were lost, while the job waits for these or others: the first."""
    lost: int = 0
    """How many they are."""
    wait_left_s: float = 0.0
    """How long it still waits, in seconds. While sources are looked for: how long that goes on at
    least, as this node has just started."""
    bytes_per_second: int = 0
    """From all sources, smoothed over seconds; 0 while nothing comes."""
    left_s: int | None = None
    """In how many seconds all will be here at that rate; null while that cannot be said."""
    rates: tuple[SourceRate, ...] = ()
    """Of the fastest sources."""
    silent_s: int = 0
    """For how many whole seconds no source has sent anything of what it was asked for."""

    def resting(self, stage: str) -> "Progress":
        """The same where nothing comes now; how far it is remains where chunks were counted."""
        if not self.chunks_total:
            return Progress(stage)
        return Progress(
            stage,
            *(self.chunks_total, self.chunks_done),
            *(self.bytes_total, self.bytes_done, self.bytes_fetched),
        )

    def kept(self) -> str:
        """A clause that says what of the bytes stays where it is if the job ends now."""
        return (
            f"{size_text(self.bytes_done)} of {size_text(self.bytes_total)} are kept, and the same"
            " command goes on from there"
        )


ReportProgress = Callable[[Progress], None]
"""Called on the event loop, often; must return at once."""


def ignore_progress(_: Progress) -> None:
    """A ReportProgress that does nothing."""
