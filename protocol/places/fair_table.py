"""A bounded table that others fill, in which no holder keeps places against those with fewer."""

from collections import OrderedDict

from protocol.errors import Busy
from protocol.overlay.shares import Holder, Shares


class FairTable:
    """Entries by their keys. Each counts for one holder at every level, the widest first: its
    network, say, and its caller. Times are seconds of one monotonic clock.

    Where the table is full, the holder of most gives up its oldest entry for one of a holder with
    fewer by two, level after level. If that makes no room, the oldest entry goes, once its time to
    come to something is over.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._safe_until: OrderedDict[bytes, float] = OrderedDict()
        self._holders: dict[bytes, tuple[Holder, ...]] = {}
        self._levels: dict[int, Shares] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def yields(self, holders: tuple[Holder, ...], now: float) -> bytes | None:
        """The key that gives way to one more entry of these holders; None where there is room.

        Raises Busy.
        """
        if len(self) < self._capacity:
            return None
        for level, holder in enumerate(holders):
            if (key := self._levels[level].yields(holder)) is not None:
                return key
        oldest, safe_until = next(iter(self._safe_until.items()))
        if now < safe_until:
            raise Busy(safe_until - now)
        return oldest

    def add(self, key: bytes, holders: tuple[Holder, ...], safe_until: float) -> None:
        """A new entry, which keeps its place until then from those with as many."""
        self._safe_until[key] = safe_until
        self._holders[key] = holders
        for level, holder in enumerate(holders):
            self._levels.setdefault(level, Shares()).add(holder, key)

    def remove(self, key: bytes) -> None:
        """This entry is over."""
        del self._safe_until[key]
        for level, holder in enumerate(self._holders.pop(key)):
            self._levels[level].remove(holder, key)
