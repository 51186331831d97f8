"""The records that a node stores for others: multi-valued, capped, expiring.

Each publisher has one value per key and kind. Only its publisher refreshes a record, so a record
whose publisher is gone expires.
"""

import heapq
from collections.abc import Iterator

from protocol import limits
from protocol.errors import KeyFull, PublisherFull, SequenceTooLow, StoreFull
from protocol.records import Record

_Slot = tuple[bytes, int]
_SLACK = 64


class RecordStore:
    """Verified records by their DHT key. `now` is wall seconds everywhere.

    `used_bytes` is the memory that they take, as the caps count it.
    """

    def __init__(
        self,
        *,
        max_bytes: int = limits.STORE_BYTES,
        max_values_per_key: int = limits.STORE_VALUES_PER_KEY,
        max_values_per_publisher: int = limits.STORE_VALUES_PER_PUBLISHER,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_per_key = max_values_per_key
        self._max_per_publisher = max_values_per_publisher
        self._values: dict[bytes, dict[_Slot, Record]] = {}
        self._per_publisher: dict[bytes, int] = {}
        self._expiries: list[tuple[int, bytes, _Slot]] = []
        self.used_bytes = 0
        self.count = 0

    def put(self, record: Record, now: float) -> None:
        """Keep a verified record under its own key.

        Raises SequenceTooLow, and by the cap that refused StoreFull, KeyFull or PublisherFull.
        """
        self.expire(now)
        slot = (record.public_key, record.kind)
        held = self._values.get(record.key, {}).get(slot)
        if held is not None:
            if held.raw == record.raw:
                return
            if held.sequence >= record.sequence:
                raise SequenceTooLow(
                    f"sequence {record.sequence} where {held.sequence} is stored already"
                )
        self._check_caps(record, held)
        if held is not None:
            self._remove(held.key, slot)
        self.used_bytes += self._cost(record)
        self._values.setdefault(record.key, {})[slot] = record
        publisher = record.public_key
        self._per_publisher[publisher] = self._per_publisher.get(publisher, 0) + 1
        self.count += 1
        heapq.heappush(self._expiries, (record.expires, record.key, slot))
        if len(self._expiries) > 2 * self.count + _SLACK:
            self._forget_overtaken_expiries()

    def _check_caps(self, record: Record, held: Record | None) -> None:
        added_bytes = len(record.raw) - len(held.raw) if held else self._cost(record)
        if self.used_bytes + added_bytes > self._max_bytes:
            raise StoreFull("the store's bytes are used up")
        if held is not None:
            return
        if len(self._values.get(record.key, ())) >= self._max_per_key:
            raise KeyFull("this key holds as many values as it may")
        if self._per_publisher.get(record.public_key, 0) >= self._max_per_publisher:
            raise PublisherFull("this publisher stores as many values as it may")

    def _cost(self, record: Record) -> int:
        """Memory of a new value in bytes: its record and what surrounds it."""
        of_key = 0 if record.key in self._values else limits.STORE_KEY_BYTES
        return len(record.raw) + limits.STORE_VALUE_BYTES + of_key

    def get(self, key: bytes, kind: int, now: float) -> list[Record]:
        """The live records of one kind under a key, the freshest first."""
        self.expire(now)
        held = self._values.get(key)
        if not held:
            return []
        live = [one for one in held.values() if one.kind == kind]
        live.sort(key=_freshest_first)
        return live

    def expire(self, now: float) -> None:
        """Drop what is past its expiry."""
        while self._expiries and self._expiries[0][0] <= now:
            expires, key, slot = heapq.heappop(self._expiries)
            held = self._values.get(key, {}).get(slot)
            # A refreshed record has a later entry of its own in the heap.
            if held is not None and held.expires == expires:
                self._remove(key, slot)

    def _forget_overtaken_expiries(self) -> None:
        # A refresh leaves its predecessor's entry behind: a busy publisher must not grow the heap.
        self._expiries = [
            (record.expires, key, slot)
            for key, held in self._values.items()
            for slot, record in held.items()
        ]
        heapq.heapify(self._expiries)

    def _remove(self, key: bytes, slot: _Slot) -> None:
        held = self._values[key].pop(slot)
        if not self._values[key]:
            del self._values[key]
        self.used_bytes -= self._cost(held)
        self.count -= 1
        publisher = slot[0]
        self._per_publisher[publisher] -= 1
        if not self._per_publisher[publisher]:
            del self._per_publisher[publisher]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Record]:
        for held in self._values.values():
            yield from held.values()


def _freshest_first(record: Record) -> tuple[int, bytes]:
    return (-record.issued, record.public_key)
