"""The records that a node stores for others: multi-valued, capped, expiring.

Each publisher has one value per key and kind. Only its publisher refreshes a record, so a record
whose publisher is gone expires; a lineage's is stored again by all who follow it, and counts for
one of them. Where the bytes are used up, networks, and in them peers, that
store much make room for those that store little; where a key is, its values of one network do.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator

from protocol import limits
from protocol.content.lineage import history
from protocol.errors import KeyFull, PublisherFull, SequenceTooLow, StoreFull, StorerFull
from protocol.overlay.store.gone import GoneLineages
from protocol.overlay.store.storer import NestedShares, Path, Storer
from protocol.overlay.store.values import TurnOrder, Value, key_of, value_of
from protocol.records import LINEAGE, Record

_SLACK = 64


class RecordStore:
    """Verified records by their DHT key. `now` is wall seconds everywhere.

    `secret` is random, of this node alone. `radius` gives the XOR distance from this node, whose
    number is `own_number`, up to which it is to keep records: that of its k-th nearest contact.
    `used_bytes` is the memory that the records take, as the caps count it.
    """

    def __init__(
        self,
        *,
        secret: bytes,
        own_number: int,
        radius: Callable[[], int],
        max_bytes: int = limits.STORE_BYTES,
        max_values_per_key: int = limits.STORE_VALUES_PER_KEY,
        max_values_per_peer: int = limits.STORE_VALUES_PER_PEER,
    ) -> None:
        self._secret = secret
        self._own_number = own_number
        self._radius = radius
        self._max_bytes = max_bytes
        self._max_per_key = max_values_per_key
        self._max_per_peer = max_values_per_peer
        self._values: dict[bytes, dict[bytes, Value]] = {}
        self._told: dict[bytes, TurnOrder] = {}
        self._farthest: dict[Path, bytes] = {}
        self._shares = NestedShares(lambda slot: self._at(slot).storer.path)
        self._per_publisher: Counter[bytes] = Counter()
        self._gone = GoneLineages()
        self._expiries: list[tuple[int, bytes]] = []
        self._count = 0
        self.used_bytes = 0

    def put(self, record: Record, storer: Storer, now: float) -> None:
        """Keep a verified record under its own key.

        Raises SequenceTooLow, and by the cap that refused StoreFull, KeyFull, PublisherFull or
        StorerFull.
        """
        self.expire(now)
        value = value_of(record, storer, self._secret)
        held = self._values.get(value.key, {}).get(value.slot)
        if held is None:
            self._gone.check(value)
        elif not self._replaces(value, held):
            return
        self._check_peers(value, held)
        gone = held or self._crowded_out(value)
        self._make_room(value, gone)
        if gone is not None and self._is_stored(gone):
            self._remove(gone)
        self._add(value)

    def _replaces(self, value: Value, held: Value) -> bool:
        """Whether a value takes the place of the held one; raises SequenceTooLow."""
        if held.record.raw == value.record.raw:
            return self._takes_over(value, held)
        if not _is_newer(value.record, held.record):
            raise SequenceTooLow(
                f"sequence {value.record.sequence} where {held.record.sequence} is stored already"
            )
        return True

    def _takes_over(self, value: Value, held: Value) -> bool:
        """Whether what is stored already counts as another storer's share from now on.

        What a publisher stores is its own share, also if another peer stored it before. Of a
        lineage's record it is that of one with less: or who stores much else could store it first,
        and let it go with that.
        """
        if value.record.kind != LINEAGE:
            return value.storer != held.storer and value.storer.peer_id == value.record.peer_id
        path = value.storer.path
        has_room = self._shares.count(path) < self._max_per_peer
        return has_room and self._shares.has_less(path, held.storer.path)

    def _check_peers(self, value: Value, held: Value | None) -> None:
        stored = self._shares.count(value.storer.path)
        is_more = held is None or held.storer.path != value.storer.path
        if is_more and stored >= self._max_per_peer:
            raise StorerFull("this peer has stored as many values as it may")
        published = self._per_publisher[value.record.public_key]
        if held is None and published >= self._max_per_peer:
            raise PublisherFull("this publisher stores as many values as it may")

    def _crowded_out(self, value: Value) -> Value | None:
        """The value that a full key loses for a new one; raises KeyFull."""
        of_key = self._values.get(value.key, {})
        if len(of_key) < self._max_per_key:
            return None
        last = self._order_of(value.key).last_with(value)
        if last is value:
            raise KeyFull("this key holds as many values as it may")
        return last

    def _make_room(self, value: Value, gone: Value | None) -> None:
        """Remove what must go besides `gone`, which is to go; raises StoreFull."""
        while True:
            freed = self._cost(gone) if gone is not None and self._is_stored(gone) else 0
            if self.used_bytes - freed + self._cost(value) <= self._max_bytes:
                return
            self._remove(self._yielding(value))

    def _yielding(self, value: Value) -> Value:
        """What the largest share loses, the farthest first; raises StoreFull.

        Where no share is larger than that of the value's storer, this one keeps what is nearest.
        """
        larger = self._shares.yields(value.storer.path)
        radius = self._radius()
        farthest = self._farthest_of(larger or value.storer.path, radius)
        if farthest is None or (
            larger is None and self._beyond(farthest, radius) <= self._beyond(value.slot, radius)
        ):
            raise StoreFull("the store's bytes are used up")
        return self._at(farthest)

    def _farthest_of(self, peer: Path, radius: int) -> bytes | None:
        """The slot with the farthest key of a peer; its oldest one where all are within the radius.

        It is looked for once, and known until it goes: who is refused again and again costs little.
        """
        slots = self._shares.of_peer(peer)
        if not slots:
            return None
        farthest = self._farthest.get(peer)
        if farthest is None:
            farthest = self._farthest[peer] = max(slots, key=self._distance)
        return farthest if self._beyond(farthest, radius) else slots[0]

    def _note_farthest(self, value: Value) -> None:
        """A value has come: it may be farther than what was the farthest of its storer."""
        known = self._farthest.get(value.storer.path)
        if known is not None and self._distance(value.slot) > self._distance(known):
            self._farthest[value.storer.path] = value.slot

    def _distance(self, slot: bytes) -> int:
        return int.from_bytes(key_of(slot)) ^ self._own_number

    def _beyond(self, slot: bytes, radius: int) -> int:
        """How far the key of a slot is away; 0 within the radius, as ids near a key are cheap."""
        distance = self._distance(slot)
        return distance if distance > radius else 0

    def _cost(self, value: Value) -> int:
        """Memory of a value in bytes: its record and what surrounds it, a new key's, a storer's."""
        cost = len(value.record.raw) + limits.STORE_VALUE_BYTES
        if value.key not in self._values:
            cost += limits.STORE_KEY_BYTES
        if levels := self._shares.unknown_levels(value.storer.path):
            cost += limits.STORE_STORER_BYTES + (levels - 1) * limits.STORE_NETWORK_BYTES
        return cost

    def get(self, key: bytes, kind: int, now: float) -> list[Record]:
        """The live records of one kind under a key, in the order of a TurnOrder."""
        self.expire(now)
        if key not in self._values:
            return []
        return list(self._order_of(key).records(kind))

    def _order_of(self, key: bytes) -> TurnOrder:
        """That of the values of a key; it is kept where there are many."""
        order = self._told.get(key)
        if order is None:
            held = self._values[key]
            order = TurnOrder(held.values())
            if len(held) > limits.VALUES_PER_REPLY:
                self._told[key] = order
        return order

    def expire(self, now: float) -> None:
        """Drop what is past its expiry."""
        while self._expiries and self._expiries[0][0] <= now:
            expires, slot = heapq.heappop(self._expiries)
            held = self._values.get(key_of(slot), {}).get(slot)
            # A refreshed record has a later entry of its own in the heap.
            if held is not None and held.record.expires == expires:
                self._remove(held)

    def _at(self, slot: bytes) -> Value:
        return self._values[key_of(slot)][slot]

    def _is_stored(self, value: Value) -> bool:
        return value.slot in self._values.get(value.key, ())

    def _add(self, value: Value) -> None:
        record, key, slot = value.record, value.key, value.slot
        self._gone.discard(slot)
        self.used_bytes += self._cost(value)
        self._count += 1
        self._values.setdefault(key, {})[slot] = value
        if (order := self._told.get(key)) is not None:
            order.add(value)
        self._note_farthest(value)
        self._shares.add(value.storer.path, slot)
        self._per_publisher[record.public_key] += 1
        heapq.heappush(self._expiries, (record.expires, slot))
        if len(self._expiries) > 2 * len(self) + _SLACK:
            self._forget_overtaken_expiries()

    def _forget_overtaken_expiries(self) -> None:
        # A refresh leaves its predecessor's entry behind: a busy publisher must not grow the heap.
        self._expiries = [
            (value.record.expires, slot)
            for held in self._values.values()
            for slot, value in held.items()
        ]
        heapq.heapify(self._expiries)

    def _remove(self, value: Value) -> None:
        key, slot = value.key, value.slot
        if value.record.kind == LINEAGE:
            self._gone.add(value)
        self._shares.remove(value.storer.path, slot)
        del self._values[key][slot]
        if not self._values[key]:
            del self._values[key]
        if (order := self._told.get(key)) is not None:
            order.remove(value)
            if len(self._values.get(key, ())) <= limits.VALUES_PER_REPLY:
                del self._told[key]
        if self._farthest.get(value.storer.path) == slot:
            del self._farthest[value.storer.path]
        self._count -= 1
        self.used_bytes -= self._cost(value)
        publisher = value.record.public_key
        self._per_publisher[publisher] -= 1
        if not self._per_publisher[publisher]:
            del self._per_publisher[publisher]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        for held in self._values.values():
            yield from (value.record for value in held.values())


def _is_newer(record: Record, held: Record) -> bool:
    """Whether a record takes the place of another of its publisher's, which has other bytes."""
    if record.kind == LINEAGE:
        return history.supersedes(record, held.sequence, history.hash_of(held))
    return record.sequence > held.sequence
