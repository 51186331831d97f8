"""Rate limits, of one source address and of all together.

The generic cell rate algorithm (ITU-T I.371) keeps one number: the time at which the bucket will be
full again. It is a token bucket whose level need not be updated at every look. `now` is monotonic
seconds in all that follows.
"""

import ipaddress
from collections import deque

from protocol import limits
from protocol.errors import RateLimited

_NETWORK_CHARS = 19
"""Characters of the /64 of a spelled-out IPv6 address: one household has a /64."""


class RateLimit:
    """Allows `rate` units a second, and `burst` at once."""

    __slots__ = ("_burst_s", "_each_s", "_full_at")

    def __init__(self, rate: float, burst: float) -> None:
        self._each_s = 1 / rate
        self._burst_s = (burst + 0.5) / rate  # the half: sums of floats are not exact
        self._full_at = 0.0

    def take(self, now: float, units: float = 1) -> bool:
        """Whether so many more are within the rate; if so they are counted."""
        full_at = max(self._full_at, now) + self._each_s * units
        if full_at - now > self._burst_s:
            return False
        self._full_at = full_at
        return True

    def spend(self, now: float, units: float) -> None:
        """Count what happens in any case: `take` then allows nothing until it is paid for."""
        self._full_at = max(self._full_at, now) + self._each_s * units

    def give_back(self) -> None:
        """Count one less: it has earned its cost."""
        self._full_at -= self._each_s

    def wait_s(self, now: float, units: float = 1) -> float:
        """Seconds until `take` allows so many more; of 0, until what was spent is paid for."""
        return max(0.0, self._full_at + self._each_s * units - self._burst_s - now)

    @property
    def full_at(self) -> float:
        """When the bucket is full again, which is never before the last `take`; 0 before any."""
        return self._full_at

    def room(self, now: float) -> int:
        """How many units `take` would allow now."""
        left_s = self._burst_s - max(self._full_at - now, 0.0)
        return max(0, int(left_s / self._each_s))


class KeyedRateLimit:
    """A bucket for each key; the least recently used is forgotten first.

    At most HOSTS_RATE_LIMITED buckets are remembered, and for each that is used one that is full
    again is forgotten: so those that are kept are no more than those lately used.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._each_s = 1 / rate
        self._burst_s = (burst + 0.5) * self._each_s
        self._full_at: dict[str | bytes, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def charge(self, key: str | bytes, now: float) -> None:
        """Take one off the key's bucket; raises RateLimited when it is empty."""
        oldest = next(iter(self._full_at), None)
        if oldest is not None and self._full_at[oldest] <= now:
            del self._full_at[oldest]
        full_at = max(self._full_at.pop(key, now), now) + self._each_s
        is_empty = full_at - now > self._burst_s
        self._full_at[key] = full_at - self._each_s if is_empty else full_at
        if len(self._full_at) > limits.HOSTS_RATE_LIMITED:
            del self._full_at[next(iter(self._full_at))]
        if is_empty:
            raise RateLimited("more of one sender, or for one address, than is served")


class _Taken:
    """What was taken of one key lately: when and by which holder, and how much by each."""

    __slots__ = ("by_holder", "times")

    def __init__(self) -> None:
        self.times: deque[tuple[float, str | bytes]] = deque()
        self.by_holder: dict[str | bytes, int] = {}

    def add(self, holder: str | bytes, now: float) -> None:
        self.times.append((now, holder))
        self.by_holder[holder] = self.by_holder.get(holder, 0) + 1

    def is_over(self, then: float) -> bool:
        return not self.times or self.times[-1][0] <= then

    def forget_until(self, then: float) -> None:
        while self.times and self.times[0][0] <= then:
            _, holder = self.times.popleft()
            left = self.by_holder[holder] - 1
            if left:
                self.by_holder[holder] = left
            else:
                del self.by_holder[holder]


class SharedRateLimit:
    """At most `most` for a key in `period_s`, shared by those who ask for it.

    A holder gets one more until it had one of `part` of those that are left (as the dynamic
    thresholds of Choudhury and Hahne 1998 share a buffer): so some are left for who comes next. At
    most HOSTS_RATE_LIMITED keys are remembered, and for each that is asked for one of which nothing
    was taken in the period is forgotten.
    """

    def __init__(self, most: int, period_s: float, part: int) -> None:
        self._most = most
        self._period_s = period_s
        self._part = part
        self._taken: dict[str | bytes, _Taken] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def charge(self, key: str | bytes, holder: str | bytes, now: float) -> None:
        """Count one of a holder for a key; raises RateLimited when it had its part."""
        oldest = next(iter(self._taken), None)
        if oldest is not None and self._taken[oldest].is_over(now - self._period_s):
            del self._taken[oldest]
        taken = self._taken.pop(key, None) or _Taken()
        taken.forget_until(now - self._period_s)
        self._taken[key] = taken
        if len(self._taken) > limits.HOSTS_RATE_LIMITED:
            del self._taken[next(iter(self._taken))]
        if self._most - len(taken.times) <= taken.by_holder.get(holder, 0) * self._part:
            raise RateLimited("more of one kind than is left for those who ask")
        taken.add(holder, now)


class HostRateLimit(KeyedRateLimit):
    """A bucket for each IPv4 host or IPv6 /64."""

    def charge(self, key: str | bytes, now: float) -> None:
        """Take one off the bucket of a host; raises RateLimited when it is empty."""
        if isinstance(key, str) and ":" in key:
            key = ipaddress.ip_address(key).exploded[:_NETWORK_CHARS]
        super().charge(key, now)
