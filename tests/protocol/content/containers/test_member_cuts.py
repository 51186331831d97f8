"""A zip is cut at its members' data; an odd one is not, and none can cost or break anything."""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import limits
from protocol.content.containers.member_cuts import member_cuts
from tests.protocol.content.containers.zips import (
    ALONE,
    METHODS,
    data_spans,
    directory_offset,
    put,
    some_members,
    wide_zip,
    zip_of,
)

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/content/containers.json").read_text())
END_BYTES, ENTRY, LOCATOR_64, END_64 = 22, b"PK\1\2", b"PK\6\7", b"PK\6\6"


class File:
    """Bytes that are read by offset, and how much of them was."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0
        self.bytes_read = 0

    def read(self, offset: int, size: int) -> bytes:
        """As a file has it."""
        assert offset >= 0
        assert size >= 0
        found = self.data[offset : offset + size]
        self.reads += 1
        self.bytes_read += len(found)
        return found


def cuts_of(data: bytes, alone: int = ALONE) -> list[int]:
    return list(member_cuts(File(data).read, len(data), alone))


def expected(data: bytes, alone: int = ALONE) -> list[int]:
    """By `zipfile`."""
    spans = [span for span in data_spans(data) if span[1] - span[0] >= alone]
    return sorted({*(edge for span in spans for edge in span), directory_offset(data)})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["", "streamed", "wide", "alike"])
def test_a_zip_is_cut_at_the_data_of_its_members(method: int, kind: str) -> None:
    members = some_members()
    data = zip_of(members, method, kind)
    cuts = cuts_of(data)
    assert cuts == expected(data)
    # Behind the last member's data stands its descriptor, or else the directory.
    assert len(cuts) == 6 + (kind == "streamed")
    if method == zipfile.ZIP_STORED:
        found = [data[start:end] for start, end in zip(cuts[:6:2], cuts[1:6:2], strict=True)]
        assert found == [members[0], members[2], members[4]]


def test_a_comment_may_say_anything() -> None:
    data = zip_of(some_members())
    for comment in (b"x" * 65535, b"PK\5\6 and so on" * 1000):
        assert cuts_of(zip_of(some_members(), comment=comment)) == cuts_of(data)


def test_a_zip64_that_says_all_twice_is_cut_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wide_zip(monkeypatch, some_members())
    assert LOCATOR_64 in data
    assert cuts_of(data) == expected(data)
    assert len(cuts_of(data)) == 6


def test_members_below_the_size_flow_with_the_headers() -> None:
    data = zip_of(some_members(sizes=(ALONE - 1, ALONE, ALONE - 1)))
    (start, end, directory) = cuts_of(data)
    assert end - start == ALONE
    assert directory == directory_offset(data)
    assert cuts_of(zip_of(some_members(sizes=(5, 6)))) == [
        directory_offset(zip_of(some_members(sizes=(5, 6))))
    ]


def test_members_in_any_order_and_holes_between_them() -> None:
    data = zip_of(some_members())
    entries = data[directory_offset(data) : -END_BYTES].split(ENTRY)[1:]
    swapped = ENTRY + ENTRY.join(reversed(entries))
    assert cuts_of(data[: directory_offset(data)] + swapped + data[-END_BYTES:]) == expected(data)
    # A member that was taken out of the directory leaves a hole.
    without = ENTRY + ENTRY.join(entries[1:])
    end = put(data[-END_BYTES:], 8, "<2HL", 4, 4, len(without))
    hole = data[: directory_offset(data)] + without + end
    assert cuts_of(hole) == expected(hole) == expected(data)[2:]


def test_a_zip_within_a_zip_is_a_member() -> None:
    inner = zip_of(some_members(2))
    data = zip_of([inner, b"x"])
    start, end, _ = cuts_of(data)
    assert data[start:end] == inner


def entry_at(data: bytes, number: int) -> int:
    """Where the directory's entry of a member is."""
    at = directory_offset(data)
    for _ in range(number):
        at = data.index(ENTRY, at + 1)
    return at


def overlapping(data: bytes) -> bytes:
    """Two members with one local header, as in a zip bomb."""
    (place,) = struct.unpack_from("<L", data, entry_at(data, 0) + 42)
    return put(data, entry_at(data, 2) + 42, "<L", place)


def reaching(data: bytes) -> bytes:
    """The first member has the second one as data, so that its local header's extra overlaps."""
    (packed, plain) = struct.unpack_from("<2L", data, entry_at(data, 0) + 20)
    wider = put(data, entry_at(data, 0) + 20, "<2L", packed + 1, plain + 1)
    return put(wider, 18, "<2L", packed + 1, plain + 1)


def with_local_extra(data: bytes) -> bytes:
    """The first local header claims extra fields that would push its data into the next one."""
    return put(data, 28, "<H", 200)


def prepended(data: bytes) -> bytes:
    return b"MZ stub" + data


def prepended_and_mended(data: bytes) -> bytes:
    """As `zip -A` does: all offsets are right."""
    stub, directory = b"PK\3\4 stub of a program", directory_offset(data)
    made = stub + data
    for number in range(5):
        at = entry_at(data, number) + 42
        (place,) = struct.unpack_from("<L", data, at)
        made = put(made, at + len(stub), "<L", place + len(stub))
    return put(made, -END_BYTES + 16, "<L", directory + len(stub)).replace(b"PK\3\4 s", b"MZ   s")


SMALL_LAST = zip_of(some_members(sizes=(2000, 5)))

ODD: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no zip": lambda data: b"x" + data[1:],
    "only a local header": lambda _: b"PK\3\4",
    "an empty zip": lambda _: zip_of([]),
    "a stub before": prepended,
    "a stub that is counted": prepended_and_mended,
    "bytes before that begin as a zip": lambda data: b"PK\3\4" + data,
    "bytes after": lambda data: data + b"\0",
    "a second end": lambda _: zip_of(some_members(), comment=b"PK\5\6" + bytes(18)),
    "two": lambda data: data + data,
    "overlapping members": overlapping,
    "a member within the next": reaching,
    "a local header that pushes": with_local_extra,
    "a second disk": lambda data: put(data, -END_BYTES + 4, "<H", 1),
    "a directory on a second disk": lambda data: put(data, -END_BYTES + 6, "<H", 1),
    "members on other disks": lambda data: put(data, -END_BYTES + 8, "<H", 4),
    "fewer members": lambda data: put(data, -END_BYTES + 8, "<2H", 4, 4),
    "more members": lambda data: put(data, -END_BYTES + 8, "<2H", 6, 6),
    "no members": lambda data: put(data, -END_BYTES + 8, "<2H", 0, 0),
    "absurdly many members": lambda data: put(data, -END_BYTES + 8, "<2H", 65535, 65535),
    "a directory elsewhere": lambda data: put(data, -END_BYTES + 16, "<L", 0),
    "a directory of another size": lambda data: put(data, -END_BYTES + 12, "<L", 46),
    "a member on a second disk": lambda data: put(data, entry_at(data, 1) + 34, "<H", 1),
    "a hidden local header": lambda data: put(data, entry_at(data, 1) + 8, "<H", 1 << 13),
    "a stored member of two sizes": lambda data: put(data, entry_at(data, 1) + 24, "<L", 9),
    "a size without its zip64 field": lambda data: put(
        data, entry_at(data, 0) + 20, "<L", 2**32 - 1
    ),
    "a member beyond the directory": lambda data: put(
        data, entry_at(data, 4) + 42, "<L", directory_offset(data) - 20
    ),
    "another name in the local header": lambda data: data[:30] + b"F" + data[31:],
    "a longer name in the local header": lambda data: put(data, 26, "<H", 13),
    "another method in the local header": lambda data: put(data, 8, "<H", 8),
    "another size in the local header": lambda data: put(data, 18, "<L", 4999),
    "small members that overlap": lambda data: put(
        data,
        entry_at(data, 1) + 42,
        "<L",
        struct.unpack_from("<L", data, entry_at(data, 3) + 42)[0],
    ),
    "a small member within the directory": lambda _: put(
        SMALL_LAST, entry_at(SMALL_LAST, 1) + 20, "<2L", 6, 6
    ),
    "an end without a directory": lambda data: (
        data[:5000] + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 0, 0, 0, 5000, 0)
    ),
    "a local header of another kind": lambda data: put(
        data, struct.unpack_from("<L", data, entry_at(data, 2) + 42)[0], "<L", 0
    ),
    "no local header": lambda data: put(data, entry_at(data, 0) + 42, "<L", 1),
    "no entry": lambda data: put(data, entry_at(data, 2), "<L", 0),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_archive_is_kept_whole(name: str) -> None:
    good = zip_of(some_members())
    assert cuts_of(good)
    assert cuts_of(ODD[name](good)) == []


@pytest.mark.parametrize(
    ("mark", "at", "form", "value"),
    [
        (LOCATOR_64, 4, "<L", 1),
        (LOCATOR_64, 8, "<Q", 2**63),
        (LOCATOR_64, 8, "<Q", 0),
        (LOCATOR_64, 16, "<L", 2),
        (END_64, 0, "<L", 0),
        (END_64, 4, "<Q", 45),
        (END_64, 16, "<L", 1),
        (END_64, 20, "<L", 1),
        (END_64, 24, "<Q", 4),
        (END_64, 32, "<Q", 2**64 - 1),
        (END_64, 40, "<Q", 2**64 - 1),
        (END_64, 48, "<Q", 2**64 - 1),
        (b"PK\5\6", 16, "<L", 5),
    ],
)
def test_an_odd_zip64_is_kept_whole(
    mark: bytes, at: int, form: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wide_zip(monkeypatch, some_members())
    assert cuts_of(data)
    assert cuts_of(put(data, data.rindex(mark) + at, form, value)) == []


def test_a_zip64_field_that_lacks_a_number_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wide_zip(monkeypatch, some_members())
    at = entry_at(data, 0)
    assert struct.unpack_from("<L", data, at + 20) == (2**32 - 1,)
    (name_bytes,) = struct.unpack_from("<H", data, at + 28)
    field = at + 46 + name_bytes
    assert struct.unpack_from("<H", data, field) == (1,)
    assert cuts_of(put(data, field + 2, "<H", 12)) == []
    assert cuts_of(put(data, field, "<H", 2)) == []
    # One more number is asked for than there is.
    assert cuts_of(put(data, at + 34, "<H", 0xFFFF)) == []


def test_a_zip64_end_that_is_longer_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    data = wide_zip(monkeypatch, some_members())
    at = data.rindex(LOCATOR_64)
    assert cuts_of(data[:at] + bytes(8) + data[at:]) == []


def test_a_zip64_field_may_have_a_disk_and_stand_behind_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = wide_zip(monkeypatch, some_members())
    at = entry_at(data, 4)
    (name_bytes, extra_bytes) = struct.unpack_from("<2H", data, at + 28)
    field = at + 46 + name_bytes
    numbers = data[field + 4 : field + extra_bytes]
    misleading = b"UT\x08\0" + struct.pack("<2H", 1, 28) + bytes(4)
    wider = misleading + struct.pack("<2H", 1, len(numbers) + 4) + numbers + bytes(4)
    data = put(put(data, at + 34, "<H", 0xFFFF), at + 30, "<H", len(wider))
    data = data[:field] + wider + data[field + extra_bytes :]
    more, end = len(wider) - extra_bytes, data.rindex(END_64)
    (size,) = struct.unpack_from("<Q", data, end + 40)
    data = put(put(data, end + 40, "<Q", size + more), -END_BYTES + 12, "<L", size + more)
    (place,) = struct.unpack_from("<Q", data, data.rindex(LOCATOR_64) + 8)
    data = put(data, data.rindex(LOCATOR_64) + 8, "<Q", place + more)
    assert cuts_of(data) == expected(data)
    assert len(cuts_of(data)) == 6
    disk = data.index(wider) + len(wider) - 4
    assert cuts_of(put(data, disk, "<L", 1)) == []


def test_an_encrypted_member_is_longer_than_its_file() -> None:
    data = zip_of(some_members())
    for at in (6, entry_at(data, 0) + 8):
        data = put(data, at, "<H", 1)
    assert cuts_of(put(data, entry_at(data, 0) + 24, "<L", 5000 - 12)) == cuts_of(data) != []


@pytest.mark.parametrize("kind", ["", "wide"])
def test_a_file_that_shrinks_while_it_is_looked_into_is_kept_whole(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = wide_zip(monkeypatch, some_members()) if kind else zip_of(some_members())
    whole = File(data)
    assert list(member_cuts(whole.read, len(data), ALONE))
    for reads in range(whole.reads):
        file = File(data)

        def read(offset: int, size: int, file: File = file, reads: int = reads) -> bytes:
            return file.read(offset, size)[: None if file.reads <= reads else size // 2]

        assert list(member_cuts(read, len(data), ALONE)) == []


def test_an_archive_is_read_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zip_of(some_members(sizes=(2000,) * 50))
    file = File(data)
    assert len(member_cuts(file.read, len(data), ALONE)) == 100
    directory = len(data) - END_BYTES - directory_offset(data)
    assert file.reads <= 50 + 6
    assert file.bytes_read <= directory + 50 * 64 + 100
    for name, value in (("CONTAINER_MEMBERS", 49), ("CONTAINER_DIRECTORY_BYTES", directory - 1)):
        with monkeypatch.context() as patched:
            patched.setattr(limits, name, value)
            file = File(data)
            assert list(member_cuts(file.read, len(data), ALONE)) == []
            assert file.bytes_read < 100
    for name, value in (("CONTAINER_MEMBERS", 50), ("CONTAINER_DIRECTORY_BYTES", directory)):
        monkeypatch.setattr(limits, name, value)
    assert len(cuts_of(data)) == 100


def test_a_file_full_of_ends_is_read_in_linear_time() -> None:
    end = b"PK\5\6" + bytes(18)
    file = File(b"PK\3\4" + end * 100_000)
    assert list(member_cuts(file.read, len(file.data), ALONE)) == []
    assert file.bytes_read < 2**17


def test_what_begins_as_no_zip_is_not_looked_at() -> None:
    file = File(b"MZ" + zip_of(some_members()))
    assert list(member_cuts(file.read, len(file.data), ALONE)) == []
    assert (file.reads, file.bytes_read) == (1, 4)


def check_safe(data: bytes, size: int) -> None:
    file = File(data)
    cuts = [0, *member_cuts(file.read, size, ALONE), size]
    assert all(one < other for one, other in pairwise(cuts))
    assert len(cuts) <= 2 * (size // ALONE) + 3
    assert file.bytes_read < 3 * size + 2**18


@given(
    st.sampled_from(METHODS),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=9)), max_size=4),
    st.integers(-40, 40),
)
@settings(max_examples=200, deadline=None)
def test_any_damage_makes_cuts_that_are_safe_or_none(
    method: int, streamed: bool, damages: list[tuple[int, bytes]], shrunk: int
) -> None:
    data = bytearray(zip_of(some_members(), method, "streamed" * streamed))
    directory = directory_offset(bytes(data))
    for place, damage in damages:
        # Most in the directory, where it matters.
        at = place % len(data) if place % 3 == 0 else directory + place % (len(data) - directory)
        data[at : at + len(damage)] = damage
    whole = bytes(data)
    check_safe(whole, len(whole))
    # A file that has become shorter or longer since its size was told.
    check_safe(whole, max(0, len(whole) - shrunk))


@given(st.integers(0, 2**32), st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_any_zip_that_is_cut_short_is_kept_whole(seed: int, left: int) -> None:
    data = zip_of(some_members(seed % 100))
    cut = random.Random(seed).randrange(len(data))
    assert cuts_of(data[:cut]) == []
    assert cuts_of(data[: max(0, len(data) - 1 - left)]) == []


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_safe(data: bytes) -> None:
    check_safe(b"PK\3\4" + data, 4 + len(data))
    end = b"PK\5\6" + data[:18].ljust(18, b"\0")
    check_safe(b"PK\3\4" + data + end, 4 + len(data) + len(end))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["what"])
def test_golden_vectors(vector: dict[str, Any]) -> None:
    assert cuts_of(bytes.fromhex(vector["data"]), vector["alone_bytes"]) == vector["cuts"]


def test_zipfile_reads_what_is_between_the_cuts() -> None:
    members = some_members(sizes=(5000, 3000))
    data = zip_of(members, zipfile.ZIP_DEFLATED)
    read = zipfile.ZipFile(io.BytesIO(data))
    sizes = [info.compress_size for info in read.infolist()]
    cuts = cuts_of(data)
    assert [cuts[1] - cuts[0], cuts[3] - cuts[2]] == sizes
