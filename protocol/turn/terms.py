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


def _burst(rate: int) -> float:
    return max(rate * limits.RELAY_BURST_S, limits.RELAY_BURST_BYTES_MIN)


def byte_rate(rate: int) -> RateLimit:
    """A bucket of bytes that holds what comes at once from a client that keeps to the rate."""
    return RateLimit(rate, _burst(rate))


@dataclass(slots=True)
class _Part:
    """The bytes of its own that a network may have forwarded, as of a time."""

    level: float
    at: float


class _Parts:
    """Equal parts of a relay's rate, one of each network that sends, whatever the others send.

    The upper half of the relay's bucket is for all. The lower half is for these parts: together
    they hold no more than it does, and fill no faster, so a part is there when it is wanted.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._parts: dict[Holder, _Part] = {}
        self._looked_at = 0.0
        self.kept = _burst(rate) / 2

    def of(self, holder: Holder, now: float) -> _Part:
        """The part of a network, filled until now."""
        if now - self._looked_at > limits.RELAY_PART_S:
            self._forget_idle(now)
        part = self._parts.get(holder)
        if part is None:
            part = self._parts[holder] = _Part(self.kept, now)
        count = len(self._parts)
        filled = part.level + (now - part.at) * self._rate / count
        part.level, part.at = min(filled, self.kept / count), now
        return part

    def _forget_idle(self, now: float) -> None:
        since = now - limits.RELAY_PART_S
        self._parts = {holder: part for holder, part in self._parts.items() if part.at >= since}
        self._looked_at = now


class RelayMeter:
    """Counts what a relay sends on, against the rate of all allocations and the bytes of a day.

    Each datagram counts with its IP and UDP headers, as a line counts it: small ones cost most.
    """

    def __init__(self, quota: RelayQuota) -> None:
        self._rate = byte_rate(quota.rate_total)
        self._parts = _Parts(quota.rate_total)
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
        day = int(now // _DAY_S)
        if day != self._day:
            self._day, self._today = day, 0
        whole, part = self._rate.room(now), self._parts.of(sender.holder, now)
        for_all = max(0, int(whole - self._parts.kept))
        free = min(whole, for_all + int(part.level))
        room = min(self._bytes_a_day - self._today, sender.rate.room(now), free)
        count = -(-length // size) or 1
        cost = length + count * added
        if cost > room:
            count = room // (size + added)
            cost = count * (size + added)
        sender.rate.take(now, cost)
        self._rate.take(now, cost)
        part.level -= max(0, cost - for_all)
        self._today += cost
        self.total += cost
        return count
