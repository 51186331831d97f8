"""The downloads that a peer runs over one link, and whose turn of them comes next."""

import asyncio
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.content.ports import LinkPort
from node.content.vault.holdings import Held
from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentFrame
from protocol.errors import OverLimit, Unexpected

NUMBER: Final = "I"
"""Numbers of wanted chunks take 4 bytes each: a peer that takes nothing may leave 65 536 on a link,
which would be 2.3 MB as objects.
"""


@dataclass(slots=True)
class ServedStream:
    """One download of the peer's."""

    mod_id: bytes
    wanted: "array[int]" = field(default_factory=lambda: array(NUMBER))
    opened: bool = False
    manifest_bytes: int = 0
    manifest: str = ""
    """Whether the manifest was asked for: empty, "wanted" or "sent"."""
    manifest_at: int = 0
    """So much of it was sent."""
    cancels: bool = False
    """A cancel waits to be confirmed."""
    bits: bytes | None = b""
    """The held chunks of which the peer was told; None if we hold all of them."""
    has_news: bool = False

    @property
    def has_work(self) -> bool:
        """Whether something is to be sent."""
        return (
            not self.opened
            or self.manifest == "wanted"
            or self.cancels
            or self.has_news
            or bool(self.wanted)
        )

    def ask_manifest(self) -> None:
        """The peer asks for the manifest; raises OverLimit."""
        if self.manifest:
            raise OverLimit("a manifest was asked for twice on one stream")
        self.manifest = "wanted"

    def want(self, chunks: Sequence[int]) -> None:
        """The peer asks for chunks; raises OverLimit."""
        if len(self.wanted) + len(chunks) > limits.REQUESTS_PER_STREAM:
            raise OverLimit(f"more than {limits.REQUESTS_PER_STREAM} chunks wanted on one stream")
        self.wanted.extend(chunks)

    def cancel(self) -> None:
        """The peer wants no chunk any more."""
        del self.wanted[:]
        self.cancels = True

    def confirmed(self) -> None:
        """That was confirmed."""
        self.cancels = False

    def answered(self, held: Held) -> None:
        """The peer was told what there is of the mod, but not of single chunks."""
        self.opened = True
        self.manifest_bytes = held.manifest_bytes

    def manifest_sent(self, size: int) -> None:
        """So many bytes more of the manifest were sent."""
        self.manifest_at += size
        if self.manifest_at >= self.manifest_bytes:
            self.manifest = "sent"

    def expect_news(self, *, news: bool) -> None:
        """Whether the peer is to be told of chunks."""
        self.has_news = news

    def told(self, held: Held) -> None:
        """The peer knows which chunks are held."""
        self.bits = None if held.complete else held.bits


class ServedStreams:
    """Those of one link, by number, and what is sent on them. `work`: one has a turn."""

    def __init__(self, link: LinkPort) -> None:
        self._link = link
        self._streams: dict[int, ServedStream] = {}
        self._turns: dict[int, None] = {}
        self.work = asyncio.Event()

    def __len__(self) -> int:
        return len(self._streams)

    def __iter__(self) -> Iterator[tuple[int, ServedStream]]:
        return iter(tuple(self._streams.items()))

    def get(self, number: int) -> ServedStream | None:
        """The stream of a number."""
        return self._streams.get(number)

    def open(self, number: int, mod_id: bytes) -> None:
        """A stream begins; raises OverLimit, Unexpected."""
        if number in self._streams:
            raise Unexpected("a stream was opened twice")
        if len(self._streams) >= limits.STREAMS_PER_LINK:
            raise OverLimit(f"more than {limits.STREAMS_PER_LINK} streams on one link")
        self._streams[number] = ServedStream(mod_id)

    def close(self, number: int) -> bool:
        """A stream ends; False if there is none."""
        self._turns.pop(number, None)
        return self._streams.pop(number, None) is not None

    def refuse(self, number: int) -> None:
        """End a stream from our side."""
        if self.close(number):
            self.send(frames.Refused(number, frames.NOT_HELD))

    def stands(self, number: int, stream: ServedStream) -> bool:
        """Whether this stream is open, and not another one by its number."""
        return self._streams.get(number) is stream

    def give_turn(self, number: int) -> None:
        """If something is to be sent on this stream it gets a turn, after those that have one."""
        stream = self._streams.get(number)
        if stream is not None and stream.has_work:
            self._turns[number] = None
            self.work.set()

    def next_turn(self) -> tuple[int, ServedStream] | None:
        """The stream whose turn it is; None clears `work`."""
        if not self._turns:
            self.work.clear()
            return None
        number = next(iter(self._turns))
        del self._turns[number]
        return number, self._streams[number]

    def send(self, frame: ContentFrame) -> None:
        """Queue an answer; raises LinkClosed."""
        self._link.send(frames.encode_frame(frame))

    @property
    def piece_bytes(self) -> int:
        """What one answer carries at most."""
        return self._link.max_frame_bytes - frames.PIECE_OVERHEAD_BYTES

    def pieces(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        """What answers carry of this, each with its offset."""
        most = self.piece_bytes
        return ((start, data[start : start + most]) for start in range(0, len(data), most))
