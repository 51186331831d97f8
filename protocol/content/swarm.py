"""The plan of a download from many sources: which is asked for which chunk. Without a clock.

Each chunk is, at any time, in one of four places:

    waiting --take--> asked of one source --all bytes came--> arrived --vault has it--> stored
       ^                       |                                 |
       +------ released <------+------- mismatched (its source is banned) <---+

A whole chunk comes from one source, so blame is exact. A source's requests are released when it is
lost, banned or lacks them, and by `review` when it stalls or falls behind while others could serve;
what it still sends of them is welcome. A source with nothing else to do is asked for copies of
chunks whose source is late, and the first copy counts. Nothing is asked of two sources otherwise.

Only whole chunks are progress: a byte now and then, or a message, wins a source no time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from protocol import limits
from protocol.content.rarity import RarestFirst, Shuffler
from protocol.content.rate import RateMeter
from protocol.errors import Unexpected

SourceName = str
"""Unique among the sources: a peer id as text, or a URL."""


class StallVerdict(Enum):
    """The finding of `review` about a source: cancel its requests, or count it as gone."""

    PAUSED = "its requests went to others"
    SILENT = "it stopped answering"


@dataclass(slots=True)
class _Source:
    name: SourceName
    meter: RateMeter
    progressed: float
    """When a whole chunk came, or when it was asked while it owed nothing."""
    held: bytearray | None
    """A bit a chunk, the highest bit of a byte first; None if it holds every chunk."""
    asked: dict[int, None] = field(default_factory=dict)
    """Chunks asked for that have not arrived, oldest first."""
    asked_bytes: int = 0
    busy_since: float = 0.0
    pace: float = 0.0
    """Its rate when the last whole chunk came, in bytes per second."""
    cancelling: bool = False
    """Its requests were taken back, and it has not confirmed that."""
    late: set[int] = field(default_factory=set)
    """The chunks that it may still send until then."""
    lacks: set[int] = field(default_factory=set)
    paused_until: float = 0.0
    arrived: int = 0
    news: dict[int, None] | None = None
    """The chunks that wait, or that it holds, since all were looked at; None: they were not."""

    def holds(self, chunk: int) -> bool:
        """Whether it could be asked for this chunk."""
        if chunk in self.lacks or chunk in self.asked:
            return False
        return self.held is None or bool(self.held[chunk >> 3] & (0x80 >> (chunk & 7)))

    @property
    def owed(self) -> int | None:
        """The chunk that should come next."""
        return next(iter(self.asked), None)


class Swarm:
    """The state of one download. Chunks are numbers of the manifest's table; times are seconds."""

    def __init__(self, lengths: Sequence[int], missing: Sequence[int], rng: Shuffler) -> None:
        """`lengths` are of all sealed chunks, `missing` the numbers that are to be fetched."""
        self._lengths = lengths
        self._waiting = RarestFirst(len(lengths), missing, rng)
        self._left = len(self._waiting)
        self._bytes_to_come = sum(lengths[chunk] for chunk in missing)
        self._sources: dict[SourceName, _Source] = {}
        self._holder_of: dict[int, SourceName] = {}
        self._arrived_from: dict[int, SourceName] = {}
        self._copies: dict[int, int] = {}
        """How many other sources were asked for a chunk as well, because its source is late."""
        self._asked_bytes = 0
        self.banned: set[SourceName] = set()

    @property
    def left(self) -> int:
        """Chunks that are not stored yet."""
        return self._left

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for and nothing waits for the vault."""
        return not self._holder_of and not self._arrived_from

    @property
    def is_gathered(self) -> bool:
        """Whether every chunk has arrived, stored or not."""
        return not self._holder_of and not len(self._waiting)

    @property
    def sources(self) -> tuple[SourceName, ...]:
        """The sources that can be asked: first those that have sent chunks, then as they joined."""
        return tuple(sorted(self._sources, key=lambda name: not self._sources[name].pace))

    def join(self, source: SourceName, now: float, *, complete: bool) -> bool:
        """A source opened its stream. False if it is banned or has joined already."""
        if source in self.banned or source in self._sources:
            return False
        held = None if complete else bytearray((len(self._lengths) + 7) // 8)
        self._sources[source] = _Source(source, RateMeter(now), now, held)
        return True

    def holds(self, source: SourceName, first: int, bits: bytes) -> None:
        """A partial source holds these chunks as well; raises Unexpected beyond the last chunk."""
        known = self._sources[source]
        if known.held is None:
            return
        start, end = first // 8, first // 8 + len(bits)
        if end > len(known.held):
            raise Unexpected("a source claims chunks that the mod does not have")
        before = int.from_bytes(known.held[start:end])
        new = int.from_bytes(bits) & ~before
        if new:
            known.held[start:end] = (before | new).to_bytes(end - start)
            added = tuple(_numbers(new.to_bytes(end - start), first, len(self._lengths)))
            self._waiting.count_holder(added, +1)
            if known.news is not None:
                known.news.update(dict.fromkeys(added))

    def lacks(self, source: SourceName, chunks: Iterable[int]) -> None:
        """A source that was asked for these chunks does not hold them.

        Raises Unexpected if it was not asked, or lacks most of what it announced.
        """
        known = self._sources[source]
        for chunk in chunks:
            if chunk in known.asked:
                self._release(known, chunk)
            elif chunk not in known.late:
                raise Unexpected("a source lacks chunks that it was not asked for")
            known.late.discard(chunk)
            known.lacks.add(chunk)
        if len(known.lacks) > limits.LACKING_CHUNKS + 2 * known.arrived:
            raise Unexpected("a source lacks most of the chunks that it announced")

    def leave(self, source: SourceName) -> None:
        """A source is lost; its requests wait again."""
        known = self._sources.pop(source, None)
        if known is None:
            return
        for chunk in reversed(tuple(known.asked)):
            self._release(known, chunk)
        if known.held is not None:
            self._waiting.count_holder(_numbers(known.held, 0, len(self._lengths)), -1)

    def ban(self, source: SourceName) -> None:
        """A source broke a rule: it is lost and does not come back to this download."""
        self.banned.add(source)
        self.leave(source)

    def requests(self, source: SourceName, now: float) -> list[int]:
        """The chunks to ask of a source now, to fill its window; may be none."""
        known = self._sources[source]
        if known.cancelling or self._is_paused(known, now):
            return []
        most = limits.REQUESTS_PER_STREAM - len(known.asked)
        budget_bytes = min(
            self._window_bytes(known, now) - known.asked_bytes,
            limits.WINDOWS_BYTES - self._asked_bytes,
        )
        if most <= 0 or budget_bytes < min(limits.WINDOW_BYTES_MIN, known.asked_bytes) // 2:
            return []  # few requests with many chunks each, not one for every arrival
        chunks = self._choose(known, most, budget_bytes)
        for chunk in chunks:
            self._holder_of[chunk] = source
        if not chunks:
            chunks = self._copies_for(known, most, budget_bytes, now)
        if chunks and not known.asked:
            known.progressed = known.busy_since = now
        for chunk in chunks:
            known.asked[chunk] = None
            known.asked_bytes += self._lengths[chunk]
            self._asked_bytes += self._lengths[chunk]
        return chunks

    def _choose(self, known: _Source, most: int, budget_bytes: int) -> list[int]:
        """Chunks that wait and that a source holds. All are looked at once, later the news.

        So a source that announces a chunk at a time, or gives one back, costs no look at all.
        """
        if known.news is None or len(known.news) > limits.REQUESTS_PER_STREAM:
            known.news, chunks = None, self._waiting.all()
        else:
            chunks = self._waiting.of(known.news)
        held = filter(known.holds, chunks)
        taken, is_all = self._waiting.take(held, self._lengths, most, budget_bytes)
        if is_all:
            known.news = {}
        return taken

    def _copies_for(self, known: _Source, most: int, budget_bytes: int, now: float) -> list[int]:
        """Chunks that are asked of late sources, for one that is not late."""
        copies: list[int] = []
        if self._times_late(known, now):
            return copies
        for late in self._sources.values():
            times = self._times_late(late, now)
            allowed = limits.LATE_COPIES**times - 1
            for chunk in late.asked if times else ():
                if len(copies) >= most or budget_bytes <= 0:
                    return copies
                if self._holder_of.get(chunk) != late.name or not known.holds(chunk):
                    continue
                if self._copies.get(chunk, 0) < allowed:
                    self._copies[chunk] = self._copies.get(chunk, 0) + 1
                    copies.append(chunk)
                    budget_bytes -= self._lengths[chunk]
        return copies

    def _times_late(self, known: _Source, now: float) -> int:
        """How often a source could have sent the chunk that it owes, and did not; 0: in time."""
        owed = known.owed
        if owed is None:
            return 0
        late_s = limits.LATE_S + self._lengths[owed] / limits.LATE_BYTES_PER_SECOND
        return min(int((now - known.progressed) / late_s), limits.LATE_TIMES_MAX)

    def heard(self, source: SourceName, size: int, now: float) -> None:
        """`size` bytes of some chunk came from a source."""
        self._sources[source].meter.add(size, now)

    def cancelled(self, source: SourceName) -> None:
        """A source confirmed a cancel: what was released from it comes no more."""
        known = self._sources[source]
        known.cancelling = False
        known.late.clear()

    def expects(self, source: SourceName, chunk: int) -> bool:
        """Whether a source may send this chunk: it was asked for it and has not sent it."""
        known = self._sources[source]
        return chunk in known.asked or chunk in known.late

    def arrived(self, source: SourceName, chunk: int, now: float) -> bool:
        """All bytes of a chunk came; whether they are wanted (not if another was faster).

        Raises Unexpected if the source was not asked for it.
        """
        known = self._sources[source]
        if chunk in known.asked:
            self._forget(known, chunk)
        elif chunk in known.late:
            known.late.remove(chunk)
        else:
            raise Unexpected("a chunk that was not asked for")
        known.arrived += 1
        known.progressed, known.pace = now, known.meter.rate(now)
        self._copies.pop(chunk, None)
        if chunk in self._waiting:
            self._waiting.remove(chunk)
        elif self._holder_of.pop(chunk, None) is None:
            return False
        self._arrived_from[chunk] = source
        self._bytes_to_come -= self._lengths[chunk]
        return True

    def stored(self, chunk: int) -> SourceName:
        """An arrived chunk was verified and is in the vault; returns its source's name."""
        self._left -= 1
        return self._arrived_from.pop(chunk)

    def mismatched(self, chunk: int) -> SourceName:
        """An arrived chunk does not hash to its address: ban its source and return the name."""
        source = self._arrived_from.pop(chunk)
        self._bytes_to_come += self._lengths[chunk]
        self._wait(chunk)
        self.ban(source)
        return source

    def review(self, now: float) -> list[tuple[SourceName, StallVerdict]]:
        """Release the requests of sources that stall or fall behind, and name these sources.

        Call it several times a second. Silent sources have left; send the others a cancel.
        """
        found: list[tuple[SourceName, StallVerdict]] = []
        for source, known in tuple(self._sources.items()):
            if self._is_silent(known, now):
                self.leave(source)
                found.append((source, StallVerdict.SILENT))
            elif self._is_behind(known, now):
                self._pause(known, now)
                found.append((source, StallVerdict.PAUSED))
        return found

    def _window_bytes(self, known: _Source, now: float) -> int:
        """The bytes to ask of a source ahead: no more than its share of what is to come.

        Without this bound a fast source would be asked for the whole end, and others for nothing.
        """
        rate = known.meter.rate(now)
        rates = sum(other.meter.rate(now) for other in self._sources.values())
        share = self._bytes_to_come * rate / rates if rates else 0.0
        return max(limits.WINDOW_BYTES_MIN, min(window_bytes(rate), int(share)))

    def _is_paused(self, known: _Source, now: float) -> bool:
        """Whether a source gets no requests now: only while another one serves well."""
        return known.paused_until > now and any(
            other.pace and other.paused_until <= now and not self._times_late(other, now)
            for other in self._sources.values()
        )

    def _is_behind(self, known: _Source, now: float) -> bool:
        """Whether another source should take over what was asked of this one."""
        if not known.asked or known.cancelling:
            return False
        others = [
            other
            for other in self._sources.values()
            if other is not known and other.paused_until <= now
        ]
        if now - known.progressed > self._stall_s(known):
            return bool(others)
        rate = known.meter.rate(now)
        seconds_left = known.asked_bytes / max(rate, 1.0)
        return (
            now - known.busy_since > limits.BEHIND_S
            and seconds_left > limits.BEHIND_S
            and not len(self._waiting)
            and any(
                not other.asked and other.pace > rate and all(map(other.holds, known.asked))
                for other in others
            )
        )

    def _stall_s(self, known: _Source) -> float:
        """After so long without a whole chunk others are asked in its place."""
        owed = known.owed
        if owed is None or not known.pace:
            return limits.STALL_S
        chunk_s = self._lengths[owed] / known.pace
        return min(limits.STALL_S, limits.STALL_PROVED_S + limits.STALL_PACE * chunk_s)

    def _is_silent(self, known: _Source, now: float) -> bool:
        """Whether a source owes something for longer than any line could take."""
        if not known.asked and not known.cancelling:
            return False
        owed = known.owed
        bytes_owed = self._lengths[owed] if owed is not None else 0
        patience_s = limits.SILENT_S + bytes_owed / limits.LEAST_BYTES_PER_SECOND
        return now - known.progressed > patience_s

    def _pause(self, known: _Source, now: float) -> None:
        known.paused_until = now + limits.PAUSE_S
        released = tuple(known.asked)
        for chunk in reversed(released):
            self._release(known, chunk)
        known.late.update(released)
        known.cancelling = True

    def _release(self, known: _Source, chunk: int) -> None:
        """Take a chunk back from a source; it waits again if the source was to send it."""
        self._forget(known, chunk)
        if self._holder_of.get(chunk) == known.name:
            del self._holder_of[chunk]
            self._wait(chunk)

    def _forget(self, known: _Source, chunk: int) -> None:
        del known.asked[chunk]
        known.asked_bytes -= self._lengths[chunk]
        self._asked_bytes -= self._lengths[chunk]

    def _wait(self, chunk: int) -> None:
        self._waiting.add(chunk)
        for known in self._sources.values():
            if known.news is not None:
                known.news[chunk] = None


def _numbers(bits: bytes | bytearray, first: int, count: int) -> Iterable[int]:
    """The chunks below `count` whose bits are set in a field that starts at chunk `first`."""
    for place, byte in enumerate(bits):
        if byte:
            start = first + 8 * place
            yield from (start + i for i in range(8) if byte & (0x80 >> i) and start + i < count)


def window_bytes(rate: float) -> int:
    """The bytes asked of a source ahead, at `rate` bytes per second."""
    wanted = int(rate * limits.WINDOW_S)
    return max(limits.WINDOW_BYTES_MIN, min(wanted, limits.WINDOW_BYTES_MAX))
