"""Availability filters: what is held is never denied, and little else is claimed."""

import hashlib
import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import records
from protocol.availability import (
    ERROR_RATE,
    Availability,
    build,
    build_shard,
    shard_bits_for,
    shard_of,
)
from protocol.codec import encode
from protocol.errors import Malformed
from protocol.identity import Identity
from protocol.limits import RECORD_BYTES, SHARD_BITS_MAX, SHARD_CAPACITY, SHARD_SIZES

repeatable = settings(deadline=None, derandomize=True)

MOD_IDS = [hashlib.sha256(b"mod %d" % number).digest() for number in range(5000)]
NOT_HELD = [hashlib.sha256(b"not held %d" % number).digest() for number in range(20_000)]
SIGNER = Identity(bytes(32))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 64, 65, 639, 640, 641, 1281, 5000])
def test_every_mod_is_in_its_shard_and_every_shard_fits_a_record(count: int) -> None:
    held = MOD_IDS[:count]
    shards = build(held)
    bits = shard_bits_for(held)
    by_number = {one.shard: one for one in shards}
    assert len(by_number) == len(shards) <= 2**bits
    assert (bits == 0) == (count <= SHARD_CAPACITY)
    assert all(one.shard_bits == bits for one in shards)
    if count <= 641:
        assert all(by_number[shard_of(mod_id, bits)].may_have(mod_id) for mod_id in held)
    for number, mod_id in enumerate(held):
        if number % 50 == 0:
            assert by_number[shard_of(mod_id, bits)].may_have(mod_id)
    for one in shards:
        record = records.make(SIGNER, records.AVAILABILITY, one, now=0.0, sequence=0)
        assert len(record.raw) <= RECORD_BYTES
        assert Availability.decode(one.encode()) == one


@pytest.mark.parametrize("capacity", SHARD_SIZES)
def test_one_in_a_hundred_absent_mods_seems_to_be_held(capacity: int) -> None:
    # Small filters differ much from one another, so many of them share the probes.
    starts = range(0, len(MOD_IDS) - capacity + 1, capacity)
    full = [one for start in starts for one in build(MOD_IDS[start : start + capacity])]
    assert {one.capacity for one in full} == {capacity}
    claimed = sum(
        full[number % len(full)].may_have(mod_id) for number, mod_id in enumerate(NOT_HELD)
    )
    # Slices are whole bits, so the true rates lie a little around the nominal one.
    assert 0.7 * ERROR_RATE < claimed / len(NOT_HELD) < 1.2 * ERROR_RATE


def test_the_order_of_mods_does_not_matter_and_copies_count_once() -> None:
    assert build(MOD_IDS[:700]) == build(list(reversed(MOD_IDS[:700])) + MOD_IDS[:50])
    assert build([MOD_IDS[0]] * 2000) == build(MOD_IDS[:1])


def test_a_shard_says_nothing_of_other_shards() -> None:
    for one in build(MOD_IDS[:2000]):
        outside = [mod_id for mod_id in MOD_IDS if shard_of(mod_id, one.shard_bits) != one.shard]
        assert not any(map(one.may_have, outside))


def test_an_empty_shard_holds_nothing() -> None:
    empty = build_shard((2, 3), [])
    assert (empty.shard_bits, empty.shard) == (2, 3)
    assert not any(map(empty.may_have, MOD_IDS))
    assert Availability.decode(empty.encode()) == empty


def test_mods_chosen_to_share_a_prefix_overflow_one_shard_and_nothing_else() -> None:
    too_many = sorted(bytes(2) + mod_id[2:] for mod_id in MOD_IDS[: SHARD_CAPACITY + 1])
    others = [mod_id for mod_id in MOD_IDS if mod_id[0] > 127][:10]
    assert shard_bits_for(too_many + others) == SHARD_BITS_MAX
    shards = {one.shard: one for one in build(too_many + others)}
    assert all(map(shards[0].may_have, too_many[:SHARD_CAPACITY]))
    assert all(shards[shard_of(mod_id, SHARD_BITS_MAX)].may_have(mod_id) for mod_id in others)


@repeatable
@given(st.integers(0, SHARD_BITS_MAX), st.binary(min_size=32, max_size=32))
def test_a_shard_is_the_first_bits_of_the_id(bits: int, mod_id: bytes) -> None:
    text = "".join(f"{byte:08b}" for byte in mod_id)
    assert shard_of(mod_id, bits) == int("0" + text[:bits], 2)


@pytest.mark.parametrize("size", SHARD_SIZES)
def test_a_full_filter_errs_as_rarely_as_it_says(size: int) -> None:
    """100 000 probes of mods that are not there, over 100 filters filled to their capacity."""
    rng = random.Random(size)
    wrong = 0
    for number in range(100):
        mods = [rng.randbytes(32) for _ in range(size)]
        (one,) = build(mods)
        assert one.capacity == size
        assert number or all(map(one.may_have, mods))
        wrong += sum(one.may_have(rng.randbytes(32)) for _ in range(1000))
    assert wrong / 100_000 < 1.2 * ERROR_RATE


def test_the_filters_of_a_large_collection_err_as_rarely() -> None:
    rng = random.Random(3)
    shards = {one.shard: one for one in build([rng.randbytes(32) for _ in range(5000)])}
    bits = next(iter(shards.values())).shard_bits
    assert bits >= 3
    wrong = 0
    for _ in range(100_000):
        mod_id = rng.randbytes(32)
        wrong += shards[shard_of(mod_id, bits)].may_have(mod_id)
    assert wrong / 100_000 < 1.2 * ERROR_RATE


def spelled(shard_bits: int, shard: int, capacity: int, length: int) -> bytes:
    return encode([shard_bits, shard, capacity, bytes(length)])


def test_a_filter_has_the_length_of_its_capacity() -> None:
    lengths = {}
    for capacity in SHARD_SIZES:
        (one,) = build(MOD_IDS[:capacity])
        lengths[one.capacity] = len(one.bits)
        Availability.decode(spelled(0, 0, capacity, len(one.bits)))
    assert lengths == {16: 20, 64: 77, 160: 193, 320: 385, 640: 768}
    for capacity, length in ((640, 767), (640, 769), (640, 0), (16, 768), (17, 20)):
        with pytest.raises(Malformed):
            Availability.decode(spelled(0, 0, capacity, length))


@pytest.mark.parametrize(
    ("shard_bits", "shard", "capacity"),
    [
        (-1, 0, 16),
        (SHARD_BITS_MAX + 1, 0, 16),
        (2**40, 0, 16),
        (0, 1, 16),
        (2, 4, 16),
        (2, -1, 16),
        (0, 0, 0),
        (0, 0, -1),
        (0, 0, SHARD_CAPACITY + 1),
        (0, 0, 2**62),
    ],
)
def test_a_header_out_of_range_is_refused_before_it_sizes_anything(
    shard_bits: int, shard: int, capacity: int
) -> None:
    data = spelled(shard_bits, shard, capacity, 20)
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            Availability.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**16


@settings(repeatable, max_examples=200)
@given(
    st.binary(max_size=60)
    | st.builds(
        spelled,
        st.integers(-1, 12),
        st.integers(-1, 2**10),
        st.integers(-1, 1000),
        st.integers(0, 800),
    )
)
def test_any_bytes_are_a_filter_or_malformed(data: bytes) -> None:
    try:
        one = Availability.decode(data)
    except Malformed:
        return
    assert one.encode() == data
    one.may_have(MOD_IDS[0])
