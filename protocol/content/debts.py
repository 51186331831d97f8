"""What a peer owes on the streams of a link, so that no answer of it comes for nothing.

Each answer is one that a request asked for, or news of what the peer holds, at a bounded rate.
Once a stream is closed the peer may still send what it owed there, as it does not know yet; more
breaks the protocol. A chunk counts with the most that one may have, and its last piece may be
early: so a peer that served much may send as much again, once.
"""

from collections.abc import Callable
from typing import Any

from protocol import limits
from protocol.content import frames
from protocol.content.frames import ContentAnswer
from protocol.errors import OverLimit, Unexpected
from protocol.rate_limit import RateLimit


class StreamDebt:
    """What the peer owes on one stream of ours. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._is_opened = self._wants_manifest = False
        self._manifest = 0
        """Bytes of the manifest that the peer announced and has not sent."""
        self._chunks = 0
        self._taken_back = 0
        """Bytes of chunks that were asked for before the last Cancel, which it may have sent."""
        self._cancels = 0
        self._news = RateLimit(limits.HAVE_BYTES_PER_SECOND, limits.HAVE_BYTES_BURST)
        self._names = RateLimit(limits.PEERS_FRAMES_PER_SECOND, limits.PEERS_FRAMES_BURST)
        self._takers: dict[type[ContentAnswer], Callable[[Any, int, float], None]] = {
            frames.Opened: self._opened,
            frames.Have: self._told,
            frames.ManifestPiece: self._manifest_came,
            frames.ChunkPiece: self._chunk_came,
            frames.Missing: self._lacked,
            frames.Cancelled: self._cancelled,
            frames.Peers: self._named,
        }

    @property
    def bytes_owed(self) -> int:
        """The most that may still come of the manifest and the chunks that were asked for."""
        manifest = self._manifest if self._wants_manifest else 0
        return manifest + self._chunks + self._taken_back

    def manifest_asked(self) -> None:
        """The manifest was asked for."""
        self._wants_manifest = True

    def chunks_asked(self, count: int) -> None:
        """So many chunks were asked for."""
        self._chunks += count * limits.SEALED_CHUNK_BYTES

    def cancel_sent(self) -> None:
        """What was asked for may still come until the peer confirms."""
        self._cancels += 1
        self._taken_back += self._chunks
        self._chunks = 0

    def take(self, answer: ContentAnswer, size: int, now: float) -> None:
        """Count an answer of `size` bytes; raises Unexpected for one that was not asked for.

        Raises OverLimit for more news than honest peers have.
        """
        self._takers[type(answer)](answer, size, now)

    def _opened(self, answer: frames.Opened, size: int, now: float) -> None:
        del size, now
        if self._is_opened:
            raise Unexpected("a stream was opened twice")
        self._is_opened = True
        self._manifest = answer.manifest_bytes

    def _told(self, _: frames.Have, size: int, now: float) -> None:
        if not self._news.take(now, size):
            raise OverLimit("more news of what it holds than one peer has")

    def _named(self, _: frames.Peers, size: int, now: float) -> None:
        del size
        if not self._names.take(now):
            raise OverLimit("it names other peers more often than one holder does")

    def _manifest_came(self, answer: frames.ManifestPiece, size: int, now: float) -> None:
        del size, now
        self._manifest -= len(answer.data)
        if self._manifest < 0 or not self._wants_manifest:
            raise Unexpected("a piece of a manifest that was not asked for")

    def _chunk_came(self, answer: frames.ChunkPiece, size: int, now: float) -> None:
        del size, now
        self._pay(len(answer.data))

    def _lacked(self, answer: frames.Missing, size: int, now: float) -> None:
        del size, now
        self._pay(len(answer.chunks) * limits.SEALED_CHUNK_BYTES)

    def _pay(self, size: int) -> None:
        early = min(size, self._taken_back)
        self._taken_back -= early
        self._chunks -= size - early
        if self._chunks < 0:
            raise Unexpected("a chunk that was not asked for")

    def _cancelled(self, answer: frames.Cancelled, size: int, now: float) -> None:
        del answer, size, now
        self._cancels -= 1
        self._taken_back = 0
        if self._cancels < 0:
            raise Unexpected("it confirms a cancel that was not sent")


class LateAnswers:
    """What the peer of a link may still send on streams of ours that are closed."""

    def __init__(self) -> None:
        self._bytes = 0

    def closed(self, debt: StreamDebt) -> None:
        """A stream was closed on which the peer owed this."""
        more = debt.bytes_owed + limits.LATE_ANSWERS_BYTES
        self._bytes = min(self._bytes + more, limits.LATE_ANSWERS_BYTES_MAX)

    def take(self, size: int) -> None:
        """Count an answer of `size` bytes; raises OverLimit."""
        self._bytes -= size
        if self._bytes < 0:
            raise OverLimit("more answers on closed streams than the peer owed there")
