"""The values of one key: in which order they are told, and which of too many are kept.

Neither goes by what publishers choose, such as dates and sequence numbers: first comes one value of
each network, then a second of each, and so on. Within a network the order is that of a hash with a
secret of this node, so that it cannot be aimed at, and differs from node to node.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from protocol import limits
from protocol.overlay.store.storer import Storer
from protocol.records import Record

_PLACE_BYTES = 8


_Place = tuple[bytes, bytes, "Value"]
"""The place and the slot of a value, by which it is sorted, and the value."""


class Value(NamedTuple):
    """A stored record, who stored it, and its place among those of the same network.

    `slot` is the record's key, its kind, and its publisher, who has one value of that kind there.
    """

    record: Record
    storer: Storer
    slot: bytes
    place: bytes

    @property
    def key(self) -> bytes:
        """The DHT key that it is stored under."""
        return key_of(self.slot)


def _place_of(value: Value) -> _Place:
    return value.place, value.slot, value


def key_of(slot: bytes) -> bytes:
    """The DHT key of a slot."""
    return slot[: limits.ID_BYTES]


def value_of(record: Record, storer: Storer, secret: bytes) -> Value:
    """A value with its place by the node's secret (at most 64 bytes)."""
    slot = record.key + bytes((record.kind,)) + record.public_key
    place = hashlib.blake2b(slot, key=secret, digest_size=_PLACE_BYTES).digest()
    return Value(record, storer, slot, place)


class TurnOrder:
    """Values of one key in the order in which they are told; of too many the last one goes.

    One that comes or goes moves only the later ones of its network, so that neither a full key nor
    one that changes all the time is sorted anew for each request.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        self._networks: dict[bytes, list[_Place]] = {}
        for value in values:
            self._networks.setdefault(value.storer.network, []).append(_place_of(value))
        self._told: list[tuple[int, _Place]] = []
        for places in self._networks.values():
            places.sort()
            self._told += enumerate(places)
        self._told.sort()
        self._records: dict[int, tuple[Record, ...]] = {}

    def __iter__(self) -> Iterator[Value]:
        return (value for _, (_, _, value) in self._told)

    def records(self, kind: int) -> tuple[Record, ...]:
        """The records of a kind in this order."""
        known = self._records.get(kind)
        if known is None:
            records = (value.record for _, (_, _, value) in self._told)
            known = tuple(one for one in records if one.kind == kind)
            if known:  # requests may name any kind
                self._records[kind] = known
        return known

    def add(self, value: Value) -> None:
        """One more value, of a slot that had none."""
        self._records.clear()
        place = _place_of(value)
        places = self._networks.setdefault(value.storer.network, [])
        at = bisect_left(places, place)
        self._move(places, at, 1)
        places.insert(at, place)
        insort(self._told, (at, place))

    def remove(self, value: Value) -> None:
        """A value is gone."""
        self._records.clear()
        place = _place_of(value)
        places = self._networks[value.storer.network]
        at = bisect_left(places, place)
        del places[at], self._told[bisect_left(self._told, (at, place))]
        self._move(places, at, -1)
        if not places:
            del self._networks[value.storer.network]

    def _move(self, places: list[_Place], first: int, turns: int) -> None:
        """Let the places of a network from `first` on come so many turns later."""
        told = self._told
        for at, place in enumerate(places[first:], first):
            before = at if turns > 0 else at + 1
            del told[bisect_left(told, (before, place))]
            insort(told, (before + turns, place))

    def last_with(self, value: Value) -> Value:
        """The one that would be told last if this value came: of a network that has most."""
        own = self._networks.get(value.storer.network, [])
        with_own = max((*own[-1:], _place_of(value)))
        most = max((len(own) + 1, *(len(places) for places in self._networks.values())))
        last = [places[-1] for places in self._networks.values() if len(places) == most]
        if len(own) + 1 == most:
            last.append(with_own)
        return max(last)[2]
