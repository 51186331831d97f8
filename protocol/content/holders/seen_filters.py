"""The availability filters that came by this node and still count: whom to call before any lookup.

A filter is its publisher's claim, and even an honest one says yes to one in a hundred mods that its
publisher does not have. So few peers are called for their filters alone, the most useful first.
One filter of each peer is kept. Where all places are taken the peer of least use loses its own:
filters that are published under many new ids displace only such filters.
"""

from collections.abc import Callable
from dataclasses import dataclass

from protocol import limits
from protocol.availability import Availability
from protocol.identity import PeerId
from protocol.randomness import Random
from protocol.records import Record


@dataclass(frozen=True, slots=True)
class _Seen:
    filter: Availability
    sequence: int
    expires: int


class SeenFilters:
    """Filters by peer. `worth` is what a peer is worth to this node now; `own_id` is no holder."""

    def __init__(self, own_id: PeerId, worth: Callable[[PeerId], float], rng: Random) -> None:
        self._own_id = own_id
        self._worth = worth
        self._rng = rng
        self._seen: dict[PeerId, _Seen] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, record: Record) -> None:
        """A valid record came by; one of another kind, or older than what is known, is nothing."""
        peer_id, body = record.peer_id, record.body
        known = self._seen.get(peer_id)
        if not isinstance(body, Availability) or peer_id == self._own_id:
            return
        if known is not None and known.sequence >= record.sequence:
            return
        self._seen[peer_id] = _Seen(body, record.sequence, record.expires)
        if len(self._seen) > limits.FILTERS_KEPT:
            del self._seen[min(self._seen, key=self._use)]

    def _use(self, peer_id: PeerId) -> tuple[float, int]:
        """What keeps a place: the peer's worth, and between equals how long its filter counts."""
        return self._worth(peer_id), self._seen[peer_id].expires

    def who_have(self, mod_id: bytes, now: float) -> list[PeerId]:
        """Peers whose filters have a mod, FILTERS_CALLED at most: the most useful, then by chance.

        `now` is in seconds since 1970.
        """
        for peer_id in [one for one, seen in self._seen.items() if seen.expires <= now]:
            del self._seen[peer_id]
        having = [one for one, seen in self._seen.items() if seen.filter.may_have(mod_id)]
        lots = {peer_id: (-self._worth(peer_id), self._rng.random()) for peer_id in having}
        return sorted(having, key=lots.__getitem__)[: limits.FILTERS_CALLED]
