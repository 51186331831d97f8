"""What a download needs of a source of chunks: a peer over a link, or anything else.

Answers are the values of `protocol.content.frames`: Opened first, or Refused, which ends the
stream; then Have, ManifestPiece, ChunkPiece, Missing and Cancelled.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from protocol.content.frames import ContentAnswer


class AnswerReader(Protocol):
    """Takes the answers of streams. Called on the event loop."""

    def weight(self) -> int:
        """The part of its download beside others, where these share something scarce; 1 at least.

        It may be another one each time.
        """

    def stream_answered(self, stream: "ChunkStream", answer: ContentAnswer) -> None:
        """An answer came."""

    def stream_lost(self, stream: "ChunkStream", reason: str) -> None:
        """The source is gone, and the stream with it; called once, never after `close`."""


class ChunkStream(Protocol):
    """One download of one mod from one source."""

    @property
    def name(self) -> str:
        """The source's."""

    @property
    def is_open(self) -> bool:
        """Whether answers can still come."""

    @property
    def round_trip_s(self) -> float | None:
        """The time to the source and back at present, in seconds; None if it is not known."""

    @property
    def waits(self) -> bool:
        """Whether the source was not asked yet, as this node's other downloads come first: then it
        is no silence that nothing comes of it.
        """

    @property
    def next_chunk(self) -> int | None:
        """The chunk from which on it sends neighbours at least cost; None: all chunks alike."""

    def get_manifest(self) -> None:
        """Ask for the whole manifest, Opened or not: its pieces come in order, after Opened."""

    def learn_chunks(self, lengths: Sequence[int]) -> None:
        """The manifest is here, and chunks may be asked for: of so many sealed bytes each."""

    def get_chunks(self, chunks: tuple[int, ...]) -> None:
        """Ask for whole chunks by their numbers in the manifest, in this order."""

    def cancel(self) -> None:
        """Take back each chunk of which no piece was sent; answered by Cancelled."""

    def verified(self, size: int) -> None:
        """So many bytes of chunks that came by it were what was asked for."""

    def close(self) -> None:
        """End the stream; may be called again."""

    def abandon(self, *, for_good: bool = False) -> None:
        """End the stream, as the download goes on without its source; `for_good`: it broke a rule,
        so it is not asked again.
        """


class ChunkSource(Protocol):
    """Serves mods; `name` tells it from every other source, for people and for bans."""

    @property
    def name(self) -> str:
        """A peer id as text, or a URL."""

    def open(self, mod_id: bytes, reader: AnswerReader) -> ChunkStream:
        """Begin a stream for one mod, which the source answers; raises NetworkError."""


FindSources = Callable[[bytes], AsyncIterator[ChunkSource]]
"""Yields sources of a mod, by its id, as they are found; ends when there are no more for now.

It is called again later, and then need not yield those whose streams are open."""
