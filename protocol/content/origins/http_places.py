"""Which connections of HTTP clients a node keeps: they bring nothing, so networks share the places.

One that asks for nothing just now goes first. Where all are served, the network with most loses its
oldest to one with fewer by two; where none has more than others, one that has had its place for
long gives it to a network without any, and where a network has all of its places, to another client
of it, as behind one proxy all are: what it had not got it can ask for anew.
"""

from collections import Counter
from dataclasses import dataclass

from protocol import limits


@dataclass(eq=False, slots=True)
class HttpPlace:
    """The place of one connection. `party`: its network, or its host where that is private."""

    party: bytes
    since: float
    is_busy: bool = False

    def serve(self, *, busy: bool) -> None:
        """Note whether a request is under way."""
        self.is_busy = busy


class HttpPlaces:
    """The places that are taken, the oldest first. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._taken: dict[HttpPlace, None] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, party: bytes, now: float) -> tuple[HttpPlace | None, HttpPlace | None]:
        """A place for a new connection, or None; and the one that has to go for it, if one has."""
        counts = Counter(place.party for place in self._taken)
        goes: HttpPlace | None = None
        if counts[party] >= limits.HTTP_CLIENTS_PER_NETWORK:
            goes = self._oldest_idle(party) or self._due(party, now)
        elif len(self._taken) >= limits.HTTP_CLIENTS:
            goes = self._oldest_idle() or self._of_most(counts, party, now)
        else:
            return self._place(party, now), None
        if goes is None:
            return None, None
        del self._taken[goes]
        return self._place(party, now), goes

    def leave(self, place: HttpPlace) -> None:
        """A connection has ended."""
        self._taken.pop(place, None)

    def _place(self, party: bytes, now: float) -> HttpPlace:
        place = HttpPlace(party, now)
        self._taken[place] = None
        return place

    def _oldest_idle(self, party: bytes | None = None) -> HttpPlace | None:
        found = (one for one in self._taken if not one.is_busy and party in {None, one.party})
        return next(found, None)

    def _of_most(self, counts: "Counter[bytes]", party: bytes, now: float) -> HttpPlace | None:
        most, count = counts.most_common(1)[0]
        if count >= counts[party] + 2:
            return next(one for one in self._taken if one.party == most)
        return None if counts[party] else self._due(None, now)

    def _due(self, party: bytes | None, now: float) -> HttpPlace | None:
        """The oldest, of a party or of all, if it has had its place for long."""
        oldest = next(one for one in self._taken if party in {None, one.party})
        return oldest if now - oldest.since >= limits.HTTP_KEPT_S else None
