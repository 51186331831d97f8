"""What may go in one direction: a token bucket of all peers together, and one of each.

A transfer is counted when it begins, whatever its size, and the next waits until it is paid for: so
no piece has to be cut to what a bucket holds, and the mean is kept. No clock: `now` is monotonic
seconds, and a peer is any name.
"""

from protocol import limits
from protocol.rate_limit import RateLimit
from protocol.texts.rates import Rate


class TransferRate:
    """The buckets of one direction. Rates are bytes a second, None: no limit."""

    def __init__(self, total: Rate = None, each: Rate = None) -> None:
        self._all = _bucket(total)
        self._each = each
        self._peers: dict[str | bytes, RateLimit] = {}

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self._all is not None or self._each is not None

    def limit(self, total: Rate, each: Rate) -> None:
        """Set the rates anew; what was counted is forgotten."""
        self._all, self._each = _bucket(total), each
        self._peers.clear()

    def wait_s(self, now: float) -> float:
        """Seconds until something may go, whichever peer it is for."""
        return self._all.wait_s(now, 0) if self._all is not None else 0.0

    def peer_wait_s(self, peer: str | bytes, now: float) -> float:
        """Seconds until something may go that concerns this peer, by its own limit."""
        bucket = self._peers.get(peer)
        return bucket.wait_s(now, 0) if bucket is not None else 0.0

    def spend(self, peer: str | bytes, size: int, now: float) -> None:
        """So many bytes go, whether or not that may be."""
        if self._all is not None:
            self._all.spend(now, size)
        own = self._peers.pop(peer, None) or _bucket(self._each)
        if own is not None:
            own.spend(now, size)
            self._peers[peer] = own
            if len(self._peers) > limits.PEER_BUDGETS:
                del self._peers[next(iter(self._peers))]

    def room_of_all(self, now: float) -> int | None:
        """The bytes that may go now, whichever peers they concern; None: any."""
        return None if self._all is None else self._all.room(now)

    def room(self, peer: str | bytes, now: float) -> int | None:
        """The bytes that may go now without debts; None: any."""
        if not self.is_limited:
            return None
        own = self._peers.get(peer) or _bucket(self._each)
        rooms = [bucket.room(now) for bucket in (self._all, own) if bucket is not None]
        return min(rooms, default=None)


def _bucket(rate: Rate) -> RateLimit | None:
    return None if rate is None else RateLimit(rate, rate * limits.RATE_LIMIT_BURST_S)
