"""How much one source address may ask for: a token bucket for each, and few of them."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from protocol import limits
from protocol.errors import RateLimited

_NETWORK_CHARS = 19
"""Of a spelled-out IPv6 address: its /64, which is what one household has."""


class HostMeter:
    """Token buckets by IPv4 host or IPv6 /64, the longest unused forgotten first.

    `clock` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def charge(self, host: str) -> None:
        """Take one request off the host's bucket; raises RateLimited when it is empty."""
        now = self._clock()
        if ":" in host:
            host = ipaddress.ip_address(host).exploded[:_NETWORK_CHARS]
        level, at = self._levels.pop(host, (limits.REQUEST_BURST_PER_HOST, now))
        refilled = level + (now - at) * limits.REQUESTS_PER_SECOND_PER_HOST
        level = min(refilled, limits.REQUEST_BURST_PER_HOST)
        if level < 1.0:
            self._levels[host] = (level, now)
            raise RateLimited("more requests from one address than are served")
        self._levels[host] = (level - 1.0, now)
        if len(self._levels) > limits.HOSTS_METERED:
            self._levels.popitem(last=False)
