"""How slow this node's own line is: by that, not by a peer, its time limits grow.

When even the fastest quarter of all contacts takes long to answer, it is our own line that is slow,
as by satellite or by a telephone under load. Contacts that are slow on purpose raise no limit
unless they are more than three quarters of all, and one fast contact among up to four suffices.
"""

from collections import OrderedDict

from protocol import limits
from protocol.identity import PeerId


class OwnLine:
    """The last round trip to each of the LINE_CONTACTS contacts that answered last, in seconds."""

    __slots__ = ("_fast", "_has_distant", "_samples")

    def __init__(self) -> None:
        self._samples: OrderedDict[PeerId, float] = OrderedDict()
        self._fast = 0
        self._has_distant = False

    def measured(self, peer_id: PeerId, rtt_s: float, *, distant: bool = True) -> None:
        """A contact answered, in time or late.

        `distant`: on the internet. Where there is one, those of private networks tell nothing:
        they may be on our side of the line.
        """
        if distant is not self._has_distant:
            if not distant:
                return
            self.forget()
            self._has_distant = True
        samples = self._samples
        self._fast += _is_fast(rtt_s) - _is_fast(samples.get(peer_id))
        samples[peer_id] = rtt_s
        samples.move_to_end(peer_id)
        if len(samples) > limits.LINE_CONTACTS:
            self._fast -= _is_fast(samples.popitem(last=False)[1])

    def forget(self) -> None:
        """This machine has come to another network."""
        self._samples.clear()
        self._fast = 0
        self._has_distant = False

    @property
    def round_trip_s(self) -> float | None:
        """What the fastest quarter of the contacts takes at most; None without an answer yet."""
        if not self._samples:
            return None
        return sorted(self._samples.values())[self._quarter]

    @property
    def round_trip_ms(self) -> float | None:
        """The same in milliseconds."""
        return None if self.round_trip_s is None else 1000 * self.round_trip_s

    @property
    def extra_s(self) -> float:
        """How much longer than on other lines each round trip may take; 0 on any fast line."""
        if self._fast > self._quarter or not self._samples:
            return 0.0
        return min((self.round_trip_s or 0.0) - limits.LINE_USUAL_S, limits.LINE_EXTRA_MAX_S)

    @property
    def is_slow(self) -> bool:
        """Whether a person should be told."""
        return bool(self.extra_s) and (self.round_trip_s or 0.0) >= limits.LINE_SLOW_S

    @property
    def longest_s(self) -> float:
        """How long any contact may take to answer, to count as alive."""
        return self.limit_s(limits.TIMEOUT_MAX_S)

    def limit_s(self, limit_s: float, round_trips: int = 1) -> float:
        """A time limit of so many round trips, on this line."""
        return limit_s + round_trips * self.extra_s

    @property
    def _quarter(self) -> int:
        return (len(self._samples) - 1) // 4


def _is_fast(rtt_s: float | None) -> bool:
    return rtt_s is not None and rtt_s <= limits.LINE_USUAL_S
