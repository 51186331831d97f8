"""One source of a download: what it holds, what it owes, and how it keeps its word. No clock.

Only whole chunks are progress: a byte now and then, or a message, wins a source no time.
"""

from collections.abc import Iterable, Iterator, Sequence

from protocol import limits
from protocol.content.rarity import RarestFirst
from protocol.content.rate import RateMeter
from protocol.errors import Unexpected

SourceName = str
"""Unique among the sources: a peer id as text, or a URL."""


WINDOW_PARTS = 8
"""A source is asked for more once such a part of its window is free."""


class SwarmSource:
    """The state of one source. Chunks are numbers of the manifest's table; times are seconds."""

    def __init__(
        self, name: SourceName, lengths: Sequence[int], now: float, *, complete: bool
    ) -> None:
        """`lengths` are of all sealed chunks, which a complete source holds all."""
        self.name = name
        self._lengths = lengths
        self._meter = RateMeter(now)
        self._held = None if complete else bytearray((len(lengths) + 7) // 8)
        """A bit a chunk, the highest bit of a byte first; None if it holds every chunk."""
        self._news: dict[int, None] | None = None
        """The chunks that wait, or that it holds, since all were looked at; None: they were not."""
        self._asked: dict[int, None] = {}
        """Chunks asked for that have not arrived, oldest first."""
        self._late: set[int] = set()
        """The chunks that it may still send until it confirms that they were taken back."""
        self._lacks: set[int] = set()
        self._arrived = 0
        self._progressed = self._busy_since = self._asked_at = now
        self._spare_since: float | None = None
        self._spare_s = 0.0
        """Since when it has had nothing to do, if it has nothing, and for how long before."""
        self._gave_way = False
        self.asked_bytes = 0
        self.cancelling = False
        """Whether its requests were taken back, and it has not confirmed that."""
        self._usual_rate = float(limits.LATE_BYTES_PER_SECOND * limits.LATE_PACE)
        self.pace = 0.0
        """Its rate when the last whole chunk came, in bytes per second."""

    # What it holds --------------------------------------------------------------------------

    def holds(self, chunk: int) -> bool:
        """Whether it could be asked for this chunk."""
        if chunk in self._lacks or chunk in self._asked:
            return False
        return self._held is None or bool(self._held[chunk >> 3] & (0x80 >> (chunk & 7)))

    def announced(self) -> Iterator[int]:
        """The chunks that a partial source said it holds; none of a complete one."""
        return _numbers(self._held or b"", 0, len(self._lengths))

    def announce(self, first: int, bits: bytes) -> tuple[int, ...]:
        """A partial source holds these as well; returns those that are new.

        Raises Unexpected beyond the last chunk.
        """
        if self._held is None:
            return ()
        start, end = first // 8, first // 8 + len(bits)
        if end > len(self._held):
            raise Unexpected("a source claims chunks that the mod does not have")
        before = int.from_bytes(self._held[start:end])
        new = int.from_bytes(bits) & ~before
        if not new:
            return ()
        self._held[start:end] = (before | new).to_bytes(end - start)
        added = tuple(_numbers(new.to_bytes(end - start), first, len(self._lengths)))
        self.look_at(added)
        return added

    def lack(self, chunk: int) -> None:
        """It does not hold a chunk that it owes or may still send.

        Raises Unexpected if it was not asked, or lacks most of what it announced.
        """
        if not self.expects(chunk):
            raise Unexpected("a source lacks chunks that it was not asked for")
        if len(self._lacks) >= limits.LACKING_CHUNKS + 2 * self._arrived:
            raise Unexpected("a source lacks most of the chunks that it announced")
        if chunk in self._asked:
            self.forget(chunk)
        self._late.discard(chunk)
        self._lacks.add(chunk)

    def look_at(self, chunks: Iterable[int]) -> None:
        """These wait, or are held, since it was last asked."""
        if self._news is not None:
            self._news.update(dict.fromkeys(chunks))

    def choose(
        self, waiting: RarestFirst, most: int, budget_bytes: int, start: int | None = None
    ) -> list[int]:
        """Take up to `most` waiting chunks that it holds. All are looked at once, later the news.

        So a source that announces a chunk at a time, or gives one back, costs no look at all.
        `start`: neighbours from this number on are what it sends at least cost.
        """
        if start is not None:
            ordered = filter(self.holds, waiting.from_number(start))
            return waiting.take(ordered, self._lengths, most, budget_bytes)[0]
        if self._news is None or len(self._news) > limits.REQUESTS_PER_STREAM:
            self._news, chunks = None, waiting.all()
        else:
            chunks = waiting.of(self._news)
        held = filter(self.holds, chunks)
        taken, is_all = waiting.take(held, self._lengths, most, budget_bytes)
        if is_all:
            self._news = {}
        return taken

    # What it owes ---------------------------------------------------------------------------

    @property
    def asked(self) -> tuple[int, ...]:
        """The chunks asked for that have not arrived, oldest first."""
        return tuple(self._asked)

    @property
    def asked_count(self) -> int:
        """How many these are."""
        return len(self._asked)

    @property
    def idle(self) -> bool:
        """Whether it owes nothing."""
        return not self._asked

    @property
    def owes_most(self) -> bool:
        """Whether it owes so much that nothing would be asked, however wide its window were.

        This is so for most chunks that come on a fast line, and costs less than the window.
        """
        room = limits.WINDOW_BYTES_MAX - self.asked_bytes
        return room < min(limits.WINDOW_BYTES_MAX // WINDOW_PARTS, self.asked_bytes // 2)

    def expects(self, chunk: int) -> bool:
        """Whether it may send this chunk: it was asked for it and has not sent it."""
        return chunk in self._asked or chunk in self._late

    def ask(self, chunks: Iterable[int], now: float) -> None:
        """It is asked for these."""
        for chunk in chunks:
            if not self._asked:
                self._progressed = self._busy_since = now
            self._asked[chunk] = None
            self.asked_bytes += self._lengths[chunk]

    def not_asked_yet(self, now: float) -> None:
        """What it owes has not been asked of it: others may be, and it is not silent."""
        self._asked_at = now

    def forget(self, chunk: int) -> None:
        """It owes this chunk no more."""
        del self._asked[chunk]
        self.asked_bytes -= self._lengths[chunk]

    def heard(self, size: int, now: float) -> None:
        """`size` bytes of some chunk came."""
        self._meter.add(size, now)

    def arrived(self, chunk: int, now: float) -> None:
        """All bytes of a chunk came; raises Unexpected if it was not asked for it."""
        if chunk in self._asked:
            self.forget(chunk)
        elif chunk in self._late:
            self._late.remove(chunk)
        else:
            raise Unexpected("a chunk that was not asked for")
        self._arrived += 1
        self._progressed, self.pace = now, self.rate(now)

    def compare(self, usual_rate: float) -> None:
        """Others of its download send so many bytes a second each."""
        self._usual_rate = max(usual_rate, limits.LEAST_BYTES_PER_SECOND)

    def pause(self, released: Iterable[int], now: float) -> None:
        """These were taken back from it; it is asked for nothing until it confirms that."""
        self._late.update(released)
        self.cancelling = self._gave_way = True

    def cancelled(self) -> None:
        """It confirmed a cancel: what was taken back from it comes no more."""
        self.cancelling = False
        self._late.clear()

    # How it keeps its word ------------------------------------------------------------------

    def rate(self, now: float) -> float:
        """Its rate of late, in bytes per second."""
        return self._meter.rate(now)

    @property
    def window_least(self) -> int:
        """The least that is asked of it ahead, in bytes."""
        return limits.WINDOW_BYTES_MIN if self._held is None else limits.WINDOW_PARTIAL_BYTES_MIN

    def window_bytes(self, rate: float) -> int:
        """The bytes asked of it ahead, at `rate` bytes per second.

        Little of one that has a part: what waits there could come from others that are free sooner.
        """
        seconds = limits.WINDOW_S if self._held is None else limits.WINDOW_PARTIAL_S
        return max(self.window_least, min(int(rate * seconds), limits.WINDOW_BYTES_MAX))

    def seconds_owed(self, now: float) -> float:
        """How long it needs for all that it owes, at its rate of late."""
        return self.asked_bytes / max(self.rate(now), 1.0)

    def count_spare(self, now: float, *, goes_on: bool) -> None:
        """Count the time for which it has had nothing to do; whether it has nothing to do now."""
        if self._spare_since is not None:
            self._spare_s += now - self._spare_since
        self._spare_since = now if goes_on else None

    def times_spare(self) -> int:
        """How often it could have sent chunks, in the whole download, and had nothing to do.

        0 for as long as honest sources of unlike speeds wait for one another at the end.
        """
        more_s = self._spare_s - limits.SPARE_S
        return _bounded(1 + int(more_s / limits.SPARE_MORE_S)) if more_s >= 0 else 0

    def times_late(self, now: float) -> int:
        """How often it could have sent the chunk that it owes, and did not; 0: in time."""
        if self.idle:
            return 0
        return _bounded(int((now - self._progressed) / self._late_s()))

    def _late_s(self) -> float:
        """After how long it is late: a partial source has others to serve, so by its own pace.

        A copy of what a getter is about to send costs another getter's line, which all need.
        """
        rate = float(limits.LATE_BYTES_PER_SECOND)
        if self._held is not None and self.pace:
            rate = min(rate, self.pace / limits.LATE_PACE)
        elif self._held is not None:
            rate = min(rate, self._usual_rate / limits.LATE_PACE)
        return limits.LATE_S + self._bytes_owed / rate

    def is_stalled(self, now: float) -> bool:
        """Whether no whole chunk came for so long that others should be asked in its place."""
        stall_s = limits.STALL_S
        if self.pace and not self.idle:
            chunk_s = self._bytes_owed / self.pace
            stall_s = min(stall_s, limits.STALL_PROVED_S + limits.STALL_PACE * chunk_s)
        return now - self._progressed > stall_s

    def is_slow(self, now: float) -> bool:
        """Whether it has been busy for long, and will be for as long with what it owes.

        It gives way once: else others could take all from it again and again, and bring nothing.
        """
        busy_s = now - self._busy_since
        return not self._gave_way and min(busy_s, self.seconds_owed(now)) > limits.BEHIND_S

    def is_silent(self, now: float) -> bool:
        """Whether it owes something for longer than any line could take."""
        if self.idle and not self.cancelling:
            return False
        patience_s = limits.SILENT_S + self._bytes_owed / limits.LEAST_BYTES_PER_SECOND
        return now - max(self._progressed, self._asked_at) > patience_s

    @property
    def _bytes_owed(self) -> int:
        """Those of the chunk that should come next."""
        owed = next(iter(self._asked), None)
        return 0 if owed is None else self._lengths[owed]


def _bounded(times: int) -> int:
    """`times`, as far as limits.ASKED_AT_ONCE goes."""
    return min(times, len(limits.ASKED_AT_ONCE) - 1)


def _numbers(bits: bytes | bytearray, first: int, count: int) -> Iterator[int]:
    """The chunks below `count` whose bits are set in a field that starts at chunk `first`."""
    for place, byte in enumerate(bits):
        if byte:
            start = first + 8 * place
            yield from (start + i for i in range(8) if byte & (0x80 >> i) and start + i < count)
