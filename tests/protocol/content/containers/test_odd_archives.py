"""Odd archives are kept whole: what two readers could understand in two ways is no zip here."""

import struct
from collections.abc import Callable

import pytest

from tests.protocol.content.containers.zips import (
    END_64,
    END_BYTES,
    LOCATOR_64,
    cuts_of,
    directory_offset,
    entry_at,
    expected,
    put,
    some_members,
    wide_zip,
    zip_of,
)


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
