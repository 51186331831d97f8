"""What a relay allows, and how it keeps count of what it forwards."""

from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.overlay.shares import Holder
from protocol.rate_limit import RateLimit
from protocol.turn.allocation import Allocation
from protocol.turn.grant import RelayTerms

_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class RelayQuota:
    """The bounds of one relay; a day is 24 hours of monotonic time."""

    rate_total: int = limits.RELAY_BYTES_PER_SECOND
    bytes_a_day: int = limits.RELAY_BYTES_A_DAY
    allocations: int = limits.RELAY_ALLOCATIONS
    per_peer: int = limits.RELAY_ALLOCATIONS_PER_PEER

    @property
    def rate_each(self) -> int:
        """Bytes a second that one allocation may have forwarded."""
        return max(1, self.rate_total // limits.RELAY_SHARE)

    @property
    def terms(self) -> RelayTerms:
        """What clients are told."""
        return RelayTerms(
            limits.RELAY_ALLOCATION_S, self.rate_each, self.rate_total, self.bytes_a_day
        )


def byte_rate(rate: int) -> RateLimit:
    """A bucket of bytes that holds what comes at once from a client that keeps to the rate."""
    return RateLimit(rate, max(rate * limits.RELAY_BURST_S, limits.RELAY_BURST_BYTES_MIN))


class RelayMeter:
    """Counts what a relay sends on, against the rate of all allocations and the bytes of a day.

    Each datagram counts with its IP and UDP headers, as a line counts it: small ones cost most.
    Half of the rate's bucket is for networks within their part of it: what all have that send in
    one RELAY_BURST_S is the same, however many allocations they hold. So those that pour take what others leave, and no more.
    """

    def __init__(self, quota: RelayQuota) -> None:
        self._rate = byte_rate(quota.rate_total)
        self._turn_bytes = quota.rate_total * limits.RELAY_BURST_S
        self._kept = self._rate.room(0.0) // 2
        self._turn = 0
        self._taken: dict[Holder, int] = {}
        self._sharers = 0
        self._bytes_a_day = quota.bytes_a_day
        self._day = 0
        self._today = 0
        self.total = 0

    def today(self, now: float) -> int:
        """Bytes forwarded since the day began; `now` is monotonic seconds."""
        return self._today if int(now // _DAY_S) == self._day else 0

    def is_spent(self, now: float) -> bool:
        """Whether the bytes of this day are used up, but for less than one burst."""
        return self.today(now) + limits.RELAY_BURST_BYTES_MIN > self._bytes_a_day

    def take(self, length: int, size: int, added: int, sender: Allocation, now: float) -> int:
        """How many of the datagrams of `size` bytes in a buffer may go on; counts these.

        `length` has the whole buffer, which is one datagram where it is not longer than `size`.
        Each leaves with `added` bytes more. The rate of `sender` counts them as well.
        """
        holder = sender.holder
        day = int(now // _DAY_S)
        if day != self._day:
            self._day, self._today = day, 0
        room = min(self._bytes_a_day - self._today, sender.rate.room(now), self._room(holder, now))
        count = -(-length // size) or 1
        cost = length + count * added
        if cost > room:
            count = room // (size + added)
            cost = count * (size + added)
        self._taken[holder] += cost
        sender.rate.take(now, cost)
        self._rate.take(now, cost)
        self._today += cost
        self.total += cost
        return count

    def _room(self, holder: Holder, now: float) -> int:
        """Bytes of the rate of all that one network may have now."""
        turn = int(now / limits.RELAY_BURST_S)
        if turn != self._turn:
            self._sharers = len(self._taken) if turn == self._turn + 1 else 0
            self._turn, self._taken = turn, {}
        taken = self._taken.setdefault(holder, 0)
        part = self._turn_bytes / max(self._sharers, len(self._taken))
        room = self._rate.room(now)
        return min(room, max(room - self._kept, int(part) - taken, 0))
