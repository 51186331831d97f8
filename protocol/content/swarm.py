"""The plan of a download from many sources: which is asked for which chunk. Without a clock.

Each chunk is, at any time, in one of four places:

    waiting --take--> asked of one source --all bytes came--> arrived --vault has it--> stored
       ^                       |                                 |
       +------ released <------+------- mismatched (its source is banned) <---+

A whole chunk comes from one source, so blame is exact. A source's requests are released when it is
lost, banned or lacks them, and by `review` when it stalls or falls behind while others could serve;
what it still sends of them is welcome, and once it confirms that it is asked again. Once nothing
waits, sources are asked for copies of what others owe, by few rules (`_doubtful`); the first copy
counts. By the last of them no order in which others are late, lack chunks, lie or leave keeps a
source that serves idle for longer than `limits.SPARE_S` and a moment in a whole download.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

from protocol import limits
from protocol.content.rarity import RarestFirst, Shuffler
from protocol.content.source import WINDOW_PARTS, SourceName, SwarmSource


class StallVerdict(Enum):
    """The finding of `review` about a source: cancel its requests, or count it as gone."""

    PAUSED = "its requests went to others"
    SILENT = "it stopped answering"


class Swarm:
    """The state of one download. Chunks are numbers of the manifest's table; times are seconds."""

    def __init__(self, lengths: Sequence[int], missing: Sequence[int], rng: Shuffler) -> None:
        """`lengths` are of all sealed chunks, `missing` the numbers that are to be fetched."""
        self._lengths = lengths
        self._waiting = RarestFirst(len(lengths), missing, rng)
        self._left = len(self._waiting)
        self._bytes_to_come = sum(lengths[chunk] for chunk in missing)
        self._sources: dict[SourceName, SwarmSource] = {}
        self._holder_of: dict[int, SourceName] = {}
        self._arrived_from: dict[int, SourceName] = {}
        self._copies: dict[int, set[SourceName]] = {}
        """The other sources that were asked for a chunk as well, and still owe it."""
        self._in_vain: Counter[int] = Counter()
        """How many sources were asked for a chunk that has not come, and owe it no more."""
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

    def rates(self, now: float) -> dict[SourceName, float]:
        """The bytes per second of late of each source that owes something."""
        return {name: one.rate(now) for name, one in self._sources.items() if not one.idle}

    def join(self, source: SourceName, now: float, *, complete: bool) -> bool:
        """A source opened its stream. False if it is banned or has joined already."""
        if source in self.banned or source in self._sources:
            return False
        self._sources[source] = SwarmSource(source, self._lengths, now, complete=complete)
        self._compare()
        return True

    def _compare(self) -> None:
        """Those that have sent no chunk yet are judged by the pace of the others."""
        paces = [one.pace for one in self._sources.values() if one.pace]
        if paces and len(paces) < len(self._sources):
            usual = sum(paces) / len(paces)
            for one in self._sources.values():
                one.compare(usual)

    def holds(self, source: SourceName, first: int, bits: bytes) -> None:
        """A partial source holds these chunks as well; raises Unexpected beyond the last chunk."""
        self._waiting.count_holder(self._sources[source].announce(first, bits), +1)

    def lacks(self, source: SourceName, chunks: Iterable[int]) -> None:
        """A source that was asked for these chunks does not hold them.

        Raises Unexpected if it was not asked, or lacks most of what it announced.
        """
        known = self._sources[source]
        for chunk in chunks:
            known.lack(chunk)
            self._released(known, chunk)

    def leave(self, source: SourceName) -> None:
        """A source is lost; its requests wait again."""
        known = self._sources.pop(source, None)
        if known is None:
            return
        self._release(known)
        self._waiting.count_holder(known.announced(), -1)

    def ban(self, source: SourceName) -> None:
        """A source broke a rule: it is lost and does not come back to this download."""
        self.banned.add(source)
        self.leave(source)

    def requests(
        self,
        source: SourceName,
        now: float,
        most_bytes: int | None = None,
        start: int | None = None,
    ) -> list[int]:
        """The chunks to ask of a source now, to fill its window; may be none.

        `start`: it sends neighbours from this chunk on at least cost; None: all alike.

        `most_bytes`: what may come, which the last of them may pass; None if that is not limited.
        """
        known = self._sources[source]
        known.count_spare(now, goes_on=known.idle and not len(self._waiting))
        if known.cancelling:
            return []
        if known.owes_most:
            return []
        most = limits.REQUESTS_PER_STREAM - known.asked_count
        window_bytes = self._window_bytes(known, now)
        if start is not None:
            window_bytes = max(window_bytes, limits.RANGE_BYTES_MIN)
        budget_bytes = min(
            window_bytes - known.asked_bytes,
            limits.WINDOWS_BYTES - sum(other.asked_bytes for other in self._sources.values()),
            limits.WINDOWS_BYTES if most_bytes is None else most_bytes,
        )
        few_bytes = max(known.window_least // 2, window_bytes // WINDOW_PARTS)
        if most <= 0 or budget_bytes < max(1, min(few_bytes, known.asked_bytes // 2)):
            return []  # few requests with many chunks each, not one for every arrival
        chunks = known.choose(self._waiting, most, budget_bytes, start)
        for chunk in chunks:
            self._holder_of[chunk] = source
        if not chunks:
            chunks = self._copies_for(known, most, budget_bytes, now)
        known.ask(chunks, now)
        return chunks

    def _copies_for(
        self, known: SwarmSource, most: int, budget_bytes: int, now: float
    ) -> list[int]:
        """Chunks that others owe, for a source that is not late; none if all may come in time."""
        copies: list[int] = []
        if known.times_late(now):
            return copies
        for chunk, allowed in self._doubtful(known.times_spare(), now):
            if len(copies) >= most or budget_bytes <= 0:
                break
            if known.holds(chunk) and self._in_time(chunk, now) < allowed:
                self._copies.setdefault(chunk, set()).add(known.name)
                copies.append(chunk)
                budget_bytes -= self._lengths[chunk]
        return copies

    def _doubtful(self, times_spare: int, now: float) -> Iterator[tuple[int, int]]:
        """Chunks that may not come from their source, and of how many others they may be asked.

        Of more for each time that their source is late; until it has sent a chunk, for each source
        that was asked in vain, else those that hold nothing would be asked one after the other;
        and for each time that the one to be asked had nothing to do, whatever others do. The last
        chunks of those that need longest come first.
        """
        sources = sorted(self._sources.values(), key=lambda one: -one.seconds_owed(now))
        for source in sources:
            times = max(source.times_late(now), times_spare)
            in_vain = {} if source.pace else self._in_vain
            for chunk in reversed(source.asked) if times or in_vain else ():
                if self._holder_of.get(chunk) == source.name:
                    yield chunk, limits.ASKED_AT_ONCE[times] - 1 + in_vain.get(chunk, 0)

    def _in_time(self, chunk: int, now: float) -> int:
        """How many sources were asked for a copy of a chunk and are not late themselves.

        Late ones do not count: a crowd of them would leave no copy for a source that serves.
        """
        names = self._copies.get(chunk, ())
        return sum(not self._sources[name].times_late(now) for name in names)

    def heard(self, source: SourceName, size: int, now: float) -> None:
        """`size` bytes of some chunk came from a source."""
        self._sources[source].heard(size, now)

    def not_asked_yet(self, source: SourceName, now: float) -> None:
        """What a source was to be asked for has not left this node: it is late, and not silent."""
        self._sources[source].not_asked_yet(now)

    def cancelled(self, source: SourceName) -> None:
        """A source confirmed a cancel: what was released from it comes no more."""
        self._sources[source].cancelled()

    def expects(self, source: SourceName, chunk: int) -> bool:
        """Whether a source may send this chunk: it was asked for it and has not sent it."""
        return self._sources[source].expects(chunk)

    def is_contested(self, chunk: int) -> bool:
        """Whether another source sends the same chunk: a wrong one would displace it."""
        return bool(self._copies.get(chunk))

    def arrived(self, source: SourceName, chunk: int, now: float) -> bool:
        """All bytes of a chunk came; whether they are wanted (not if another was faster).

        Raises Unexpected if the source was not asked for it.
        """
        self._sources[source].arrived(chunk, now)
        self._compare()
        self._copies.pop(chunk, None)
        self._in_vain.pop(chunk, None)
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
        self._in_vain[chunk] += 1
        self._wait(chunk)
        self.ban(source)
        return source

    def review(self, now: float) -> list[tuple[SourceName, StallVerdict]]:
        """Release the requests of sources that stall or fall behind, and name these sources.

        Call it several times a second. Silent sources have left; send the others a cancel.
        """
        found: list[tuple[SourceName, StallVerdict]] = []
        for source, known in tuple(self._sources.items()):
            if known.is_silent(now):
                self.leave(source)
                found.append((source, StallVerdict.SILENT))
            elif self._is_behind(known, now):
                self._pause(known, now)
                found.append((source, StallVerdict.PAUSED))
        return found

    def _window_bytes(self, known: SwarmSource, now: float) -> int:
        """The bytes to ask of a source ahead: no more than its share of what is to come.

        Without this bound a fast source would be asked for the whole end, and others for nothing.
        One that owes its first chunk, and is in time, counts with the mean rate of the others.
        """
        rate = known.rate(now)
        others = self._sources.values()
        rates = [other.rate(now) for other in others if other.pace]
        new = sum(not (other.pace or other.idle or other.times_late(now)) for other in others)
        all_rates = sum(rates) * (1 + new / max(len(rates), 1))
        share = self._bytes_to_come * rate / all_rates if all_rates else 0.0
        return max(known.window_least, min(known.window_bytes(rate), int(share)))

    def _is_behind(self, known: SwarmSource, now: float) -> bool:
        """Whether others should be asked for what was asked of this one."""
        if known.idle or known.cancelling:
            return False
        others = [one for one in self._sources.values() if one is not known and not one.cancelling]
        if known.is_stalled(now):
            return bool(others)
        return (
            known.is_slow(now)
            and not len(self._waiting)
            and any(
                other.idle and other.pace > known.rate(now) and all(map(other.holds, known.asked))
                for other in others
            )
        )

    def _pause(self, known: SwarmSource, now: float) -> None:
        known.pause(self._release(known), now)

    def _release(self, known: SwarmSource) -> tuple[int, ...]:
        """Take back what a source owes, and return it."""
        asked = known.asked
        for chunk in reversed(asked):
            known.forget(chunk)
            self._released(known, chunk)
        return asked

    def _released(self, known: SwarmSource, chunk: int) -> None:
        """A source does not owe this chunk any more; it waits again if this one was to send it."""
        self._copies.get(chunk, set()).discard(known.name)
        if chunk in self._holder_of or chunk in self._waiting:
            self._in_vain[chunk] += 1
        if self._holder_of.get(chunk) == known.name:
            del self._holder_of[chunk]
            self._wait(chunk)

    def _wait(self, chunk: int) -> None:
        self._waiting.add(chunk)
        for known in self._sources.values():
            known.look_at((chunk,))
