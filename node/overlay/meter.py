"""How much one source address may ask for: a token bucket for each, and few of them."""

from collections import OrderedDict
from collections.abc import Callable

from protocol import limits
from protocol.errors import RateLimited


class HostMeter:
    """Token buckets by host, the longest unused forgotten first. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, host: str) -> None:
        """Take one request off the host's bucket; raises RateLimited when it is empty."""
        now = self._clock()
        level, at = self._levels.pop(host, (limits.REQUEST_BURST_PER_HOST, now))
        refilled = level + (now - at) * limits.REQUESTS_PER_SECOND_PER_HOST
        level = min(refilled, limits.REQUEST_BURST_PER_HOST)
        if level < 1.0:
            self._levels[host] = (level, now)
            raise RateLimited("more requests from one address than are served")
        self._levels[host] = (level - 1.0, now)
        if len(self._levels) > limits.HOSTS_METERED:
            self._levels.popitem(last=False)
