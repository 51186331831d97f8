"""What a relay allows, and how it keeps count of what it forwards."""

from dataclasses import dataclass
from typing import Final

from protocol import limits
from protocol.overlay.shares import Holder
from protocol.places.forgetting import forget_least
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


def _burst(rate: float) -> float:
    return max(rate * limits.RELAY_BURST_S, limits.RELAY_BURST_BYTES_MIN)


def byte_rate(rate: float) -> RateLimit:
    """A bucket of bytes that holds what comes at once from a client that keeps to the rate."""
    return RateLimit(rate, _burst(rate))


@dataclass(slots=True)
class _Part:
    """The bytes of its own that a network may have forwarded, as of a time."""

    level: float
    at: float


class _SharedRate:
    """A rate of which each network that sends has an equal part, whatever the others send.

    The upper half of its bucket is for all. The lower half is for these parts: together they hold
    no more than it does, and fill no faster, so a part is there when it is wanted.
    """

    def __init__(self, rate: float) -> None:
        self._whole = byte_rate(rate)
        self._rate = rate
        self._kept = _burst(rate) / 2
        self._kept_s = min(max(self._kept / rate, limits.RELAY_PART_S), limits.RELAY_ALLOCATION_S)
        self._parts: dict[Holder, _Part] = {}
        self._looked_at = 0.0

    def room(self, holder: Holder, now: float) -> int:
        """How many bytes of a network may go on now."""
        whole = self._whole.room(now)
        return min(whole, self._for_all(whole) + int(self._part(holder, now).level))

    def take(self, holder: Holder, cost: int, now: float) -> None:
        """Count bytes of a network for which there was room at this very time."""
        self._parts[holder].level -= max(0, cost - self._for_all(self._whole.room(now)))
        self._whole.take(now, cost)

    def _for_all(self, whole: int) -> int:
        return max(0, int(whole - self._kept))

    def _part(self, holder: Holder, now: float) -> _Part:
        """The part of a network, filled until now."""
        if now - self._looked_at > self._kept_s:
            self._forget_idle(now)
        part = self._parts.get(holder)
        if part is None:
            part = self._parts[holder] = _Part(self._kept, now)
        count = len(self._parts)
        filled = part.level + (now - part.at) * self._rate / count
        part.level, part.at = min(filled, self._kept / count), now
        return part

    def _forget_idle(self, now: float) -> None:
        since = now - self._kept_s
        self._parts = {holder: part for holder, part in self._parts.items() if part.at >= since}
        self._looked_at = now


class _DayOfBytes:
    """The bytes of a day: half of them at once, the other half as the day passes.

    A network may send until it has had as many as are left (the dynamic thresholds of Choudhury and
    Hahne 1998, with a factor of 1). Beyond that all share half of what time brings; the other half
    is for networks that sent less.
    """

    def __init__(self, bytes_a_day: int) -> None:
        self._most = self._left = bytes_a_day / 2
        self._filling = self._most / _DAY_S
        self._filled_at = 0.0
        self._beyond = _SharedRate(self._filling / 2)
        self._had: dict[Holder, int] = {}
        self._day = 0

    def left(self, now: float) -> float:
        """The bytes that are there for all."""
        self._left = min(self._left + (now - self._filled_at) * self._filling, self._most)
        self._filled_at = now
        return self._left

    def room(self, holder: Holder, wanted: int, now: float) -> int:
        """How many of the `wanted` bytes of a network may go on now, or more."""
        day = int(now // _DAY_S)
        if day != self._day:
            self._day, self._had = day, {}
        own = max(0, int(self.left(now) - self._had.get(holder, 0)) // 2)
        if own < wanted:
            own += self._beyond.room(holder, now)
        return min(own, int(self._left))

    def take(self, holder: Holder, cost: int, now: float) -> None:
        """Count bytes of a network for which there was room at this very time."""
        had = self._had.get(holder, 0)
        own = max(0, int(self._left - had) // 2)
        if own < cost:
            self._beyond.take(holder, cost - own, now)
        self._left -= cost
        self._had[holder] = had + cost
        forget_least(self._had, limits.RELAY_NETWORKS_A_DAY)


class RelayMeter:
    """Counts what a relay sends on, against the rate of all allocations and the bytes of a day.

    Each datagram counts with its IP and UDP headers, as a line counts it: small ones cost most.
    """

    def __init__(self, quota: RelayQuota) -> None:
        self._rate = _SharedRate(quota.rate_total)
        self._bytes = _DayOfBytes(quota.bytes_a_day)
        self._day = 0
        self._today = 0
        self.total = 0

    def today(self, now: float) -> int:
        """Bytes forwarded since the day began; `now` is monotonic seconds."""
        return self._today if int(now // _DAY_S) == self._day else 0

    def is_spent(self, now: float) -> bool:
        """Whether less than one burst is left of the bytes that the day has brought."""
        return self._bytes.left(now) < limits.RELAY_BURST_BYTES_MIN

    def take(self, length: int, size: int, added: int, sender: Allocation, now: float) -> int:
        """How many of the datagrams of `size` bytes in a buffer may go on; counts these.

        `length` has the whole buffer, which is one datagram where it is not longer than `size`.
        Each leaves with `added` bytes more. The rate of `sender` counts them as well.
        """
        day = int(now // _DAY_S)
        if day != self._day:
            self._day, self._today = day, 0
        count = -(-length // size) or 1
        cost = length + count * added
        holder = sender.holder
        room = min(sender.rate.room(now), self._rate.room(holder, now))
        room = min(room, self._bytes.room(holder, cost, now))
        if cost > room:
            count = room // (size + added)
            cost = count * (size + added)
        if cost:
            sender.rate.take(now, cost)
            self._rate.take(holder, cost, now)
            self._bytes.take(holder, cost, now)
        self._today += cost
        self.total += cost
        return count
