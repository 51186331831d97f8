"""A bounded table that others fill, in which no holder keeps places against those with fewer."""

from collections import OrderedDict

from protocol.errors import Busy
from protocol.overlay.shares import Holder, Shares


class FairTable:
    """Entries by their keys. Each counts for one holder at every level, the widest first: its
    network, say, and its caller. Times are seconds of one monotonic clock.

    Where the table is full, the holder of most gives up its oldest entry for one of a holder with
    fewer by two, level after level. If that makes no room, who has none gets the oldest entry of
    those that came most often, if it came less often itself. Else the oldest entry of all goes,
    once its time to come to something is over.

    `visits` counts how often who asks came lately, this time included; 0 if that does not matter.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._safe_until: OrderedDict[bytes, float] = OrderedDict()
        self._holders: dict[bytes, tuple[Holder, ...]] = {}
        self._levels: dict[int, Shares] = {}
        self._visits: dict[bytes, int] = {}
        self._by_visits: dict[int, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def yields(self, holders: tuple[Holder, ...], now: float, visits: int = 0) -> bytes | None:
        """The key that gives way to one more entry of these holders; None where there is room.

        Raises Busy.
        """
        if len(self) < self._capacity:
            return None
        for level, holder in enumerate(holders):
            if (key := self._levels[level].yields(holder)) is not None:
                return key
        if (key := self._came_more(holders, visits)) is not None:
            return key
        oldest, safe_until = next(iter(self._safe_until.items()))
        if now < safe_until:
            raise Busy(safe_until - now)
        return oldest

    def _came_more(self, holders: tuple[Holder, ...], visits: int) -> bytes | None:
        """The first entry of those that came most often, for who came less and has none."""
        most = max(self._by_visits)
        if not 0 < visits < most:
            return None
        if any(self._levels[level].count(holder) for level, holder in enumerate(holders)):
            return None
        return next(iter(self._by_visits[most]))

    def add(
        self, key: bytes, holders: tuple[Holder, ...], safe_until: float, visits: int = 0
    ) -> None:
        """A new entry, which keeps its place until then from those with as many, and as often."""
        self._safe_until[key] = safe_until
        self._visits[key] = visits
        self._by_visits.setdefault(visits, OrderedDict())[key] = None
        self._holders[key] = holders
        for level, holder in enumerate(holders):
            self._levels.setdefault(level, Shares()).add(holder, key)

    def remove(self, key: bytes) -> None:
        """This entry is over."""
        del self._safe_until[key]
        visits = self._visits.pop(key)
        del self._by_visits[visits][key]
        if not self._by_visits[visits]:
            del self._by_visits[visits]
        for level, holder in enumerate(self._holders.pop(key)):
            self._levels[level].remove(holder, key)
