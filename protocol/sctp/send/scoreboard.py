"""Every TSN in flight, and whether it was acknowledged, lost or given up.

Four parallel arrays, indexed by TSN minus `base`, hold the chunk, its departure, a mark and whether
the packet in which it left last was a large one (1). Whole
ranges are marked and counted by slices, at the speed of C; only holes are looked at one by one.

Losses are found by time, as in RACK (RFC 8985), from two queues in the order of sending:
`_suspects` are holes below a TSN that arrived, `_resent` are retransmissions. So each SACK costs
what it changes, never a scan of the window. A TSN above the last gap block of the newest SACK is
never judged: the peer may have had no room to report it.

What left by a path before the present one is counted apart, as `away_bytes`, and lost only after
that path's time: what a faster path brings has not overtaken it.
"""

from collections import deque
from collections.abc import Sequence
from math import inf

from protocol.sctp.send.departure import AckNews, Departure
from protocol.sctp.send.packetsize import LargePackets

IN_FLIGHT = 0
ACKNOWLEDGED = 1
LOST = 2
GIVEN_UP = 3

_TRIM = 256
_BLOCKS_MANY = 16
"""Foreign peers report 20 blocks and more at once, our own as many as a packet holds."""
_EARLY = 0.8
"""An acknowledgement sooner after a retransmission than this share of the smallest round trip is
for the original."""


class Scoreboard:
    """TSNs from `cumulative` + 1 (or earlier, until trimmed) up to `next_tsn` - 1."""

    __slots__ = (
        "_exposed",
        "_path_tsn",
        "_resent",
        "_suspects",
        "away_bytes",
        "away_wait_s",
        "base",
        "blocks",
        "chunks",
        "cumulative",
        "departures",
        "flight_bytes",
        "is_large",
        "large_packets",
        "lost",
        "lost_bytes",
        "marks",
        "path",
        "reported",
    )

    def __init__(self, first_tsn: int) -> None:
        self.base = first_tsn
        self.cumulative = first_tsn - 1
        self.reported = first_tsn - 1
        self.blocks = 0
        """Gap blocks in the newest SACK."""
        self._exposed = first_tsn - 1
        self.chunks: list[bytes] = []
        self.departures: list[Departure] = []
        self.marks = bytearray()
        self.is_large = bytearray()
        self.large_packets = LargePackets()
        self.path = 0
        self._path_tsn = first_tsn
        self.flight_bytes = 0
        self.away_bytes = 0
        self.away_wait_s = 0.0
        self.lost_bytes = 0
        self.lost: deque[int] = deque()
        self._suspects: deque[int] = deque()
        self._resent: deque[tuple[int, Departure]] = deque()

    @property
    def next_tsn(self) -> int:
        """The TSN of the next chunk."""
        return self.base + len(self.chunks)

    @property
    def outstanding(self) -> int:
        """TSNs that are not cumulatively acknowledged."""
        return self.base + len(self.chunks) - 1 - self.cumulative

    @property
    def outstanding_bytes(self) -> int:
        """Bytes that the peer may still have to find room for."""
        return self.flight_bytes + self.away_bytes + self.lost_bytes

    def change_path(self, wait_s: float) -> None:
        """What leaves from now on takes another path; the one before may deliver for so long."""
        self.away_wait_s = max(wait_s, self.away_wait_s) if self.away_bytes else wait_s
        self.path += 1
        self._path_tsn = self.next_tsn
        self.away_bytes += self.flight_bytes
        self.flight_bytes = 0

    def _landed(self, index: int, size: int) -> bool:
        """It is in flight no more; whether it had left by the present path."""
        if self.departures[index].path == self.path:
            self.flight_bytes -= size
            return True
        self.away_bytes -= size
        return False

    def packed(self, *, are_large: bool) -> None:
        """What was added to `chunks` since the last call is in packets, large ones or not."""
        self.is_large.extend(bytes((are_large,)) * (len(self.chunks) - len(self.is_large)))

    def departed(self, count: int, size: int, departure: Departure) -> None:
        """The last `count` of `chunks`, `size` bytes, have left for the first time."""
        self.departures.extend([departure] * count)
        self.marks.extend(bytes(count))
        self.flight_bytes += size

    def departed_again(self, tsn: int, departure: Departure, *, is_large: bool = False) -> None:
        """A chunk has left once more, lost or not; `is_large`: in a large packet."""
        index = tsn - self.base
        size = len(self.chunks[index])
        if self.marks[index] == LOST:
            self.lost_bytes -= size
        else:
            self._landed(index, size)
        self.flight_bytes += size
        self.marks[index] = IN_FLIGHT
        self.is_large[index] = is_large
        self.departures[index] = departure
        self._resent.append((tsn, departure))

    def skip(self, departure: Departure) -> None:
        """Use up a TSN that is never sent, as the end of a message given up half-way."""
        self.chunks.append(b"")
        self.departures.append(departure)
        self.marks.append(GIVEN_UP)
        self.is_large.append(False)

    def give_up(self, first: int, last: int) -> None:
        """Never send these again (RFC 3758, 3.5 A3), whatever arrived of them."""
        base, marks = self.base, self.marks
        for index in range(max(first, self.cumulative + 1) - base, last + 1 - base):
            size = len(self.chunks[index])
            if marks[index] == IN_FLIGHT:
                self._landed(index, size)
            elif marks[index] == LOST:
                self.lost_bytes -= size
            marks[index] = GIVEN_UP

    def acknowledge(
        self, cumulative: int, gap_offsets: Sequence[int], now: float, min_rtt_s: float
    ) -> AckNews:
        """Take a SACK that is not older than the last and acknowledges nothing unsent.

        Gap blocks that overlap, run backwards or lie outside what was sent end the reading.
        """
        news = AckNews()
        base, end = self.base, len(self.chunks)
        early_s = _EARLY * min_rtt_s
        if cumulative > self.cumulative:
            self._take(self.cumulative + 1 - base, cumulative + 1 - base, news, now, early_s)
            self.cumulative = cumulative
        here = cumulative - base
        reached = here + 1
        for block in range(0, len(gap_offsets), 2):
            low, high = here + gap_offsets[block], here + gap_offsets[block + 1] + 1
            if low < reached or high <= low or high > end:
                break
            self._take(low, high, news, now, early_s)
            reached = high
        self.reported = base + reached - 1
        self.blocks = len(gap_offsets) // 2
        if self.reported > self._exposed:
            self._expose()
        if cumulative - base >= _TRIM or not self.outstanding:
            self._trim()
        return news

    def _take(self, low: int, high: int, news: AckNews, now: float, early_s: float) -> None:
        marks = self.marks
        span = high - low
        fresh = marks.count(IN_FLIGHT, low, high)
        newest = self.departures[high - 1]
        is_plain = self.base + low > self._exposed and self.base + low >= self._path_tsn
        if fresh == span and is_plain and not newest.repeated:
            size = sum(map(len, self.chunks[low:high]))
            self.flight_bytes -= size
            news.acked_bytes += size
            if news.newest is None or newest.at >= news.newest.at:
                news.newest = newest
            marks[low:high] = b"\1" * span
            large = self.is_large.rfind(1, low, high)
            left_at = self.departures[large if large >= 0 else low].at
            self.large_packets.arrived(left_at, is_large=large >= 0)
        elif fresh or marks.count(ACKNOWLEDGED, low, high) != span:
            for index in range(low, high):
                if marks[index] == IN_FLIGHT or marks[index] == LOST:
                    self._take_one(index, news, now, early_s)

    def _take_one(self, index: int, news: AckNews, now: float, early_s: float) -> None:
        mark = self.marks[index]
        self.marks[index] = ACKNOWLEDGED
        size = len(self.chunks[index])
        departure = self.departures[index]
        news.acked_bytes += size
        if mark == IN_FLIGHT:
            self._landed(index, size)
        else:
            self.lost_bytes -= size
            news.revived += not departure.repeated
        if departure.path != self.path:
            news.away_bytes += size
        elif departure.repeated:
            if now - departure.at < early_s:
                news.early_repeats += 1
                return
        elif self.base + index <= self._exposed:
            news.late_by_s = max(news.late_by_s, now - departure.at)
        if departure.path == self.path:
            self.large_packets.arrived(departure.at, is_large=bool(self.is_large[index]))
        if news.newest is None or departure.at >= news.newest.at:
            news.newest = departure

    def _expose(self) -> None:
        marks, base = self.marks, self.base
        end = self.reported + 1 - base
        index = marks.find(IN_FLIGHT, self._exposed + 1 - base, end)
        while index >= 0:
            self._suspects.append(base + index)
            index = marks.find(IN_FLIGHT, index + 1, end)
        self._exposed = self.reported

    def _trim(self) -> None:
        done = self.cumulative + 1 - self.base
        del self.chunks[:done]
        del self.departures[:done]
        del self.marks[:done]
        del self.is_large[:done]
        self.base += done

    def find_losses(self, now: float, newest_at: float, wait_s: float) -> tuple[int, float]:
        """Mark what left longer than `wait_s` ago and was overtaken; `newest_at` is the latest
        departure that arrived.

        Returns the bytes newly lost on the present path, and when to look again (infinite: no
        need).
        """
        again_at, before = inf, self.lost_bytes + self.away_bytes
        resent = self._resent
        while resent:
            tsn, departure = resent[0]
            index = tsn - self.base
            if self._settled(tsn) or self.departures[index] is not departure:
                resent.popleft()
            elif departure.at > newest_at or tsn > self.reported:
                break
            elif (lost_at := self._lost_at(departure, wait_s)) > now:
                again_at = lost_at
                break
            else:
                resent.popleft()
                self._lose(index)
        suspects = self._suspects
        while suspects:
            tsn = suspects[0]
            index = tsn - self.base
            if self._settled(tsn) or self.departures[index].repeated:
                suspects.popleft()
            elif tsn > self.reported:
                break
            elif (lost_at := self._lost_at(self.departures[index], wait_s)) > now:
                again_at = min(again_at, lost_at)
                break
            else:
                suspects.popleft()
                self._lose(index)
        return self.lost_bytes + self.away_bytes - before, again_at

    def _lost_at(self, departure: Departure, wait_s: float) -> float:
        return departure.at + (wait_s if departure.path == self.path else self.away_wait_s)

    def _settled(self, tsn: int) -> bool:
        return tsn <= self.cumulative or self.marks[tsn - self.base] != IN_FLIGHT

    def _lose(self, index: int) -> None:
        size = len(self.chunks[index])
        self._vanished(index, size)
        self.lost_bytes += size
        self.lost.append(self.base + index)

    def _vanished(self, index: int, size: int) -> None:
        """What was in flight is lost."""
        self.marks[index] = LOST
        if self._landed(index, size) and self.is_large[index]:
            self.large_packets.lost(self.departures[index].at)

    def lose_large(self) -> None:
        """What is in flight in large packets is lost, for the path swallows these."""
        for index in range(max(self.cumulative + 1 - self.base, 0), len(self.marks)):
            if self.is_large[index] and self.marks[index] == IN_FLIGHT:
                self._lose(index)

    @property
    def large_in_flight(self) -> int:
        """Chunks that left in large packets, of those that the peer lacks or has beyond others."""
        return self.is_large.count(1, self.cumulative + 1 - self.base)

    @property
    def may_be_cut(self) -> bool:
        """Whether the newest SACK may have had no room for all that the peer has."""
        return self.blocks >= _BLOCKS_MANY

    def hides(self, sent_before: float) -> bool:
        """Whether the newest SACK is silent on what left before a time, perhaps for lack of room.

        It is no longer in flight, but with the peer or lost.
        """
        index = self.reported + 1 - self.base
        return (
            self.may_be_cut
            and index < len(self.departures)
            and self.departures[index].at < sent_before
        )

    def lose_all(self) -> None:
        """A timeout: everything in flight is lost.

        When the first chunk had been acknowledged by a gap block, the peer has thrown away what it
        reported (RFC 9260, 6.2.1), so those reports are void too.
        """
        first = self.cumulative + 1 - self.base
        marks = self.marks
        reneged = first < len(marks) and marks[first] == ACKNOWLEDGED
        for index in range(first, len(marks)):
            if marks[index] == IN_FLIGHT:
                self._vanished(index, len(self.chunks[index]))
            elif not (reneged and marks[index] == ACKNOWLEDGED):
                continue
            marks[index] = LOST
            self.lost_bytes += len(self.chunks[index])
        self._suspects.clear()
        self._resent.clear()
        self.lost = deque(
            self.base + index for index in range(first, len(marks)) if marks[index] == LOST
        )

    def find_again(self) -> None:
        """The timeout was spurious: what was not retransmitted since is in flight as before."""
        for tsn in self.lost:
            index = tsn - self.base
            if tsn > self.cumulative and self.marks[index] == LOST:
                if self.departures[index].repeated:
                    continue
                self.marks[index] = IN_FLIGHT
                size = len(self.chunks[index])
                self.lost_bytes -= size
                if self.departures[index].path == self.path:
                    self.flight_bytes += size
                else:
                    self.away_bytes += size
                if tsn <= self._exposed:
                    self._suspects.append(tsn)

    def last_in_flight(self) -> int | None:
        """Return the highest TSN in flight, which a tail probe repeats."""
        index = self.marks.rfind(IN_FLIGHT, max(self.cumulative + 1 - self.base, 0))
        return self.base + index if index >= 0 else None

    def is_lost(self, tsn: int) -> bool:
        """Whether it is lost and has not left again."""
        return tsn > self.cumulative and self.marks[tsn - self.base] == LOST

    def next_lost(self) -> int | None:
        """Return the lost TSN to send next; it stays in `lost` until popped."""
        lost = self.lost
        while lost:
            tsn = lost[0]
            if self.is_lost(tsn):
                return tsn
            lost.popleft()
        return None
