"""The values of one key: in which order they are told, and which of too many are kept.

Neither goes by what publishers choose, such as dates and sequence numbers: first comes one value of
each network, then a second of each, and so on. Within a network the order is that of a hash with a
secret of this node, so that it cannot be aimed at, and differs from node to node.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from protocol import limits
from protocol.overlay.store.storer import Storer
from protocol.records import Record

_PLACE_BYTES = 8


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


def key_of(slot: bytes) -> bytes:
    """The DHT key of a slot."""
    return slot[: limits.ID_BYTES]


def value_of(record: Record, storer: Storer, secret: bytes) -> Value:
    """A value with its place by the node's secret (at most 64 bytes)."""
    slot = record.key + bytes((record.kind,)) + record.public_key
    place = hashlib.blake2b(slot, key=secret, digest_size=_PLACE_BYTES).digest()
    return Value(record, storer, slot, place)


def in_turns(values: Iterable[Value]) -> list[Value]:
    """The values in the order in which they are told; of too many the last ones go."""
    turns: Counter[bytes] = Counter()
    placed: list[tuple[int, bytes, bytes, Value]] = []
    for value in sorted(values, key=lambda one: (one.place, one.slot)):
        placed.append((turns[value.storer.network], value.place, value.slot, value))
        turns[value.storer.network] += 1
    return [value for *_, value in sorted(placed, key=lambda one: one[:3])]
