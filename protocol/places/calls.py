"""The places of a registrar for calls under way: in all, and to one callee."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from protocol import limits
from protocol.errors import RateLimited
from protocol.identity import PeerId
from protocol.overlay.shares import Holder, holders_of
from protocol.places.fair_table import FairTable
from protocol.places.tenure import network_of
from protocol.places.visits import Visits

ROUND_TRIPS = 4
"""What has come to nothing within so many round trips of a call may give its place to another."""


def safe_s(round_trip_s: float) -> float:
    """How long a call has to show something, by its own round trip."""
    return max(limits.LINK_PROOF_S, ROUND_TRIPS * round_trip_s)


def believed_safe_s(round_trip_s: float) -> float:
    """The same where places are short: the caller tells its round trip, and may lie."""
    return safe_s(min(round_trip_s, limits.ROUND_TRIP_BELIEVED_S))


@dataclass(frozen=True, slots=True)
class CallParties:
    """Who calls, from which IP literal, and whom."""

    caller_id: PeerId
    host: str
    callee_id: PeerId

    @property
    def holders(self) -> tuple[Holder, ...]:
        """The caller's network, and the caller."""
        return holders_of(self.host)[-1], self.caller_id


class CallPlaces:
    """Calls by their keys. Times are of one monotonic clock.

    Registrars call `own_id` for others, so these have no bound each, and are not counted as visits.
    """

    def __init__(self, own_id: PeerId) -> None:
        self._own_id = own_id
        self._all = FairTable(limits.CALLS_PENDING)
        self._to: dict[PeerId, FairTable] = {}
        self._calls: dict[bytes, CallParties] = {}
        self._by_caller: Counter[PeerId] = Counter()
        self._visits = Visits()

    def __len__(self) -> int:
        return len(self._calls)

    def giving_way(self, parties: CallParties, now: float) -> Iterator[bytes]:
        """The calls that are to end, one after another, before one more of these has its place.

        Each must be removed before the next is asked for. Raises RateLimited, Busy.
        """
        if (
            self._is_to_other(parties)
            and self._by_caller[parties.caller_id] >= limits.CALLS_PER_CALLER
        ):
            raise RateLimited("more calls of one caller than are forwarded at once")
        visits = self._visits_of(parties, now)
        for table in (self._to.get(parties.callee_id), self._all):
            key = table.yields(parties.holders, now, visits) if table is not None else None
            if key is not None:
                yield key

    def add(self, key: bytes, parties: CallParties, now: float, safe_s: float) -> None:
        """A call begins, which has so many seconds to show something."""
        visits = self._visits_of(parties, now)
        to = self._to.setdefault(parties.callee_id, FairTable(limits.CALLS_PER_CALLEE))
        for table in (to, self._all):
            table.add(key, parties.holders, now + safe_s, visits)
        self._calls[key] = parties
        self._by_caller[parties.caller_id] += 1
        if visits:
            self._visits.add(parties.caller_id, network_of(parties.host), now)

    def remove(self, key: bytes) -> None:
        """A call is over."""
        parties = self._calls.pop(key)
        to = self._to[parties.callee_id]
        for table in (to, self._all):
            table.remove(key)
        if not len(to):
            del self._to[parties.callee_id]
        self._by_caller[parties.caller_id] -= 1
        if not self._by_caller[parties.caller_id]:
            del self._by_caller[parties.caller_id]

    def _is_to_other(self, parties: CallParties) -> bool:
        return parties.callee_id != self._own_id

    def _visits_of(self, parties: CallParties, now: float) -> int:
        """How often the caller called others lately, with this time; 0 where that is no matter."""
        if not self._is_to_other(parties):
            return 0
        return self._visits.times(parties.caller_id, network_of(parties.host), now) + 1
