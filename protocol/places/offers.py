"""The offers that were answered, against replays, and whose are remembered when many call."""

from collections import OrderedDict

from protocol import limits
from protocol.errors import RateLimited, Replayed
from protocol.overlay.shares import Shares
from protocol.signaling import Offer


class OfferMemory:
    """An offer is valid for CLOCK_SKEW_S on either side of its time, so it is remembered for twice
    that, by the time it bears and since it came: a clock that is set, or corrected, opens no gap.

    Where memory is full, the caller with most offers in it gives up the one that was issued first,
    for one of a caller with fewer by two. All that this caller issued until then counts as answered
    from now on, so no offer is good twice. To fill it against others takes as many identities as it
    has places.
    """

    def __init__(
        self,
        capacity: int = limits.OFFERS_REMEMBERED,
        per_caller: int = limits.OFFERS_PER_CALLER,
    ) -> None:
        self._capacity = capacity
        self._per_caller = per_caller
        self._offers: OrderedDict[bytes, tuple[int, bytes, float]] = OrderedDict()
        self._shares = Shares()
        # What a caller issued until then is answered; it keeps an offer that is no older.
        self._answered_until: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._offers)

    def accept(self, offer: Offer, now: float, at: float | None = None) -> None:
        """Note an offer; raises Replayed if it may have come before, RateLimited if memory is full.

        `now` is wall seconds, `at` monotonic ones; without them the wall clock is taken for both.
        """
        caller = offer.caller_key
        if offer.digest in self._offers:
            raise Replayed("an offer that was answered before")
        at = now if at is None else at
        self._forget_old(now, at)
        if offer.issued <= self._answered_until.get(caller, -1):
            raise Replayed("an offer as old as others of its caller that were answered")
        if len(self._shares.keys(caller)) >= self._per_caller:
            raise RateLimited("more offers of one caller than are answered")
        if len(self._offers) >= self._capacity:
            self._make_room(caller)
        self._offers[offer.digest] = (offer.issued, caller, at)
        self._shares.add(caller, offer.digest)

    def _make_room(self, caller: bytes) -> None:
        crowding = self._shares.yields(caller)
        if crowding is None:
            raise RateLimited("more offers than can be remembered")
        _, crowded, _ = self._offers[crowding]
        first = min(self._shares.keys(crowded), key=lambda digest: self._offers[digest][0])
        issued, _, _ = self._offers[first]
        self._forget(first)
        self._answered_until[crowded] = issued

    def _forget_old(self, now: float, at: float) -> None:
        while self._offers:
            digest, (issued, _, came_at) = next(iter(self._offers.items()))
            if max(issued - now, came_at - at) >= -2 * limits.CLOCK_SKEW_S:
                return
            self._forget(digest)

    def _forget(self, digest: bytes) -> None:
        _, caller, _ = self._offers.pop(digest)
        self._shares.remove(caller, digest)
        if not self._shares.keys(caller):
            self._answered_until.pop(caller, None)
