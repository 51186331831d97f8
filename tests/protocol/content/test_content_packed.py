"""Sequences of many small values in few bytes."""

import os
import tracemalloc

import pytest

from protocol.content.lineage.keys import LineageKeys
from protocol.content.manifests.manifest import Manifest, decode_manifest, sign_manifest
from protocol.content.packed import PackedBytes, PackedNumbers, bytes_of, numbers_of
from protocol.errors import BadManifest

KEYS = LineageKeys(bytes(32), bytes(32))
VALUES = (b"one", b"two", b"six", b"ten")


@pytest.mark.parametrize(
    "packed", [PackedBytes(b"onetwosixten", 3), PackedBytes(b"one--two--six--ten--", 3, 5)]
)
def test_packed_bytes_are_a_sequence(packed: PackedBytes) -> None:
    assert len(packed) == 4
    assert tuple(packed) == VALUES == packed
    assert [packed[place] for place in range(-4, 4)] == [*VALUES, *VALUES]
    assert packed[1:3] == VALUES[1:3]
    assert packed[::-2] == VALUES[::-2]
    assert packed != (*VALUES[:3], b"net")
    assert packed != VALUES[:3]
    assert packed != 4
    for beyond in (4, -5):
        with pytest.raises(IndexError):
            packed[beyond]


def test_packed_numbers_are_big_endian() -> None:
    data = bytes.fromhex("00000000 00000001 01020304 ffffffff")
    numbers = numbers_of(data)
    assert numbers == (0, 1, 0x01020304, 2**32 - 1)
    assert numbers != (0, 1, 0x01020304, 2**32 - 2)
    assert numbers != numbers_of(data[:8])
    assert bytes_of(numbers) == bytes_of(tuple(numbers)) == data
    assert PackedNumbers("I", (3, 4)) == (3, 4)


def manifest_of(rows: list[bytes]) -> Manifest:
    return decode_manifest(sign_manifest(KEYS, b"".join(rows), bytes(40)))


def test_a_manifest_takes_little_more_than_its_bytes() -> None:
    count = 20_000
    rows = [os.urandom(32) + (65_000).to_bytes(4) for _ in range(count)]
    manifest_of(rows[:1])
    tracemalloc.start()
    manifest = manifest_of(rows)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest.addresses) == count
    assert kept < 90 * count  # its bytes, the table and the lengths
    assert most < 200 * count


@pytest.mark.parametrize("differ_at", [31, None])
def test_addresses_that_begin_alike(differ_at: int | None) -> None:
    first = bytearray(b"a" * 32)
    second = bytearray(first)
    if differ_at is not None:
        second[differ_at] ^= 1
    rows = [bytes(address) + (65_000).to_bytes(4) for address in (first, b"b" * 32, second)]
    if differ_at is None:
        with pytest.raises(BadManifest, match="twice"):
            manifest_of(rows)
    else:
        assert manifest_of(rows).addresses == (first, b"b" * 32, second)
