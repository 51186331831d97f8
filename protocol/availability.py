"""The mods that a peer serves, as Bloom filters that each fit a datagram.

`pybloom-live` does the filter; only its raw bits travel, never its own file form, whose header
sizes an allocation. Mods are spread over 2**shard_bits filters by the first bits of their id.
"""

from collections.abc import Collection
from dataclasses import dataclass

from bitarray import bitarray
from pybloom_live import BloomFilter

from protocol import limits
from protocol.codec import decode_canonical, encode, ranged, shape
from protocol.errors import Malformed

ERROR_RATE = 0.01
_MOD_ID_BITS = 256


def shard_bits_for(mod_ids: Collection[bytes]) -> int:
    """The smallest number of prefix bits whose shards all fit a filter."""
    bits = 0
    while bits < limits.SHARD_BITS_MAX:
        loads: dict[int, int] = {}
        for mod_id in mod_ids:
            shard = shard_of(mod_id, bits)
            loads[shard] = loads.get(shard, 0) + 1
        if max(loads.values(), default=0) <= limits.SHARD_CAPACITY:
            break
        bits += 1
    return bits


def shard_of(mod_id: bytes, shard_bits: int) -> int:
    """The number of the shard that holds this mod."""
    return int.from_bytes(mod_id) >> (_MOD_ID_BITS - shard_bits)


@dataclass(frozen=True, slots=True)
class Availability:
    """One shard: filter bits for `capacity` mods at a false-positive rate of ERROR_RATE."""

    shard_bits: int
    shard: int
    capacity: int
    bits: bytes

    def may_have(self, mod_id: bytes) -> bool:
        """False: certainly not. True: yes, or one time in a hundred no."""
        if shard_of(mod_id, self.shard_bits) != self.shard:
            return False
        held = BloomFilter(self.capacity, ERROR_RATE)
        stored = bitarray(endian="little")
        stored.frombytes(self.bits)
        held.bitarray = stored[: held.num_bits]
        return mod_id.hex() in held

    def encode(self) -> bytes:
        """The body of an availability record."""
        return encode([self.shard_bits, self.shard, self.capacity, self.bits])

    @classmethod
    def decode(cls, data: bytes) -> "Availability":
        """Read a record's body; raises Malformed."""
        value = decode_canonical(data, max_bytes=limits.RECORD_BYTES, max_items=4)
        shard_bits, shard, capacity, bits = shape(value, int, int, int, bytes)
        ranged(shard_bits, 0, limits.SHARD_BITS_MAX)
        ranged(shard, 0, (1 << shard_bits) - 1)
        ranged(capacity, 1, limits.SHARD_CAPACITY)
        if len(bits) != _filter_bytes(capacity):
            raise Malformed(f"{len(bits)} bytes of filter for {capacity} mods")
        if int.from_bytes(bits).bit_count() > _bits_set_max(capacity):
            raise Malformed(f"a filter that says to hold more than its {capacity} mods")
        return cls(shard_bits, shard, capacity, bits)


def _filter_bytes(capacity: int) -> int:
    return (int(BloomFilter(capacity, ERROR_RATE).num_bits) + 7) // 8


def _bits_set_max(capacity: int) -> int:
    """Bits that so many mods set at most: a filter with more says yes to what it does not hold."""
    return capacity * int(BloomFilter(capacity, ERROR_RATE).num_slices)


ShardPlace = tuple[int, int]
"""Which shard: the number of prefix bits, and the prefix."""


def spread(mod_ids: Collection[bytes]) -> dict[ShardPlace, frozenset[bytes]]:
    """The mods of each shard; empty shards are left out.

    Of a shard that overflows at SHARD_BITS_MAX, the first SHARD_CAPACITY mods are announced.
    """
    distinct = sorted(set(mod_ids))
    shard_bits = shard_bits_for(distinct)
    shards: dict[ShardPlace, list[bytes]] = {}
    for mod_id in distinct:
        shards.setdefault((shard_bits, shard_of(mod_id, shard_bits)), []).append(mod_id)
    return {place: frozenset(held[: limits.SHARD_CAPACITY]) for place, held in shards.items()}


def build(mod_ids: Collection[bytes]) -> list[Availability]:
    """The shards that hold these mods."""
    return [build_shard(place, held) for place, held in spread(mod_ids).items()]


def build_shard(place: ShardPlace, mod_ids: Collection[bytes]) -> Availability:
    """One shard, which may be empty."""
    # Sizes in steps, so that observing the record does not count the mods one by one.
    capacity = next(size for size in limits.SHARD_SIZES if size >= len(mod_ids))
    held = BloomFilter(capacity, ERROR_RATE)
    for mod_id in mod_ids:
        held.add(mod_id.hex())
    return Availability(*place, capacity, held.bitarray.tobytes())
